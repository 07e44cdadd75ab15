"""One pass over a network's operations: variance, correlations, fan-in and growth of a perturbation at each.

White images, periodic maps; of finite width only what makes the inputs of a convolution depend on each other.
Variances are for N(0, 1) weights. For a chain in infinite width log sigma is that of `closed_form` away from
borders, 1/2 log(fan-in CENTRED).

Differs: `closed_form` has borders and finite width as corrections of sigma; here borders are optional and
only the share of taps outside of the map is counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from zenlib.scores import rectifier
from zenlib.scores.graph_form import torus
from zenlib.scores.graph_form.operations import Graph, Operation
from zenlib.scores.graph_form.sources import (
    Alike,
    Blend,
    Chance,
    Pairs,
    Source,
    convolved,
    joined,
    overlaps,
    rectified,
)
from zenlib.scores.graph_form.torus import grid_of
from zenlib.vanilla.vcnn import IMAGE


@dataclass(frozen=True)
class ConvTerms:
    """What the arithmetic says about one convolution.

    Attributes:
        operation: the convolution itself.
        live: whether it lies on a path to the output.
        normed: whether a BatchNorm follows it.
        source_variance: q, the variance of the map that it reads, before the ReLU where there is one.
        log_sigma: nats, log of the standard deviation of its output.
        entries: inputs that one output sums, kernel^2 in_channels / groups.
        independent: their effective number, the participation ratio 1 / mean squared correlation of two.
        tap_independent: the part of the taps in it: kernel^2 where they are independent.
        rectified: whether a ReLU comes before it.
    """

    operation: Operation
    live: bool
    normed: bool
    source_variance: float
    log_sigma: float
    entries: int
    independent: float
    tap_independent: float
    rectified: bool

    @property
    def gain(self) -> float:
        """log(sigma / sqrt q), nats: what the convolution does itself."""
        return self.log_sigma - 0.5 * math.log(self.source_variance)

    @property
    def effective_gain(self) -> float:
        """The gain with the effective number of inputs in place of their number, nats."""
        return self.gain + 0.5 * math.log(self.independent / self.entries)


class GraphTerms:
    """The terms of a network, in one pass; the method of each kind of operation makes its map of others.

    Args:
        graph: its operations.
        perturbation: alpha of the two branches; None leaves out what needs them.
        width: whether channels overlap by chance, as they do in finite width; else all are independent.
        borders: whether taps outside of the map are counted, which lowers sigma.

    Attributes:
        convs: one entry per convolution, in order.
        maps: the output of each operation, and the image.
    """

    def __init__(
        self, graph: Graph, *, perturbation: float | None = None, width: bool = True, borders: bool = False
    ) -> None:
        self.graph, self.width, self.borders = graph, width, borders
        self.pairs = Pairs()
        self.normed = {operation.inputs[0] for operation in graph.operations if operation.kind == "norm"}
        self.live, cuts = graph.live(), graph.cuts()
        self.convs: list[ConvTerms] = []
        start = torus.white(grid_of(graph.resolution))
        branches = [start] if perturbation is None else [start, start / math.sqrt(1 + perturbation**2)]
        image = self.new(graph.in_channels, graph.resolution, 1.0, 0.0, Alike(np.stack(branches)))
        self.maps: dict[int, Blend] = {IMAGE: image}
        for index, operation in enumerate(graph.operations):
            read = [self.maps[source] for source in operation.inputs]
            made: Blend = getattr(self, operation.kind)(index, operation, read)
            if cuts[index]:  # everything passes through it: its past does not matter any more
                alone = self.new(made.channels, made.side, made.variance, made.square, made.itself)
                alone.variance, alone.rectified, made = made.variance, made.rectified, alone
                self.pairs = Pairs()
            self.maps[index] = made

    def new(
        self, channels: int, side: int, variance: float, square: float, itself: Alike, *origin: Any
    ) -> Blend:
        """A map of one new source; its origin are the further fields of `Source`."""
        source = Source(grid_of(side), itself, *origin)
        parts = {source: torus.scaled(torus.IDENTITY, math.sqrt(variance))}
        return self.pairs.settle(Blend(channels, side, parts, square))

    def conv(self, index: int, operation: Operation, maps: list[Blend]) -> Blend:
        """A convolution."""
        (read,), (before,) = maps, operation.inputs
        kernel, dilation, group = operation.kernel, operation.dilation, read.channels // operation.groups
        of_inputs, of_taps = overlaps(read.itself, read.grid, group, kernel, dilation)
        share, squared_share = shares(operation, read.side) if self.borders else (1.0, 1.0)
        entries = group * kernel**2
        variance = entries * (read.variance * share + read.square * (share - squared_share))
        source = self.maps[self.graph.operations[before].inputs[0]] if read.rectified else read
        live, normed, log_sigma = self.live[index], index in self.normed, 0.5 * math.log(variance)
        numbers = source.variance, log_sigma, entries, 1 / of_inputs, 1 / of_taps, read.rectified
        self.convs.append(ConvTerms(operation, live, normed, *numbers))
        itself = self.pair_of_output(operation, read)
        origin: tuple[Any, ...] = (read, operation)
        if operation.stride != 1 or grid_of(operation.side) != read.grid:
            itself, origin = _strided(itself, read.grid, operation), ()
        return self.new(operation.channels, operation.side, variance, 0.0, itself, *origin)

    def pair_of_output(self, operation: Operation, read: Blend) -> Alike:
        """The pair of a convolution with itself; a channel correlates with itself as its input does."""
        if not self.width:
            return Alike(read.itself.mean)
        chance = convolved(read.itself, read, operation, times=2)
        if operation.groups > 1 and chance is not None:
            # Channels of one group read the same inputs, those of different groups what is as alike as they.
            together = (operation.channels // operation.groups - 1) / (operation.channels - 1)
            before, own = read.itself.chance, chance.profiles[0]
            window = read.grid, operation.kernel, operation.dilation, 2
            apart = 0.0 if before is None else torus.averaged(before.profiles[1], *window)
            chance = chance._replace(profiles=np.stack([own, together * own + (1 - together) * apart]))
        return Alike(read.itself.mean, chance)

    def norm(self, index: int, operation: Operation, maps: list[Blend]) -> Blend:
        """BatchNorm: mean 0, variance 1."""
        (read,) = maps
        root = read.variance**-0.5
        parts = {source: torus.scaled(filtered, root) for source, filtered in read.parts.items()}
        return Blend(read.channels, read.side, parts, variance=1.0, itself=read.itself)

    def relu(self, index: int, operation: Operation, maps: list[Blend]) -> Blend:
        """A ReLU; of a map that is rectified already, nothing."""
        (read,) = maps
        if read.rectified:
            return read
        itself = rectified(read.itself, read.grid)
        moments = read.variance * rectifier.CENTRED, read.variance * rectifier.M1_SQUARED
        made = self.new(read.channels, read.side, *moments, itself, read)
        made.rectified = True
        return made

    def add(self, index: int, operation: Operation, maps: list[Blend]) -> Blend:
        """A sum; equal sources add up as amplitudes."""
        parts = dict(maps[0].parts)
        for other in maps[1:]:
            for source, filtered in other.parts.items():
                parts[source] = torus.summed(parts[source], filtered) if source in parts else filtered
        square = sum(math.sqrt(one.square) for one in maps) ** 2
        return self.pairs.settle(Blend(operation.channels, operation.side, parts, square))

    def pool(self, index: int, operation: Operation, maps: list[Blend]) -> Blend:
        """An average that keeps the size is a filter; others are new sources with its correlations."""
        (read,) = maps
        parts = {
            source: torus.windowed(filtered, operation.kernel) for source, filtered in read.parts.items()
        }
        pooled = self.pairs.settle(Blend(read.channels, read.side, parts, read.square))
        average, kept = operation.mode == "avg", operation.stride == 1 and operation.side == read.side
        if average and kept and operation.kernel % 2:
            return pooled
        moments = (pooled.variance, read.square) if average else _of_maximum(operation, read, pooled)
        itself = _strided(pooled.itself, read.grid, operation)
        made = self.new(read.channels, operation.side, *moments, itself)
        made.rectified = read.rectified and not average
        return made

    def join(self, index: int, operation: Operation, maps: list[Blend]) -> Blend:
        """Maps side by side: their averages, weighted by channels; a new source."""
        weighted = [(one.channels / operation.channels, one) for one in maps]
        variance = sum(share * one.variance for share, one in weighted)
        heights = [(share * one.variance / variance, one) for share, one in weighted]
        means = [one.itself.mean * height for height, one in heights if one.itself.mean is not None]
        pairs = [
            (a * b, self.pairs.of_blends(one, other).chance) for a, one in heights for b, other in heights
        ]
        chance = joined([found.scaled(weight) for weight, found in pairs if found is not None], maps[0].grid)
        square = sum(share * one.square for share, one in weighted)
        made = self.new(
            operation.channels, operation.side, variance, square, Alike(sum(means[1:], means[0]), chance)
        )
        made.rectified = all(one.rectified for one in maps)
        return made

    def slice(self, index: int, operation: Operation, maps: list[Blend]) -> Blend:
        """Some channels: the same map with fewer of them."""
        return replace(maps[0], channels=operation.channels)


def _strided(pair: Alike, grid: int, operation: Operation) -> Alike:
    """The pair at the positions that an operation keeps; chance keeps its mean square at lag 0."""
    out = grid_of(operation.side)
    mean = None if pair.mean is None else torus.subsampled(pair.mean, grid, operation.stride, out)
    chance = pair.chance
    if chance is not None:
        thinned = Chance(*(torus.subsampled(values, grid, operation.stride, out) for values in chance))
        before, after = chance.mean_square(grid), thinned.mean_square(out)
        chance = thinned.scaled(before / after if after > 0 else 0.0)
    return Alike(mean, chance)


def _of_maximum(operation: Operation, read: Blend, pooled: Blend) -> tuple[float, float]:
    """Variance and squared mean of a maximum, between independent rectified values and equal ones."""
    count = operation.kernel**2
    # The mean correlation of two values of the window, each with itself included, runs from 1 / count to 1.
    alike = min(1.0, max(0.0, (count * pooled.variance / read.variance - 1) / (count - 1)))
    first, second = rectifier.max_moments(count)
    rise = (1 - alike) * (first - math.sqrt(rectifier.M1_SQUARED)) / math.sqrt(rectifier.CENTRED)
    variance = read.variance * ((1 - alike) * (second - first**2) / rectifier.CENTRED + alike)
    return variance, (math.sqrt(read.square) + rise * math.sqrt(read.variance)) ** 2


def shares(operation: Operation, side: int) -> tuple[float, float]:
    """For the taps of a window, the mean share of outputs with a tap inside, and of its square."""
    return _shares(side, *operation[4:9])  # from side to dilation


@cache
def _shares(
    side: int, out: int, kernel: int, stride: int, padding: int, dilation: int
) -> tuple[float, float]:
    places = stride * np.arange(out) - padding + dilation * np.arange(kernel)[:, None]
    inside = np.mean((places >= 0) & (places < side), axis=1)  # along one axis
    return float(np.mean(inside)) ** 2, float(np.mean(np.square(inside))) ** 2
