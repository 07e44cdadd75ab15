"""The Zen-Score as the released code computes it, step by step and without any cleverness: what our speed is measured against.

A module of Conv2d, BatchNorm2d and ReLU layers in training mode; per repeat every weight is drawn again, x and
x + alpha * eps go through in two forward passes without gradients, and the L1 distance of the two feature maps is added
to the BatchNorm term. Differs: the mini-batch variance can be asked for too (a running average of momentum 1), and
the running average starts at 1 in every repeat.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zenlib.vanilla.vcnn import VCNN, Conv, Pool


def build(vcnn: VCNN, bn_variance: str = "running") -> nn.Sequential:
    """The vanilla network as a module in training mode.

    Only chains of convolutions and max pooling are needed here.
    """
    layers: list[nn.Module] = []
    for step in vcnn.layers:
        if isinstance(step, Pool):
            layers.append(nn.MaxPool2d(step.kernel, step.stride, step.padding))
        elif isinstance(step, Conv):
            padding = step.padding[0], step.padding[2]
            layers.append(
                nn.Conv2d(
                    step.in_channels,
                    step.out_channels,
                    step.kernel,
                    step.stride,
                    padding,
                    groups=step.groups,
                    bias=False,
                )
            )
            layers.append(
                nn.BatchNorm2d(step.out_channels, momentum=0.1 if bn_variance == "running" else 1.0)
            )
            layers.append(nn.ReLU())
    return nn.Sequential(*layers).train()


@torch.no_grad()
def score_once(network: nn.Sequential, images_shape: tuple[int, ...], alpha: float = 0.01) -> Tensor:
    """One repeat of the Zen-Score, a scalar."""
    norms = [layer for layer in network if isinstance(layer, nn.BatchNorm2d)]
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.normal_(layer.weight)
    for norm in norms:
        norm.reset_running_stats()
    images, noise = torch.randn(images_shape), torch.randn(images_shape)
    first = network(images)
    second = network(images + alpha * noise)
    delta = (first - second).abs().sum((1, 2, 3)).mean()
    variances = [norm.running_var for norm in norms if norm.running_var is not None]
    return torch.stack([delta.log(), *(variance.mean().sqrt().log() for variance in variances)]).sum()
