"""The Zen-Score as the released code computes it, step by step: what our speed is measured against.

A module of Conv2d, BatchNorm2d and ReLU layers in training mode; per repeat every weight is drawn again, x
and x + alpha * eps go through in two forward passes without gradients, and the L1 distance of the two feature
maps is added to the BatchNorm term. Differs: the running average starts at 1 in every repeat.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zenlib.vanilla.vcnn import VCNN, Conv, Pool


def build(vcnn: VCNN) -> nn.Sequential:
    """The vanilla network, a chain of convolutions and max pooling, as a module in training mode."""
    layers: list[nn.Module] = []
    for step in vcnn.layers:
        if isinstance(step, Pool):
            layers.append(nn.MaxPool2d(step.kernel, step.stride, step.padding))
        elif isinstance(step, Conv):
            (rows, columns), (down, across), padding = step.kernel, step.stride, step.padding[::2]
            layers.append(
                nn.Conv2d(
                    step.in_channels,
                    step.out_channels,
                    (rows, columns),
                    (down, across),
                    (padding[0], padding[1]),
                    groups=step.groups,
                    bias=False,
                )
            )
            layers += [nn.BatchNorm2d(step.out_channels), nn.ReLU()]
    return nn.Sequential(*layers).train()


@torch.no_grad()
def score_once(network: nn.Sequential, images_shape: tuple[int, ...]) -> Tensor:
    """One repeat of the Zen-Score, a scalar."""
    norms = [layer for layer in network if isinstance(layer, nn.BatchNorm2d)]
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight)
    for norm in norms:
        norm.reset_running_stats()
    images, noise = torch.randn(images_shape), torch.randn(images_shape)
    first = network(images)
    second = network(images + 0.01 * noise)
    delta = (first - second).abs().sum((1, 2, 3)).mean()
    return delta.log() + sum(
        (norm.get_buffer("running_var").mean().sqrt().log() for norm in norms), torch.zeros(())
    )
