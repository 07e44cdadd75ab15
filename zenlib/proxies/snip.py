"""SNIP: how much the loss would change if a weight were removed."""

from __future__ import annotations

import torch
from torch import Tensor

from zenlib.proxies.query import Query, loss_gradients


def snip(query: Query) -> Tensor:
    """Sum over the weights of |w * dL/dw|, L the cross entropy of one mini-batch. Larger is better.

    Source: Lee et al. 2019 (arXiv 1810.02340), eq. 6, whose saliency of a weight is summed over the network
    as in Abdelfattah et al. 2021.
    Code: one batch of 64 real images, PyTorch's initialisation (zero-cost-nas).
    Differs: not normalised by its own sum, which would make every network 1; He's initialisation.
    """
    gradients = query.once(loss_gradients)
    return torch.stack(
        [(weight * gradient).abs().sum() for weight, gradient in zip(query.weights, gradients, strict=True)]
    ).sum()
