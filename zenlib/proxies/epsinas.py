"""epsinas: how far outputs move when one constant in all weights is replaced by another."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from zenlib.proxies.query import Query, require_rows

CONSTANTS = (1e-7, 1.0)
"""The two weights, as the authors' code takes them on NAS-Bench-201."""


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
