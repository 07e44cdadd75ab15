"""How alike neighbouring values of a map are, as a mixture of a few shapes, and sums of maps that share sources.

A shape is the autocorrelation of m averages over 3 x 3 neighbours of independent values: m = 0 is a single position, `FLAT` a
map that is constant. Other windows count as as many averages as give the same variance. `peak(m)` is its value at lag 0, so

    sum over lags of shape_m shape_n = peak(m + n) / (peak(m) peak(n)),    average of a shape over p windows: peak(m + 2 p) / peak(m)
"""

from __future__ import annotations

import math
from functools import cache

FLAT = math.inf
Shapes = dict[float, float]
"""Number of averages -> share of the variance; the shares sum to 1."""
WHITE: Shapes = {0.0: 1.0}
_LAST = 24


@cache
def _central(count: int) -> float:
    """The middle probability of a sum of that many numbers that are -1, 0 or 1 alike."""
    line = [1.0]
    for _ in range(count):
        padded = [0.0, 0.0, *line, 0.0, 0.0]
        line = [sum(padded[i : i + 3]) / 3 for i in range(len(line) + 2)]
    return line[len(line) // 2]


@cache
def peak(count: float, side: int) -> float:
    """Variance at one position of `count` averages of values with a sum of 1 over a map of this side."""
    if count > _LAST:
        return 1 / side**2 if count == FLAT else max(1 / side**2, 3 / (4 * math.pi * count))
    below = int(count)
    line = _central(below)
    if count > below:
        line = line ** (below + 1 - count) * _central(below + 1) ** (count - below)
    return max(1 / side**2, line**2)


def together(first: Shapes, second: Shapes, side: int) -> float:
    """Sum over the lags of two positions of the product of two correlations."""
    if first is WHITE or second is WHITE:
        return 1.0
    total = 0.0
    for m, share in first.items():
        for n, other in second.items():
            total += share * other * peak(m + n, side) / (peak(m, side) * peak(n, side))
    return total


def averages(kernel: int) -> float:
    """The number of 3 x 3 averages that blur as much as one over a window of this side."""
    return (kernel**2 - 1) / 8


def subsampled(shapes: Shapes, stride: int) -> Shapes:
    """What is left of it at every `stride`-th position."""
    if stride == 1 or shapes is WHITE:
        return shapes
    return mixed([(share, {m / stride**2: 1.0}) for m, share in shapes.items()])


def mixed(parts: list[tuple[float, Shapes]]) -> Shapes:
    """The mixture of some with weights; numbers of averages are kept to quarters."""
    total = sum(weight for weight, _ in parts)
    found: Shapes = {}
    for weight, shapes in parts:
        for m, share in shapes.items():
            key = m if m == FLAT else min(round(4 * m) / 4, float(_LAST))
            found[key] = found.get(key, 0.0) + weight * share / total
    return WHITE if len(found) == 1 and 0.0 in found else found


class Source:
    """A map of variance 1 whose values are new.

    Attributes:
        shapes: its spatial correlation.
    """

    __slots__ = ("shapes",)

    def __init__(self, shapes: Shapes = WHITE) -> None:
        self.shapes = shapes


Parts = dict[tuple[Source, float], float]
"""(source, number of averages) -> amplitude."""


def scaled(parts: Parts, factor: float) -> Parts:
    """A map times a number."""
    return {key: amplitude * factor for key, amplitude in parts.items()}


def pooled(parts: Parts, count: float) -> Parts:
    """A map after some averages."""
    return {(source, before + count): amplitude for (source, before), amplitude in parts.items()}


def summed(maps: list[Parts]) -> Parts:
    """A sum of maps: what comes from one source adds up as amplitudes."""
    total = dict(maps[0])
    for parts in maps[1:]:
        for key, amplitude in parts.items():
            total[key] = total.get(key, 0.0) + amplitude
    return total


def terms(parts: Parts, side: int) -> list[tuple[float, Source, Shapes]]:
    """Variance, source and spatial correlation of every pair of parts that share a source."""
    items = list(parts.items())
    if len(items) == 1 and items[0][0][1] == 0:
        (source, _), amplitude = items[0]
        return [(amplitude * amplitude, source, source.shapes)]
    found = []
    for i, ((source, p), a) in enumerate(items):
        for (other, q), b in items[i:]:
            if other is not source:
                continue
            times = a * b if p == q else 2 * a * b
            blurred = [
                (share * peak(m + p + q, side) / peak(m, side), {m + p + q: 1.0})
                for m, share in source.shapes.items()
            ]
            found.append((times * sum(weight for weight, _ in blurred), source, mixed(blurred)))
    return found
