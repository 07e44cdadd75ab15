"""The arithmetic on graphs: chains, sums, what a module and a cell have in common, Monte Carlo, refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from experiments.benchmarks.map_terms import marks
from experiments.benchmarks.nasbench201_space import Cell, build, cells
from experiments.benchmarks.nasbench201_terms import gain
from experiments.chapters.cells.monte_carlo import measure
from zenlib import Architecture, to_vcnn
from zenlib.errors import ConversionError, ScoreUndefined
from zenlib.scores.graph_form import GraphTerms, graph_of, repaired, repaired_score
from zenlib.scores.rectifier import CENTRED

CHAIN = "SuperConvK3BNRELU(3,16,1,1)SuperConvK3BNRELU(16,32,2,1)SuperConvK1BNRELU(32,24,1,1)"
RESIDUAL = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|"
SKIPS = "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"
POOLED = "|skip_connect~0|+|avg_pool_3x3~0|skip_connect~1|+|nor_conv_3x3~0|skip_connect~1|nor_conv_3x3~2|"


def small(text: str):
    """Two repeats of a cell in one stage of 16 channels."""
    return Cell.from_string(text).as_graph(16, (16,), 2)


def test_a_chain_has_the_sigma_of_the_chain_formula():
    terms = GraphTerms(graph_of(to_vcnn(Architecture.from_string(CHAIN), 32)))
    expected = [math.log(27) / 2, math.log(16 * 9 * CENTRED) / 2, math.log(32 * CENTRED) / 2]
    assert [conv.log_sigma for conv in terms.convs] == pytest.approx(expected)
    assert gain(terms) == pytest.approx(sum(expected))


def test_a_wide_chain_of_independent_inputs_is_not_repaired():
    terms = GraphTerms(graph_of(to_vcnn(Architecture.from_string(CHAIN), 32)), width=False)
    assert repaired(terms) == pytest.approx(sum(conv.log_sigma for conv in terms.convs))


def test_skips_of_one_source_add_as_amplitudes_and_convolutions_as_variances():
    coherent, incoherent = GraphTerms(small(SKIPS)), GraphTerms(small(RESIDUAL))
    # Six skips are x times 4 (1 + 1 + 2), so a variance of 16 per repeat.
    assert [mark.variance for mark in marks(coherent)] == pytest.approx([16, 256])
    assert [mark.variance for mark in marks(incoherent)] == pytest.approx([2, 3])


def test_pooling_of_white_values_divides_their_variance_by_nine():
    pool = "|avg_pool_3x3~0|+|none~0|none~1|+|none~0|skip_connect~1|none~2|"
    assert marks(GraphTerms(small(pool)))[0].variance == pytest.approx(1 / 9)


def test_the_module_of_a_cell_gives_the_terms_of_the_cell():
    every = [cell for cell in cells() if cell.is_connected]
    for index in np.random.default_rng(3).permutation(len(every))[2:4]:
        assert repaired_score(build(every[index]), 32) == pytest.approx(
            repaired_score(every[index]), rel=1e-9
        )


def test_dead_convolutions_do_not_move_the_repaired_score():
    dead = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    alone = "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    assert repaired_score(Cell.from_string(dead)) == pytest.approx(repaired_score(Cell.from_string(alone)))


@pytest.mark.parametrize("text", [RESIDUAL, POOLED])
def test_variance_gain_overlap_and_growth_are_those_of_monte_carlo(text):
    graph = small(text)
    theory = GraphTerms(graph, perturbation=0.01, borders=True)
    found = [measure(graph, seed, batch_size=8) for seed in range(6)]
    for index, conv in enumerate(theory.convs):
        logs = [run.convs[index].log_sigma for run in found]
        assert conv.log_sigma == pytest.approx(np.mean(logs), abs=0.25), conv.operation.name
        inputs = [math.log(run.convs[index].independent) for run in found]
        assert math.log(conv.independent) == pytest.approx(np.mean(inputs), abs=0.3), conv.operation.name
    for index, mark in enumerate(marks(theory)):
        for name in ("variance", "growth", "channel_count"):
            assert math.log(getattr(mark, name)) == pytest.approx(
                np.mean([math.log(getattr(run.marks[index], name)) for run in found]), abs=0.35
            ), name


def test_a_gate_changes_nothing_and_a_shortcut_does():
    class Block(nn.Module):
        def __init__(self, shortcut: bool, gated: bool) -> None:
            super().__init__()
            self.stem, self.conv = (
                nn.Conv2d(3, 8, 3, padding=1, bias=False),
                nn.Conv2d(8, 8, 3, padding=1, bias=False),
            )
            self.last = nn.Conv2d(8, 8, 3, padding=1, bias=False)
            self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(3))
            self.shortcut, self.gated = shortcut, gated

        def forward(self, images):
            first = torch.relu(self.norms[0](self.stem(images)))
            second = self.norms[1](self.conv(first))
            second = second * torch.sigmoid(second.mean((2, 3), keepdim=True)) if self.gated else second
            third = torch.relu(second + first if self.shortcut else second)
            return self.norms[2](self.last(third)).mean((2, 3))

    plain, gated, joined = (
        repaired_score(Block(*kind), 16) for kind in ((False, False), (False, True), (True, False))
    )
    assert gated == pytest.approx(plain)
    assert abs(joined - plain) > 0.01


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "googlenet"])
def test_torchvision_networks_have_a_finite_score(name):
    torchvision = pytest.importorskip("torchvision")
    with torch.device("meta"):
        module = getattr(torchvision.models, name)(
            weights=None, **({"init_weights": False, "aux_logits": False} if name == "googlenet" else {})
        )
    assert math.isfinite(repaired_score(module, 64))


def test_what_has_no_rule_is_refused_with_the_reason():
    with pytest.raises(ConversionError, match="no rule for"):
        repaired_score(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Upsample(scale_factor=2), nn.Conv2d(8, 8, 3)), 16)
    with pytest.raises(ConversionError, match="square"):
        repaired_score(nn.Sequential(nn.Conv2d(3, 8, (1, 3)), nn.BatchNorm2d(8)), 16)
    with pytest.raises(ScoreUndefined, match="no path"):
        repaired_score(Cell(("none",) * 6))
    with pytest.raises(ConversionError, match="resolution"):
        repaired_score(to_vcnn(Architecture.from_string(CHAIN), 32), 64)
