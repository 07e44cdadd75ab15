"""Scores by arithmetic meet exact sums on tiny networks, and Monte Carlo on small ones."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

import zenlib
from experiments.benchmarks.nasbench201_space import Cell, build
from zenlib import ARITHMETIC, PROXIES, Architecture, arithmetic, build_network, to_vcnn
from zenlib.errors import ConversionError
from zenlib.networks.architecture import Block
from zenlib.proxies.query import Query, loss_gradients
from zenlib.scores.formulas import spread
from zenlib.scores.formulas.backward import Backward, collision
from zenlib.scores.formulas.counts import Counts, counts_of
from zenlib.scores.formulas.forward import Forward
from zenlib.scores.formulas.trainability import largest
from zenlib.scores.graph_form import graph_of
from zenlib.scores.graph_form.of_module import graph_of_module
from zenlib.scores.phi import log_jacobian_norms

CHAIN = Architecture((Block("conv", 3, 3, 4), Block("conv", 3, 4, 6, stride=2), Block("conv", 1, 6, 5)))
RESIDUAL = Architecture((Block("conv", 3, 3, 32), Block("residual", 3, 32, 48, 2, 3, 32)))
INVERTED = Architecture((Block("conv", 3, 3, 32), Block("inverted", 5, 32, 32, 2, 2, 32, 2)))
BOTTLENECK = Architecture((Block("conv", 3, 3, 32), Block("bottleneck", 3, 32, 64, 2, 2, 32)))
CELLS = tuple(
    Cell.from_string(text)
    for text in (
        "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|nor_conv_3x3~2|",
        "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_1x1~1|skip_connect~2|",
    )
)
NETWORKS = (RESIDUAL, INVERTED, BOTTLENECK, *CELLS)
LOGARITHMIC = ("grad-norm", "snip", "fisher-channels", "linear-regions")
"""Scores that are products over layers: their logarithms are compared."""
WITHIN = {
    "naswot": 1.0,
    "linear-regions": 0.35,
    "synflow": 0.4,
    "grad-norm": 0.7,
    "snip": 0.7,
    "fisher-channels": 1.2,
}
"""Nats by which one draw of a small network may miss its expected value."""


def module(network: Architecture | Cell) -> nn.Module:
    if isinstance(network, Cell):
        return build(network)
    return build_network(network, 10, use_se=False)


@pytest.mark.parametrize("network", [CHAIN, RESIDUAL, INVERTED, BOTTLENECK])
def test_an_architecture_has_the_operations_of_its_module(network):
    found, read = graph_of(network, 16), graph_of_module(module(network), 16)
    assert [replace_name(one) for one in found.operations] == [replace_name(one) for one in read.operations]


def replace_name(operation):
    return operation._replace(name="")


@pytest.mark.parametrize("network", NETWORKS)
def test_counts_of_operations_are_those_of_the_running_module(network):
    counts = counts_of(graph_of(network, 32))
    for name, value in zip(Counts._fields, counts, strict=True):
        assert PROXIES[name.replace("_", "-")](module(network), 32) == pytest.approx(value, rel=1e-12)
        assert arithmetic(name.replace("_", "-"), network, 32) == value


def test_counts_of_one_convolution_are_its_shape():
    assert counts_of(graph_of(Architecture((Block("conv", 3, 3, 8, stride=2),)), 10)) == (
        8 * 5 * 5,
        8 * 5 * 5,
        math.log(8),
        math.log(27),
    )


def test_a_rectifier_counts_as_often_as_it_runs():
    cell = Cell.from_string(
        "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|"
    )
    assert PROXIES["relu-units"](build(cell), 32) == counts_of(graph_of(cell)).relu_units
    assert max(operation.times for operation in graph_of(cell).operations) == 3


@pytest.mark.parametrize(
    "network", [CHAIN, Architecture((Block("conv", 3, 3, 8), Block("residual", 3, 8, 8, 1, 2, 8)))]
)
def test_synflow_is_the_mean_over_draws_of_its_exponential(network):
    drawn = np.exp([PROXIES["synflow"](network, 8, seed=seed, device="cpu") for seed in range(120)])
    error = drawn.std(ddof=1) / math.sqrt(len(drawn))
    assert abs(drawn.mean() - math.exp(arithmetic("synflow", network, 8))) < 3.5 * error
    assert error < 0.15 * drawn.mean()


def test_phi_is_half_the_log_of_the_mean_squared_jacobian():
    vcnn = to_vcnn(CHAIN, 8)
    generator = torch.Generator().manual_seed(0)
    squares = []
    for _ in range(300):
        weights = [torch.randn(conv.weight_shape, generator=generator) for conv in vcnn.convs]
        norms, _ = log_jacobian_norms(vcnn, weights, torch.randn(1, 3, 8, 8, generator=generator))
        squares.append(float((2 * norms).exp()))
    mean, error = np.mean(squares), np.std(squares, ddof=1) / math.sqrt(len(squares))
    assert abs(mean - math.exp(2 * arithmetic("phi", CHAIN, 8))) < 3.5 * error < 0.4 * mean


@pytest.mark.parametrize("name", WITHIN)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_formula_meets_the_mean_of_two_draws(network, name):
    found = np.array([PROXIES[name](module(network), 32, seed=seed, device="cpu") for seed in (0, 1)])
    expected = arithmetic(name, network, 32)
    if name in LOGARITHMIC:
        found, expected = np.log(found), math.log(expected)
    assert abs(found.mean() - expected) < WITHIN[name]


@pytest.mark.parametrize("network", [RESIDUAL, INVERTED, BOTTLENECK])
def test_expressivity_zico_and_intrain_come_near_two_draws(network):
    for name, within in (("az-expressivity", 0.1), ("zico", 0.1), ("intrain", 0.15)):
        found = np.mean([PROXIES[name](module(network), 32, seed=seed, device="cpu") for seed in (0, 1)])
        assert arithmetic(name, network, 32) == pytest.approx(found, rel=within)


@pytest.mark.parametrize("network", [RESIDUAL, INVERTED, BOTTLENECK])
def test_trainability_comes_near_two_draws(network):
    drawn = [PROXIES["az-trainability"](module(network), 32, seed=seed, device="cpu") for seed in (0, 1)]
    assert arithmetic("az-trainability", network, 32) == pytest.approx(np.mean(drawn), abs=0.1)


@pytest.mark.parametrize(
    ("identity", "rows", "columns"),
    [
        (0.0, [(300, 0.01)], 300),
        (1.0, [(300, 0.002)], 300),
        (0.0, [(600, 0.003)], 200),
        (0.0, [(200, 0.01), (600, 0.001)], 300),
    ],
)
def test_the_largest_singular_value_is_that_of_a_drawn_matrix(identity, rows, columns):
    rng = np.random.default_rng(0)
    parts = [math.sqrt(variance) * rng.standard_normal((count, columns)) for count, variance in rows]
    matrix = np.vstack(parts) + (identity * np.eye(columns) if identity else 0)
    assert largest(identity, rows, columns) == pytest.approx(np.linalg.norm(matrix, 2), rel=0.03)


def test_trainability_without_units_is_refused():
    with pytest.raises(ConversionError, match="needed an Architecture of at least two units"):
        arithmetic("az-trainability", CELLS[0])


def test_gradients_of_every_layer_of_a_deep_chain_have_the_size_that_is_handed_back():
    chain = Architecture((Block("conv", 3, 3, 48), Block("conv", 3, 48, 48, layers=11)))
    theory = Backward(Forward(graph_of(chain, 16)), 10).convs
    logs = []
    for seed in range(3):
        query = Query(module(chain), 16, 16, seed, torch.device("cpu"))
        logs.append([float(g.square().mean().log()) for g in loss_gradients(query)[: len(theory)]])
    expected = np.log([layer.square for layer in theory])
    assert np.abs(np.mean(logs, axis=0) - expected).max() < 0.4
    inner = expected[1:-2]
    assert np.diff(inner) == pytest.approx([-math.log(math.pi / (math.pi - 1))] * (len(inner) - 1), abs=0.06)


@pytest.mark.parametrize("classes", [10, 300])
def test_the_expected_square_of_a_softmax_is_that_of_draws(classes):
    generator = torch.Generator().manual_seed(0)
    for variance in (0.3, 2.0, 8.0):
        logits = torch.randn(4000, classes, generator=generator) * variance**0.5
        squares = logits.softmax(1).square().sum(1)
        error = float(squares.std()) / 4000**0.5
        assert abs(collision(variance, classes) - float(squares.mean())) < 4 * error


def test_without_a_network_behind_it_naswot_of_one_wide_layer_is_that_of_independent_images():
    network = Architecture((Block("conv", 1, 64, 4096),))
    units = 4096 * 32 * 32
    independent = 16 * math.log(units / 2) + math.log(17)
    assert arithmetic("naswot", network, 32) == pytest.approx(independent, abs=0.05)


def test_a_residual_stream_keeps_the_mean_that_no_batch_norm_takes_away():
    network = Architecture((Block("conv", 3, 3, 64), Block("residual", 3, 64, 64, 1, 5, 64)))
    forward = Forward(graph_of(network, 16))
    streams = [forward.maps[place] for place in graph_of(network, 16).marks]
    assert all(later.mean > 1.1 * before.mean for before, later in pairwise(streams))
    built = module(network)
    query = Query(built, 16, 16, 0, torch.device("cpu"))
    means: list[float] = []
    for unit in query.module.features:
        unit.register_forward_hook(lambda _, inputs, output: means.append(float(output.mean())))
    query.module(query.images)
    assert means == pytest.approx([stream.mean for stream in streams], rel=0.12)


def test_sums_over_lags_are_those_of_averaged_noise_on_a_torus():
    side = 16
    box = np.zeros((side, side))
    box[np.ix_((-1, 0, 1), (-1, 0, 1))] = 1 / 9
    response = np.fft.fft2(box).real
    shapes = {m: np.fft.ifft2(response**m).real for m in (0, 1, 2, 3, 6)}
    for m, first in shapes.items():
        assert spread.peak(m, side) == pytest.approx(first[0, 0], rel=0.02)
        for n, second in shapes.items():
            pair = (np.eye(len(spread.LADDER))[spread.LADDER.index(count)] for count in (m, n))
            exact = (first / first[0, 0] * second / second[0, 0]).sum()
            assert float(next(pair) @ spread._lags(side) @ next(pair)) == pytest.approx(exact, rel=0.03)


def test_skips_of_one_source_add_up_as_amplitudes():
    source, other = spread.Source(spread.WHITE), spread.Source(spread.WHITE)
    twice = spread.summed([{(source, 0.0): 1.0}, {(source, 0.0): 1.0}])
    apart = spread.summed([{(source, 0.0): 1.0}, {(other, 0.0): 1.0}])
    pooled = spread.summed([{(source, 0.0): 1.0}, spread.pooled({(source, 0.0): 1.0}, 1.0)])
    variances = [spread.terms(parts, 16)[0] for parts in (twice, apart, pooled)]
    assert variances == pytest.approx([4.0, 2.0, 1 + 2 / 9 + 1 / 9])


def test_every_formula_has_the_name_of_a_proxy():
    assert set(ARITHMETIC) <= set(PROXIES)
    assert zenlib.arithmetic is arithmetic


def test_unknown_names_and_networks_without_batch_norm_are_refused():
    with pytest.raises(ValueError, match="name: needed one of naswot"):
        arithmetic("nothing", CHAIN, 16)
    bare = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
    with pytest.raises(ConversionError, match="needed a BatchNorm between a convolution and its activation"):
        arithmetic("naswot", bare, 16)
    with pytest.raises(ConversionError, match="whose blocks are known"):
        arithmetic("az-expressivity", module(CHAIN), 16)
    pooled = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.MaxPool2d(2))
    with pytest.raises(ConversionError, match="needed a chain of convolutions for Phi"):
        arithmetic("phi", CELLS[0])
    with pytest.raises(ConversionError, match="a maximum is no sum over paths"):
        arithmetic("synflow", pooled, 16)


def test_a_graph_without_marks_gives_the_same_counts():
    graph = graph_of(RESIDUAL, 16)
    assert arithmetic("naswot", replace(graph, marks=())) == arithmetic("naswot", RESIDUAL, 16)
