"""MeCo, NEAR and InTrain: how many directions the features of the layers fill."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zenlib.errors import ScoreUndefined
from zenlib.proxies.patterns import Activations
from zenlib.proxies.query import Query, centred, hooked, innermost

RIDGE = 1e-10
"""Added to the variance of a channel, InTrain's constant."""
EPS = 1e-5
"""Added to the largest gradient: above the rounding errors that stand for the gradient of a bias in front of
BatchNorm, which is 0."""


@torch.no_grad()
def meco(query: Query) -> Tensor:
    """Sum over layers of the least eigenvalue of the correlations between the channels of one image.

    Larger is better.

    Source: Jiang et al. 2023 (NeurIPS).
    Code: one training image; containers count too, so that what their last layer gives is counted again.
    Differs: the first image of the batch; every innermost layer that gives a feature map counts once.
    """
    terms: list[Tensor] = []

    def note(_: nn.Module, features: Tensor) -> None:
        if features.dim() == 4:
            # A channel that is the same everywhere correlates with none, so that the least eigenvalue is 0.
            rows = F.normalize(centred(features[0].flatten(1)))
            terms.append(torch.linalg.eigvalsh(rows @ rows.T)[0].clamp(min=0))

    try:
        with hooked(innermost(query.module), note):
            query.module(query.images[:1])
    except ValueError as error:  # of BatchNorm, which needs two values of a channel
        raise ScoreUndefined(f"meco: one image of {query.resolution} pixels is too small: {error}") from error
    return torch.stack(terms).sum() if terms else torch.zeros((), device=query.images.device)


@torch.no_grad()
def near(query: Query) -> Tensor:
    """Sum over layers of the effective ranks of their features before and behind the activation.

    Larger is better. Rows are positions, of which as many are taken as there are channels, one after the
    other from a random place.

    Source: Husistein et al. 2025 (arXiv 2408.08776).
    Code: every layer with weights counts as one before an activation, BatchNorm too; mean of 32 repetitions.
    Differs: one repetition.
    """
    generator = np.random.default_rng(query.seed)
    terms: list[Tensor] = []

    def add(features: Tensor) -> None:
        rows = features.movedim(1, -1).flatten(0, -2).double()
        spare = max(len(rows) - rows.shape[1], 0)
        start = int(generator.integers(spare + 1))
        terms.append(effective_rank(rows[start : start + rows.shape[1]]))

    def note(layer: nn.Module, features: Tensor) -> None:
        if isinstance(getattr(layer, "weight", None), Tensor):
            add(features)

    with Activations(on_output=add), hooked(innermost(query.module), note):
        query.module(query.images)
    return torch.stack(terms).sum()


def effective_rank(rows: Tensor) -> Tensor:
    """Exp of the entropy of the singular values of a matrix over their sum."""
    values = torch.linalg.svdvals(rows)
    shares = values / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
    return torch.special.entr(shares).sum().exp()


def intrain(query: Query) -> Tensor:
    """G (1 + o) / log(L + 1): G the log participation ratios of channels, o the spread of gradients.

    Larger is better. G sums log((tr C)^2 / tr C^2) over the L convolutions, C the covariance of their output
    channels over images and positions; o sums min(1, std / max |.|) over the parameters' gradients of the
    cross entropy.

    Source: Zhou et al. 2026 (arXiv 2606.18676).
    Code: not released.
    Differs: which layers count, eps, the initialisation and the mode of BatchNorm are not stated; here
    convolutions, 1e-5, He's and the batch's statistics. They take 64 noise images of 64 pixels.
    """
    ranks: list[Tensor] = []
    convs = (layer for layer in query.module.modules() if isinstance(layer, nn.Conv2d))
    with hooked(convs, lambda _, features: ranks.append(log_participation(features.detach()))):
        loss = query.loss()
    gradients = torch.autograd.grad(loss, query.parameters, allow_unused=True)
    varied = [gradient for gradient in gradients if gradient is not None and gradient.numel() > 1]
    even = [(gradient.std() / (gradient.abs().max() + EPS)).clamp(max=1) for gradient in varied]
    spread = torch.stack(even).sum() if even else 0
    return torch.stack(ranks).sum() * (1 + spread) / math.log(len(ranks) + 1)


def log_participation(features: Tensor) -> Tensor:
    """The log of (tr C)^2 / tr C^2 of (N, C, H, W); log C for equal variances without correlation."""
    rows = centred(features.transpose(0, 1).flatten(1))
    covariance = rows @ rows.T / rows.shape[1]
    covariance = covariance + RIDGE * torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
    return (covariance.trace().square() / covariance.square().sum()).log()
