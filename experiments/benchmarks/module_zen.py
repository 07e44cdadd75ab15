"""The Zen-Score of a module as built: shortcuts, gates and dead branches run, and every BatchNorm counts.

This is what public copies of the score compute on networks that are not vanilla ones; `zenlib.scores.zen`
scores the vanilla form.
"""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from experiments.benchmarks.cell_zen import CellTerms
from zenlib.errors import ScoreUndefined
from zenlib.proxies.query import Query, weighted_layers
from zenlib.scores.forward import BN_EPS
from zenlib.scores.zen import BN_MOMENTUM

PERTURBATION = 0.01
Seen = tuple[float, int]
"""The variance before a BatchNorm, averaged over channels, and the number of positions of each channel."""


@torch.no_grad()
def module_terms(query: Query) -> CellTerms:
    """The terms of every definition for one draw, in nats.

    Weights, images and noise are N(0, 1). The feature map is what the last `nn.AdaptiveAvgPool2d` reads. All
    branches are those of the module, run twice; see `CellTerms` for what a BatchNorm that reads nothing adds.

    Raises:
        ScoreUndefined: there is no such pooling or no BatchNorm, or the score is not finite.
    """
    module = copy.deepcopy(query.module)
    for layer in weighted_layers(module):  # drawn with variance 2 / fan_in
        layer.weight.mul_(math.sqrt(layer.weight[0].numel() / 2))
    noise = torch.randn(query.images.shape, generator=query.generator(4)).to(query.device)
    runs = [_run(module, images) for images in (query.images, query.images + PERTURBATION * noise)]
    terms = terms_of(*runs)
    if not math.isfinite(terms.log_delta_l1):
        raise ScoreUndefined(
            f"Zen-Score of {type(query.network).__name__} as built: log Delta is {terms.log_delta_l1}, so "
            "the output does not depend on the image"
        )
    return terms


def terms_of(run: tuple[Tensor, list[Seen]], moved: tuple[Tensor, list[Seen]]) -> CellTerms:
    """The terms of two runs: the last feature maps, and what the BatchNorms saw on the way to them."""
    (features, first), (others, second) = run, moved
    difference = (features - others).double()
    l1, frobenius = (
        float(torch.linalg.vector_norm(difference, order, dim=(1, 2, 3)).mean().log()) for order in (1, 2)
    )
    keep = 1 - BN_MOMENTUM
    minibatch = sum(math.log(a + BN_EPS) / 2 for a, _ in first)
    running = sum(
        math.log(keep**2 + BN_MOMENTUM * n / (n - 1) * (keep * a + b)) / 2
        for (a, n), (b, _) in zip(first, second, strict=True)
    )
    return CellTerms(l1, frobenius, minibatch, running, len(first), sum(a == 0 for a, _ in first))


def seen_variance(features: Tensor) -> Seen:
    """What a BatchNorm sees of (N, C, H, W)."""
    return float(features.double().var((0, 2, 3), correction=0).mean()), features.numel() // features.shape[1]


def _run(module: nn.Module, images: Tensor) -> tuple[Tensor, list[Seen]]:
    """The last feature map, and of each BatchNorm the variance it sees with the number of positions."""
    pooled: list[Tensor] = []
    seen: list[Seen] = []

    def note(_: nn.Module, inputs: tuple[Tensor]) -> None:
        seen.append(seen_variance(inputs[0]))

    def keep(_: nn.Module, inputs: tuple[Tensor]) -> None:
        pooled[:] = inputs

    hooks = [
        layer.register_forward_pre_hook(note) for layer in module.modules() if isinstance(layer, _BatchNorm)
    ]
    hooks += [
        layer.register_forward_pre_hook(keep)
        for layer in module.modules()
        if isinstance(layer, nn.AdaptiveAvgPool2d)
    ]
    try:
        module(images)
    finally:
        for hook in hooks:
            hook.remove()
    if not pooled or not seen:
        raise ScoreUndefined(
            "Zen-Score as built: needed a network with BatchNorm and nn.AdaptiveAvgPool2d, found none"
        )
    return pooled[0], seen
