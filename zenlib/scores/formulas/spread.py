"""How alike neighbouring values of a map are, and sums of maps that share sources.

A shape is the autocorrelation of independent values after m averages over 3 x 3 neighbours: m = 0 is a single
position, an infinite m a map that is constant. Other windows count as as many averages as give the same
variance. `peak(m)` is the autocorrelation at lag 0, relative to none at all, so

    sum over lags of shape_m shape_n = peak(m + n) / (peak(m) peak(n)),
    variance after p more averages   = peak(m + 2 p) / peak(m).

A mixture is a vector of shares of the variance, one for each m of `LADDER`, that sums to 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shapes = NDArray[np.float64]
LADDER = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, math.inf)
WHITE: Shapes = np.eye(len(LADDER))[0]
FLAT: Shapes = np.eye(len(LADDER))[-1]


@cache
def _central(count: int) -> float:
    """The middle probability of a sum of that many numbers that are -1, 0 or 1 alike."""
    line = np.ones(1)
    for _ in range(count):
        line = np.convolve(line, np.full(3, 1 / 3))
    return float(line[len(line) // 2])


@cache
def peak(count: float, side: int) -> float:
    """Variance at one position of `count` averages of values with a sum of 1 over a map of this side."""
    if count == math.inf:
        return 1 / side**2
    below = int(count)
    line = _central(below) ** (below + 1 - count) * _central(below + 1) ** (count - below)
    return max(1 / side**2, line**2)


@cache
def _lags(side: int) -> Shapes:
    """The sum over lags of the product of every two shapes."""
    return np.array([[peak(m + n, side) / (peak(m, side) * peak(n, side)) for n in LADDER] for m in LADDER])


def together(first: Shapes, second: Shapes, side: int) -> float:
    """Sum over the lags of two positions of the product of two correlations."""
    return 1.0 if first is WHITE or second is WHITE else float(first @ _lags(side) @ second)


def _placed(count: float) -> Shapes:
    """The mixture of the two shapes of the ladder that a number of averages lies between."""
    if count >= LADDER[-2]:
        return FLAT if count == math.inf else np.eye(len(LADDER))[-2]
    above = next(i for i, m in enumerate(LADDER) if m > count)
    share = (count - LADDER[above - 1]) / (LADDER[above] - LADDER[above - 1])
    return (1 - share) * np.eye(len(LADDER))[above - 1] + share * np.eye(len(LADDER))[above]


@cache
def _blur(count: float, side: int) -> Shapes:
    """What averages make of each shape of the ladder."""
    return np.array([peak(m + count, side) / peak(m, side) * _placed(m + count) for m in LADDER])


@cache
def _stretch(factor: float) -> Shapes:
    return np.array([_placed(m * factor) for m in LADDER])


def averages(kernel: int) -> float:
    """The number of 3 x 3 averages that blur as much as one over a window of this side."""
    return (kernel**2 - 1) / 8


def stretched(shapes: Shapes, factor: float) -> Shapes:
    """A map drawn larger by this factor; smaller than 1 where only some positions are kept."""
    return shapes if factor == 1 or shapes is WHITE else shapes @ _stretch(factor**2)


def partly(shapes: Shapes, share: float) -> Shapes:
    """The mixture of some shapes and of independent values."""
    if shapes is WHITE or share == 1:
        return shapes
    mixture = share * shapes
    mixture[0] += 1 - share
    return mixture


@dataclass(eq=False, slots=True)
class Source:
    """A map of variance 1 whose values are new; its spatial correlation."""

    shapes: Shapes


Parts = dict[tuple[Source, float], float]
"""(source, number of averages) -> amplitude."""
Terms = tuple[float, list[tuple[float, Any, Shapes]], Shapes]
"""The variance of a map, (variance, `Source`, spatial correlation) of its terms, and that of the whole."""


def scaled(parts: Parts, factor: float) -> Parts:
    """A map times a number."""
    return {key: amplitude * factor for key, amplitude in parts.items()}


def pooled(parts: Parts, count: float) -> Parts:
    """A map after some averages."""
    return {(source, before + count): amplitude for (source, before), amplitude in parts.items()}


def summed(maps: list[Parts]) -> Parts:
    """A sum of maps: what comes from one source adds up as amplitudes."""
    total: Parts = {}
    for parts in maps:
        for key, amplitude in parts.items():
            total[key] = total.get(key, 0.0) + amplitude
    return total


def terms(parts: Parts, side: int) -> Terms:
    """What a map amounts to; a term for each pair of parts with one source."""
    items = list(parts.items())
    if len(items) == 1 and items[0][0][1] == 0:
        ((source, _), amplitude) = items[0]
        return amplitude**2, [(amplitude**2, source, source.shapes)], source.shapes
    found = []
    for i, ((source, p), a) in enumerate(items):
        for (other, q), b in items[i:]:
            if other is source:
                product = a * b if p == q else 2 * a * b
                shapes, height = source.shapes, 1.0
                if p + q:
                    blurred = shapes @ _blur(p + q, side)
                    height = float(blurred.sum())
                    shapes = blurred / height
                found.append((product * height, source, shapes))
    variance = sum(term[0] for term in found)
    if all(term[2] is WHITE for term in found):
        return variance, found, WHITE
    return variance, found, sum(term[0] / variance * term[2] for term in found)  # type: ignore[return-value]
