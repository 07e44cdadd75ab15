"""WRCor: how differently rectifiers and their gradients answer to different images, late ones most."""

from __future__ import annotations

import torch
from torch import Tensor

from zenlib.proxies.az_nas import blocks
from zenlib.proxies.patterns import Activations
from zenlib.proxies.query import Query, centred, hooked


def wrcor(query: Query) -> Tensor:
    """The log-determinant of summed correlations between images, of rectifiers' inputs and gradients.

    Larger is better. The absolute values of the N x N correlation matrices are added, those of block l with
    weight 2^l.

    Source: Jing et al. 2025 (arXiv 2507.08841).
    Code: 64 training images with labels; block l is the l-th cell of NAS-Bench-201, BatchNorm trains.
    Differs: blocks are those of AZ-NAS; every rectifier counts once.
    """
    size = len(query.images)
    kernel = torch.zeros(size, size, dtype=torch.float64, device=query.images.device)
    finished: list[object] = []

    def note(features: Tensor) -> None:
        weight = 2.0 ** len(finished)
        add(features.detach(), weight)
        if features.requires_grad:
            features.register_hook(lambda gradient: add(gradient, weight))

    def add(values: Tensor, weight: float) -> None:
        rows = centred(values.flatten(1))
        norms = rows.norm(dim=1, keepdim=True)
        rows = rows / torch.where(norms > 0, norms, 1)  # one that is the same everywhere correlates with none
        kernel.add_((rows @ rows.T).abs(), alpha=weight)

    with Activations(on_input=note), hooked(blocks(query.module), lambda *_: finished.append(None)):
        loss = query.loss()
    query.weight_gradients(loss)  # calls the hooks of the rectifiers
    return torch.linalg.slogdet(kernel).logabsdet
