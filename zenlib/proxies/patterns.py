"""Activation patterns of any module: which of its rectifiers are on; and three proxies that read them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from zenlib.proxies.query import Query
from zenlib.vanilla.capture.trace import plain_name

RECTIFIERS = (
    *("relu", "relu6", "hardtanh", "leaky_relu", "prelu", "elu", "celu", "selu", "gelu", "silu", "mish"),
    *("hardswish", "softplus"),
)
"""Activations that pass positive inputs and hold back negative ones."""


class Activations(TorchFunctionMode):
    """Calls back at each rectifier while it is active, modules and functions alike, in their order.

    `on_input` is called with what the rectifier reads, before the call, which may write into its input;
    `on_output` with what it gives.
    """

    def __init__(
        self, on_input: Callable[[Tensor], object] = id, on_output: Callable[[Tensor], object] = id
    ) -> None:
        super().__init__()
        self.on_input, self.on_output = on_input, on_output

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if plain_name(func) not in RECTIFIERS:
            return func(*args, **kwargs)
        self.on_input(args[0] if args else kwargs["input"])
        output = func(*args, **kwargs)
        self.on_output(output)
        return output


def patterns(on_pattern: Callable[[Tensor], object]) -> Activations:
    """Calls back with (N, ...) booleans at each rectifier: which of its inputs are positive."""
    return Activations(lambda features: on_pattern(features.detach() > 0))


@torch.no_grad()
def naswot(query: Query) -> Tensor:
    """The log of |det K|, K_ij the number of rectifiers whose state images i and j share. Larger is better.

    Source: Mellor et al. 2021 (arXiv 2006.04647, version 3), eq. 2.
    Code: 128 real images; modules whose class name has "ReLU" in it count, blocks too, so that a rectifier
    may count twice.
    Differs: a log-determinant in float64 (Zen-NAS reports that the official code overflowed to infinity for
    ResNets), and every rectifier counts once, also those written as functions.
    """
    images = query.images
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)

    def add(pattern: Tensor) -> None:
        bits = pattern.flatten(1).float()
        # Shared states are those that are both on or both off; counts below 2^24 are exact in float32.
        kernel.add_(bits @ bits.T + (1 - bits) @ (1 - bits).T)

    with patterns(add):
        query.module(images)
    return torch.linalg.slogdet(kernel).logabsdet


@torch.no_grad()
def swap(query: Query) -> Tensor:
    """Number of different patterns (on or off for each image) among all rectifiers. Larger is better.

    Source: Peng et al. 2024 (arXiv 2403.04161).
    Code: 16 real images, weights from N(0, 1), mean of 32 draws; only nn.ReLU on feature maps.
    Differs: one draw, and every rectifier counts; not regularised by the number of parameters, whose two
    constants are chosen for each space.
    """
    # A pattern is told by a sum of random 64-bit numbers: two patterns have one sum with probability 2^-64.
    marks = torch.randint(-(2**63), 2**63 - 1, (len(query.images),), generator=query.generator(3))
    marks = marks.to(query.images.device)
    codes: list[Tensor] = []
    with patterns(lambda pattern: codes.append((marks[:, None] * pattern.flatten(1)).sum(0))):
        query.module(query.images)
    ordered = torch.cat(codes).sort().values if codes else marks[:1]
    return (1 + (ordered[1:] != ordered[:-1]).sum()).double()


@torch.no_grad()
def linear_regions(query: Query) -> Tensor:
    """Regions met on the way from one image to another, counted at `batch_size` points. Larger is better.

    The way is the quarter of an ellipse cos(t) x + sin(t) y, so that for N(0, 1) images every point is N(0,
    1) too. Every rectifier that changed its state between two points marks a boundary that was crossed: the
    count is 1 + the number of these changes, a lower bound, since one may change back in between.

    Source: Chen et al. 2021 (arXiv 2102.11535), section 3.2. Differs: they count the distinct patterns of
    some thousand tiny images on a copy of the network with one channel. On a network of any real width all
    patterns are distinct and that count is the number of images, the same for every network; counting along a
    curve (Hanin and Rolnick 2019) is not bounded by it.
    """
    first, second = query.images[:2]
    angles = torch.linspace(0, math.pi / 2, query.batch_size, device=first.device).view(-1, 1, 1, 1)
    crossings: list[Tensor] = []
    with patterns(lambda pattern: crossings.append((pattern[1:] != pattern[:-1]).sum())):
        query.module(angles.cos() * first + angles.sin() * second)
    return 1 + torch.stack(crossings).sum().double() if crossings else torch.ones((), device=first.device)
