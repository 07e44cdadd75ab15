"""Sums over paths: synflow and Phi, whose expected value needs no theory of wide networks.

Every weight stands at most once on a path from the image to an output. So the expectation of a sum over paths
of products of independent factors is the sum of products of their expectations, and a position hands on a
number to those that look at it:

    synflow: weights |w|, w from N(0, 2 / fan-in), and an image of ones; E|w| = 2 / sqrt(pi fan-in)
    Phi:     E (J v)^2 for weights from N(0, 1); a ReLU passes a sensitivity with probability 1/2
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from zenlib.errors import ConversionError
from zenlib.scores.graph_form.operations import Graph, Operation
from zenlib.vanilla.vcnn import IMAGE

Grids = NDArray[np.float64]
"""Sums over paths at each position, and those with each path times its number of weights: (2, side, side)."""


def synflow(graph: Graph, classes: int) -> float:
    """Log of the expected synflow: sum over weights of |w| dR / d|w|.

    Each path counts once for each of its weights. An average pooling takes the values inside of the map.
    """

    def factor(operation: Operation) -> float:
        fan = graph.fan_in(operation)
        return fan / operation.kernel**2 * 2 / math.sqrt(math.pi * fan)

    sums, log = _last(graph, factor, 1.0)
    width = graph.operations[graph.output].channels
    head = width * classes * 2 / math.sqrt(math.pi * width)  # global pooling and the last linear layer
    return log + math.log(head * float((sums[0] + sums[1]).mean()))


def phi(graph: Graph) -> float:
    """Half the log of the expected squared Frobenius norm of the Jacobian of a chain without BatchNorm.

    Raises:
        ConversionError: it is no chain of convolutions: squares of sums and averages need correlations.
    """
    found = next((one for one in graph.operations if one.kind in ("add", "pool")), None)
    if found is not None:
        raise ConversionError(
            f"{graph.name}: needed a chain of convolutions for Phi by arithmetic, got {found.kind} "
            f"{found.name}; use phi_score"
        )
    sums, log = _last(graph, lambda operation: graph.fan_in(operation) / operation.kernel**2, 0.5)
    return 0.5 * (log + math.log(float(sums[0].mean()) * graph.operations[graph.output].values))


def _last(graph: Graph, factor: Callable[[Operation], float], passed: float) -> tuple[Grids, float]:
    """The sums at the last map and the log of a factor on them; `passed` is what a ReLU lets through."""
    side = graph.resolution
    sums = {IMAGE: (np.stack([np.ones((side, side)), np.zeros((side, side))]), 0.0)}
    for index, operation in enumerate(graph.operations):
        read = [sums[source] for source in operation.inputs]
        grids, log = read[0]
        if operation.kind == "conv":
            grids = _windows(np.stack([grids[0], grids[1] + grids[0]]), operation)
            top = float(grids[0].max())
            grids, log = grids / top, log + math.log(top * factor(operation))
        elif operation.kind == "relu":
            log += math.log(passed)
        elif operation.kind in ("add", "join"):
            log = max(other for _, other in read)
            scales = [math.exp(other - log) for _, other in read]
            if operation.kind == "join":
                widths = [graph.operations[source].channels for source in operation.inputs]
                scales = [a * width / operation.channels for a, width in zip(scales, widths, strict=True)]
            grids = sum(scale * one for scale, (one, _) in zip(scales, read, strict=True))  # type: ignore[assignment]
        elif operation.kind == "pool":
            if operation.mode == "max":
                raise ConversionError("a maximum is no sum over paths: needed averages, got a max pooling")
            grids = _windows(grids, operation) / _windows(np.ones_like(grids[:1]), operation)
        sums[index] = grids, log
    return sums[graph.output]


def _windows(grids: Grids, operation: Operation) -> Grids:
    """Sums over the windows of an operation, zeros outside of the map."""
    if operation.kernel == operation.stride == 1:
        return grids
    line = _line(grids.shape[1], *operation[4:9])  # from side to dilation
    return line @ grids @ line.T


@lru_cache(maxsize=2**10)
def _line(side: int, out_side: int, kernel: int, stride: int, padding: int, dilation: int) -> Grids:
    """Which positions along one axis a window sees, (out_side, side)."""
    taps = np.arange(out_side)[:, None] * stride - padding + dilation * np.arange(kernel)
    return (taps[..., None] == np.arange(side)).any(axis=1).astype(float)
