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

from zenlib.scores.forward import combine, convolve, last_uses, max_pool
from zenlib.vanilla.vcnn import IMAGE, VCNN, Conv, Pool


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
    groups = 1 + directions.shape[0]
    outputs: dict[int, Tensor] = {IMAGE: torch.cat([images[None], directions])}
    last_use = last_uses(vcnn)
    kernels = enumerate(weights)
    for index, step in enumerate(vcnn.steps):
        inputs = [outputs[i].flatten(0, 1) for i in step.inputs]
        if isinstance(step, Conv):
            convolution, kernel = next(kernels)
            output = convolve(step, inputs[0], kernel).unflatten(0, (groups, -1))
            if on_conv is not None:
                on_conv(convolution, output)
            output = torch.where(
                output[:1] > 0, output, torch.zeros((), dtype=output.dtype, device=output.device)
            )
        elif isinstance(step, Pool) and step.kind == "max":
            output = _max_pool(step, inputs[0].unflatten(0, (groups, -1)))
        else:
            output = combine(step, inputs).unflatten(0, (groups, -1))
        outputs[index] = output
        for i in {i for i in outputs if last_use.get(i, index + 1) <= index}:
            del outputs[i]  # so that memory does not grow with depth
    final = outputs[len(vcnn.steps) - 1]
    return final[0], final[1:]


def _max_pool(pool: Pool, stacked: Tensor) -> Tensor:
    """Max pooling of entry 0; the directions follow the position that won there."""
    pooled, winners = max_pool(pool, stacked[0])
    moved = stacked[1:].flatten(3).gather(-1, winners.flatten(2).expand(len(stacked) - 1, -1, -1, -1))
    return torch.cat([pooled[None], moved.unflatten(-1, pooled.shape[2:])])
