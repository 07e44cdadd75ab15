"""Feature maps as sums of filtered sources, and how alike two of them are.

A source is a map whose values are new: the image, the output of a convolution or of a ReLU. Every other map
is a `Blend`: what skips and poolings bring from one source adds up as amplitudes, different sources add up as
variances.

Correlations come in two kinds, both functions of the distance d of two positions, for unit variance. On
average over draws of weights a channel is alike only to itself. By chance, in finite width, two channels c
and c' are alike too. A convolution makes such a correlation by a random filter g of few taps, and filters act
on it as they do on its input, so it is kept as

    correlation of c and c' at distance d = sum over e of g_cc'(e) carrier(d - e),

the g_cc'(e) independent of mean 0, by the mean squares `other`(e) of g between different channels, `own`(e)
of one channel, and the `carrier`. A pooling smooths the carrier and leaves g alone: it does not average away
what two smooth maps have in common.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache, reduce
from itertools import count
from operator import add
from typing import NamedTuple

import numpy as np

from zenlib.scores import rectifier
from zenlib.scores.graph_form import torus
from zenlib.scores.graph_form.operations import Operation
from zenlib.scores.graph_form.torus import Filter, Lags, averaged, multiplicity, scale_of


class Chance(NamedTuple):
    """Correlations by chance; see above.

    Attributes:
        profiles: mean squares of g, (2, lags, lags): `own` of a channel with itself, `other` of different
            ones. One array, since all that filters do is done to both.
        carrier: (lags, lags), 1 at lag 0.
    """

    profiles: Lags
    carrier: Lags

    def scaled(self, factor: float) -> Chance:
        """Mean squares times a number."""
        return Chance(self.profiles * factor, self.carrier)

    def mean_square(self, grid: int) -> float:
        """The mean square at lag 0 between different channels."""
        return float(self.mean_squares(self.profiles[1], grid)[0])

    def mean_squares(self, profiles: Lags, grid: int) -> Lags:
        """The mean square at lag 0 of each profile, seen through the carrier."""
        seen = (self.carrier * self.carrier * multiplicity(grid)).ravel()
        return profiles.reshape(-1, self.carrier.size) @ seen


class Alike(NamedTuple):
    """How alike two maps are; None stands for not at all.

    Attributes:
        mean: correlation of one channel with itself, (1, lags, lags); with a perturbation (2, lags, lags),
            the second of a channel in f(x) with itself in f(x + alpha eps).
        chance: the correlations by chance.
    """

    mean: Lags | None = None
    chance: Chance | None = None

    def scaled(self, factor: float, times: float = 1.0) -> Alike:
        """So many pairs of maps with independent chance, each times a factor."""
        chance = None if self.chance is None else self.chance.scaled(times * factor**2)
        return Alike(None if self.mean is None else self.mean * (times * factor), chance)


NOTHING = Alike()


@dataclass(eq=False, slots=True)
class Source:
    """A map whose values are new; sources are numbered in the order they are made.

    It `reads` the map that a convolution `operation` or, without one, a ReLU made it of; None where its past
    does not matter any more.
    """

    grid: int
    itself: Alike
    reads: Blend | None = None
    operation: Operation | None = None
    number: int = field(default_factory=count().__next__, init=False)


@dataclass(eq=False, slots=True)
class Blend:
    """A map as a sum of filtered sources; `scale` is the factor of one that is a source times a number.

    Attributes:
        parts: filter by source.
        square: the square of the mean of a channel, averaged over channels.
        variance: variance around it; set by `Pairs.settle`.
        itself: its pair with itself, for unit variance; the same.
        rectified: whether it is the output of a ReLU, or some or the largest values of one.
    """

    channels: int
    side: int
    parts: dict[Source, Filter]
    square: float = 0.0
    variance: float = 0.0
    itself: Alike = NOTHING
    rectified: bool = False
    grid: int = field(init=False)
    scale: float | None = field(init=False)

    def __post_init__(self) -> None:
        self.grid = torus.grid_of(self.side)
        self.scale = scale_of(next(iter(self.parts.values()))) if len(self.parts) == 1 else None


class Pairs:
    """The pairs of sources and maps that were asked for, each computed once."""

    def __init__(self) -> None:
        self._of: dict[tuple[int, int], Alike] = {}

    def of_sources(self, first: Source, second: Source) -> Alike:
        """The pair of two sources."""
        if first is second:
            return first.itself
        if first.grid != second.grid:
            return NOTHING
        later, earlier = (first, second) if first.number > second.number else (second, first)
        key = later.number, earlier.number
        if key not in self._of:
            self._of[key] = self._new_pair(later, earlier)
        return self._of[key]

    def _new_pair(self, later: Source, earlier: Source) -> Alike:
        read = later.reads
        if read is None:
            return NOTHING
        if later.operation is None and earlier.operation is None and earlier.reads is not None:
            return rectified(self.of_blends(read, earlier.reads), later.grid)
        found = self.of_blends(read, Blend(read.channels, earlier.grid, {earlier: torus.IDENTITY}))
        if later.operation is None:
            return found.scaled(math.sqrt(rectifier.LINEAR))
        return Alike(None, convolved(found, read, later.operation, 1))

    def of_blends(self, first: Blend, second: Blend) -> Alike:
        """The pair of two maps, for unit variance where theirs is known, else for sources of that."""
        if first.scale is not None and second.scale is not None:
            return self.of_sources(next(iter(first.parts)), next(iter(second.parts)))
        means: list[Lags] = []
        chances: list[Chance] = []
        root = ((first.variance or 1.0) * (second.variance or 1.0)) ** -0.5
        for place, (a, of_a) in enumerate(first.parts.items()):
            for other, (b, of_b) in enumerate(second.parts.items()):
                if first is second and other < place:
                    continue
                times = 2.0 if first is second and other > place else 1.0  # (a, b) and (b, a)
                term = _seen_through(self.of_sources(a, b), first.grid, of_a, of_b, root, times)
                if term.mean is not None:
                    means.append(term.mean)
                if term.chance is not None:
                    chances.append(term.chance)
        return Alike(reduce(add, means) if means else None, joined(chances, first.grid))

    def settle(self, blend: Blend) -> Blend:
        """Sets the variance of a map and its pair with itself."""
        if blend.scale is not None:
            (only,) = blend.parts
            blend.variance, blend.itself = blend.scale**2, only.itself
        else:
            found = self.of_blends(blend, blend)
            assert found.mean is not None  # a map is alike to itself
            blend.variance = float(found.mean[0, 0, 0])
            blend.itself = found.scaled(1 / blend.variance)
        return blend


def _seen_through(
    pair: Alike, grid: int, first: Filter, second: Filter, factor: float, times: float
) -> Alike:
    """So many pairs of maps with independent chance, after a filter at each end, times a factor."""
    a, b = scale_of(first), scale_of(second)
    if a is not None and b is not None:
        return pair.scaled(a * b * factor, times)
    mean = None if pair.mean is None else times * factor * torus.filtered_mean(pair.mean, grid, first, second)
    if pair.chance is None:
        return Alike(mean)
    carrier = torus.filtered_mean(pair.chance.carrier, grid, first, second)
    height = float(carrier[0, 0])
    return Alike(mean, Chance(pair.chance.profiles * (times * (height * factor) ** 2), carrier / height))


def joined(chances: list[Chance], grid: int) -> Chance | None:
    """The sum of independent correlations by chance; its carrier is their mean, weighted by mean square."""
    if len(chances) < 2:
        return chances[0] if chances else None
    weights = [float(np.vdot(chance.profiles[1], multiplicity(grid))) + 1e-300 for chance in chances]
    profiles = reduce(add, (chance.profiles for chance in chances))
    carriers = (chance.carrier * weight for chance, weight in zip(chances, weights, strict=True))
    return Chance(profiles, reduce(add, carriers) * (1 / reduce(add, weights)))


def rectified(pair: Alike, grid: int) -> Alike:
    """The pair of the ReLUs of two maps."""
    chance = pair.chance
    if chance is not None:
        before = chance.mean_square(grid)
        chance = chance.scaled(rectifier.mean_square(before) / before if before > 0 else rectifier.LINEAR**2)
    return Alike(None if pair.mean is None else rectifier.correlation(pair.mean), chance)


def convolved(pair: Alike, read: Blend, operation: Operation, times: int) -> Chance | None:
    """Chance between a convolution of the map that it reads and another one (1), or one like it of that (2).

    Mean squares are averaged over the taps and channels that are summed. Of the channels of one group a share
    1 / group is the same channel of both maps.
    """
    terms: list[Chance] = []
    window = read.grid, operation.kernel, operation.dilation, times
    mixing = _mixing(read.channels // operation.groups, read.channels)
    if pair.mean is not None and pair.mean[0, 0, 0] > 1e-9:
        height = float(pair.mean[0, 0, 0])
        profiles = torus.white(*window) * mixing[:, :1, None]
        terms.append(Chance(profiles * height**2, pair.mean[0] / height))
    if pair.chance is not None:
        before = averaged(pair.chance.profiles, *window)
        after = mixing @ before.reshape(2, -1)
        terms.append(Chance(after.reshape(before.shape), pair.chance.carrier))
    return joined(terms, read.grid)


@cache
def _mixing(group: int, channels: int) -> Lags:
    """Profiles (own, other) of what is read to those of the outputs: shares of same and other channels."""
    return np.array([[1 / count, 1 - 1 / count] for count in (group, channels)])


def overlaps(pair: Alike, grid: int, group: int, kernel: int = 1, dilation: int = 1) -> tuple[float, float]:
    """Mean squared correlations of two inputs of an output: of `group` channels at all taps, and of one."""
    assert pair.mean is not None  # a map is alike to itself
    row = torus.window(grid, kernel, dilation, 2)[0]
    taps = float(row @ (pair.mean[0] * pair.mean[0]) @ row)
    if pair.chance is None:
        return taps / group, taps
    profiles = pair.chance.profiles
    own, other = pair.chance.mean_squares(averaged(profiles, grid, kernel, dilation, 2), grid).tolist()
    # After BatchNorm the variance of a channel is 1 and leaves nothing to chance.
    own = max(0.0, own - float(pair.chance.mean_squares(profiles[0], grid)[0]) / kernel**2)
    return (taps + own) / group + (1 - 1 / group) * other, taps
