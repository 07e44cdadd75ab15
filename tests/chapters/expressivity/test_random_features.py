from __future__ import annotations

import pytest
import torch

from experiments.chapters.expressivity.theory.random_features import (
    Fit,
    fit_random_features,
    fit_readout,
    pooled_features,
)
from tests.chapters.expressivity.networks import plain
from zenlib.scores.forward import draw_images, draw_weights


def fit(width: int, images: int = 40, seed: int = 0, **settings) -> Fit:
    options = {"train_images": images, "test_images": 200, "noise": 0.5, "ridge": 0.0} | settings
    return fit_random_features(
        plain(2, width, 6), plain(2, 16, 6), generator=torch.Generator().manual_seed(seed), **options
    )


def test_the_ridge_solution_solves_its_normal_equations():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(30, 8, generator=generator, dtype=torch.float64)
    targets = torch.randn(30, generator=generator, dtype=torch.float64)
    coefficients = fit_readout(features, targets, ridge=0.3)
    gram = features.T @ features + 0.3 * 30 * torch.eye(8, dtype=torch.float64)
    torch.testing.assert_close(gram @ coefficients, features.T @ targets)


def test_without_ridge_more_features_than_images_fit_the_noise_with_the_shortest_coefficients():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(8, 30, generator=generator, dtype=torch.float64)
    targets = torch.randn(8, generator=generator, dtype=torch.float64)
    coefficients = fit_readout(features, targets, ridge=0.0)
    torch.testing.assert_close(features @ coefficients, targets)
    torch.testing.assert_close(coefficients, features.T @ torch.linalg.solve(features @ features.T, targets))


def test_wider_networks_fit_better_until_they_fit_the_noise():
    errors = [sum(fit(width, seed=seed).train for seed in range(4)) for width in (4, 12, 24, 64)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-12


def test_the_error_on_new_images_peaks_where_the_features_are_as_many_as_the_images():
    below, at, above = (sorted(fit(width, seed=seed).test for seed in range(5))[2] for width in (8, 39, 256))
    assert at > 3 * below
    assert at > 3 * above


def test_noise_is_not_counted_on_new_images():
    assert fit(200, images=40, noise=0.0).train < 1e-12
    loud, silent = fit(12, images=300), fit(12, images=300, noise=0.0)
    assert loud.train > silent.train + 0.1
    assert loud.test == pytest.approx(silent.test, abs=0.1)


def test_features_are_pooled_and_end_with_a_constant():
    vcnn = plain(2, 5, 6)
    generator = torch.Generator().manual_seed(0)
    features = pooled_features(vcnn, draw_weights(vcnn, generator), draw_images(vcnn, 7, generator))
    assert features.shape == (7, 6)
    assert features[:, -1].tolist() == [1.0] * 7
    assert features[:, :-1].square().mean().item() == pytest.approx(1.0, rel=1e-5)
