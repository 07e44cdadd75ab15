"""Jacobian covariance and WRCor: how differently the network reacts to different images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zenlib.errors import ScoreUndefined
from zenlib.proxies.az_nas import blocks
from zenlib.proxies.patterns import Activations
from zenlib.proxies.query import Query, centred, hooked

K = 1e-5
"""Added by `jacob_cov` to an eigenvalue before its logarithm, the paper's constant."""


def jacob_cov(query: Query) -> Tensor:
    """-sum of log(v + k) + 1 / (v + k) over the eigenvalues v of the correlations of the images' Jacobians.

    The Jacobian of an image is the gradient of its summed outputs with respect to its pixels. Uncorrelated
    Jacobians give -N (to order k), the largest value; two images with one Jacobian cost 1 / k. Larger is
    better.

    Source: Mellor et al. 2020 (arXiv 2006.04647, version 1), section 3.
    Code: 256 real images, cropped and mirrored; BatchNorm trains.
    Differs: eigenvalues of a symmetric matrix in float64, where theirs may be complex.
    """
    eigenvalues = jacobian_spectrum(query) + K
    return -(eigenvalues.log() + 1 / eigenvalues).sum()


def jacobian_spectrum(query: Query) -> Tensor:
    """Eigenvalues of the correlations between the images' Jacobians, smallest first."""
    images = query.images.clone().requires_grad_()
    outputs = query.outputs(images)
    (gradient,) = (
        torch.autograd.grad(outputs.sum(), images, allow_unused=True) if outputs.requires_grad else (None,)
    )
    if gradient is None:
        raise ScoreUndefined("jacob-cov: the output does not depend on the images, so there is no Jacobian")
    rows = F.normalize(centred(gradient.flatten(1)), eps=0)
    return torch.linalg.eigvalsh(rows @ rows.T)


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
