"""Feature maps as sums of filtered sources, and how alike two of them are.

A source is a map whose values are new: the image, the output of a convolution or of a ReLU. Every other map is a `Blend`: what
skips and poolings bring from one source adds up as amplitudes, different sources add up as variances. Of each pair of sources
four functions of the distance of two positions are kept, for unit variance:

    mean     the correlation of one channel with itself, on average over the draw of weights
    spread   the variance of that correlation over channels and draws
    mixed    the mean square of the correlation of two different channels
    branch   the correlation of one channel in f(x) with itself in f(x + alpha eps)

`spread` and `mixed` are of the order 1 / fan-in; they vanish in infinite width. The output of a convolution with random weights
has no mean correlation with anything but itself; the mean square of a correlation is the average over the taps and channels
that it sums.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from zenlib.graph_form import rectifier
from zenlib.graph_form.torus import IDENTITY, Filter, Lags, averaged, filtered_mean, filtered_square, scale_of


class Alike(NamedTuple):
    """The four functions of a pair; None stands for zero everywhere."""

    mean: Lags | None
    spread: Lags | None
    mixed: Lags | None
    branch: Lags | None


NOTHING = Alike(None, None, None, None)


@dataclass(eq=False)
class Source:
    """A map whose values are new.

    Attributes:
        number: sources are numbered in the order they are made.
        grid: side of its periodic map.
        rule: "given", "conv" or "relu".
        reads: the map that it was made from; None where its past does not matter any more.
        itself: its pair with itself.
        kernel: of a convolution.
        dilation: of a convolution.
        joined: share of the pairs of output channels that read the same input channels.
        group: input channels that one output channel reads.
    """

    number: int
    grid: int
    rule: str = "given"
    reads: Blend | None = None
    itself: Alike = NOTHING
    kernel: int = 1
    dilation: int = 1
    group: int = 1


@dataclass(eq=False)
class Blend:
    """A map as a sum of filtered sources.

    Attributes:
        channels: its channels.
        side: its rows and columns.
        grid: side of its periodic map.
        parts: filter by source.
        square: the square of the mean of a channel, averaged over channels.
        variance: variance around it; set when it is made.
        itself: its pair with itself, for unit variance.
    """

    channels: int
    side: int
    grid: int
    parts: dict[Source, Filter]
    square: float = 0.0
    variance: float = field(default=0.0, init=False)
    itself: Alike = field(default=NOTHING, init=False)


class Pairs:
    """The pairs of sources and maps that were asked for, each computed once."""

    def __init__(self, width: bool, branches: bool) -> None:
        self.width = width
        self.branches = branches
        self._of: dict[tuple[int, int], Alike] = {}

    def forget(self) -> None:
        """Drops all pairs, when everything that is still read was made after now."""
        self._of.clear()

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
        if later.reads is None:
            return NOTHING
        if later.rule == "relu" and earlier.rule == "relu" and earlier.reads is not None:
            return rectified(self.of_blends(later.reads, earlier.reads))
        found = self.of_blends(later.reads, Blend(later.reads.channels, 0, earlier.grid, {earlier: IDENTITY}))
        if later.rule == "relu":
            root = np.sqrt(rectifier.LINEAR)
            return Alike(*(None if f is None else factor * f for f, factor in zip(found, (root, root * root, root * root, root), strict=True)))
        return convolved(found, later.grid, later.kernel, later.dilation, later.reads.channels, later.group, times=1)

    def of_blends(self, first: Blend, second: Blend) -> Alike:
        """The pair of two maps, for unit variance where their variance is known."""
        mean: Lags | None = None
        spread: Lags | None = None
        mixed: Lags | None = None
        branch: Lags | None = None
        for a, of_a in first.parts.items():
            for b, of_b in second.parts.items():
                pair, grid = self.of_sources(a, b), first.grid
                if pair.mean is not None:
                    mean = _plus(mean, filtered_mean(pair.mean, grid, of_a, of_b))
                    if pair.branch is not None:
                        branch = _plus(branch, filtered_mean(pair.branch, grid, of_a, of_b))
                if pair.mixed is not None and pair.spread is not None:
                    mixed = _plus(mixed, filtered_square(pair.mixed, grid, of_a, of_b))
                    spread = _plus(spread, filtered_square(pair.spread, grid, of_a, of_b))
        scale = (first.variance or 1.0) * (second.variance or 1.0)
        root = scale**-0.5
        return Alike(_times(mean, root), _times(spread, 1 / scale), _times(mixed, 1 / scale), _times(branch, root))

    def settle(self, blend: Blend) -> Blend:
        """Sets the variance of a map and its pair with itself."""
        only = next(iter(blend.parts)) if len(blend.parts) == 1 else None
        scale = None if only is None else scale_of(blend.parts[only])
        if only is not None and scale is not None:
            blend.variance, blend.itself = scale * scale, only.itself
            return blend
        found = self.of_blends(blend, blend)
        assert found.mean is not None  # a map is alike to itself
        blend.variance = float(found.mean[0, 0])
        one, square = 1 / blend.variance, 1 / blend.variance**2
        blend.itself = Alike(_times(found.mean, one), _times(found.spread, square), _times(found.mixed, square), _times(found.branch, one))
        return blend


def _plus(total: Lags | None, term: Lags) -> Lags:
    return term if total is None else total + term


def _times(values: Lags | None, factor: float) -> Lags | None:
    return None if values is None else values * factor


def rectified(pair: Alike) -> Alike:
    """The pair of the ReLUs of two maps."""
    if pair.mean is None:
        return Alike(None, _times(pair.spread, rectifier.LINEAR**2), None if pair.mixed is None else rectifier.mean_square(pair.mixed), None)
    branch = None if pair.branch is None else rectifier.correlation(pair.branch)
    spread = None if pair.spread is None else rectifier.slope(pair.mean) ** 2 * pair.spread
    mixed = None if pair.mixed is None else rectifier.mean_square(pair.mixed)
    return Alike(rectifier.correlation(pair.mean), spread, mixed, branch)


def mean_square(pair: Alike, group: float) -> Lags | None:
    """The mean squared correlation over pairs of channels among `group`, each with itself included."""
    own = None if pair.mean is None else pair.mean * pair.mean
    if pair.spread is not None:
        own = _plus(own, pair.spread)
    total = None if own is None else own / group
    return total if pair.mixed is None else _plus(total, (1 - 1 / group) * pair.mixed)


def convolved(pair: Alike, grid: int, kernel: int, dilation: int, channels: int, group: int, times: int) -> Alike:
    """The pair of a convolution of the first map with the second (times = 1), or with a convolution of it of the same shape (times = 2).

    What is left is of chance: mean squares averaged over taps and channels. Two output channels of one group see the same inputs.
    """
    own = mean_square(pair, group)
    if own is None:
        return NOTHING
    everywhere = own if group == channels else mean_square(pair, channels)
    assert everywhere is not None
    spread = averaged(own, grid, kernel, dilation, times)
    return Alike(None, spread, spread if group == channels else averaged(everywhere, grid, kernel, dilation, times), None)
