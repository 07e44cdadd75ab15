"""SWAP: how many different patterns the rectifiers show over the images."""

from __future__ import annotations

import torch
from torch import Tensor

from zenlib.proxies.patterns import Patterns
from zenlib.proxies.query import Query


@torch.no_grad()
def swap(query: Query) -> Tensor:
    """Number of different patterns (on or off for each image) among all rectifiers. Larger is better.

    Source: Peng et al. 2024 (arXiv 2403.04161).
    Code: 16 real images, weights from N(0, 1), mean of 32 draws; only nn.ReLU on feature maps.
    Differs: one draw, and every rectifier counts; not regularised by the number of parameters, whose two
    constants are chosen for each space.
    """
    # A pattern is told by a sum of random 64-bit numbers: two patterns have one sum with probability 2^-64.
    marks = torch.randint(-(2**63), 2**63 - 1, (len(query.images),), generator=query.generator(3))
    marks = marks.to(query.images.device)
    codes: list[Tensor] = []
    with Patterns(lambda pattern: codes.append((marks[:, None] * pattern.flatten(1)).sum(0))):
        query.module(query.images)
    ordered = torch.cat(codes).sort().values if codes else marks[:1]
    return (1 + (ordered[1:] != ordered[:-1]).sum()).double()
