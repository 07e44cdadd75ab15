"""Trainable networks of the Zen-NAS search spaces.

Every convolution is followed by BatchNorm; ReLU follows each BatchNorm but the last of a residual unit, where
the shortcut is added first. The head is global average pooling and one linear layer.

Source: Lin et al. 2021 (arXiv 2102.01063), Tables 8-18; wiring as in the published checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zenlib.errors import of_kind, whole
from zenlib.networks.architecture import Architecture, ConvSpec, Unit, squeezed_width

BN_EPS = 1e-3


def build_network(
    architecture: Architecture, num_classes: int = 1000, use_se: bool | None = None
) -> nn.Module:
    """Builds the trainable network of an architecture: images (N, C, H, W) to logits (N, num_classes).

    Residual units carry squeeze-and-excitation gates with `use_se`; None means `architecture.use_se`.
    """
    of_kind("architecture", architecture, Architecture, "an Architecture")
    whole("num_classes", num_classes)
    return Network(architecture, num_classes, architecture.use_se if use_se is None else use_se)


class Network(nn.Module):
    """Stem, units, head; see `build_network`."""

    def __init__(self, architecture: Architecture, num_classes: int, use_se: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(*(_unit(unit, use_se) for unit in architecture.units))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(architecture.out_channels, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, num_classes)."""
        return self.classifier(self.pool(self.features(images)).flatten(1))


class ResidualUnit(nn.Module):
    """relu(path(x) + shortcut(x))."""

    def __init__(self, path: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.path = path
        self.shortcut = shortcut

    def forward(self, features: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H / stride, W / stride)."""
        return torch.relu(self.path(features) + self.shortcut(features))


class Gate(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018) with BatchNorm after both 1x1 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        squeezed = squeezed_width(width)
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            *_conv_bn(ConvSpec(width, squeezed, 1)),
            nn.ReLU(),
            *_conv_bn(ConvSpec(squeezed, width, 1)),
            nn.Sigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return features * self.scale(features)


def _unit(unit: Unit, use_se: bool) -> nn.Module:
    layers: list[nn.Module] = []
    for position, conv in enumerate(unit.convs):
        layers += [*_conv_bn(conv), nn.ReLU()]
        if use_se and unit.gated == position:
            layers.append(Gate(conv.out_channels))
    if not unit.residual:
        return nn.Sequential(*layers)
    # The last ReLU of a residual unit comes after the addition; no gate follows the last convolution.
    shortcut = nn.Sequential(*_conv_bn(unit.projection, bias=True)) if unit.projection else nn.Identity()
    return ResidualUnit(nn.Sequential(*layers[:-1]), shortcut)


def _conv_bn(conv: ConvSpec, bias: bool = False) -> tuple[nn.Module, nn.Module]:
    padding = (conv.kernel - 1) // 2
    convolution = nn.Conv2d(*conv[:4], padding=padding, groups=conv.groups, bias=bias)
    return convolution, nn.BatchNorm2d(conv.out_channels, eps=BN_EPS)
