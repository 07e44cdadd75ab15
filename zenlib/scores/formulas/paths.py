"""Sums over paths: synflow and Phi, whose expected value needs no theory of wide networks.

Every weight stands at most once on a path from the image to an output. So the expectation of a sum over paths of products of
independent factors is the sum of products of their expectations, and a position hands on a number to those that look at it:

    synflow: the value of a network with weights |w|, w from N(0, 2 / fan-in), for an image of ones; E|w| = 2 / sqrt(pi fan-in)
    Phi:     E (J v)^2 with weights from N(0, 1); a ReLU passes a sensitivity with probability 1/2
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zenlib.errors import ConversionError
from zenlib.scores.formulas.counts import fan_in, values
from zenlib.scores.graph_form.operations import Graph, Operation
from zenlib.vanilla.vcnn import IMAGE

Grid = NDArray[np.float64]
Sum = tuple[Grid, Grid, float]
"""The sum over paths at each position, the same with each path times its number of weights, and the log of a factor on both."""


def synflow(graph: Graph, classes: int) -> float:
    """Log of the expected synflow: sum over weights of |w| dR / d|w|.

    Each path counts once for each of its weights.
    """

    def factor(operation: Operation) -> float:
        fan = fan_in(graph, operation)
        return fan / operation.kernel**2 * 2 / math.sqrt(math.pi * fan)

    total, lengths, log = _last(graph, factor, 1.0)
    width = graph.operations[graph.output].channels
    head = width * classes * 2 / math.sqrt(math.pi * width)  # global pooling and the last linear layer
    return log + math.log(head * float((total + lengths).mean()))


def phi(graph: Graph) -> float:
    """Half the log of the expected squared Frobenius norm of the Jacobian of a network without BatchNorm."""
    total, _, log = _last(graph, lambda operation: fan_in(graph, operation) / operation.kernel**2, 0.5)
    return 0.5 * (log + math.log(float(total.mean()) * values(graph.operations[graph.output])))


def _last(graph: Graph, factor, passed: float) -> Sum:  # type: ignore[no-untyped-def]
    """The sums at the last map.

    `factor` is what a convolution makes of the sum over a window, `passed` what a ReLU lets through.
    """
    start = np.ones((graph.resolution, graph.resolution))
    sums: dict[int, Sum] = {IMAGE: (start, np.zeros_like(start), 0.0)}
    for index, operation in enumerate(graph.operations):
        read = [sums[source] for source in operation.inputs]
        total, lengths, log = read[0]
        if operation.kind == "conv":
            scale = factor(operation)
            lengths = scale * _windows(lengths + total, operation)
            total = scale * _windows(total, operation)
            top = float(total.max())
            total, lengths, log = total / top, lengths / top, log + math.log(top)
        elif operation.kind == "relu":
            log += math.log(passed)
        elif operation.kind in ("add", "join"):
            log = max(one[2] for one in read)
            scales = [math.exp(one[2] - log) for one in read]
            if operation.kind == "join":
                widths = [graph.operations[source].channels for source in operation.inputs]
                scales = [a * width / operation.channels for a, width in zip(scales, widths, strict=True)]
            total, lengths = (
                sum(scale * one[part] for scale, one in zip(scales, read, strict=True))  # type: ignore[misc]
                for part in (0, 1)
            )
        elif operation.kind == "pool":
            if operation.mode == "max":
                raise ConversionError("a maximum is no sum over paths: needed averages, got a max pooling")
            inside = _windows(np.ones_like(total), operation)
            total, lengths = _windows(total, operation) / inside, _windows(lengths, operation) / inside
        sums[index] = total, lengths, log
    return sums[graph.output]


def _windows(grid: Grid, operation: Operation) -> Grid:
    """Sums over the windows of an operation, zeros outside of the map."""
    kernel, stride, dilation = operation.kernel, operation.stride, operation.dilation
    if kernel == 1:
        return grid[::stride, ::stride] if stride > 1 else grid
    reach = (operation.side - 1) * stride + 1
    for _ in range(2):  # rows, then columns
        needed = max(0, reach + (kernel - 1) * dilation - len(grid) - operation.padding)
        padded = np.pad(grid, ((operation.padding, needed), (0, 0)))
        taps = [padded[tap * dilation : tap * dilation + reach : stride] for tap in range(kernel)]
        grid = np.sum(taps, axis=0).T
    return grid
