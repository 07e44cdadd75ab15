"""Every scored candidate, in columns: about 300 bytes each, so that half a million fit in memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from zenlib.networks.architecture import Architecture
from zenlib.spaces.choices import Point
from zenlib.spaces.mutation import Blocks

FATES = ("kept", "dropped", "failed")
"""A candidate entered the population, was worse than all of a full population, or has no score."""

_COLUMNS = {
    "round": "i",
    "generation": "i",
    "parent": "q",
    "params": "q",
    "flops": "q",
    "depth": "i",
    "latency_ms": "d",
    "memory": "d",
    "score": "d",
    "fate": "b",
}
UNITS = {
    "id": "1: number of the candidate in the order of scoring",
    "round": "1: round in which it was asked",
    "generation": "1: mutations since the initial network; 0 where it was drawn afresh",
    "parent": "1: id of its parent, -1 where it has none",
    "architecture": "text: structure string",
    "params": "count: trainable parameters without gates",
    "flops": "count: multiply-adds of one image without gates",
    "depth": "count: layers",
    "latency_ms": "ms: predicted time per image, NaN where the budget does not limit it",
    "memory": "bytes: peak of 8-bit feature maps, NaN where the budget does not limit it",
    "score": "nat: its score, NaN where it failed",
    "fate": "text: kept, dropped or failed when its score was told",
    "reason": "text: why it has no score, empty where it has one",
}
"""Columns of the history: "unit: meaning"."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network that is to be scored, with the id of its parent and its mutations, as in `UNITS`."""

    blocks: Blocks
    parent: int = -1
    generation: int = 0

    @property
    def architecture(self) -> Architecture | Point:
        """The network; of a space of one's own, the `Point`."""
        first = self.blocks[0]
        return first if isinstance(first, Point) else Architecture(self.blocks)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The score of a candidate, or NaN and the reason."""

    score: float
    reason: str = ""


class History:
    """The scored candidates in the order of their ids."""

    def __init__(self, parse: Callable[[str], Any] = Architecture.from_string) -> None:
        self._parse = parse
        self._columns = {name: array(code) for name, code in _COLUMNS.items()}
        self._texts = bytearray()
        self._ends = array("q", [0])
        self._reasons: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._ends) - 1

    def extend(self, rows: dict[str, list[Any]], round_number: int) -> None:
        """Adds the candidates of a round: the columns of `UNITS` but `id` and `round`, a value for each."""
        columns = rows | {"fate": [FATES.index(fate) for fate in rows["fate"]]}
        columns["round"] = [round_number] * len(rows["score"])
        self._reasons.update({index: text for index, text in enumerate(rows["reason"], len(self)) if text})
        for name, column in self._columns.items():
            column.extend(columns[name])
        for text in rows["architecture"]:
            self._texts += text.encode()
            self._ends.append(len(self._texts))

    def architecture(self, index: int) -> Any:
        """The network of one candidate."""
        return self._parse(self._texts[self._ends[index] : self._ends[index + 1]].decode())

    def value(self, name: str, index: int) -> float:
        """One number of one candidate."""
        return self._columns[name][index]

    def frame(self) -> pd.DataFrame:
        """The columns of `UNITS` as a data frame."""
        columns: dict[str, Any] = {name: np.array(column) for name, column in self._columns.items()}
        columns["id"] = np.arange(len(self))
        columns["architecture"] = [self._texts[start:end].decode() for start, end in pairwise(self._ends)]
        columns["fate"] = pd.Categorical.from_codes(columns["fate"], list(FATES))
        reasons = [self._reasons.get(index, "") for index in range(len(self))]
        columns["reason"] = pd.Categorical(reasons, list(dict.fromkeys(["", *self._reasons.values()])))
        return pd.DataFrame({name: columns[name] for name in UNITS})


def front(history: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The candidates that no other one beats in score without a higher cost, the cheapest first.

    The cost is a column of the history of which less is better; a ValueError where it has no value.
    """
    if cost not in history or history[cost].isna().all():
        raise ValueError(f"cost: needed a column with numbers of the history, got {cost!r}")
    ranked = history.dropna(subset=["score", cost]).sort_values([cost, "score"], ascending=[True, False])
    return ranked[ranked["score"] > ranked["score"].cummax().shift(fill_value=-math.inf)]


def best_so_far(scores: np.ndarray) -> np.ndarray:
    """Running maximum that passes over NaN; shape as given, -inf before the first score."""
    return np.maximum.accumulate(np.where(np.isnan(scores), -math.inf, scores))
