"""The Zen-Score of chains that share their draws (common random numbers): two plain forward passes.

The images depend on the seed alone, and the weights of a layer on the seed, its place and its shape. So
networks with one beginning differ in what follows and not in the draw.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from experiments.benchmarks.cell_zen import CellTerms
from experiments.benchmarks.module_zen import PERTURBATION, Seen, seen_variance, terms_of
from zenlib.scores.forward import forward
from zenlib.vanilla.vcnn import VCNN


@torch.no_grad()
def chain_terms(chain: VCNN, seed: int, batch_size: int) -> CellTerms:
    """The terms of every definition for one draw, in nats."""
    shape = (batch_size, chain.in_channels, chain.resolution, chain.resolution)
    images, noise = _drawn(seed, (0, 0), shape), _drawn(seed, (0, 1), shape)
    weights = [_drawn(seed, (1, place), conv.weight_shape) for place, conv in enumerate(chain.convs)]

    def run(branch: Tensor) -> tuple[Tensor, list[Seen]]:
        seen: list[Seen] = []
        return forward(
            chain, weights, branch, batch_norm=True, on_conv=lambda _, raw: seen.append(seen_variance(raw))
        ), seen

    return terms_of(run(images), run(images + PERTURBATION * noise))


@lru_cache(maxsize=256)
def _drawn(seed: int, name: tuple[int, int], shape: tuple[int, ...]) -> Tensor:
    """N(0, 1) numbers that depend on the seed, the name and the shape."""
    state = np.random.SeedSequence([seed, *name, *shape]).generate_state(1, np.uint64)[0]
    return torch.randn(shape, generator=torch.Generator().manual_seed(int(state)))
