"""Synflow and epsinas: what is left of a network when other weights take the place of the drawn ones."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from zenlib.proxies.query import Query, require_rows

CONSTANTS = (1e-7, 1.0)
"""The two weights of epsinas, as the authors' code takes them on NAS-Bench-201."""


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
    module = copy.deepcopy(query.module, shared)  # a copy of its structure alone
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                setattr(parent, name, nn.Identity())
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


@torch.no_grad()
def epsinas(query: Query) -> Tensor:
    """Mean difference of the outputs under two constants for all weights, over the mean output.

    Larger is better. The outputs of a batch are scaled to [0, 1], and images whose output is 0 under one of
    them are left out.

    Source: Gracheva 2023 (arXiv 2302.04406).
    Code: 256 real images, one output; the constants are 1e-7 and 1 on NAS-Bench-201, 1e-4 and 10 on
    NAS-Bench-101, BatchNorm's scale among the weights, biases 0.
    Differs: the constants of NAS-Bench-201 for all networks; float64, as products of 1e-7 leave float32.
    """
    named = {**dict(query.module.named_parameters()), **dict(query.module.named_buffers())}
    state = {name: tensor.double() for name, tensor in named.items() if tensor.is_floating_point()}
    weighted = (nn.Conv2d, nn.Linear, _BatchNorm)
    names = {f"{name}.weight" for name, layer in query.module.named_modules() if isinstance(layer, weighted)}
    outputs = []
    for constant in CONSTANTS:
        constants = {name: torch.full_like(state[name], constant) for name in names & state.keys()}
        images = query.images.double()
        found = require_rows(functional_call(query.module, state | constants, (images,)), len(images))[:, 0]
        outputs.append((found - found.min()) / (found.max() - found.min()))
    first, second = outputs
    kept = (first != 0) & (second != 0)
    difference = torch.where(kept, (first - second).abs(), 0).sum()
    return 2 * difference / torch.where(kept, first + second, 0).sum()
