"""The closed form meets Monte Carlo, layer by layer and as a whole, and depends on the network alone."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torchvision.models import alexnet, googlenet, resnet18

from experiments.benchmarks.random_baseline_space import random_network
from zenlib import Architecture, closed_form_zen_score, to_vcnn
from zenlib.errors import ArchitectureError, ConversionError
from zenlib.networks.architecture import Block
from zenlib.networks.zennets import ZENNETS, zennet_architecture, zennet_resolution
from zenlib.scores import border
from zenlib.scores.border import Border, Window, border_table, fields
from zenlib.scores.closed_form import closed_form_terms
from zenlib.scores.rectifier import M1_SQUARED
from zenlib.scores.zen import zen_terms

PAPER_TABLE_5 = {
    "resnet18": 59.53,
    "resnet34": 112.32,
    "resnet50": 140.3,
    "resnet101": 287.87,
    "resnet152": 433.57,
}


def plain(width: int, depth: int, kernel: int = 3) -> Architecture:
    return Architecture(
        (Block("conv", kernel, 3, width), Block("conv", kernel, width, width, layers=depth - 1))
    )


def drawn(count: int, seed: int = 3) -> list[Architecture]:
    rng = random.Random(seed)
    return [random_network(rng, max_params=300_000, max_depth=10) for _ in range(count)]


def meta(model):
    with torch.device("meta"):
        return to_vcnn(
            model(weights=None, init_weights=False) if model is googlenet else model(weights=None), 224
        )


def test_one_wide_convolution_is_its_fan_in_under_the_border():
    network = Architecture((Block("conv", 3, 3, 512),))
    taps = (3 - 2 / 32) ** 2
    assert closed_form_terms(network, 32).log_sigma[0] == pytest.approx(0.5 * math.log(3 * taps), abs=1e-3)


def test_without_a_border_a_wide_layer_has_the_variance_of_a_centred_rectified_gaussian():
    network = Architecture((Block("conv", 1, 4096, 4096, layers=3),))
    assert closed_form_terms(network, 8).log_sigma[2] == pytest.approx(
        0.5 * math.log(4096 * (0.5 - M1_SQUARED)), abs=2e-3
    )


@pytest.mark.parametrize(
    "network",
    [
        plain(64, 8),
        plain(32, 6, 7),
        Architecture.from_string("SuperConvK3BNRELU(3,32,2,1)SuperResIDWE2K5(32,48,2,48,1)"),
    ],
)
def test_each_log_sigma_and_log_delta_agree_with_monte_carlo(network):
    measured = zen_terms(network, 16, repeats=24)
    theory = closed_form_terms(network, 16)
    stderr = measured.log_sigma_minibatch.std(0, ddof=1) / math.sqrt(24)
    np.testing.assert_allclose(
        theory.log_sigma, measured.log_sigma_minibatch.mean(0), atol=0.02 + 3 * stderr.max()
    )
    assert theory.log_delta == pytest.approx(measured.log_delta_l1.mean(), abs=0.1)


@pytest.mark.parametrize("alpha", [0.0, 1e-3, 0.3])
def test_both_norms_agree_with_monte_carlo_at_any_perturbation(alpha):
    network = plain(48, 6)
    measured = zen_terms(network, 16, repeats=16, perturbation=alpha)
    for norm in ("l1", "frobenius"):
        assert closed_form_zen_score(network, 16, perturbation=alpha, norm=norm) == pytest.approx(
            measured.score(norm).mean(), abs=0.1
        )


def test_random_networks_are_met_within_one_percent_and_ranked_alike():
    networks = drawn(12)
    measured = np.array([zen_terms(network, 32, repeats=2).score().mean() for network in networks])
    theory = np.array([closed_form_zen_score(network, 32) for network in networks])
    assert np.median(np.abs(theory / measured - 1)) < 0.01
    assert np.corrcoef(measured.argsort().argsort(), theory.argsort().argsort())[0, 1] > 0.95


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_the_papers_table_5_is_met(name):
    from torchvision.models import get_model

    with torch.device("meta"):
        vcnn = to_vcnn(get_model(name, weights=None), 224)
    assert closed_form_zen_score(vcnn) == pytest.approx(PAPER_TABLE_5[name], rel=0.015)


@pytest.mark.parametrize("norm", ["l1", "frobenius"])
@pytest.mark.parametrize("name", ["zennet-0.5M", "zennet-0.1ms", "zennet-400M-SE"])
def test_an_architecture_and_its_vcnn_have_the_same_score(name, norm):
    network, resolution = zennet_architecture(name), zennet_resolution(name)
    assert closed_form_zen_score(network, resolution, norm=norm) == closed_form_zen_score(
        to_vcnn(network, resolution), norm=norm
    )


def test_a_score_does_not_depend_on_what_was_scored_before():
    first, *others = drawn(5, seed=8)
    alone = closed_form_zen_score(first, 32)
    for network in others:
        closed_form_zen_score(network, 48)
    assert closed_form_zen_score(first, 32) == alone


def test_the_terms_add_up_to_the_score():
    for name in ZENNETS[:2]:
        network, resolution = zennet_architecture(name), zennet_resolution(name)
        assert closed_form_terms(network, resolution).score == pytest.approx(
            closed_form_zen_score(network, resolution), abs=1e-9
        )


def test_the_derivative_is_the_limit_of_small_perturbations():
    network = plain(32, 5)
    limit = closed_form_zen_score(network, 16, perturbation=0)
    assert closed_form_zen_score(network, 16, perturbation=1e-7) - math.log(1e-7) == pytest.approx(
        limit, abs=1e-4
    )
    assert (
        closed_form_zen_score(plain(32, 60), 16, perturbation=0.01) - math.log(0.01)
        < closed_form_zen_score(plain(32, 60), 16, perturbation=0) - 3
    )


def test_max_pooling_before_and_after_the_last_convolution_is_met():
    vcnn = to_vcnn(alexnet(weights=None), 64)
    measured = zen_terms(vcnn, repeats=16)
    assert closed_form_zen_score(vcnn) == pytest.approx(measured.score().mean(), rel=0.02)


def test_one_image_takes_over_the_batch_in_deep_networks():
    network = Architecture(
        (Block("conv", 3, 3, 256), Block("bottleneck", 3, 256, 256, layers=18, bottleneck=64))
    )
    spread = [layer.image_spread for layer in closed_form_terms(network, 14).layers]
    assert spread[10] < 0.05
    assert spread[-1] > 20 * spread[40] > 0
    assert closed_form_terms(network, 14, batch_size=1).layers[-1].image_spread == 0


def test_a_dome_is_symmetric_has_mean_one_and_ends_below_one_at_the_border():
    dome = fields(9, 6).variance
    assert dome.mean() == pytest.approx(1)
    assert np.allclose(dome, dome.T) and np.allclose(dome, dome[::-1])
    assert dome[0, 0] < dome[0, 4] < 1 < dome[4, 4]


def test_a_convolution_away_from_the_border_sees_every_tap():
    edge, narrower, same = (
        Border(*border_table(*convolution)[0])
        for convolution in ((1, Window(1, 1, 0), 1), (7, Window(3, 1, 0), 5), (4, Window(3, 1, 1), 4))
    )
    assert (edge.taps, edge.shared, edge.age) == (1.0, pytest.approx(M1_SQUARED), 0)
    assert narrower.taps == pytest.approx(9)
    assert same.taps == pytest.approx(2.5**2)


def test_networks_without_a_closed_form_are_refused_with_the_reason():
    with pytest.raises(ConversionError, match="joins branches"):
        closed_form_zen_score(meta(googlenet))
    with pytest.raises(ConversionError, match="convert the network again at 64"):
        closed_form_zen_score(meta(resnet18), 64)
    with pytest.raises(ArchitectureError, match="resolution"):
        closed_form_zen_score(zennet_architecture("zennet-0.1ms"), 2)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("norm", "l2"), ("perturbation", -1.0), ("batch_size", 0)],
)
def test_arguments_out_of_range_are_named(argument, value):
    with pytest.raises(ValueError, match=f"{argument}: needed"):
        closed_form_zen_score(plain(8, 2), 8, **{argument: value})


@pytest.mark.parametrize("side", [3, 8, 32])
def test_of_two_patterns_of_equal_weight_rounding_does_not_choose_the_one_that_is_kept(side):
    rows = border._fresh_rows(side, 0, border._UNIT, side)
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(len(rows), len(rows))))[0] @ rows
    kept, again = (border._leading(table).T @ table for table in (rows, turned))
    assert len(kept) == border.RANK
    np.testing.assert_allclose(again.T @ again, kept.T @ kept, rtol=0, atol=1e-12)
