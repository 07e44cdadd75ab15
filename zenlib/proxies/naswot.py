"""NASWOT: how well the activation patterns of an untrained network tell images apart."""

from __future__ import annotations

import torch
from torch import Tensor

from zenlib.proxies.patterns import Patterns
from zenlib.proxies.query import Query


@torch.no_grad()
def naswot(query: Query) -> Tensor:
    """The log of |det K|, K_ij the number of rectifiers whose state images i and j share. Larger is better.

    Source: Mellor et al. 2021 (arXiv 2006.04647, version 3), eq. 2.
    Code: 128 real images; modules whose class name has "ReLU" in it count, blocks too, so that a rectifier
    may count twice.
    Differs: a log-determinant in float64 (Zen-NAS reports that the official code overflowed to infinity for
    ResNets), and every rectifier counts once, also those written as functions.
    """
    images = query.images
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)

    with Patterns(lambda pattern: kernel.add_(shared_states(pattern))):
        query.module(images)
    return torch.linalg.slogdet(kernel).logabsdet


def shared_states(pattern: Tensor) -> Tensor:
    """How many rectifiers of one layer every two images share the state of, (N, N)."""
    bits = pattern.flatten(1).float()
    # Shared states are those that are both on or both off; counts below 2^24 are exact in float32.
    return bits @ bits.T + (1 - bits) @ (1 - bits).T
