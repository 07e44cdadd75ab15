"""Training-free scores by arithmetic: the value that a proxy has on average, without drawing anything.

The chapter "What proxies count" derives each formula and tells how well it agrees with `PROXIES`. All speak
of the defaults of the proxies: 16 N(0, 1) images, 10 classes, weights N(0, 2 / fan-in), BatchNorm with the
statistics of the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from zenlib.errors import ConversionError
from zenlib.scores.formulas import paths
from zenlib.scores.formulas.backward import Backward
from zenlib.scores.formulas.counts import Counts, counts_of
from zenlib.scores.formulas.forward import Forward, Map
from zenlib.scores.formulas.spread import FLAT, together
from zenlib.scores.formulas.trainability import trainability
from zenlib.scores.graph_form import Graph, Network, Writes, graph_of, repaired_score
from zenlib.vanilla.convert import to_vcnn

IMAGES = 16
CLASSES = 10
LANDAU_MEDIAN = 1.3558
"""Median of the standard Landau distribution."""


def _rectified(forward: Forward) -> list[tuple[float, Map]]:
    """For every rectifier the number of its values and the map that it reads."""
    graph = forward.graph
    return [
        (float(operation.times * operation.values), forward.maps[operation.inputs[0]])
        for operation in graph.operations
        if operation.kind == "relu"
    ]


def naswot(graph: Graph) -> float:
    """Log |det K| of the kernel of shared states: N log(units) plus what two images have in common.

    On average two images share a state with probability a, by chance with the variance v around it.
    """
    read = _rectified(Forward(graph, IMAGES))
    units = sum(count for count, _ in read)
    alike = chance = 0.0
    for count, source in read:
        t, on, _ = source.threshold
        slope = math.exp(-t * t) / math.pi  # of the share of common states with the correlation
        rho = source.alike.shared - (1 - source.alike.shared) / (IMAGES * source.side**2)
        alike += count / units * (on**2 + (1 - on) ** 2 + rho * slope)
        chance = chance + count / units * slope * source.alike.noise  # type: ignore[assignment]
    variance = float(np.square(chance).sum()) + (0.25 - 1 / math.pi**2) / units
    ratio = min(0.999, IMAGES * variance / (1 - alike) ** 2)
    spread = -1 - (1 - ratio) / ratio * math.log1p(-ratio)  # mean log of the eigenvalues of a Wishart matrix
    logs = IMAGES * math.log(units) + (IMAGES - 1) * math.log(1 - alike) + math.log1p((IMAGES - 1) * alike)
    return logs + IMAGES * spread


def linear_regions(graph: Graph) -> float:
    """One plus the expected number of rectifiers that change on a quarter of an ellipse."""
    steps = IMAGES - 1
    read = _rectified(Forward(graph, IMAGES, math.pi / 2 / steps))
    return 1 + steps * sum(
        count * math.acos(1 - source.alike.distance) / math.pi * math.exp(-(source.threshold[0] ** 2) / 2)
        for count, source in read
    )


def grad_norm(graph: Graph) -> float:
    """Sum over layers of the root of the expected squared norm of the gradient."""
    found = Backward(Forward(graph, IMAGES), CLASSES)
    return sum(math.sqrt(layer.weights * layer.square) for layer in found.layers)


def snip(graph: Graph) -> float:
    """Sum over weights of E|w| E|g|, both Gaussian."""
    found = Backward(Forward(graph, IMAGES), CLASSES)
    return sum(
        layer.weights * 2 / math.pi * math.sqrt(2 / layer.fan * layer.square) for layer in found.layers
    )


def fisher(graph: Graph) -> float:
    """Sum over channels of half the expected square of sum over positions of a dL/da."""
    forward = Forward(graph, IMAGES)
    total = 0.0
    for layer in Backward(forward, CLASSES).convs:
        operation, made = graph.operations[layer.place], forward.maps[layer.place]
        own = made.variance * together(made.alike.shapes, layer.shapes, made.side)
        mean = made.square * together(FLAT, layer.shapes, made.side)
        total += operation.values / 2 * layer.output * (own + mean)
    return total


def zico(graph: Graph) -> float:
    """Sum over layers of the log of a sum of (|a| + |b|) / |a - b|, a and b gradients of half a batch.

    For Gaussian gradients of correlation r a ratio exceeds x with probability c / x, where
    c = (2 / pi) sqrt((1 + r) / (1 - r)). A sum of n is about n c log(n c), whatever the gradients' size.
    """
    found = Backward(Forward(graph, IMAGES), CLASSES)
    total = 0.0
    for layer in found.layers:
        scale = layer.weights * 2 / math.pi * math.sqrt((1 + layer.agreement) / (1 - layer.agreement))
        total += math.log(scale * (math.log(scale) + 1 - np.euler_gamma + LANDAU_MEDIAN))
    return total


def az_expressivity(graph: Graph) -> float:
    """Sum over the blocks of `zenlib.proxies.az_nas` of the entropy of their output's principal components.

    That is the log of the number of channels, less what a Wishart spectrum of that participation ratio lacks.

    Raises:
        ConversionError: it is not known where the blocks end.
    """
    forward, total = Forward(graph, IMAGES), 0.0
    if not graph.marks:
        raise ConversionError(
            f"{graph.name}: needed a network whose blocks are known (an Architecture), got a graph "
            "without marks; use PROXIES"
        )
    for place in graph.blocks or graph.marks:
        channels = graph.operations[place].channels
        excess = _excess(channels, forward.maps[place])
        lost = excess / 2 if excess <= 1 else math.log(excess) + 1 / (2 * excess)
        total += math.log(channels) - lost
    return total


def _excess(channels: int, features: Map) -> float:
    """Channels over their participation ratio, less 1: correlations by the network and by few samples."""
    shapes, side = features.alike.shapes, features.side
    samples = IMAGES * side**2 / together(shapes, shapes, side)
    return max(1e-9, (channels - 1) * (features.alike.overlap + 1 / samples))


def intrain(graph: Graph) -> float:
    """The log participation ratios of all convolutions, times how even gradients are, over log(L + 1).

    Even is the sum over tensors of the standard deviation over the largest size, for Gaussian gradients.
    """
    forward, convs = Forward(graph, IMAGES), []
    sizes = [CLASSES, CLASSES * graph.operations[graph.output].channels]
    for place, operation in enumerate(graph.operations):
        if operation.kind == "conv":
            ratio = 1 + _excess(operation.channels, forward.maps[place])
            convs.append(math.log(operation.channels / ratio))
            sizes.append(operation.channels * graph.fan_in(operation))
        elif operation.kind == "norm":
            sizes += [operation.channels] * 2
    return sum(convs) * (1 + sum(map(_evenness, sizes))) / math.log(len(convs) + 1)


def _evenness(count: int) -> float:
    """1 over the expected largest size of that many N(0, 1), by extreme value theory."""
    log = math.log(2 * count)
    root = math.sqrt(2 * log)
    return min(1.0, 1 / (root - (math.log(log) + math.log(4 * math.pi) - 2 * np.euler_gamma) / (2 * root)))


ARITHMETIC: dict[str, Callable[[Graph], float]] = {
    "naswot": naswot,
    "linear-regions": linear_regions,
    "synflow": lambda graph: paths.synflow(graph, CLASSES),
    "grad-norm": grad_norm,
    "snip": snip,
    "fisher-channels": fisher,
    "zico": zico,
    "az-expressivity": az_expressivity,
    "az-trainability": lambda graph: trainability(graph, IMAGES),
    "intrain": intrain,
    "phi": paths.phi,
    "repaired": repaired_score,
}
"""Every score that has a formula, by its name in `PROXIES`; each is asked for the operations of a network."""
ARITHMETIC |= {
    name.replace("_", "-"): lambda graph, name=name: getattr(counts_of(graph), name)  # type: ignore[misc]
    for name in Counts._fields
}


def arithmetic(name: str, network: Network, resolution: int | None = None) -> float:
    """The expected value of a training-free score, without drawing anything.

    Every activation counts as a ReLU, and gates are left out.

    Args:
        name: a name in `ARITHMETIC`.
        network: an `Architecture`, a `VCNN`, or a module that the graph form reads.
        resolution: side of the images in pixels; None means that of a given `VCNN`, else 224.

    Raises:
        ValueError: there is no formula of that name.
        ConversionError: the network has an operation without a rule, or the formula does not fit it.
    """
    if name not in ARITHMETIC:
        raise ValueError(f"name: needed one of {', '.join(ARITHMETIC)}, got {name!r}")
    if name == "phi" and not isinstance(network, (Writes, Graph)):  # of the vanilla form, as in `PROXIES`
        network = to_vcnn(network, resolution)
    return ARITHMETIC[name](graph_of(network, resolution))
