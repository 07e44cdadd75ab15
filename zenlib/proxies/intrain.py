"""InTrain: how many directions the channels fill, times how evenly the gradients are spread."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zenlib.proxies.query import Query, hooked

RIDGE = 1e-10
"""Added to the variance of a channel, the paper's constant."""
EPS = 1e-5
"""Added to the largest gradient: above the rounding errors that stand for the gradient of a bias in front of
BatchNorm, which is 0."""


def intrain(query: Query) -> Tensor:
    """G (1 + o) / log(L + 1): G the log participation ratios of channels, o the spread of gradients.

    Larger is better.

    G sums log((tr C)^2 / tr C^2) over the L convolutions, C the covariance of their output channels over
    images and positions; o sums min(1, std / max |.|) over the parameters' gradients of the cross entropy.

    Source: Zhou et al. 2026 (arXiv 2606.18676).
    Code: not released.
    Differs: which layers count, eps, the initialisation and the mode of BatchNorm are not stated; here
    convolutions, 1e-5, He's and the batch's statistics. They take 64 noise images of 64 pixels.
    """
    ranks: list[Tensor] = []
    convs = (layer for layer in query.module.modules() if isinstance(layer, nn.Conv2d))
    with hooked(convs, lambda _, features: ranks.append(log_participation(features.detach()))):
        loss = query.loss()
    parameters = [parameter for parameter in query.module.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    even = [
        (g.std() / (g.abs().max() + EPS)).clamp(max=1) for g in gradients if g is not None and g.numel() > 1
    ]
    spread = torch.stack(even).sum() if even else 0
    return torch.stack(ranks).sum() * (1 + spread) / math.log(len(ranks) + 1)


def log_participation(features: Tensor) -> Tensor:
    """The log of (tr C)^2 / tr C^2 of (N, C, H, W); log C for equal variances without correlation."""
    samples = features.transpose(0, 1).flatten(1).double()
    centred = samples - samples.mean(1, keepdim=True)
    covariance = centred @ centred.T / centred.shape[1]
    covariance = covariance + RIDGE * torch.eye(len(samples), dtype=samples.dtype, device=samples.device)
    return (covariance.trace().square() / covariance.square().sum()).log()
