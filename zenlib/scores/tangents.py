"""A forward pass of a VCNN that carries directions along: the features f(x) and their J(x) v.

A VCNN is linear as long as no ReLU and no maximum changes its choice. A direction v therefore travels through
the same convolutions as the image x and is cut by the masks that x sets: forward-mode differentiation, with
the memory of one layer only.

Source: Lin et al. 2021 (arXiv 2102.01063), Lemma 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from zenlib.scores.forward import combine, convolve, max_pool, run
from zenlib.vanilla.vcnn import VCNN, Conv, Pool, Step


def pushforward(
    vcnn: VCNN,
    weights: Iterable[Tensor],
    images: Tensor,
    directions: Tensor,
    *,
    on_conv: Callable[[int, Tensor], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """The features (N, C', H', W') of the images and, for each direction, J(x) v (K, N, C', H', W').

    Args:
        vcnn: the network, without BatchNorm.
        weights: one kernel for each of `vcnn.convs`, taken one by one, so that they may be drawn on the way.
        images: (N, in_channels, resolution, resolution).
        directions: (K, N, in_channels, resolution, resolution), K directions for each image.
        on_conv: called with (index of the convolution, its raw output (K + 1, N, C, H, W)); entry 0 is the
            image's.
    """
    kernels = enumerate(weights)

    def output(step: Step, inputs: list[Tensor]) -> Tensor:
        flat = [stacked.flatten(0, 1) for stacked in inputs]
        if isinstance(step, Conv):
            index, kernel = next(kernels)
            made = convolve(step, flat[0], kernel).unflatten(0, (len(inputs[0]), -1))
            if on_conv is not None:
                on_conv(index, made)
            return torch.where(made[:1] > 0, made, torch.zeros((), dtype=made.dtype, device=made.device))
        if isinstance(step, Pool) and step.kind == "max":
            return _max_pool(step, inputs[0])
        return combine(step, flat).unflatten(0, (len(inputs[0]), -1))

    final = run(vcnn, torch.cat([images[None], directions]), output)
    return final[0], final[1:]


def _max_pool(pool: Pool, stacked: Tensor) -> Tensor:
    """Max pooling of entry 0; the directions follow the position that won there."""
    pooled, winners = max_pool(pool, stacked[0])
    moved = stacked[1:].flatten(3).gather(-1, winners.flatten(2).expand(len(stacked) - 1, -1, -1, -1))
    return torch.cat([pooled[None], moved.unflatten(-1, pooled.shape[2:])])
