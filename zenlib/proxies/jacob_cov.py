"""Jacobian covariance: how differently the network reacts to different images."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from zenlib.errors import ScoreUndefined
from zenlib.proxies.query import Query, centred

K = 1e-5
"""Added to an eigenvalue before its logarithm, the paper's constant."""


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
