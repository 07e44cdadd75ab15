"""Every scored candidate, in columns: about 300 bytes each, so that half a million fit in memory."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from zenlib.networks.architecture import Architecture
from zenlib.spaces.mutation import Blocks

FATES = ("kept", "dropped", "failed")
"""What became of a candidate when its score was told.

It entered the population, it was worse than all of a full population, it has no score.
"""

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
    """A network that is to be scored.

    Attributes:
        blocks: its blocks.
        parent: id of its parent, -1 where it has none.
        generation: mutations since the initial network.
    """

    blocks: Blocks
    parent: int = -1
    generation: int = 0

    @property
    def architecture(self) -> Architecture:
        """The network."""
        return Architecture(self.blocks)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The score of a candidate, or NaN and the reason."""

    score: float
    reason: str = ""


class History:
    """The scored candidates in the order of their ids."""

    def __init__(self) -> None:
        self._columns = {name: array(code) for name, code in _COLUMNS.items()}
        self._texts = bytearray()
        self._ends = array("q", [0])
        self._reasons: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._ends) - 1

    def append(
        self, candidate: Candidate, outcome: Outcome, fate: str, round_number: int, costs: dict[str, float]
    ) -> None:
        """Adds one scored candidate."""
        row = costs | {
            "round": round_number,
            "generation": candidate.generation,
            "parent": candidate.parent,
            "score": outcome.score,
            "fate": FATES.index(fate),
        }
        for name, column in self._columns.items():
            column.append(row[name])  # type: ignore[arg-type]  # the array's code says which numbers it takes
        if outcome.reason:
            self._reasons[len(self)] = outcome.reason
        self._texts += "".join([block.text for block in candidate.blocks]).encode()
        self._ends.append(len(self._texts))

    def architecture(self, index: int) -> Architecture:
        """The network of one candidate."""
        return Architecture.from_string(self._texts[self._ends[index] : self._ends[index + 1]].decode())

    def value(self, name: str, index: int) -> float:
        """One number of one candidate."""
        return self._columns[name][index]

    def scores(self) -> np.ndarray:
        """Scores in the order of ids, NaN for failures; shape (candidates,)."""
        return np.array(self._columns["score"])

    def texts(self) -> Iterator[str]:
        """Structure strings in the order of ids."""
        for start, end in zip(self._ends, self._ends[1:], strict=False):
            yield self._texts[start:end].decode()

    def table(self) -> pa.Table:
        """The columns of `UNITS` as an Arrow table."""
        arrays: dict[str, pa.Array] = {"id": pa.array(np.arange(len(self)))}
        for name in ("round", "generation", "parent"):
            arrays[name] = pa.array(np.array(self._columns[name]))
        ends, texts = pa.py_buffer(np.array(self._ends)), pa.py_buffer(bytes(self._texts))
        arrays["architecture"] = pa.LargeStringArray.from_buffers(len(self), ends, texts)
        for name in ("params", "flops", "depth", "latency_ms", "memory", "score"):
            arrays[name] = pa.array(np.array(self._columns[name]))
        fates = pa.array(np.array(self._columns["fate"], dtype=np.int8))
        arrays["fate"] = pa.DictionaryArray.from_arrays(fates, pa.array(FATES))
        reasons = np.zeros(len(self), dtype=np.int32)
        distinct = ["", *dict.fromkeys(self._reasons.values())]
        for index, reason in self._reasons.items():
            reasons[index] = distinct.index(reason)
        arrays["reason"] = pa.DictionaryArray.from_arrays(pa.array(reasons), pa.array(distinct))
        return pa.table(arrays)

    @classmethod
    def from_table(cls, table: pa.Table) -> History:
        """The history that gave this table."""
        history = cls()
        if "memory" not in table.column_names:  # of a search from before it could be limited
            table = table.append_column("memory", pa.array(np.full(table.num_rows, math.nan)))
        frame = {name: table.column(name).to_pylist() for name in UNITS}
        for name, column in history._columns.items():
            column.extend(map(FATES.index, frame[name]) if name == "fate" else frame[name])
        for index, (text, reason) in enumerate(zip(frame["architecture"], frame["reason"], strict=True)):
            history._texts += text.encode()
            history._ends.append(len(history._texts))
            if reason:
                history._reasons[index] = reason
        return history

    def frame(self) -> pd.DataFrame:
        """The columns of `UNITS` as a data frame."""
        return self.table().to_pandas()


def best_so_far(scores: np.ndarray) -> np.ndarray:
    """Running maximum that passes over NaN; shape as given, -inf before the first score."""
    return np.maximum.accumulate(np.where(np.isnan(scores), -math.inf, scores))
