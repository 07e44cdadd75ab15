"""Scores of a parquet file computed again: a stored value that this code does not give is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from experiments.record.agreement import Line, OneDraw, Within, agrees, spread
from experiments.record.score_columns import Group, ScoreColumns
from zenlib.errors import ResultsError, ScoreUndefined

STORED_ROUNDING = 1e-6
"""Relative difference that comes of storing float32."""


class Stored(NamedTuple):
    """Where one value stands: its column, and its row in the file."""

    column: str
    row: int


@dataclass(frozen=True)
class ScoreCheck:
    """How the values of one file of scores are computed again."""

    columns: ScoreColumns  # the file
    compute: Callable[[str, int], float]  # from a column and the index of a network; `ScoreUndefined` is NaN
    within: Mapping[str, Within | OneDraw]  # agreement of every column, by its name without the seed

    @property
    def place(self) -> str:
        """How reports name the file."""
        return f"{self.columns.study}/{self.columns.path.name}"

    def sample(self, count: int, seconds: float, seed: int) -> tuple[list[Stored], int]:
        """A random sample of the stored values; no column comes twice before each came once.

        Args:
            count: how many values at most.
            seconds: not looked at: no score of a file takes long.
            seed: draws the sample.

        Returns:
            The values, and 0.
        """
        filled = {
            name: np.flatnonzero(done)
            for name, (_, done) in sorted(self.columns.values().items())
            if done.any()
        }
        random = np.random.default_rng(seed)
        chosen: list[Stored] = []
        while filled and len(chosen) < count:
            for name in random.permutation(list(filled))[: count - len(chosen)]:
                chosen.append(Stored(str(name), int(random.choice(filled[name]))))
        return chosen, 0

    def recompute(self, at: Stored) -> list[Line]:
        """A stored value beside what this code computes now."""
        stored = float(self.columns.values()[at.column][0][at.row])
        try:
            recomputed = float(self.compute(at.column, at.row))
        except ScoreUndefined:
            recomputed = math.nan
        allowed = self.allowed(at.column, at.row, stored)
        agreed = agrees(stored, recomputed, allowed)
        return [Line(self.place, f"row {at.row}", at.column, stored, recomputed, allowed, agreed)]

    def within_of(self, column: str) -> Within | OneDraw:
        """How far a recomputed value of a column may lie.

        Raises:
            ResultsError: the file's check does not say it.
        """
        name = without_seed(column)
        if name not in self.within:
            raise ResultsError(
                f"{self.columns.path}: needed columns with an agreement ({', '.join(self.within)}), got "
                f"{column}; name one or drop it"
            )
        return self.within[name]

    def spread(self, column: str, row: int) -> float:
        """The spread of one draw of a score, from the other draws in its file."""
        table = self.columns.values()
        alike = [other for other in sorted(table) if without_seed(other) == without_seed(column)]
        return spread(
            np.stack([table[other][0].astype(float) for other in alike], axis=1), row, alike.index(column)
        )

    def allowed(self, column: str, row: int, stored: float) -> float:
        """The largest difference from a stored value that counts as agreement."""
        how = self.within_of(column)
        if not math.isfinite(stored):
            return 0.0
        rounding = STORED_ROUNDING * abs(stored)
        return rounding + (
            how.allowed(stored) if isinstance(how, Within) else how.allowed(stored, self.spread(column, row))
        )


def by_groups(groups: Callable[[int], Mapping[str, Group]]) -> Callable[[str, int], float]:
    """Computes one column for one network, where the groups of a seed say what is computed together."""

    def compute(column: str, index: int) -> float:
        made = groups(seed_of(column)).values()
        return next(values for columns, values in made if column in columns)(index)[column]

    return compute


def without_seed(column: str) -> str:
    """The name of a column without the seed that random scores end in."""
    name, separator, seed = column.rpartition("_s")
    return name if separator and seed.isdigit() else column


def seed_of(column: str) -> int:
    """The seed that a column ends in; 0 for scores that draw nothing."""
    _, separator, seed = column.rpartition("_s")
    return int(seed) if separator and seed.isdigit() else 0
