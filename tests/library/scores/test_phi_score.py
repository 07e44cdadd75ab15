from __future__ import annotations

import gc
import math

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from experiments.chapters.expressivity.theory.regions import region_map
from experiments.chapters.expressivity.theory.rescaling import log_expected_energy
from tests.chapters.expressivity.networks import branched, plain, pooled
from zenlib import Architecture, ScoreUndefined, phi_score, to_vcnn
from zenlib.networks.architecture import Block
from zenlib.scores.forward import draw_images, draw_weights, forward
from zenlib.scores.phi import log_jacobian_norms, log_norm, log_probe_norms, pushforward

NETWORKS = {"shallow": plain(1, 4, 6), "deep": plain(8, 6, 6), "pooled": pooled(), "branched": branched()}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("vcnn", NETWORKS.values(), ids=NETWORKS.keys())
def test_directions_travel_as_automatic_differentiation_says(vcnn):
    weights = draw_weights(vcnn, generator(), torch.float64)
    images, direction = (
        draw_images(vcnn, 3, generator(1), torch.float64),
        draw_images(vcnn, 3, generator(2), torch.float64),
    )
    features, moved = pushforward(vcnn, weights, images, direction[None])
    expected, derivative = torch.func.jvp(lambda x: forward(vcnn, weights, x), (images,), (direction,))
    torch.testing.assert_close(features, expected)
    torch.testing.assert_close(moved[0], derivative)


@pytest.mark.parametrize("vcnn", NETWORKS.values(), ids=NETWORKS.keys())
def test_the_jacobian_norm_is_the_norm_of_the_region_matrix(vcnn):
    weights, images = (
        draw_weights(vcnn, generator(), torch.float64),
        draw_images(vcnn, 3, generator(1), torch.float64),
    )
    log_norms, finite = log_jacobian_norms(vcnn, weights, images)
    expected = torch.stack([region_map(vcnn, weights, image).norm().log() for image in images])
    torch.testing.assert_close(log_norms, expected)
    assert finite.all()


@pytest.mark.parametrize("vcnn", NETWORKS.values(), ids=NETWORKS.keys())
def test_probes_agree_with_the_exact_jacobian_within_their_error(vcnn):
    exact = phi_score(vcnn, method="jacobian", repeats=24)
    probed = phi_score(vcnn, method="probe", repeats=24)
    assert (
        abs(exact.mean - probed.mean) < 0.5 * exact.stderr + 0.02
    )  # the same weights and images: only the probes add noise
    other_draws = phi_score(vcnn, method="probe", repeats=24, seed=1)
    assert abs(exact.mean - other_draws.mean) < 4 * math.hypot(exact.stderr, other_draws.stderr)


def test_few_probes_are_not_biased_even_where_one_direction_dominates():
    vcnn = plain(16, 4, 3)  # deep and narrow: the Jacobian has nearly rank one
    exact = phi_score(vcnn, method="jacobian", repeats=60, dtype=torch.float64, batch_size=8)
    few = phi_score(vcnn, method="probe", repeats=60, probes=4, dtype=torch.float64, batch_size=8)
    assert abs(exact.mean - few.mean) < 0.06


def test_phi_matches_the_mean_square_that_arithmetic_gives():
    vcnn = plain(6, 64, 6)
    ones = torch.ones(1, 3, 6, 6)  # the energies of all unit directions together
    expected = log_expected_energy(vcnn, ones).item() / 2
    found = phi_score(vcnn, repeats=32)
    assert found.mean == pytest.approx(expected, abs=0.1)


def test_overflow_is_infinite_and_names_the_layer_where_it_began():
    deep = plain(36, 64, 4)
    single = phi_score(deep, repeats=2)
    assert single.mean == math.inf
    assert math.isnan(single.stderr)
    assert 28 <= single.overflow_layer <= 35
    assert "convolution" in str(single)
    assert phi_score(plain(single.overflow_layer - 1, 64, 4), repeats=2).overflow_layer is None


def test_the_overflow_is_a_matter_of_float32():
    deep = plain(36, 64, 4)
    double = phi_score(deep, repeats=2, dtype=torch.float64)
    assert math.isfinite(double.mean)
    assert double.mean > math.log(torch.finfo(torch.float32).max)
    assert double.overflow_layer is None


def test_the_jacobian_method_reports_overflow_too():
    found = phi_score(plain(80, 16, 2), method="jacobian", repeats=1, batch_size=1)
    assert (found.mean, found.overflow_layer is not None) == (math.inf, True)


def test_a_norm_whose_square_overflows_is_still_a_number():
    assert log_norm(torch.tensor([3e30, 4e30])).item() == pytest.approx(math.log(5e30))
    assert log_norm(torch.zeros(3)).item() == -math.inf


def test_an_architecture_a_vcnn_and_a_module_have_one_score():
    architecture = Architecture((Block("conv", 3, 3, 8, layers=2),))
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    scores = [phi_score(network, 12).mean for network in (architecture, to_vcnn(architecture, 12), module)]
    assert scores[0] == scores[1] == scores[2]


def test_the_seed_alone_determines_the_score():
    vcnn = plain(3, 8, 6)
    torch.manual_seed(5)
    first = phi_score(vcnn, repeats=3)
    torch.rand(7)
    state = torch.get_rng_state()
    assert phi_score(vcnn, repeats=3) == first
    assert torch.equal(torch.get_rng_state(), state)
    assert phi_score(vcnn, repeats=3, seed=1).mean != first.mean
    alone = phi_score(vcnn, repeats=1).mean
    two = phi_score(vcnn, repeats=2).mean
    assert phi_score(vcnn, repeats=3).mean == pytest.approx(first.mean)
    assert math.isfinite(alone) and two != alone


def test_more_layers_need_no_more_memory():
    def most_entries(depth: int) -> int:
        vcnn = plain(depth, 16, 8)
        source = generator()
        weights = (torch.randn(conv.weight_shape, generator=source) for conv in vcnn.convs)
        images, directions = draw_images(vcnn, 2, source), torch.randn(4, 2, 3, 8, 8, generator=source)
        seen = []
        own = {id(tensor) for tensor in gc.get_objects() if type(tensor) is torch.Tensor}

        def count(index: int, output: torch.Tensor) -> None:
            seen.append(
                sum(o.numel() for o in gc.get_objects() if type(o) is torch.Tensor and id(o) not in own)
            )

        pushforward(vcnn, weights, images, directions, on_conv=count)
        return max(seen)

    assert most_entries(8) == most_entries(4)


def test_nothing_sits_on_the_wrong_device():
    for vcnn in (pooled(), branched()):
        with FakeTensorMode():
            weights = [torch.randn(conv.weight_shape, device="cuda") for conv in vcnn.convs]
            images = torch.randn(2, 3, vcnn.resolution, vcnn.resolution, device="cuda")
            log_norms, finite = log_probe_norms(
                vcnn, weights, images, torch.randn(4, *images.shape, device="cuda")
            )
            assert (log_norms.device.type, finite.device.type) == ("cuda", "cuda")
            log_norms, finite = log_jacobian_norms(vcnn, weights, images)
            assert (log_norms.device.type, finite.device.type) == ("cuda", "cuda")


def test_a_network_that_loses_all_signal_has_no_score():
    dying = plain(40, 1, 2, kernel=1)
    with pytest.raises(ScoreUndefined, match="zero"):
        phi_score(dying)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("batch_size", 0), ("repeats", 0), ("probes", 1), ("seed", -1), ("method", "finite-difference")],
)
def test_a_bad_argument_is_named_with_what_was_needed(argument, value):
    with pytest.raises(ValueError, match=f"{argument}: needed .* got {value!r}"):
        phi_score(plain(1, 4, 4), **{argument: value})
