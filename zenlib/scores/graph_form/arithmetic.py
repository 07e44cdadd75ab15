"""One pass over a network's operations: variance, correlations, fan-in and growth of a perturbation at each.

White images, periodic maps; of finite width only what makes the inputs of a convolution depend on each other.
Variances are for N(0, 1) weights. For a chain in infinite width log sigma is that of `closed_form` away from
borders, 1/2 log(fan-in CENTRED).

Differs: `closed_form` has borders and finite width as corrections of sigma; here borders are optional and
only the share of taps outside of the map is counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from zenlib.scores.closed_form import max_moments
from zenlib.scores.graph_form import rectifier
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
from zenlib.scores.graph_form.torus import (
    IDENTITY,
    averaged,
    grid,
    multiplicity,
    scaled,
    subsampled,
    summed,
    white,
    windowed,
)
from zenlib.vanilla.vcnn import IMAGE


@dataclass(frozen=True)
class ConvTerms:
    """What the arithmetic says about one convolution.

    Attributes:
        name: where it comes from.
        live: whether it lies on a path to the output.
        normed: whether a BatchNorm follows it.
        source_variance: q, the variance of the map that it reads, before the ReLU where there is one.
        log_sigma: nats, log of the standard deviation of its output.
        kernel: side of its window.
        entries: inputs that one output sums, kernel^2 in_channels / groups.
        independent: their effective number, the participation ratio 1 / mean squared correlation of two of
            them.
        tap_independent: the part of the taps in it: kernel^2 where they are independent.
        rectified: whether a ReLU comes before it.
    """

    name: str
    live: bool
    normed: bool
    source_variance: float
    log_sigma: float
    kernel: int
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


@dataclass(frozen=True)
class NodeTerms:
    """What the arithmetic says about one map.

    Attributes:
        name: where it comes from.
        channels: its channels.
        side: its rows.
        variance: of a value, averaged over channels.
        growth: mean squared difference of the two branches over 2 variance, 1 - their correlation; NaN where
            not asked for.
        neighbour: correlation of a value with its right neighbour.
        channel_overlap: mean squared correlation of two different channels at one position.
        channel_count: effective number of channels, 1 / mean squared correlation of two of them, a channel
            with itself included.
        value_count: effective number of independent values of the map, the same over channels and positions.
    """

    name: str
    channels: int
    side: int
    variance: float
    growth: float
    neighbour: float
    channel_overlap: float
    channel_count: float
    value_count: float


@dataclass(frozen=True)
class GraphTerms:
    """The terms of a network.

    Attributes:
        convs: one entry per convolution, in order.
        marks: the outputs of cells where the network has cells, else empty.
        last: the map before global pooling, before its ReLU.
        log_norms: nats, sum of log sigma over BatchNorms that follow no convolution.
        silent: number of BatchNorms that read nothing.
        log_delta: nats, log of the expected L1 norm of the difference of the two outputs; NaN where not asked
            for.
    """

    convs: tuple[ConvTerms, ...]
    marks: tuple[NodeTerms, ...]
    last: NodeTerms
    log_norms: float
    silent: int
    log_delta: float


def graph_terms(
    graph: Graph, *, perturbation: float | None = None, width: bool = True, borders: bool = False
) -> GraphTerms:
    """The terms of a network.

    Args:
        graph: its operations.
        perturbation: alpha of the two branches; None leaves out what needs them.
        width: whether channels overlap by chance, as they do in finite width; else all are independent.
        borders: whether taps outside of the map are counted, which lowers sigma.

    Raises:
        ConversionError: an operation has no rule, or the output is the image.
    """
    return _Pass(graph, perturbation, width, borders).terms()


class _Pass:
    """The state of a pass."""

    def __init__(self, graph: Graph, perturbation: float | None, width: bool, borders: bool) -> None:
        self.graph = graph
        self.width = width
        self.borders = borders
        self.branches = perturbation is not None
        self.pairs = Pairs()
        self.made = 0
        self.rectified: set[int] = set()
        self.normed = {operation.inputs[0] for operation in graph.operations if operation.kind == "norm"}
        self.live = graph.live()
        self.convs: list[ConvTerms] = []
        self.log_norms = 0.0
        start = white(grid(graph.resolution))
        branch = None if perturbation is None else start / math.sqrt(1 + perturbation**2)
        image = self.source(grid(graph.resolution), itself=Alike(start, None, branch))
        self.blends: dict[int, Blend] = {
            IMAGE: self.blend(graph.in_channels, graph.resolution, {image: IDENTITY})
        }

    def source(self, side: int, **fields: object) -> Source:
        """A new source."""
        self.made += 1
        return Source(self.made, side, **fields)  # type: ignore[arg-type]

    def blend(self, channels: int, side: int, parts: dict, square: float = 0.0) -> Blend:
        """A settled map."""
        return self.pairs.settle(Blend(channels, side, grid(side), parts, square))

    def terms(self) -> GraphTerms:
        """All terms, in one pass."""
        operations, cuts = self.graph.operations, self.graph.cuts()
        for index, operation in enumerate(operations):
            blend = getattr(self, operation.kind)(index, operation)
            if cuts[index]:
                blend = self.alone(blend)
                self.pairs.forget()
            self.blends[index] = blend
        marks = tuple(node_terms(operations[index].name, self.blends[index]) for index in self.graph.marks)
        last = self.graph.output
        while last in self.rectified:
            last = operations[last].inputs[0]
        end = node_terms(operations[last].name, self.blends[last])
        log_delta = _log_delta(self.blends[last], end) if self.branches else math.nan
        return GraphTerms(tuple(self.convs), marks, end, self.log_norms, self.graph.silent, log_delta)

    def alone(self, blend: Blend) -> Blend:
        """A map through which everything passes: its past does not matter any more."""
        source = self.source(blend.grid, itself=blend.itself)
        fresh = Blend(
            blend.channels,
            blend.side,
            blend.grid,
            {source: scaled(IDENTITY, math.sqrt(blend.variance))},
            blend.square,
        )
        fresh.variance, fresh.itself = blend.variance, blend.itself
        return fresh

    def conv(self, index: int, operation: Operation) -> Blend:
        """A convolution."""
        read = self.blends[operation.inputs[0]]
        group = read.channels // operation.groups
        of_inputs, of_taps = overlaps(read.itself, read.grid, group, operation.kernel, operation.dilation)
        share, squared_share = shares(operation, read.side) if self.borders else (1.0, 1.0)
        variance = (
            group * operation.kernel**2 * (read.variance * share + read.square * (share - squared_share))
        )
        before = operation.inputs[0]
        self.convs.append(
            ConvTerms(
                operation.name,
                self.live[index],
                index in self.normed,
                self.blends[self.graph.operations[before].inputs[0]].variance
                if before in self.rectified
                else read.variance,
                0.5 * math.log(variance),
                operation.kernel,
                group * operation.kernel**2,
                1 / of_inputs,
                1 / of_taps,
                before in self.rectified,
            )
        )
        itself = self.pair_of_output(operation, read, group)
        out = grid(operation.side)
        if operation.stride == 1 and out == read.grid:
            made = self.source(
                out,
                rule="conv",
                reads=read,
                itself=itself,
                kernel=operation.kernel,
                dilation=operation.dilation,
                group=group,
            )
        else:
            made = self.source(out, itself=_strided(itself, read.grid, operation.stride, out))
        return self.blend(operation.channels, operation.side, {made: scaled(IDENTITY, math.sqrt(variance))})

    def pair_of_output(self, operation: Operation, read: Blend, group: int) -> Alike:
        """The pair of a convolution with itself; a channel correlates with itself as its input does."""
        if not self.width:
            return Alike(read.itself.mean, None, read.itself.branch)
        chance = convolved(
            read.itself, read.grid, operation.kernel, operation.dilation, read.channels, group, times=2
        )
        if group < read.channels and chance is not None:
            # Channels of one group read the same inputs; those of different groups are as alike as what they
            # read.
            together = (operation.channels // operation.groups - 1) / (operation.channels - 1)
            before = read.itself.chance
            apart = (
                0.0
                if before is None
                else averaged(before.other, read.grid, operation.kernel, operation.dilation, 2)
            )
            chance = chance._replace(
                profiles=np.stack([chance.own, together * chance.own + (1 - together) * apart])
            )
        return Alike(read.itself.mean, chance, read.itself.branch)

    def norm(self, index: int, operation: Operation) -> Blend:
        """BatchNorm: mean 0, variance 1."""
        read = self.blends[operation.inputs[0]]
        before = operation.inputs[0]
        if before == IMAGE or self.graph.operations[before].kind != "conv":
            self.log_norms += 0.5 * math.log(read.variance)
        root = read.variance**-0.5
        parts = {source: scaled(filtered, root) for source, filtered in read.parts.items()}
        fresh = Blend(read.channels, read.side, read.grid, parts)
        fresh.variance, fresh.itself = 1.0, read.itself
        return fresh

    def relu(self, index: int, operation: Operation) -> Blend:
        """A ReLU; of a map that is rectified already, nothing."""
        before = operation.inputs[0]
        read = self.blends[before]
        if before in self.rectified:
            self.rectified.add(index)
            return read
        self.rectified.add(index)
        made = self.source(read.grid, rule="relu", reads=read, itself=rectified(read.itself, read.grid))
        scale = math.sqrt(read.variance * rectifier.CENTRED)
        return self.blend(
            read.channels, read.side, {made: scaled(IDENTITY, scale)}, read.variance * rectifier.M1_SQUARED
        )

    def add(self, index: int, operation: Operation) -> Blend:
        """A sum; equal sources add up as amplitudes."""
        read = [self.blends[source] for source in operation.inputs]
        parts = dict(read[0].parts)
        for other in read[1:]:
            for source, filtered in other.parts.items():
                parts[source] = summed(parts[source], filtered) if source in parts else filtered
        return self.blend(
            operation.channels, operation.side, parts, sum(math.sqrt(one.square) for one in read) ** 2
        )

    def pool(self, index: int, operation: Operation) -> Blend:
        """An average is a filter where it keeps the size.

        Other poolings are new sources with the correlations of an average.
        """
        read = self.blends[operation.inputs[0]]
        parts = {source: windowed(filtered, operation.kernel) for source, filtered in read.parts.items()}
        if (
            operation.mode == "avg"
            and operation.stride == 1
            and operation.kernel % 2
            and operation.side == read.side
        ):
            return self.blend(operation.channels, operation.side, parts, read.square)
        pooled = self.pairs.settle(Blend(read.channels, read.side, read.grid, parts))
        out = grid(operation.side)
        itself = _strided(pooled.itself, read.grid, operation.stride, out)
        variance, square = pooled.variance, read.square
        if operation.mode == "max":
            variance, square = _of_maximum(operation, read, pooled)
            if operation.inputs[0] in self.rectified:
                self.rectified.add(index)
        made = self.source(out, itself=itself)
        return self.blend(
            operation.channels, operation.side, {made: scaled(IDENTITY, math.sqrt(variance))}, square
        )

    def join(self, index: int, operation: Operation) -> Blend:
        """Maps side by side: their averages, weighted by channels; a new source."""
        read = [self.blends[source] for source in operation.inputs]
        shares = [one.channels / operation.channels for one in read]
        variance = sum(share * one.variance for share, one in zip(shares, read, strict=True))
        heights = [share * one.variance / variance for share, one in zip(shares, read, strict=True)]
        means = [
            one.itself.mean * height
            for height, one in zip(heights, read, strict=True)
            if one.itself.mean is not None
        ]
        branches = [
            one.itself.branch * height
            for height, one in zip(heights, read, strict=True)
            if one.itself.branch is not None
        ]
        pairs = [
            (a * b, self.pairs.of_blends(one, other))
            for a, one in zip(heights, read, strict=True)
            for b, other in zip(heights, read, strict=True)
        ]
        chance = joined(
            [pair.chance.scaled(weight) for weight, pair in pairs if pair.chance is not None], read[0].grid
        )
        if all(source in self.rectified for source in operation.inputs):
            self.rectified.add(index)
        made = self.source(
            read[0].grid,
            itself=Alike(
                sum(means[1:], means[0]), chance, sum(branches[1:], branches[0]) if branches else None
            ),
        )
        square = sum(share * one.square for share, one in zip(shares, read, strict=True))
        return self.blend(
            operation.channels, operation.side, {made: scaled(IDENTITY, math.sqrt(variance))}, square
        )

    def slice(self, index: int, operation: Operation) -> Blend:
        """Some channels: the same map with fewer of them."""
        read = self.blends[operation.inputs[0]]
        if operation.inputs[0] in self.rectified:
            self.rectified.add(index)
        fresh = Blend(operation.channels, read.side, read.grid, read.parts, read.square)
        fresh.variance, fresh.itself = read.variance, read.itself
        return fresh


def _strided(pair: Alike, side: int, stride: int, out_side: int) -> Alike:
    """The pair at every `stride`-th position.

    The profile of chance keeps its form and the mean square that it gives at lag 0.
    """
    mean, branch = (
        None if values is None else subsampled(values, side, stride, out_side)
        for values in (pair.mean, pair.branch)
    )
    chance = pair.chance
    if chance is not None:
        thinned = Chance(
            *(subsampled(values, side, stride, out_side) for values in chance)
        )  # profiles and carrier
        before, after = chance.mean_square(side), thinned.mean_square(out_side)
        chance = thinned.scaled(before / after if after > 0 else 0.0)
    return Alike(mean, chance, branch)


def node_terms(name: str, blend: Blend) -> NodeTerms:
    """The numbers of a map."""
    pair, count = blend.itself, multiplicity(blend.grid)
    assert pair.mean is not None  # a map is alike to itself
    everywhere = float((pair.mean**2 * count).sum()) / blend.channels
    if pair.chance is not None:
        everywhere += (
            (1 - 1 / blend.channels)
            * float((pair.chance.other * count).sum())
            * float((pair.chance.carrier**2 * count).sum())
        )
    return NodeTerms(
        name,
        blend.channels,
        blend.side,
        blend.variance,
        math.nan if pair.branch is None else 1 - float(pair.branch[0, 0]),
        float(pair.mean[0, min(1, blend.grid // 2)]),
        0.0 if pair.chance is None else pair.chance.mean_square(blend.grid),
        1 / overlaps(pair, blend.grid, blend.channels)[0],
        blend.side**2 / everywhere,
    )


def _log_delta(last: Blend, terms: NodeTerms) -> float:
    """Log of the expected L1 norm of the difference of two rectified maps, times the root of theirs."""
    size = last.channels * last.side**2
    return math.log(size * math.sqrt(2 * terms.growth * rectifier.M1_SQUARED * last.variance))


def _of_maximum(operation: Operation, read: Blend, pooled: Blend) -> tuple[float, float]:
    """Variance and squared mean of a maximum, between independent rectified values and equal ones.

    A sum of rectified maps is taken to have the shape of one.
    """
    count = operation.kernel**2
    # The mean correlation of two values of the window, each with itself included, runs from 1 / count to 1.
    alike = min(1.0, max(0.0, (count * pooled.variance / read.variance - 1) / (count - 1)))
    first, second = max_moments(count)
    rise = (1 - alike) * (first - math.sqrt(rectifier.M1_SQUARED)) / math.sqrt(rectifier.CENTRED)
    variance = read.variance * ((1 - alike) * (second - first**2) / rectifier.CENTRED + alike)
    return variance, (math.sqrt(read.square) + rise * math.sqrt(read.variance)) ** 2


@cache
def _line_shares(
    side: int, kernel: int, stride: int, padding: int, dilation: int, out_side: int
) -> tuple[float, float]:
    """For the taps along one axis, the mean share of outputs with a tap inside, and of its square."""
    starts = stride * np.arange(out_side) - padding
    shares = [
        float(np.mean((starts + tap * dilation >= 0) & (starts + tap * dilation < side)))
        for tap in range(kernel)
    ]
    return float(np.mean(shares)), float(np.mean(np.square(shares)))


def shares(operation: Operation, side: int) -> tuple[float, float]:
    """The same for all taps."""
    share, squared = _line_shares(
        side, operation.kernel, operation.stride, operation.padding, operation.dilation, operation.side
    )
    return share**2, squared**2
