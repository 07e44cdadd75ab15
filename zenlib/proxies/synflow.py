"""Synflow: the size of the network that is left when every weight is made positive."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from zenlib.proxies.query import Query, require_rows


def synflow(query: Query) -> Tensor:
    """The log of the sum over the weights of |w| * dR/d|w|, R the summed output for an image of ones.

    Larger is better. All weights are replaced by their absolute values and BatchNorm is left out, so R is a
    sum over paths of products of weights: for L layers without branches the value is log(L R). It is a
    logarithm, of a float64 number, since R grows geometrically with depth; this does not change any order.

    Source: Tanaka et al. 2020 (arXiv 2006.05467), eq. 3, summed over the network as in Abdelfattah et al.
    2021, who maximise it.
    Differs: the released Zen-NAS keeps BatchNorm, and both paper and code *minimise* synflow; take minus this
    value for their sign.
    """
    shared = {id(tensor): tensor for tensor in (*query.module.parameters(), *query.module.buffers())}
    module = without_batch_norm(copy.deepcopy(query.module, shared))  # a copy of its structure alone
    weights = {
        name: weight.detach().abs().double().requires_grad_() for name, weight in module.named_parameters()
    }
    images = torch.ones(1, *query.images.shape[1:], dtype=torch.float64, device=query.images.device)
    total = require_rows(functional_call(module, weights, (images,)), 1).sum()
    gradients = torch.autograd.grad(total, list(weights.values()), allow_unused=True)
    terms = [
        (weight * gradient).sum()
        for weight, gradient in zip(weights.values(), gradients, strict=True)
        if gradient is not None
    ]
    return torch.stack(terms).sum().log()


def without_batch_norm(module: nn.Module) -> nn.Module:
    """The module itself, every BatchNorm inside it replaced by nothing."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                setattr(parent, name, nn.Identity())
    return module
