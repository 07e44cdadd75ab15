"""The Zen-Score as one would write it from the paper: plain modules, two forward passes, no haste.

The fast score of the library is tested against this page. Source: Lin et al. 2021 (arXiv 2102.01063),
Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zenlib.vanilla.vcnn import VCNN, Conv

Draw = Callable[..., Tensor]
"""Standard normal numbers of a shape."""


def vanilla_network(vcnn: VCNN, draw: Draw) -> nn.Sequential:
    """Convolution, BatchNorm and ReLU, again and again, pooling where there is some, weights from N(0, 1)."""
    layers: list[nn.Module] = []
    for step in vcnn.steps:
        if isinstance(step, Conv):
            top, bottom, left, right = step.padding
            conv = nn.Conv2d(
                step.in_channels,
                step.out_channels,
                step.kernel,
                step.stride,
                0,
                step.dilation,
                step.groups,
                bias=False,
            )
            conv.weight = nn.Parameter(draw(*conv.weight.shape))
            norm = nn.BatchNorm2d(step.out_channels, affine=False, dtype=conv.weight.dtype)
            layers += [nn.ZeroPad2d((left, right, top, bottom)), conv, norm, nn.ReLU()]
        elif step.kind == "max":
            layers.append(
                nn.MaxPool2d(step.kernel, step.stride, step.padding, step.dilation, ceil_mode=step.ceil_mode)
            )
        else:
            layers.append(
                nn.AvgPool2d(step.kernel, step.stride, step.padding, step.ceil_mode, step.count_include_pad)
            )
    return nn.Sequential(*layers).train()  # BatchNorm in the statistics of its mini-batch


@torch.no_grad()
def zen_scores(vcnn: VCNN, draw: Draw, batch_size: int = 16, alpha: float = 0.01) -> dict[str, float]:
    """One draw of each definition, in nats.

    Returns:
        "frobenius, minibatch" is Algorithm 1 of the paper, "l1, minibatch" what its Table 5 was computed by,
        "l1, running" the released code.
    """
    shape = (batch_size, vcnn.in_channels, vcnn.resolution, vcnn.resolution)
    x, noise = draw(*shape), draw(*shape)
    network = vanilla_network(vcnn, draw)
    norms = [layer for layer in network if isinstance(layer, nn.BatchNorm2d)]

    variances: list[Tensor] = []
    hooks = [
        norm.register_forward_pre_hook(lambda _, args: variances.append(args[0].var((0, 2, 3), correction=0)))
        for norm in norms
    ]
    before = network(x)
    for hook in hooks:
        hook.remove()
    after = network(x + alpha * noise)  # the running variance of the released code has seen both

    delta = {
        "l1": (after - before).abs().sum((1, 2, 3)).mean(),
        "frobenius": (after - before).square().sum((1, 2, 3)).sqrt().mean(),
    }
    log_sigma = {
        "minibatch": sum(variance.mean().sqrt().log() for variance in variances),
        "running": sum(norm.running_var.mean().sqrt().log() for norm in norms),
    }
    wanted = (("frobenius", "minibatch"), ("l1", "minibatch"), ("l1", "running"))
    return {
        f"{norm}, {variance}": float(delta[norm].log() + log_sigma[variance]) for norm, variance in wanted
    }
