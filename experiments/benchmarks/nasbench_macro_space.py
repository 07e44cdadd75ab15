"""NAS-Bench-Macro: 6,561 networks of eight layers, each an identity or one of two inverted bottlenecks.

Layers stand in stages of two, three and three; the first of a stage halves the map and doubles the channels.
An identity inside a stage is no layer at all, so codes that differ only in where it stands are one network;
`canonical` gives the code that stands for them, and there are 3,969 of those.

Source: Su et al. 2021 (arXiv 2103.11922), section 4.1, as described with its published list of architectures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from itertools import pairwise, product
from typing import NamedTuple

from torch import nn

from experiments.benchmarks.bottlenecks import Bottleneck, Shape, append, convolution, rectified
from zenlib.errors import ArchitectureError
from zenlib.scores.formulas.counts import Counts, count
from zenlib.vanilla.vcnn import VCNN, Conv

STEM = 32
STAGES = ((64, 2), (128, 3), (256, 3))
"""Width and layers of each stage."""
HEAD = 1280
LAYERS = sum(layers for _, layers in STAGES)
BLOCKS = {"1": (3, 3), "2": (5, 6)}
"""Digit of a bottleneck -> kernel of its depthwise convolution, expansion."""
IDENTITY = "0"
RESOLUTION = 32


def codes() -> Iterator[str]:
    """All codes, the last digit changing fastest."""
    return map("".join, product((IDENTITY, *BLOCKS), repeat=LAYERS))


def check(code: str) -> str:
    """The code itself.

    Raises:
        ArchitectureError: it is not one of the space.
    """
    if not isinstance(code, str) or len(code) != LAYERS or set(code) - {IDENTITY, *BLOCKS}:
        raise ArchitectureError(
            f"code: needed {LAYERS} digits of 0 (identity), 1 and 2 (bottlenecks), got {code!r}"
        )
    return code


def canonical(code: str) -> str:
    """The code of the same network with the identities inside each stage at its end."""
    return "".join(
        digits[0] + "".join(sorted(digits[1:], key=IDENTITY.__eq__)) for digits in _stages(check(code))
    )


class Part(NamedTuple):
    """A piece of a network that has convolutions.

    Equal pieces of two networks behind equal ones compute the same.
    """

    kind: str  # "stem", "head", or the digit of a layer
    in_channels: int  # of its images
    out_channels: int  # of its result
    stride: int = 1  # 2 where it halves the map

    def build(self) -> nn.Module:
        """Its module."""
        reads, out, stride = self.in_channels, self.out_channels, self.stride
        if self.kind in BLOCKS:
            kernel, expansion = BLOCKS[self.kind]
            return Bottleneck(Shape(reads, out, expansion * reads, kernel, stride))
        if self.kind == IDENTITY:
            return nn.Sequential(*convolution(reads, out, 1, stride))
        return nn.Sequential(*rectified(reads, out, 3 if self.kind == "stem" else 1, stride))


def parts(code: str) -> list[Part]:
    """Stem, layers and head of a code; an identity inside a stage is none."""
    found = [Part("stem", 3, STEM)]
    for (out, _), digits in zip(STAGES, _stages(check(code)), strict=True):
        for position, digit in enumerate(digits):
            if digit != IDENTITY or position == 0:
                found.append(Part(digit, found[-1].out_channels, out, 2 if position == 0 else 1))
    return [*found, Part("head", found[-1].out_channels, HEAD)]


def build(code: str, num_classes: int = 10) -> nn.Sequential:
    """The trainable network of a code: images (N, 3, 32, 32) to logits (N, num_classes)."""
    ending = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(HEAD, num_classes))
    return nn.Sequential(*(part.build() for part in parts(code)), *ending)


def _stages(code: str) -> list[str]:
    ends = [sum(layers for _, layers in STAGES[: index + 1]) for index in range(len(STAGES))]
    return [code[end - layers : end] for end, (_, layers) in zip(ends, STAGES, strict=True)]


def vanilla(code: str) -> VCNN:
    """What `to_vcnn` makes of the module of a code, without building it."""
    convs: list[Conv] = []
    add = partial(append, convs, RESOLUTION)
    add(STEM, 3)
    for (out, _), digits in zip(STAGES, _stages(check(code)), strict=True):
        for position, digit in enumerate(digits):
            stride = 2 if position == 0 else 1
            if digit != IDENTITY:
                kernel, expansion = BLOCKS[digit]
                inner = expansion * convs[-1].out_channels
                add(inner, 1)
                add(inner, kernel, stride, groups=inner)
                add(out, 1)
            elif stride == 2:
                add(out, 1, stride)
    add(HEAD, 1)
    return VCNN(tuple(convs), RESOLUTION, name=code, removed=("shortcut",) * len(code.replace(IDENTITY, "")))


def costs(code: str) -> dict[str, int]:
    """Counted without building.

    Returns:
        `params` with BatchNorm and classifier, `flops` (multiply-adds of one image), `depth` (convolutions
        and classifier).
    """
    chain = vanilla(code)
    norms = 2 * sum(conv.out_channels for conv in chain.convs)
    return {
        "params": chain.weights + norms + (HEAD + 1) * 10,
        "flops": chain.flops + HEAD * 10,
        "depth": len(chain.convs) + 1,
    }


def layer_sums(code: str) -> Counts:
    """The sums over layers of a code, projections of shortcuts not being there."""
    convs = vanilla(code).convs
    followed = [later.groups > 1 or conv.groups > 1 for conv, later in pairwise(convs)]
    rectified = [True, *followed[1:], True]  # stem and head, and what a depthwise convolution reads or makes
    values = [conv.out_channels * math.prod(conv.out_resolution) for conv in convs]
    units = sum(value for value, counts in zip(values, rectified, strict=True) if counts)
    shapes = [
        (conv.out_channels, value, conv.weights // conv.out_channels)
        for conv, value in zip(convs, values, strict=True)
    ]
    return count(shapes, units)
