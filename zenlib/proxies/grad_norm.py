"""Grad-norm: how large the gradients of the weights are at initialisation."""

from __future__ import annotations

import torch
from torch import Tensor

from zenlib.proxies.query import Query, loss_gradients


def grad_norm(query: Query) -> Tensor:
    """Sum over layers of the Euclidean norm of the gradient of the cross entropy of one mini-batch.

    Larger is better.

    Source: Abdelfattah et al. 2021 (arXiv 2101.08134), section 3.1.
    Code: one batch of 64 real images, PyTorch's initialisation.
    Differs: He's initialisation. Zen-NAS takes one norm over all parameters, and maximises it too.
    """
    return torch.stack([gradient.norm() for gradient in query.once(loss_gradients)]).sum()
