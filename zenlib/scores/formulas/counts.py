"""Counts of a network: what every score has to beat, read from its operations."""

from __future__ import annotations

import math
from typing import NamedTuple

from zenlib.scores.graph_form.operations import Graph, Operation
from zenlib.vanilla.vcnn import IMAGE


class Counts(NamedTuple):
    """Sums over the layers of a network, for one image.

    Attributes:
        relu_units: values that meet a rectifier.
        activations: values that convolutions give.
        log_width: sum over convolutions of the log of their output channels, nats.
        log_fan_in: sum over convolutions of the log of the inputs that one output sums, nats.
    """

    relu_units: float
    activations: float
    log_width: float
    log_fan_in: float


def count(convs: list[tuple[int, int, int]], relu_units: float) -> Counts:
    """The counts of convolutions, each (output channels, values, fan-in), and of rectified values."""
    return Counts(
        float(relu_units),
        float(sum(values for _, values, _ in convs)),
        sum(math.log(width) for width, _, _ in convs),
        sum(math.log(fan) for _, _, fan in convs),
    )


def in_channels(graph: Graph, operation: Operation) -> int:
    """Channels of the first map that an operation reads."""
    source = operation.inputs[0]
    return graph.in_channels if source == IMAGE else graph.operations[source].channels


def values(operation: Operation) -> int:
    """Values of the map that an operation gives."""
    return operation.channels * operation.side**2


def fan_in(graph: Graph, conv: Operation) -> int:
    """Inputs that one output of a convolution sums."""
    return in_channels(graph, conv) // conv.groups * conv.kernel**2


def counts_of(graph: Graph) -> Counts:
    """The counts of a network's operations: those before global pooling, without gates."""
    convs = [operation for operation in graph.operations if operation.kind == "conv"]
    units = sum(one.times * values(one) for one in graph.operations if one.kind == "relu")
    return count([(conv.channels, values(conv), fan_in(graph, conv)) for conv in convs], units)
