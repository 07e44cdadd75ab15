"""Trainability of AZ-NAS by formula: the largest singular value of each block's mean Jacobian.

Averaged over images and positions, a Jacobian keeps what a convolution does at its middle tap, and of a ReLU
the share of values that pass. So it is a random matrix, plus a multiple of the identity where a shortcut has
no projection. Random signs add what they estimate badly: the size of the Jacobian over their number.

Source: Dozier and Silverstein 2007 for where the spectrum of such a matrix ends.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from zenlib.errors import ConversionError
from zenlib.scores.formulas.backward import passed
from zenlib.scores.formulas.forward import Forward
from zenlib.scores.graph_form.operations import Graph

_INSIDE = 1 / (1 + np.exp(-np.linspace(-12, 12, 481)))
"""Points between 0 and 1, dense at both ends."""


def trainability(graph: Graph, images: int) -> float:
    """Mean over blocks of 2 - s - 1 / s, s the largest singular value.

    Raises:
        ConversionError: its blocks are no units of an `Architecture`.
    """
    if graph.blocks or len(graph.marks) < 2:
        raise ConversionError(
            f"{graph.name}: needed an Architecture of at least two units, got other blocks; use PROXIES"
        )
    forward = Forward(graph, images)
    sizes = [_size(forward, *pair) for pair in pairwise(graph.marks)]
    return float(np.mean([2 - size - 1 / size for size in sizes]))


def _size(forward: Forward, start: int, end: int) -> float:
    """The largest singular value of the block between two maps.

    A unit of stride s reads s^2 values of a channel for each that it gives: rows of the Jacobian. A window
    smaller than the stride reaches only the first of them.
    """
    operations = forward.graph.operations
    before, after = operations[start], operations[end]
    stride = round(before.side / after.side)
    total = identity = reached = first = 0.0
    last = operations[after.inputs[0]]
    for branch in last.inputs if last.kind == "add" else after.inputs:
        energy, mean, kernel = _branch(forward, start, end, branch)
        total += energy
        if branch == start:
            identity = math.sqrt(mean)
        elif kernel >= stride:
            reached += mean * stride**2 / (after.channels * kernel**2)
        else:
            first += mean * stride**2 / after.channels
    noise = total / (forward.images * after.side**2)
    rows = [(before.channels, first + reached + noise)]
    if stride > 1:
        rows.append((before.channels * (stride**2 - 1), reached + noise))
    return largest(identity, rows, after.channels)


def _branch(forward: Forward, start: int, end: int, place: int) -> tuple[float, float, int]:
    """What comes back of a gradient of variance 1: its size, that of its mean over images, largest window."""
    graph, kernel = forward.graph, 1
    energy = forward.maps[graph.operations[end].inputs[0]].threshold[1]
    mean = energy**2
    while place != start:
        operation = graph.operations[place]
        read = forward.maps[operation.inputs[0]]
        factor = 1 / read.variance if operation.kind == "norm" else read.threshold[1]
        if operation.kind == "conv":
            factor = passed(graph, operation, read)
        energy *= factor
        mean *= factor**2 if operation.kind == "relu" else factor
        kernel, place = max(kernel, operation.kernel), operation.inputs[0]
    return energy, mean, kernel


def largest(identity: float, rows: list[tuple[int, float]], columns: int) -> float:
    """The largest singular value of a multiple of the identity plus independent Gaussian entries.

    `rows` says how many rows have which variance; with an `identity` it is one, in a square matrix.
    """
    top = columns * max(variance for _, variance in rows)
    outside = identity**2 / _INSIDE**2 + top / (1 - _INSIDE)
    for count, variance in rows:
        outside += count * variance / (1 - (1 - _INSIDE) * columns * variance / top)
    return math.sqrt(outside.min())
