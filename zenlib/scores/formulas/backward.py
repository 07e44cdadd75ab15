"""One pass backward: the size of the gradient of the cross entropy at every map, on average over draws.

What is handed back is a sum of sources again. A ReLU behind a BatchNorm halves the variance of a gradient, a
convolution gives GAIN times its sum over a map, and BatchNorm divides it by the variance of what it read: on
a chain of equal layers 2 (1/2) / (1 - 1/pi), so squared gradients grow by pi / (pi - 1) a layer.

Source: Yang et al. 2019 (arXiv 1902.08129), who prove that growth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from zenlib.scores.formulas import spread
from zenlib.scores.formulas.forward import GAIN, Forward, Map
from zenlib.scores.formulas.spread import FLAT, WHITE, Parts, Shapes, Source, Terms, together
from zenlib.scores.graph_form.arithmetic import shares
from zenlib.scores.graph_form.operations import Graph, Operation

WITH_SCALE = 2 / math.pi
"""Of a constant behind a ReLU: what BatchNorm takes along its output, over what it takes with the mean."""


@dataclass(eq=False, slots=True)
class Back(Source):
    """A source on the way back; a share `common` of its variance is one for all images and positions."""

    common: float


class LayerGradient(NamedTuple):
    """The gradient of one layer, whose outputs sum `fan` inputs each.

    For one of its weights it has the mean `square`, and the correlation `agreement` between halves of the
    mini-batch. A convolution also has a `place` among the operations; `output` and `shapes` are variance and
    spatial correlation of the gradient of its output.
    """

    weights: int
    fan: int
    square: float
    agreement: float = 0.0
    place: int = -1
    output: float = 0.0
    shapes: Shapes = WHITE


def collision(variance: float, classes: int) -> float:
    """The expected sum of squares of the softmax of independent N(0, variance).

    From 1 / s^2 = integral of t exp(-t s) over t > 0: with f(t) = E exp(-t e^z) it is K times the integral of
    t f''(t) f(t)^(K - 1).
    """
    spread, log_t, z = math.sqrt(variance), np.linspace(-1, 1, 161), np.linspace(-6, 6, 97)
    weights = np.exp(-z * z / 2) / np.exp(-z * z / 2).sum()
    t = np.exp(log_t * (8 * spread + 4) - math.log(classes))[:, None]
    inner = np.exp(-t * np.exp(spread * z))
    second, first = inner @ (weights * np.exp(2 * spread * z)), inner @ weights
    step = (log_t[1] - log_t[0]) * (8 * spread + 4)
    return float(classes * step * (t[:, 0] ** 2 * second * first ** (classes - 1)).sum())


def passed(graph: Graph, conv: Operation, read: Map) -> float:
    """By how much a convolution changes the mean square of a gradient."""
    return GAIN * shares(conv, read.side)[0] * conv.values / (graph.channels_into(conv) * read.side**2)


class Backward:
    """The gradients of a network.

    Attributes:
        convs: of each convolution that the output depends on, in order.
        layers: the same and the classifier, for the mean cross entropy.
    """

    def __init__(self, forward: Forward, classes: int) -> None:
        self.forward, self.graph = forward, forward.graph
        self.convs: list[LayerGradient] = []
        classifier, start = self._start(classes)
        found: dict[int, Parts] = {self.graph.output: start}
        for index in range(self.graph.output, -1, -1):
            if index in found:
                operation, parts = self.graph.operations[index], found.pop(index)
                if forward.cuts[index] and len(parts) > 1:
                    parts = self._new(spread.terms(parts, operation.side), 1.0, 1.0)
                rule = getattr(self, operation.kind, None)  # sums and concatenations hand all of it on
                for place in operation.inputs:
                    given = rule(index, operation, parts, forward.maps[place]) if rule else parts
                    found[place] = spread.summed([found[place], given]) if place in found else given
        self.convs.reverse()
        self.layers = [*self.convs, classifier]

    def _start(self, classes: int) -> tuple[LayerGradient, Parts]:
        """The classifier, and the gradient of the map before pooling: one number per image and channel."""
        last, images = self.forward.maps[self.graph.output], self.forward.images
        width, positions = self.graph.operations[self.graph.output].channels, last.side**2
        of_mean = last.variance * min(1.0, together(last.alike.shapes, FLAT, last.side) / positions)
        logits = GAIN * (last.square + of_mean)
        wrong = collision(logits, classes) - 1 / classes  # E |p - 1/K|^2
        label = 1 - 1 / classes
        alike = wrong + label / images  # |mean of p - y|^2
        shared, own = last.square * wrong, (last.square * label + of_mean * (wrong + label)) / (images / 2)
        square = (last.square * alike + of_mean * (wrong + label) / images) / classes
        classifier = LayerGradient(width * classes, width, square, shared / (shared + own))
        variance = GAIN / width * (wrong + label) / (images * positions) ** 2
        return classifier, {(Back(FLAT, alike / (wrong + label)), 0.0): math.sqrt(variance)}

    def _new(self, found: Terms, factor: float, kept: float, stretch: int = 1) -> Parts:
        """One source with `factor` times the variance, of whose correlation at a distance a share is kept."""
        variance, terms, shapes = found
        common = 0.0
        for height, source, _ in terms:
            common += height / variance * source.common
        shapes = spread.partly(spread.stretched(shapes, stretch), kept)
        return {(Back(shapes, kept * common), 0.0): math.sqrt(variance * factor)}

    def relu(self, index: int, operation: Operation, parts: Parts, read: Map) -> Parts:
        """A share of the values passes; of a rectified map all do."""
        if read.rectified:
            return parts
        on = read.threshold[1]
        return self._new(spread.terms(parts, operation.side), on, on)

    def slice(self, index: int, operation: Operation, parts: Parts, read: Map) -> Parts:
        """To some of the channels."""
        channels = self.graph.channels_into(operation)
        return spread.scaled(parts, math.sqrt(operation.channels / channels))

    def norm(self, index: int, operation: Operation, parts: Parts, read: Map) -> Parts:
        """What is common, and what lies along the output, is taken away."""
        free = max(0.05, 1 - 2 / (self.forward.images * read.side**2)) / read.variance
        given: Parts = {}
        for (source, count), amplitude in parts.items():
            common: float = source.common  # type: ignore[attr-defined]
            left = max(0.0, 1 - (1 + WITH_SCALE) * common)
            kept = Back(source.shapes, 0.0) if common > 0 else source
            given[kept, count] = amplitude * math.sqrt(free * left)
        return given

    def pool(self, index: int, operation: Operation, parts: Parts, read: Map) -> Parts:
        """An average hands on averages, a maximum to some positions."""
        count = spread.averages(operation.kernel)
        if operation.mode == "avg" and operation.side == read.side:
            return spread.pooled(parts, count)
        share = operation.side**2 / read.side**2  # of the positions
        kept = (share, share) if operation.mode == "max" else (share**2, 1.0)
        return self._new(spread.terms(parts, operation.side), *kept, operation.stride)

    def conv(self, index: int, operation: Operation, parts: Parts, read: Map) -> Parts:
        """Here are the weights."""
        output, _, shapes = found = spread.terms(parts, operation.side)
        share, _ = shares(operation, read.side)
        fan = self.graph.fan_in(operation)
        lags = together(shapes, spread.stretched(read.alike.shapes, 1 / operation.stride), operation.side)
        square = self.forward.images * operation.side**2 * share * output * read.variance * lags
        weights = operation.channels * fan
        self.convs.append(LayerGradient(weights, fan, square, 0.0, index, output, shapes))
        return self._new(
            found, passed(self.graph, operation, read), 1 / operation.stride**2, operation.stride
        )
