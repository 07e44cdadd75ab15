"""What is scored, what comes of it, and the table of all that was scored."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

FATES = ("kept", "dropped", "failed")
"""A candidate entered the population, was worse than all of a full population, or has no score."""

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
_GIVEN = [name for name in UNITS if name not in ("id", "round")]
_TYPES = {"round": "int32", "generation": "int32", "depth": "int32", "latency_ms": float, "memory": float}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A network to be scored, its parent's id and its mutations, as in `UNITS`.

    It is an `Architecture`, or of a space of one's own a `Point`; a policy notes the `decisions` behind it.
    """

    network: Any
    parent: int = -1
    generation: int = 0
    decisions: Any = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The score of a candidate, or NaN and the reason."""

    score: float
    reason: str = ""


def history_of(rounds: list[dict[str, list[Any]]]) -> pd.DataFrame:
    """The columns of `UNITS` from the rows of rounds, which lack `id` and `round`."""
    columns: dict[str, Any] = {name: [one for rows in rounds for one in rows[name]] for name in _GIVEN}
    columns["id"] = range(len(columns["score"]))
    columns["round"] = [number for number, rows in enumerate(rounds) for _ in rows["score"]]
    columns["fate"] = pd.Categorical(columns["fate"], list(FATES))
    columns["reason"] = pd.Categorical(columns["reason"], list(dict.fromkeys(["", *columns["reason"]])))
    return pd.DataFrame({name: columns[name] for name in UNITS}).astype(_TYPES)


def front(history: pd.DataFrame, cost: str) -> pd.DataFrame:
    """The candidates that no other one beats in score without a higher cost, the cheapest first.

    The cost is a column of the history of which less is better; a ValueError where it has no value.
    """
    if cost not in history or history[cost].isna().all():
        raise ValueError(f"cost: needed a column with numbers of the history, got {cost!r}")
    ranked = history.dropna(subset=["score", cost]).sort_values([cost, "score"], ascending=[True, False])
    return ranked[ranked["score"] > ranked["score"].cummax().shift(fill_value=-math.inf)]
