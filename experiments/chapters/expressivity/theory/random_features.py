"""The bias-variance argument on the smallest honest example: random vanilla features and a fitted read-out.

The paper argues that more expressivity means less bias, and that variance is not what limits small networks.
Here the kernels of a VCNN stay as drawn; global average pooling gives one feature per channel; only the
linear read-out is fitted, by least squares, to noisy values of another, fixed VCNN. Training error, error on
new images and Phi-Score can then be compared. Nothing is said about trained kernels or about images of the
world.

Sources: Lin et al. 2021 (arXiv 2102.01063), section 3.2; Belkin et al. 2019 (arXiv 1812.11118) for the peak
where the number of features meets the number of samples.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from zenlib.scores.forward import draw_images, draw_weights, forward
from zenlib.vanilla.vcnn import VCNN


class Fit(NamedTuple):
    """Mean squared errors as shares of the variance of the noise-free values."""

    train: float  # on the noisy values that were fitted
    test: float  # on noise-free values of new images


def pooled_features(vcnn: VCNN, weights: list[Tensor], images: Tensor) -> Tensor:
    """Global averages of the feature map with a last column of ones, scaled to unit mean square."""
    features = forward(vcnn, weights, images).mean((2, 3))
    features = features / features.square().mean().sqrt()
    return torch.cat([features, torch.ones_like(features[:, :1])], dim=1)


def fit_readout(features: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """Coefficients (C,) that minimise |features c - targets|^2 + ridge N |c|^2.

    Without ridge the shortest minimiser.

    Args:
        features: (N, C).
        targets: (N,).
        ridge: 0 or more.
    """
    if ridge == 0:
        return torch.linalg.pinv(features) @ targets
    penalty = (ridge * len(features)) ** 0.5 * torch.eye(
        features.shape[1], dtype=features.dtype, device=features.device
    )
    padded = torch.cat([targets, targets.new_zeros(features.shape[1])])
    return torch.linalg.lstsq(torch.cat([features, penalty]), padded).solution


def fit_random_features(
    student: VCNN,
    teacher: VCNN,
    *,
    train_images: int,
    test_images: int,
    noise: float,
    ridge: float,
    generator: torch.Generator,
) -> Fit:
    """Draws both networks and the images, fits the read-out, and measures both errors, in float64.

    Args:
        student: its pooled features are fitted.
        teacher: its pooled features, read out by N(0, 1) coefficients and standardised, are the values to
            fit.
        train_images: number of images to fit.
        test_images: number of new images.
        noise: standard deviation of the noise on the fitted values, whose own is 1.
        ridge: penalty of the read-out.
        generator: draws everything, the teacher and the images first, so that they do not depend on the
            student.
    """
    images = draw_images(teacher, train_images + test_images, generator, torch.float64)
    teacher_weights = draw_weights(teacher, generator, torch.float64)
    answers = pooled_features(teacher, teacher_weights, images)[:, :-1]
    values = answers @ torch.randn(
        answers.shape[1], generator=generator, dtype=answers.dtype, device=answers.device
    )
    values = (values - values.mean()) / values.std()
    disturbance = noise * torch.randn(
        train_images, generator=generator, dtype=values.dtype, device=values.device
    )
    features = pooled_features(student, draw_weights(student, generator, torch.float64), images)
    noisy = values[:train_images] + disturbance
    coefficients = fit_readout(features[:train_images], noisy, ridge)
    errors = features @ coefficients - torch.cat([noisy, values[train_images:]])
    return Fit(float(errors[:train_images].square().mean()), float(errors[train_images:].square().mean()))
