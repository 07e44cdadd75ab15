"""Counts of a network: what every score has to beat, read from its operations."""

from __future__ import annotations

import math
from typing import NamedTuple

from zenlib.scores.graph_form.operations import Graph


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


def counts_of(graph: Graph) -> Counts:
    """The counts of a network's operations: those before global pooling, without gates."""
    convs = [operation for operation in graph.operations if operation.kind == "conv"]
    units = sum(one.times * one.values for one in graph.operations if one.kind == "relu")
    return count([(conv.channels, conv.values, graph.fan_in(conv)) for conv in convs], units)
