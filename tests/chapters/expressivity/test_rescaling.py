from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from experiments.chapters.expressivity.theory.rescaling import log_expected_energy, rescaled_ratios
from tests.chapters.expressivity.networks import plain, pooled
from zenlib.errors import ConversionError
from zenlib.scores.forward import BN_EPS, draw_images, draw_weights, forward


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_energy_without_batch_norm_is_the_mean_over_draws():
    vcnn, source = plain(3, 32, 6), generator()
    images = draw_images(vcnn, 4, source)
    drawn = torch.stack(
        [forward(vcnn, draw_weights(vcnn, source), images).square().sum() for _ in range(600)]
    ).double()
    expected = log_expected_energy(vcnn, images).exp()
    assert abs(drawn.mean() - expected) < 4 * drawn.std() / len(drawn) ** 0.5
    assert drawn.std() / len(drawn) ** 0.5 < 0.02 * expected


def test_the_energy_with_batch_norm_is_half_of_all_positions():
    vcnn, source = plain(3, 16, 6), generator()
    images = draw_images(vcnn, 4, source)
    drawn = torch.stack(
        [
            forward(vcnn, draw_weights(vcnn, source), images, batch_norm=True).square().sum()
            for _ in range(300)
        ]
    )
    assert abs(drawn.mean() - 4 * 16 * 36 / 2) < 4 * drawn.std() / len(drawn) ** 0.5


@pytest.mark.parametrize("centred", [False, True])
def test_the_ratios_are_those_of_a_plain_network_with_batch_norm_and_its_derivative(centred):
    vcnn, source = plain(4, 8, 6), generator()
    images, directions = (draw_images(vcnn, 5, source, torch.float64) for _ in range(2))
    weights = draw_weights(vcnn, source, torch.float64)
    squares = []

    def network(x: torch.Tensor) -> torch.Tensor:
        for weight in weights:
            z = F.conv2d(x, weight, padding=1)
            shift = z.mean((0, 2, 3), keepdim=True) if centred else 0
            square = (z - shift).square().mean((0, 2, 3), keepdim=True)
            squares.append(square.mean())
            x = torch.relu((z - shift) / (square + BN_EPS).sqrt())
        return x

    features = network(images)
    log_scale = torch.stack(squares).log().sum()
    _, moved = torch.func.jvp(network, (images,), (directions,))
    found = rescaled_ratios(vcnn, weights, images, directions, centred=centred)
    expected = log_scale + math.log(features.numel() / 2) - log_expected_energy(vcnn, images)
    torch.testing.assert_close(found.features, expected)
    torch.testing.assert_close(
        found.gradient, log_scale + moved.square().sum().log() - log_expected_energy(vcnn, directions)
    )


def means(depth: int, centred: bool, kernel: int, draws: int = 12) -> tuple[float, float]:
    """Mean of log R and of its counterpart for gradients; 1x1 kernels have no border."""
    vcnn, source, logs = plain(depth, 64, 8, kernel), generator(), []
    for _ in range(draws):
        images, directions = (draw_images(vcnn, 8, source) for _ in range(2))
        logs.append(rescaled_ratios(vcnn, draw_weights(vcnn, source), images, directions, centred=centred))
    features, gradient = torch.tensor(logs).mean(0).tolist()
    return features, gradient


def test_batch_norm_that_keeps_the_mean_gives_the_scale_of_the_features_back():
    assert abs(means(4, centred=False, kernel=3)[0]) < 0.3


def test_batch_norm_that_subtracts_the_mean_loses_a_third_of_the_energy_in_each_layer_after_the_first():
    expected = 7 * math.log(1 - 1 / math.pi)
    assert means(8, centred=True, kernel=1)[0] == pytest.approx(expected, abs=0.35)


def test_gradients_keep_their_scale_with_the_mean_subtracted_and_not_with_the_mean_kept():
    assert abs(means(8, centred=True, kernel=3)[1]) < 0.35
    assert means(8, centred=False, kernel=3)[1] > 0.6


def test_a_network_with_pooling_is_refused():
    with pytest.raises(ConversionError, match="pooling"):
        log_expected_energy(pooled(), torch.zeros(1, 3, 8, 8))
