"""Fisher: how much the loss would change if a channel were removed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zenlib.proxies.query import Query


def fisher(query: Query) -> Tensor:
    """Sum over the output channels of every convolution of half the mean over images of (sum over positions of a * dL/da)^2.

    Here a is the raw output of the convolution and L the cross entropy of one mini-batch. Larger is better.

    Source: Turner et al. 2020 (arXiv 1906.04113), eq. 2, summed over the network as in Abdelfattah et al.
    2021. Differs: Turner et al. measure behind the activation of a block, Abdelfattah et al. include linear
    layers.
    """
    activations: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _, inputs, output: activations.append(output))
        for layer in query.module.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    try:
        loss = query.loss()
    finally:
        for hook in hooks:
            hook.remove()
    gradients = torch.autograd.grad(loss, activations, allow_unused=True)
    terms = [
        (a * g).sum((2, 3)).square().mean(0).sum() / 2
        for a, g in zip(activations, gradients, strict=True)
        if g is not None
    ]
    return torch.stack(terms).sum() if terms else loss.detach() * 0
