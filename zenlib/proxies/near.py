"""NEAR: how many directions the features of every layer fill, before and behind the activation."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from zenlib.proxies.patterns import Activations
from zenlib.proxies.query import Query, hooked, innermost


@torch.no_grad()
def near(query: Query) -> Tensor:
    """Sum over layers of the effective ranks of their features before and behind the activation.

    Larger is better.

    The effective rank is exp of the entropy of the singular values over their sum. Rows are positions, of
    which as many are taken as there are channels, one after the other from a random place.

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
