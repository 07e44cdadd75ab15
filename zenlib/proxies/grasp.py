"""GraSP: how much removing a weight would weaken the flow of gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from zenlib.errors import ScoreUndefined
from zenlib.proxies.query import Query


def grasp(query: Query) -> Tensor:
    """Sum over the weights of -w * (H g), g the gradient and H the Hessian of the cross entropy.

    Larger is better.

    The sum is minus half the change of ||g||^2 when all weights grow in proportion; where BatchNorm makes the
    loss blind to the scale of a layer, that layer gives ||g||^2 of itself.

    Source: Wang et al. 2020 (arXiv 2002.07376), eq. 8, summed over the network as in Abdelfattah et al. 2021.
    Code: one batch of 64 real images, linear layers too; the sign was chosen after accuracies were seen.
    Differs: one mini-batch and temperature 1, where the original averages over batches with temperature 200.
    """
    gradients = query.weight_gradients(query.loss(), create_graph=True)
    squared = torch.stack([(gradient.detach() * gradient).sum() for gradient in gradients]).sum()
    try:
        products = query.weight_gradients(squared)
    except RuntimeError as error:
        if "is not implemented" not in str(error):
            raise
        raise ScoreUndefined(f"grasp: needs second derivatives, and {error}") from error
    return -torch.stack(
        [(weight * product).sum() for weight, product in zip(query.weights, products, strict=True)]
    ).sum()
