"""ZiCo: gradients that are large on average and vary little between batches."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zenlib.proxies.query import Query


def zico(query: Query) -> Tensor:
    """Sum over layers of log(sum over weights of mean |g| / std g) over two halves of the mini-batch.

    Weights whose gradient does not vary, and layers that consist of such weights, are left out. Larger is
    better.

    Source: Li et al. 2023 (arXiv 2301.11300), eq. 20. Differs: the halves of one mini-batch stand for their
        two batches.
    """
    outputs = [query.outputs(images) for images in query.images.tensor_split(2)]
    labels = query.labels(outputs[0].shape[1]).tensor_split(2)
    gradients = [query.weight_gradients(F.cross_entropy(*pair)) for pair in zip(outputs, labels, strict=True)]
    terms = []
    for first, second in zip(*gradients, strict=True):
        mean, spread = (first.abs() + second.abs()) / 2, (first - second).abs() / 2
        ratio = torch.where(spread > 0, mean / torch.where(spread > 0, spread, 1), 0).double().sum()
        terms.append(torch.where(ratio > 0, ratio.clamp(min=torch.finfo(ratio.dtype).tiny).log(), 0))
    return torch.stack(terms).sum()
