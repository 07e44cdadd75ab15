"""One pass forward: what every map of a random network is like, on average over weights and images.

Weights are N(0, 2 / fan-in) as in `zenlib.proxies`, so a convolution gives twice the mean square of what it
reads. A map is a sum of sources (see `spread`): the outputs of convolutions and of ReLUs, each new.
BatchNorm takes away the mean and divides by the root of the variance q. Behind it a ReLU gives the mean
square q / 2, of which q / (2 pi) is its mean squared. A shortcut brings a mean m that no BatchNorm takes
away, and then a ReLU passes a value with probability Phi(m / sqrt q) > 1/2.

Sources: Poole et al. 2016, Schoenholz et al. 2017 and Yang et al. 2019 for mean-field theory; Cho and Saul
2009 for the ReLU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from zenlib.errors import ConversionError
from zenlib.scores.border import M1_SQUARED
from zenlib.scores.closed_form import CENTRED, max_moments
from zenlib.scores.formulas import spread
from zenlib.scores.formulas.counts import fan_in
from zenlib.scores.formulas.spread import WHITE, Parts, Shapes, Source
from zenlib.scores.graph_form.arithmetic import shares
from zenlib.scores.graph_form.operations import Graph, Operation
from zenlib.vanilla.vcnn import IMAGE

GAIN = 2.0
"""Fan-in times variance of a weight."""


class New(Source):
    """A source on the way forward.

    Attributes:
        overlap: mean squared correlation of two channels at one position.
        distance: 1 minus the correlation of two neighbouring images on their way (see `linear-regions`).
        shared: correlation of two images at one position, by the pattern that zero padding prints on all.
        noise: by how much two images are alike by chance: loadings on what each convolution adds. Their
            squares sum to the variance of the correlation, averaged over the map.
    """

    __slots__ = ("distance", "noise", "overlap", "shared")

    def __init__(
        self, shapes: Shapes, overlap: float, distance: float, shared: float, noise: np.ndarray
    ) -> None:
        super().__init__(shapes)
        self.overlap, self.distance, self.shared, self.noise = overlap, distance, shared, noise


@dataclass(slots=True)
class Map:
    """What is known of a map: what `New` has, averaged over its sources, and more.

    Attributes:
        side: its rows.
        parts: its sources.
        square: mean square of the means of its channels.
        mean: mean of all of them.
        variance: of a value around the mean of its channel.
        rectified: whether it is one.
    """

    side: int
    parts: Parts
    square: float = 0.0
    mean: float = 0.0
    rectified: bool = False
    variance: float = field(init=False)
    shapes: Shapes = field(init=False)
    overlap: float = field(init=False)
    distance: float = field(init=False)
    shared: float = field(init=False)
    noise: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.variance, terms, self.shapes = spread.terms(self.parts, self.side)
        if len(terms) == 1:
            new: New = terms[0][1]
            self.overlap, self.distance, self.shared = new.overlap, new.distance, new.shared
            self.noise = new.noise
            return
        weights: dict[New, float] = {}
        for variance, source, _ in terms:
            weights[source] = weights.get(source, 0.0) + variance / self.variance
        self.overlap = sum(weight**2 * new.overlap for new, weight in weights.items())
        self.distance = sum(weight * new.distance for new, weight in weights.items())
        self.shared = sum(weight * new.shared for new, weight in weights.items())
        self.noise = sum(weight * new.noise for new, weight in weights.items())  # type: ignore[assignment]

    @property
    def threshold(self) -> tuple[float, float, float]:
        """The mean of a value in units of its spread, and Phi and the density of N(0, 1) there."""
        if self.mean == 0:
            return 0.0, 0.5, _DENSITY
        t = self.mean / math.sqrt(self.variance)
        return t, 0.5 * (1 + math.erf(t / math.sqrt(2))), _DENSITY * math.exp(-t * t / 2)


_DENSITY = 1 / math.sqrt(2 * math.pi)


class Forward:
    """The maps of a network.

    Args:
        graph: its operations.
        images: in the mini-batch, over which BatchNorm takes its statistics.
        angle: between the two neighbouring images of `New.distance`.

    Attributes:
        maps: of each operation, and of the image as the last one.
        sigma2: variance of the output of each convolution.
    """

    def __init__(self, graph: Graph, images: int = 16, angle: float = 0.0) -> None:
        self.graph, self.images = graph, images
        self.sigma2: dict[int, float] = {}
        self.convs = sum(operation.kind == "conv" for operation in graph.operations)
        loadings = np.zeros(self.convs + 1)
        loadings[-1] = 1 / math.sqrt(graph.in_channels * graph.resolution**2)
        image = New(WHITE, 0.0, 1 - math.cos(angle), 0.0, loadings)
        self.maps: dict[int, Map] = {IMAGE: Map(graph.resolution, {(image, 0.0): 1.0})}
        self.cuts = graph.cuts()
        for index, operation in enumerate(graph.operations):
            rule: Callable[[int, Operation, list[Map]], Map] = getattr(self, operation.kind)
            made = rule(index, operation, [self.maps[source] for source in operation.inputs])
            if self.cuts[index] and len(made.parts) > 1:  # its past does not matter any more
                new = New(made.shapes, made.overlap, made.distance, made.shared, made.noise)
                made.parts = {(new, 0.0): math.sqrt(made.variance)}
            self.maps[index] = made

    def conv(self, index: int, operation: Operation, read: list[Map]) -> Map:
        """A convolution: channels are alike as far as they sum alike inputs."""
        (source,) = read
        share, squared = shares(operation, source.side)
        printed = GAIN * source.square * (share - squared)
        variance = GAIN * source.variance * share + printed
        width, taps = fan_in(self.graph, operation), operation.kernel**2
        group = width // taps
        pattern = printed / variance
        noise = (1 - pattern) * source.noise
        values = operation.channels * operation.side**2
        shapes = spread.stretched(source.shapes, 1 / operation.stride)
        noise[len(self.sigma2)] = math.sqrt(spread.together(shapes, shapes, operation.side) / values)
        blur = min(float(taps), spread.together(source.shapes, source.shapes, source.side))
        overlap = blur / width + (1 - 1 / group) * blur / taps * source.overlap
        if operation.groups > 1:
            overlap = blur / taps * source.overlap + overlap / operation.groups
        shared = pattern + (1 - pattern) * source.shared
        self.sigma2[index] = variance
        new = New(shapes, min(1.0, overlap), source.distance, shared, noise)
        square = GAIN * source.square * squared
        return Map(operation.side, {(new, 0.0): math.sqrt(variance)}, square)

    def norm(self, index: int, operation: Operation, read: list[Map]) -> Map:
        """BatchNorm."""
        (source,) = read
        return Map(source.side, spread.scaled(source.parts, source.variance**-0.5))

    def relu(self, index: int, operation: Operation, read: list[Map]) -> Map:
        """A ReLU of a Gaussian map; of a rectified one, nothing.

        Two values of correlation 1 - d are 2 (on d - lost) variance apart behind it: Cho and Saul 2009 where
        the mean is 0, else for a small angle between them.
        """
        (source,) = read
        if source.rectified:
            return source
        if source.square > 1.01 * source.mean**2:
            raise ConversionError(
                f"{self.graph.name}, operation {index}: needed a BatchNorm between a convolution and its "
                "activation, got none; without it all images become alike; use PROXIES"
            )
        variance = source.variance
        t, on, density = source.threshold
        mean = math.sqrt(variance) * (t * on + density)
        centred = variance * ((1 + t * t) * on + t * density) - mean**2
        linear = on * on * variance / centred
        angle = math.acos(1 - source.distance)
        lost = math.exp(-t * t / 2) * (math.sin(angle) - angle * math.cos(angle)) / (2 * math.pi)
        distance = min(1.0, (on * source.distance - lost) * variance / centred)
        shapes = spread.partly(source.shapes, linear)
        new = New(shapes, linear**2 * source.overlap, distance, linear * source.shared, linear * source.noise)
        return Map(source.side, {(new, 0.0): math.sqrt(centred)}, mean**2, mean, True)

    def add(self, index: int, operation: Operation, read: list[Map]) -> Map:
        """A sum."""
        mean = sum(one.mean for one in read)
        square = mean**2 + sum(one.square - one.mean**2 for one in read)
        return Map(operation.side, spread.summed([one.parts for one in read]), square, mean)

    def pool(self, index: int, operation: Operation, read: list[Map]) -> Map:
        """An average; a maximum has the correlations of one, and other moments."""
        (source,) = read
        averaged = spread.pooled(source.parts, spread.averages(operation.kernel))
        if operation.mode == "avg" and operation.side == source.side:
            return Map(source.side, averaged, source.square, source.mean)
        made = Map(source.side, averaged)
        variance, square, mean = made.variance, source.square, source.mean
        if operation.mode == "max":
            first, second = max_moments(operation.kernel**2)
            variance = source.variance * (second - first**2) / CENTRED
            rise = first / math.sqrt(M1_SQUARED)
            square, mean = square * rise**2, mean * rise
        shapes = spread.stretched(made.shapes, 1 / operation.stride)
        new = New(shapes, made.overlap, made.distance, made.shared, made.noise)
        return Map(operation.side, {(new, 0.0): math.sqrt(variance)}, square, mean, source.rectified)

    def join(self, index: int, operation: Operation, read: list[Map]) -> Map:
        """Maps side by side: averages of them, weighted by channels."""
        channels = [
            self.graph.operations[source].channels / operation.channels for source in operation.inputs
        ]
        return self._mixture(operation, list(zip(channels, read, strict=True)))

    def slice(self, index: int, operation: Operation, read: list[Map]) -> Map:
        """Some of the channels."""
        return self._mixture(operation, [(1.0, read[0])])

    def _mixture(self, operation: Operation, read: list[tuple[float, Map]]) -> Map:
        variance = sum(share * one.variance for share, one in read)
        heights = [(share * one.variance / variance, one) for share, one in read]
        new = New(
            sum(height * one.shapes for height, one in heights),  # type: ignore[arg-type]
            sum(height**2 * one.overlap for height, one in heights),
            sum(height * one.distance for height, one in heights),
            sum(height * one.shared for height, one in heights),
            sum(height * one.noise for height, one in heights),  # type: ignore[arg-type]
        )
        square = sum(share * one.square for share, one in read)
        mean = sum(share * one.mean for share, one in read)
        rectified = all(one.rectified for _, one in read)
        return Map(operation.side, {(new, 0.0): math.sqrt(variance)}, square, mean, rectified)
