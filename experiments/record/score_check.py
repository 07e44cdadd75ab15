"""Scores of a parquet file computed again: a stored value that this code does not give is named.

What may differ between two machines, or with the number of threads, is the order in which numbers are added. How far that
carries depends on the score: a sum of logarithms keeps six digits, a ratio of gradients to their spread may keep two. So each
file of scores states a tolerance for each column.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from experiments.record.score_columns import ScoreColumns
from zenlib.errors import ResultsError, ScoreUndefined

STORED_ROUNDING = 1e-6
"""Relative difference that comes of storing float32."""


class Within(NamedTuple):
    """The largest difference that counts as agreement: `relative` times the stored size, plus `absolute`.

    Attributes:
        relative: share of the size of the stored value.
        absolute: in the unit of the score, for scores that may lie near 0.
    """

    relative: float
    absolute: float = 0.0

    def allowed(self, stored: float) -> float:
        """The largest difference from a stored value."""
        return (self.relative + STORED_ROUNDING) * abs(stored) + self.absolute


@dataclass(frozen=True)
class ScoreCheck:
    """How the values of one file of scores are computed again.

    Attributes:
        columns: the file.
        compute: the value of a column for a network by its index; `ScoreUndefined` stands for NaN.
        within: tolerance of every column, by its name without the seed.
    """

    columns: ScoreColumns
    compute: Callable[[str, int], float]
    within: Mapping[str, Within]

    def verify(self, values: int, seconds: float, seed: int) -> pd.DataFrame:
        """Recompute a random sample of the stored values and compare.

        Args:
            values: how many at most; no column comes twice before each came once.
            seconds: no further value is begun after this time; the first one always is.
            seed: draws the sample.

        Returns:
            One line per value: index, column, stored, recomputed, allowed, agrees. Empty where nothing is stored.

        Raises:
            ResultsError: naming every value that was not reproduced, or a column that has no tolerance.
        """
        start = time.perf_counter()
        lines: list[dict[str, object]] = []
        for column, index, stored in self._sample(values, seed):
            if lines and time.perf_counter() - start > seconds:
                break
            lines.append(self._compare(column, index, stored))
        failed = [line for line in lines if not line["agrees"]]
        if failed:
            raise ResultsError(self._not_reproduced(failed))
        return pd.DataFrame(lines, columns=["index", "column", "stored", "recomputed", "allowed", "agrees"])

    def _sample(self, values: int, seed: int) -> list[tuple[str, int, float]]:
        """Column, index and stored value of what is computed again; the file and the seed determine it."""
        stored = self.columns.values()
        filled = sorted(name for name, (_, done) in stored.items() if done.any())
        random = np.random.default_rng(seed)
        chosen: list[tuple[str, int, float]] = []
        while filled and len(chosen) < values:
            for place in random.permutation(len(filled))[: values - len(chosen)]:
                found, done = stored[filled[place]]
                index = int(random.choice(np.flatnonzero(done)))
                chosen.append((filled[place], index, float(found[index])))
        return chosen

    def _compare(self, column: str, index: int, stored: float) -> dict[str, object]:
        allowed = self._within(column).allowed(stored) if math.isfinite(stored) else 0.0
        try:
            recomputed = float(self.compute(column, index))
        except ScoreUndefined:
            recomputed = math.nan
        agrees = recomputed == stored or (math.isnan(recomputed) and math.isnan(stored)) or abs(recomputed - stored) <= allowed
        return {"index": index, "column": column, "stored": stored, "recomputed": recomputed, "allowed": allowed, "agrees": agrees}

    def _within(self, column: str) -> Within:
        name = without_seed(column)
        if name not in self.within:
            raise ResultsError(f"{self.columns.path}: needed columns with a tolerance ({', '.join(self.within)}), got {column}; name one or drop it")
        return self.within[name]

    def _not_reproduced(self, failed: list[dict[str, object]]) -> str:
        lines = [
            f"  row {line['index']}, column {line['column']}: stored {line['stored']:.8g}, "
            f"recomputed {line['recomputed']:.8g}, allowed difference {line['allowed']:.3g}"
            for line in failed
        ]
        return "\n".join(
            [
                f"{self.columns.path}: needed stored scores that this code reproduces, got {len(failed)} that differ; "
                "undo the change of the code, or delete the file and its JSON file to compute the scores again:",
                *lines,
            ]
        )


def without_seed(column: str) -> str:
    """The name of a column without the seed that random scores end in."""
    name, separator, seed = column.rpartition("_s")
    return name if separator and seed.isdigit() else column


def seed_of(column: str) -> int:
    """The seed that a column ends in; 0 for scores that draw nothing."""
    _, separator, seed = column.rpartition("_s")
    return int(seed) if separator and seed.isdigit() else 0
