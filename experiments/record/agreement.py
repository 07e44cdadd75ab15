"""How far a value that is computed again may lie from the stored one.

Another processor adds numbers in another order. What becomes of that depends on the value. Arithmetic keeps
its digits. In a deep random network a difference in the last digit grows from layer to layer until what
follows is as good as drawn anew. So a single draw is judged by the spread of draws, a mean over draws by its
standard error, and arithmetic by rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.record.results import Row

SPREADS = 4.5
"""Spreads by which two draws may lie apart.

Independent ones lie further apart once in 700 times; rounding moves less than a new draw does.
"""

NEIGHBOURS = 25
"""Networks on either side whose draws tell what the spread of a network of this size of score is."""


@dataclass(frozen=True)
class Within:
    """Agreement to a share of the stored size, plus an absolute amount."""

    relative: float = 0.0  # share of the size of the stored value
    absolute: float = 0.0  # in the unit of the value, for values that may lie near 0

    def allowed(self, stored: float) -> float:
        """The largest difference from a stored value."""
        return self.relative * abs(stored) + self.absolute


EXACT = Within()
"""Counts, names, and what is read and not computed."""
ARITHMETIC = Within(1e-6, 1e-9)
"""Sums and ranks in double precision; counts below a million are then exact, and so is text."""


@dataclass(frozen=True)
class StandardError:
    """Agreement of a mean over independent draws, judged by its standard error in the same row."""

    column: str  # of the standard error

    def allowed(self, stored: float, error: float) -> float:
        """The largest difference from a stored mean with this standard error."""
        return SPREADS * (error if math.isfinite(error) else 0.0) + ARITHMETIC.allowed(stored)


@dataclass(frozen=True)
class OneDraw:
    """Agreement of a single draw, judged by the spread of the stored draws of the network with other seeds.

    Few seeds tell little of one network's spread, so that of networks with scores of similar size counts as
    well (see `spread`).
    """

    rounding: Within  # what is allowed at least, and where nothing was drawn twice
    alike: tuple[str, ...] = ()  # key columns within which draws spread alike, such as the name of the proxy
    over: str = "seed"  # key column that tells the draws apart

    def allowed(self, stored: float, spread: float) -> float:
        """The largest difference from a stored draw; `spread` is NaN where nothing was drawn twice."""
        return max(SPREADS * spread if math.isfinite(spread) else 0.0, self.rounding.allowed(stored))


@dataclass(frozen=True)
class NotCompared:
    """No agreement is asked for."""

    because: str  # why not, such as "time of the machine that measured it"


@dataclass(frozen=True)
class Line:
    """One value that was computed again."""

    place: str  # table or file of scores, as reports name it
    row: str  # the row within it
    column: str  # the value's column
    stored: Any  # the value there
    recomputed: Any  # the value now
    allowed: float  # the largest difference that counts as agreement
    agrees: bool  # whether it is kept

    @property
    def share(self) -> float:
        """The difference as a share of what is allowed; 0 where equal, no numbers, or not finite."""
        numbers = isinstance(self.stored, int | float) and isinstance(self.recomputed, int | float)
        if self.stored == self.recomputed or not numbers:
            return 0.0
        difference = abs(self.recomputed - self.stored)
        return difference / self.allowed if math.isfinite(difference) and self.allowed else 0.0

    def __str__(self) -> str:
        return (
            f"{self.place}: {self.row}: {self.column} stored {self.stored!r}, recomputed "
            f"{self.recomputed!r}, allowed difference {self.allowed:.3g}"
        )


Agreement = Within | StandardError | OneDraw | NotCompared

TIME = NotCompared("a time or a size of the machine that measured it")
"""Measured seconds, mebibytes and operations per second."""
FOLLOWS = NotCompared("follows from a time that was measured, so another machine finds another one")
"""What a search under measured latencies ends with."""
ON_THE_WAY = NotCompared(
    "what the search went through and ended with, judged by the score of its best network"
)
"""Everything about a search but its best score."""
AFTER_TRAINING = OneDraw(Within(0.05, 0.5), alike=("data", "recipe", "dtype"))
"""Losses and accuracies after a training: rounding makes of it another training."""
ERROR = NotCompared("the standard error by which another column is judged")


def agrees(stored: Any, recomputed: Any, allowed: float) -> bool:
    """Whether two values are one; undefined agrees with undefined, infinite with infinite."""
    undefined = [value is None or value != value for value in (stored, recomputed)]
    if any(undefined):
        return all(undefined)
    if stored == recomputed:
        return True
    if isinstance(stored, str) or isinstance(recomputed, str) or not math.isfinite(recomputed):
        return False
    return abs(recomputed - stored) <= allowed


def spread(draws: np.ndarray, network: int, seed: int) -> float:
    """The standard deviation of one draw, told without that draw: a wrong one must not excuse itself.

    The root of the mean square of two deviations: that of the network's other draws, weighted by their
    degrees of freedom, and the median one of the `NEIGHBOURS` networks with the next smaller and the next
    larger scores, with weight two.

    Draws are of shape (networks, seeds), NaN where undefined, as is what comes where no other network has
    two.
    """
    finite = np.where(np.isfinite(draws), draws, np.nan)
    others = np.delete(finite[network], seed)
    others = others[~np.isnan(others)]
    rest = np.delete(finite, network, axis=0)
    rest = rest[(~np.isnan(rest)).sum(axis=1) > 1]
    if not len(rest):
        return math.nan
    means, own = np.nanmean(rest, axis=1), np.nanstd(rest, axis=1, ddof=1)
    order = np.argsort(means, kind="stable")
    place = int(np.searchsorted(means[order], others.mean() if len(others) else finite[network, seed]))
    usual = np.median(own[order[max(0, place - NEIGHBOURS) : place + NEIGHBOURS]])
    free = max(0, len(others) - 1)
    variance = np.var(others, ddof=1) if free else 0.0
    return math.sqrt((free * variance + 2 * usual**2) / (free + 2))


def spread_of_row(row: Row, rows: Sequence[Row], key: Sequence[str], column: str, how: OneDraw) -> float:
    """The spread of one draw of a row's value, from all stored rows of its table and its key columns."""
    fixed = [name for name in key if name != how.over]
    networks: dict[tuple[Any, ...], list[float]] = {tuple(row[name] for name in fixed): []}
    mine = 0
    for other in rows:
        value = other[column]
        if all(other[name] == row[name] for name in how.alike) and isinstance(value, int | float):
            values = networks.setdefault(tuple(other[name] for name in fixed), [])
            mine = len(values) if all(other[name] == row[name] for name in key) else mine
            values.append(float(value))
    draws = np.full((len(networks), max(1, *map(len, networks.values()))), np.nan)
    for place, values in enumerate(networks.values()):
        draws[place, : len(values)] = values
    return spread(draws, 0, mine)
