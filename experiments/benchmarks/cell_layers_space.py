"""The layers that NAS-Bench-201 and the size space of NATS-Bench build their networks from.

Every convolution has no bias and is preceded by ReLU and followed by BatchNorm.

Source: Dong and Yang 2020 (arXiv 2001.00326), section 2; wiring as in the released networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(from node, to node) of the six edges of a cell, in the order of its text.

Node 0 is the input, node 3 the output.
"""

NODES = 4


def relu_conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """ReLU, convolution, BatchNorm."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, nn.BatchNorm2d(out_channels))


class Zero(nn.Module):
    """An edge that carries nothing."""

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.out_channels = out_channels

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to zeros (N, C_out, H, W)."""
        return features.new_zeros(len(features), self.out_channels, *features.shape[2:])


def pool(in_channels: int, out_channels: int) -> nn.Module:
    """Average over the 3x3 neighbours inside the map.

    Behind a ReLU, 1x1 convolution and BatchNorm where the width changes.
    """
    average = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return (
        average
        if in_channels == out_channels
        else nn.Sequential(*relu_conv_bn(in_channels, out_channels, 1), average)
    )


def skip(in_channels: int, out_channels: int) -> nn.Module:
    """The identity; a 1x1 convolution and BatchNorm, without ReLU, where the width changes."""
    if in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))


LAYERS = {
    "none": lambda _, out_channels: Zero(out_channels),
    "skip_connect": skip,
    "nor_conv_1x1": lambda in_channels, out_channels: relu_conv_bn(in_channels, out_channels, 1),
    "nor_conv_3x3": lambda in_channels, out_channels: relu_conv_bn(in_channels, out_channels, 3),
    "avg_pool_3x3": pool,
}
"""Makers of the layer of an edge, called with the channels it takes and gives.

The order is that of the search space.
"""


class CellModule(nn.Module):
    """A cell.

    Node j is the sum over the edges into it, and the last node is the output. Every edge runs, also without
    effect.
    """

    def __init__(self, ops: Sequence[str], in_channels: int, out_channels: int) -> None:
        super().__init__()
        widths = [in_channels if source == 0 else out_channels for source, _ in EDGES]
        self.edges = nn.ModuleList(
            LAYERS[op](width, out_channels) for op, width in zip(ops, widths, strict=True)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H, W)."""
        nodes = [features]
        for node in range(1, NODES):
            inputs = [
                layer(nodes[source])
                for layer, (source, target) in zip(self.edges, EDGES, strict=True)
                if target == node
            ]
            nodes.append(sum(inputs[1:], start=inputs[0]))
        return nodes[-1]


class Reduction(nn.Module):
    """The residual block between two stages: it halves the map."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.path = nn.Sequential(
            relu_conv_bn(in_channels, out_channels, 3, stride=2), relu_conv_bn(out_channels, out_channels, 3)
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(in_channels, out_channels, 1, bias=False))

    def forward(self, features: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H / 2, W / 2)."""
        return self.path(features) + self.shortcut(features)


class CellNetwork(nn.Module):
    """Stem, cells and reductions, BatchNorm and ReLU, global pooling, classifier."""

    def __init__(
        self, ops: Sequence[str], stem: int, layers: Sequence[tuple[int, bool]], num_classes: int
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, stem, 3, padding=1, bias=False), nn.BatchNorm2d(stem))
        self.cells = nn.Sequential()
        width = stem
        for out_channels, reduces in layers:
            self.cells.append(
                Reduction(width, out_channels) if reduces else CellModule(ops, width, out_channels)
            )
            width = out_channels
        self.norm = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, num_classes)

    def features(self, images: Tensor) -> Tensor:
        """The feature map before global pooling, (N, C, H / 4, W / 4)."""
        return self.norm(self.cells(self.stem(images)))

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes)."""
        return self.classifier(torch.flatten(self.pool(self.features(images)), 1))
