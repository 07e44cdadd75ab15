"""Fisher: how much the loss would change if a channel were removed."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from zenlib.errors import ScoreUndefined
from zenlib.proxies.query import Query, hooked, weighted_layers


def fisher(query: Query, per_weight: bool = True) -> Tensor:
    """Sum over weights of how much the loss would change without the channel that they make.

    Larger is better. Of an output channel that is half the mean over images of (sum over positions of a *
    dL/da)^2, a being the raw output of a convolution or linear layer and L the cross entropy of one
    mini-batch.

    Source: Turner et al. 2020 (arXiv 1906.04113), eq. 2, summed over the network as in Abdelfattah et al.
    2021.
    Code: counts a channel once for each of its weights and takes linear layers (zero-cost-nas); Turner et al.
    measure behind the activation of a block and count a channel once.
    Differs: He's initialisation; `per_weight=False` is the sum over the channels of convolutions.
    """
    seen: list[tuple[nn.Module, Tensor]] = []
    layers = weighted_layers(query.module)
    taken = (layer for layer in layers if per_weight or isinstance(layer, nn.Conv2d))
    with hooked(taken, lambda layer, output: seen.append((layer, output))):
        loss = query.loss()
    if not seen:
        raise ScoreUndefined("fisher: no nn.Conv2d or nn.Linear layer ran, so there is nothing to remove")
    gradients = torch.autograd.grad(loss, [output for _, output in seen], allow_unused=True)
    terms = []
    for (layer, output), gradient in zip(seen, gradients, strict=True):
        if gradient is not None:
            effect = output * gradient
            # Behind a linear layer channels come last, and all axes between are positions.
            positions = (2, 3) if isinstance(layer, nn.Conv2d) else tuple(range(1, effect.dim() - 1))
            term = (effect.sum(positions) if positions else effect).square().mean(0).sum() / 2
            terms.append(term * cast(Tensor, layer.weight)[0].numel() if per_weight else term)
    return torch.stack(terms).sum() if terms else loss.detach() * 0
