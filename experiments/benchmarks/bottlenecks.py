"""Inverted bottlenecks of MobileNetV2, as modules and as the vanilla chains that `to_vcnn` makes of them."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from zenlib.vanilla.vcnn import Conv


class Shape(NamedTuple):
    """The numbers of one bottleneck; `gate` is the width inside its gate, 0 where it has none."""

    reads: int
    out: int
    inner: int
    kernel: int
    stride: int
    gate: int = 0

    @property
    def has_shortcut(self) -> bool:
        """Whether its input is added to its output."""
        return self.stride == 1 and self.reads == self.out


class Bottleneck(nn.Module):
    """1x1 expansion, depthwise convolution, gate and 1x1 projection; expansion and gate if there are any."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        layers = rectified(shape.reads, shape.inner, 1) if shape.inner != shape.reads else []
        layers += rectified(shape.inner, shape.inner, shape.kernel, shape.stride, groups=shape.inner)
        layers += [Gate(shape.inner, shape.gate)] if shape.gate else []
        self.path = nn.Sequential(*layers, *convolution(shape.inner, shape.out, 1))
        self.has_shortcut = shape.has_shortcut

    def forward(self, images: Tensor) -> Tensor:
        """(N, reads, H, W) to (N, out, H / stride, W / stride)."""
        return images + self.path(images) if self.has_shortcut else self.path(images)


class Gate(nn.Module):
    """Squeeze-and-excitation: each channel is scaled by a number that all channels decide."""

    def __init__(self, channels: int, inside: int) -> None:
        super().__init__()
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, inside, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(inside, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(N, channels, H, W) to the same shape."""
        return maps * self.scale(maps)


def convolution(reads: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """A convolution without bias, and its BatchNorm."""
    layer = nn.Conv2d(reads, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(out)]


def rectified(reads: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    """The same with a ReLU."""
    return [*convolution(reads, out, kernel, stride, groups), nn.ReLU(inplace=True)]


def append(
    convs: list[Conv], resolution: int, out: int, kernel: int, stride: int = 1, groups: int = 1
) -> None:
    """Adds a convolution to a chain whose images have this resolution."""
    side = convs[-1].out_resolution[0] if convs else resolution
    smaller = (side + 2 * (kernel // 2) - kernel) // stride + 1
    convs.append(
        Conv(
            name=f"layer {len(convs)}",
            inputs=(len(convs) - 1,),
            in_channels=convs[-1].out_channels if convs else 3,
            out_channels=out,
            in_resolution=(side, side),
            out_resolution=(smaller, smaller),
            kernel=(kernel, kernel),
            stride=(stride, stride),
            padding=(kernel // 2,) * 4,
            groups=groups,
        )
    )
