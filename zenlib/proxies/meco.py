"""MeCo: how far from dependent the channels of every layer are."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zenlib.errors import ScoreUndefined
from zenlib.proxies.query import Query, hooked, innermost


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
            rows = features[0].flatten(1).double()
            rows = F.normalize(rows - rows.mean(1, keepdim=True))
            # A channel that is the same everywhere correlates with none, so that the least eigenvalue is 0.
            terms.append(torch.linalg.eigvalsh(rows @ rows.T)[0].clamp(min=0))

    try:
        with hooked(innermost(query.module), note):
            query.module(query.images[:1])
    except ValueError as error:  # of BatchNorm, which needs two values of a channel
        raise ScoreUndefined(f"meco: one image of {query.resolution} pixels is too small: {error}") from error
    return torch.stack(terms).sum() if terms else torch.zeros((), device=query.images.device)
