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
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from zenlib.errors import ConversionError
from zenlib.scores.formulas import spread
from zenlib.scores.formulas.spread import WHITE, Parts, Shapes, Source
from zenlib.scores.graph_form.arithmetic import shares
from zenlib.scores.graph_form.operations import Graph, Operation
from zenlib.scores.rectifier import CENTRED, M1_SQUARED, max_moments
from zenlib.vanilla.vcnn import IMAGE

GAIN = 2.0
"""Fan-in times variance of a weight."""
_DENSITY = 1 / math.sqrt(2 * math.pi)


@dataclass(eq=False, slots=True)
class New(Source):
    """A source on the way forward.

    Attributes:
        overlap: mean squared correlation of two channels at one position.
        distance: 1 minus the correlation of two neighbouring images on their way (see `linear-regions`).
        shared: correlation of two images at one position, by the pattern that zero padding prints on all.
        noise: by how much two images are alike by chance: loadings on what each convolution adds. Their
            squares sum to the variance of the correlation, averaged over the map.
    """

    overlap: float
    distance: float
    shared: float
    noise: np.ndarray


def mixed(shares: Iterable[tuple[float, New]], shapes: Shapes) -> New:
    """The average of sources, by their shares of the variance."""
    overlap = distance = shared = 0.0
    noise: Any = 0.0
    for share, new in shares:
        overlap += share**2 * new.overlap
        distance += share * new.distance
        shared += share * new.shared
        noise = noise + share * new.noise
    return New(shapes, overlap, distance, shared, noise)


@dataclass(slots=True)
class Map:
    """What is known of a map of `side` rows: its sources, and their average `alike`.

    `variance` is that of a value around the mean of its channel; `square` and `mean` are the mean square and
    the mean of these means.
    """

    side: int
    parts: Parts
    variance: float
    alike: New
    square: float = 0.0
    mean: float = 0.0
    rectified: bool = False

    @property
    def threshold(self) -> tuple[float, float, float]:
        """The mean of a value in units of its spread, and Phi and the density of N(0, 1) there."""
        t = self.mean / math.sqrt(self.variance)
        return t, 0.5 * (1 + math.erf(t / math.sqrt(2))), _DENSITY * math.exp(-t * t / 2)


def fresh(side: int, new: New, variance: float, *moments: Any) -> Map:
    """A map of one new source; the moments are the last attributes of `Map`."""
    return Map(side, {(new, 0.0): math.sqrt(variance)}, variance, new, *moments)


def joined(side: int, parts: Parts, *moments: Any) -> Map:
    """A map of several sources."""
    variance, terms, shapes = spread.terms(parts, side)
    weights: dict[New, float] = {}
    for height, source, _ in terms:
        weights[source] = weights.get(source, 0.0) + height / variance
    alike = mixed(((weight, new) for new, weight in weights.items()), shapes)
    return Map(side, parts, variance, alike, *moments)


class Forward:
    """The maps of a network.

    Args:
        graph: its operations.
        images: in the mini-batch, over which BatchNorm takes its statistics.
        angle: between the two neighbouring images of `New.distance`.

    Attributes:
        maps: of each operation, and of the image as the last one.
    """

    def __init__(self, graph: Graph, images: int = 16, angle: float = 0.0) -> None:
        self.graph, self.images = graph, images
        self.convs = 0  # so far
        loadings = np.zeros(1 + sum(operation.kind == "conv" for operation in graph.operations))
        loadings[-1] = 1 / math.sqrt(graph.in_channels * graph.resolution**2)
        image = New(WHITE, 0.0, 1 - math.cos(angle), 0.0, loadings)
        self.maps: dict[int, Map] = {IMAGE: fresh(graph.resolution, image, 1.0)}
        self.cuts = graph.cuts()
        for index, operation in enumerate(graph.operations):
            read = [self.maps[source] for source in operation.inputs]
            made: Map = getattr(self, operation.kind)(index, operation, read)
            if self.cuts[index] and len(made.parts) > 1:  # its past does not matter any more
                made.parts = {(made.alike, 0.0): math.sqrt(made.variance)}
            self.maps[index] = made

    def conv(self, index: int, operation: Operation, read: list[Map]) -> Map:
        """A convolution: channels are alike as far as they sum alike inputs."""
        (source,), before = read, read[0].alike
        share, squared = shares(operation, source.side)
        printed = GAIN * source.square * (share - squared)
        variance = GAIN * source.variance * share + printed
        width, taps = self.graph.fan_in(operation), operation.kernel**2
        kept = GAIN * source.variance * share / variance  # the rest is a pattern that all images share
        shapes = spread.stretched(before.shapes, 1 / operation.stride)
        noise = kept * before.noise
        noise[self.convs] = math.sqrt(spread.together(shapes, shapes, operation.side) / operation.values)
        self.convs += 1
        blur = min(float(taps), spread.together(before.shapes, before.shapes, source.side))
        overlap = blur / width + (1 - taps / width) * blur / taps * before.overlap
        if operation.groups > 1:
            overlap = blur / taps * before.overlap + overlap / operation.groups
        shared = 1 - kept * (1 - before.shared)
        new = New(shapes, min(1.0, overlap), before.distance, shared, noise)
        return fresh(operation.side, new, variance, GAIN * source.square * squared)

    def norm(self, index: int, operation: Operation, read: list[Map]) -> Map:
        """BatchNorm."""
        (source,) = read
        return Map(source.side, spread.scaled(source.parts, source.variance**-0.5), 1.0, source.alike)

    def relu(self, index: int, operation: Operation, read: list[Map]) -> Map:
        """A ReLU of a Gaussian map; of a rectified one, nothing.

        Two values of correlation 1 - d are 2 (on d - lost) variance apart behind it: Cho and Saul 2009 where
        the mean is 0, else for a small angle between them.
        """
        (source,), before = read, read[0].alike
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
        angle = math.acos(1 - before.distance)
        lost = math.exp(-t * t / 2) * (math.sin(angle) - angle * math.cos(angle)) / (2 * math.pi)
        distance = min(1.0, (on * before.distance - lost) * variance / centred)
        shapes = spread.partly(before.shapes, linear)
        new = New(shapes, linear**2 * before.overlap, distance, linear * before.shared, linear * before.noise)
        return fresh(source.side, new, centred, mean**2, mean, True)

    def add(self, index: int, operation: Operation, read: list[Map]) -> Map:
        """A sum."""
        mean = sum(one.mean for one in read)
        square = mean**2 + sum(one.square - one.mean**2 for one in read)
        return joined(operation.side, spread.summed([one.parts for one in read]), square, mean)

    def pool(self, index: int, operation: Operation, read: list[Map]) -> Map:
        """An average; a maximum has the correlations of one, and other moments."""
        (source,) = read
        moments = source.square, source.mean
        made = joined(source.side, spread.pooled(source.parts, spread.averages(operation.kernel)), *moments)
        if operation.mode == "avg" and operation.side == source.side:
            return made
        variance = made.variance
        if operation.mode == "max":
            first, second = max_moments(operation.kernel**2)
            variance = source.variance * (second - first**2) / CENTRED
            rise = first / math.sqrt(M1_SQUARED)
            moments = source.square * rise**2, source.mean * rise
        new = mixed([(1.0, made.alike)], spread.stretched(made.alike.shapes, 1 / operation.stride))
        return fresh(operation.side, new, variance, *moments, source.rectified)

    def join(self, index: int, operation: Operation, read: list[Map]) -> Map:
        """Maps side by side: averages of them, weighted by channels; of one map, some of its channels."""
        channels = [self.graph.operations[place].channels for place in operation.inputs]
        weighted = [(count / sum(channels), one) for count, one in zip(channels, read, strict=True)]
        variance = sum(share * one.variance for share, one in weighted)
        heights = [(share * one.variance / variance, one.alike) for share, one in weighted]
        shapes: Any = sum(height * new.shapes for height, new in heights)
        square = sum(share * one.square for share, one in weighted)
        mean = sum(share * one.mean for share, one in weighted)
        rectified = all(one.rectified for one in read)
        return fresh(operation.side, mixed(heights, shapes), variance, square, mean, rectified)

    slice = join
