"""What the arithmetic on graphs predicts, measured on one draw of weights and images.

Nothing here is fast. Weights and images are N(0, 1); BatchNorm takes the statistics of each branch of the
mini-batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from zenlib.scores.forward import BN_EPS
from zenlib.scores.graph_form.operations import Graph, Operation
from zenlib.vanilla.vcnn import IMAGE

MOST_PATCHES = 20_000
"""Patches from which the participation ratio of the inputs of a convolution is measured."""


@dataclass(frozen=True)
class MeasuredConv:
    """A convolution as measured; the names are those of `ConvTerms`."""

    source_variance: float
    log_sigma: float
    independent: float


@dataclass(frozen=True)
class MeasuredNode:
    """A map as measured; the names are those of `MapTerms`."""

    variance: float
    neighbour: float
    growth: float
    channel_count: float


@dataclass(frozen=True)
class Measured:
    """All convolutions, all outputs of cells, and log of the mean L1 difference of the two outputs."""

    convs: tuple[MeasuredConv, ...]
    marks: tuple[MeasuredNode, ...]
    log_delta: float


@torch.no_grad()
def measure(graph: Graph, seed: int, *, batch_size: int = 16, perturbation: float = 0.01) -> Measured:
    """Runs both branches of a network of cells through its operations.

    Args:
        graph: convolutions, BatchNorm, ReLU, sums and average pooling.
        seed: of weights, images and noise.
        batch_size: images.
        perturbation: alpha.
    """
    generator = torch.Generator().manual_seed(seed)
    images, noise = (
        torch.randn(batch_size, graph.in_channels, graph.resolution, graph.resolution, generator=generator)
        for _ in range(2)
    )
    maps = {IMAGE: torch.cat([images, images + perturbation * noise])}
    convs: list[MeasuredConv] = []
    nodes: dict[int, MeasuredNode] = {}
    wanted = set(graph.marks)
    for index, operation in enumerate(graph.operations):
        read = [maps[source] for source in operation.inputs]
        maps[index] = _output(operation, read, generator)
        if operation.kind == "conv":
            before = graph.operations[operation.inputs[0]]
            source = (
                maps[before.inputs[0]] if operation.inputs[0] != IMAGE and before.kind == "relu" else read[0]
            )
            convs.append(
                _conv(operation, source[:batch_size], read[0][:batch_size], maps[index][:batch_size])
            )
        if index in wanted:
            nodes[index] = _node(maps[index], batch_size)
    first, second = maps[graph.output].split(batch_size)
    return Measured(
        tuple(convs),
        tuple(nodes[index] for index in graph.marks),
        math.log(float((first - second).abs().sum((1, 2, 3)).mean())),
    )


def _output(operation: Operation, read: list[Tensor], generator: torch.Generator) -> Tensor:
    kernel = operation.kernel
    match operation.kind:
        case "conv":
            shape = (operation.channels, read[0].shape[1] // operation.groups, kernel, kernel)
            how = operation.stride, operation.padding, operation.dilation, operation.groups
            return F.conv2d(read[0], torch.randn(shape, generator=generator), None, *how)
        case "norm":
            branches = read[0].chunk(2)
            return torch.cat([F.batch_norm(each, None, None, training=True, eps=BN_EPS) for each in branches])
        case "relu":
            return read[0].relu()
        case "add":
            return sum(read[1:], start=read[0])
        case "pool" if operation.mode == "avg":
            return F.avg_pool2d(read[0], kernel, operation.stride, operation.padding, count_include_pad=False)
    raise TypeError(f"no measurement of {operation.kind} in {operation.name}")


def _conv(operation: Operation, source: Tensor, features: Tensor, output: Tensor) -> MeasuredConv:
    """Variance of the source, sigma, and the participation ratio of the patches that lie inside the map."""
    patches = F.unfold(features, operation.kernel).transpose(1, 2).flatten(0, 1)
    patches = patches[:: max(1, len(patches) // MOST_PATCHES)]
    return MeasuredConv(_variance(source), 0.5 * math.log(_variance(output)), _participation(patches))


def _node(features: Tensor, batch_size: int) -> MeasuredNode:
    first = features[:batch_size] - features[:batch_size].mean((0, 2, 3), keepdim=True)
    second = features[batch_size:] - features[batch_size:].mean((0, 2, 3), keepdim=True)
    variance = float(first.square().mean())
    neighbour = float((first[..., 1:] * first[..., :-1]).mean()) / variance
    growth = float((first - second).square().mean()) / (2 * variance)
    return MeasuredNode(variance, neighbour, growth, _participation(first.transpose(0, 1).flatten(1).T))


def _variance(features: Tensor) -> float:
    return float(features.double().var((0, 2, 3), correction=0).mean())


def _participation(samples: Tensor) -> float:
    """(trace)^2 / trace of the square of the covariance of (samples, entries)."""
    centred = samples.double() - samples.double().mean(0)
    covariance = centred.T @ centred / len(centred)
    return float(covariance.trace() ** 2 / covariance.square().sum())
