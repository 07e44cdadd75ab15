from __future__ import annotations

import pytest
import torch

from experiments.chapters.expressivity.theory.gaussian_complexity import (
    mean_bound,
    noise_fit,
    supremum,
    supremum_by_ascent,
)


def sample(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(40, size, generator=generator, dtype=torch.float64) for size in (12, 5))


@pytest.mark.parametrize("bound", [0.1, 1.0, 30.0])
def test_ascent_finds_what_the_closed_form_says(bound):
    inputs, noise = sample()
    torch.testing.assert_close(supremum_by_ascent(bound, inputs, noise), supremum(bound, inputs, noise))


def test_the_supremum_is_proportional_to_the_bound():
    inputs, noise = sample()
    unit = supremum_by_ascent(1.0, inputs, noise)
    for bound in (0.25, 3.0, 50.0):
        torch.testing.assert_close(supremum_by_ascent(bound, inputs, noise), bound * unit)


def test_no_matrix_of_that_norm_fits_the_noise_better():
    inputs, noise = sample()
    generator = torch.Generator().manual_seed(1)
    for _ in range(200):
        weight = torch.randn(5, 12, generator=generator, dtype=torch.float64)
        assert noise_fit(2 * weight / weight.norm(), inputs, noise) < supremum(2.0, inputs, noise)


def test_the_mean_stays_below_its_bound_and_close_to_it():
    inputs, _ = sample()
    generator = torch.Generator().manual_seed(2)
    suprema = torch.stack(
        [
            supremum(1.0, inputs, torch.randn(40, 5, generator=generator, dtype=torch.float64))
            for _ in range(400)
        ]
    )
    limit = mean_bound(1.0, inputs, outputs=5)
    assert 0.95 * limit < suprema.mean() < limit
