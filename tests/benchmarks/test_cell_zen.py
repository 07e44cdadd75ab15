"""The fast scores of cells against the module run twice, and the vanilla form of a cell."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from experiments.benchmarks.cell_zen import CellScorer, cell_vcnn
from experiments.benchmarks.nasbench201_space import Cell, build, cells
from zenlib.errors import ScoreUndefined
from zenlib.scores.zen import zen_terms
from zenlib.vanilla.vcnn import Add, Pool

SMALL = {"widths": (4, 8, 16), "cells_per_stage": 2}
CONNECTED = [cell for cell in cells() if cell.is_connected]
DEAD_END = Cell.from_string("|nor_conv_3x3~0|+|none~0|none~1|+|avg_pool_3x3~0|none~1|none~2|")
READS_NOTHING = Cell.from_string(
    "|none~0|+|nor_conv_1x1~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|"
)
SAMPLE = [
    DEAD_END,
    READS_NOTHING,
    Cell(("nor_conv_3x3",) * 6),
    Cell(("skip_connect",) * 6),
    *random.Random(0).sample(CONNECTED, 12),
]


@torch.no_grad()
def two_runs(scorer: CellScorer, cell: Cell) -> list[float]:
    """The four terms by hooks on the BatchNorms of the benchmark's module, run on both branches in turn."""
    module = build(cell, widths=scorer.widths, cells_per_stage=scorer.cells_per_stage).double().train()
    for name, weight in module.named_parameters():
        if weight.dim() == 4:
            weight.copy_(scorer.draw(name, tuple(weight.shape)))
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    seen: list[torch.Tensor] = []
    for layer in norms:
        layer.register_forward_pre_hook(
            lambda _, inputs: seen.append(inputs[0].var((0, 2, 3), correction=0).mean())
        )
    first, second = (module.features(images) for images in scorer.branches.split(scorer.batch_size))
    minibatch = (torch.stack(seen[: len(norms)]) + 1e-5).log().sum() / 2
    running = torch.stack([layer.running_var.mean() for layer in norms]).log().sum() / 2
    l1 = (first - second).abs().sum((1, 2, 3)).mean().log()
    frobenius = (first - second).square().sum((1, 2, 3)).sqrt().mean().log()
    return [float(l1), float(frobenius), float(minibatch), float(running)]


@pytest.mark.parametrize("cell", SAMPLE, ids=str)
def test_every_term_is_that_of_the_module_run_twice(cell):
    scorer = CellScorer(3, batch_size=5, resolution=8, dtype=torch.float64, **SMALL)
    np.testing.assert_allclose(scorer.terms(cell)[:4], two_runs(scorer, cell), rtol=1e-9)


@pytest.mark.parametrize("cell", SAMPLE[::3], ids=str)
def test_float32_costs_a_thousandth_of_a_nat(cell):
    single, double = (
        CellScorer(1, batch_size=8, resolution=16, dtype=dtype, **SMALL)
        for dtype in (torch.float32, torch.float64)
    )
    exact = double.terms(cell)
    single._weights = {key: weight.float() for key, weight in double._weights.items()}
    single.branches = double.branches.float()
    np.testing.assert_allclose(single.terms(cell)[:4], exact[:4], atol=2e-3)


def test_dead_branches_count_in_the_score_as_it_is():
    scorer = CellScorer(0, batch_size=4, resolution=8, **SMALL)
    without = scorer.terms(Cell(("none", *DEAD_END.ops[1:])))
    with_dead_end = scorer.terms(DEAD_END)
    assert with_dead_end.log_delta_l1 == without.log_delta_l1
    assert with_dead_end.norms == without.norms + 6
    assert with_dead_end.score() > without.score() + 1


def test_a_convolution_that_reads_nothing_counts_as_the_floor_of_its_batch_norm():
    scorer = CellScorer(0, batch_size=4, resolution=8, **SMALL)
    terms = scorer.terms(READS_NOTHING)
    ops = list(READS_NOTHING.ops)
    ops[2] = ops[4] = "none"  # the two edges from node 1, which nothing reaches
    without = scorer.terms(Cell(tuple(ops)))
    assert terms.silent == 2 * 6 and without.silent == 0
    assert terms.log_sigma_minibatch - without.log_sigma_minibatch == pytest.approx(12 * math.log(1e-5) / 2)
    assert terms.log_sigma_running - without.log_sigma_running == pytest.approx(12 * math.log(0.9))


def test_the_scale_of_what_convolutions_read_is_that_of_their_inputs():
    scorer = CellScorer(2, batch_size=5, resolution=8, dtype=torch.float64, **SMALL)
    cell = SAMPLE[5]
    module = build(cell, widths=scorer.widths, cells_per_stage=scorer.cells_per_stage).double().train()
    seen: list[float] = []

    def note(_, inputs):
        seen.append(math.log(inputs[0].var((0, 2, 3), correction=0).mean()) / 2)

    for layer in (
        module.stem[0],
        module.norm[0],
        *(unit for unit in module.cells.modules() if relu_conv_bn(unit)),
    ):
        layer.register_forward_pre_hook(note)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            if weight.dim() == 4:
                weight.copy_(scorer.draw(name, tuple(weight.shape)))
        module.features(scorer.branches[:5])
    assert scorer.terms(cell, scales=True).log_scale == pytest.approx(sum(seen), rel=1e-9)
    assert math.isnan(scorer.terms(cell).log_scale)


def relu_conv_bn(unit):
    """Whether a module is a ReLU, a convolution and a BatchNorm."""
    return isinstance(unit, nn.Sequential) and len(unit) == 3 and isinstance(unit[2], nn.BatchNorm2d)


def test_a_sum_of_copies_is_scale_and_not_gain():
    scorer = CellScorer(0, batch_size=4, resolution=8, **SMALL)
    one = scorer.terms(
        Cell(("skip_connect", "none", "skip_connect", "skip_connect", "none", "nor_conv_3x3")), scales=True
    )
    doubled = scorer.terms(
        Cell(("skip_connect", "skip_connect", "skip_connect", "skip_connect", "none", "nor_conv_3x3")),
        scales=True,
    )
    # Node 2 is twice the input in place of once: every convolution gains log 2 in sigma, and as much in
    # scale.
    assert doubled.log_sigma_minibatch - doubled.log_scale == pytest.approx(
        one.log_sigma_minibatch - one.log_scale, abs=0.02
    )
    assert doubled.log_sigma_minibatch - one.log_sigma_minibatch == pytest.approx(6 * math.log(2), abs=0.05)


def test_a_score_does_not_depend_on_the_cells_before_it():
    scorer = CellScorer(5, batch_size=4, resolution=8, **SMALL)
    first = scorer.terms(SAMPLE[4])
    for cell in SAMPLE[5:9]:
        scorer.terms(cell)
    assert (
        scorer.terms(SAMPLE[4])
        == first
        == CellScorer(5, batch_size=4, resolution=8, **SMALL).terms(SAMPLE[4])
    )
    assert CellScorer(6, batch_size=4, resolution=8, **SMALL).terms(SAMPLE[4]) != first


def test_definitions_are_sums_of_their_terms():
    terms = CellScorer(0, batch_size=4, resolution=8, **SMALL).terms(SAMPLE[2])
    assert terms.score() == terms.log_delta_l1 + terms.log_sigma_minibatch
    assert terms.score("frobenius") == terms.log_delta_frobenius + terms.log_sigma_minibatch
    assert terms.score("l1", "running") == terms.log_delta_l1 + terms.log_sigma_running


def test_the_vanilla_form_cuts_skips_and_dead_edges_and_keeps_pools():
    cell = Cell.from_string(
        "|nor_conv_3x3~0|+|skip_connect~0|avg_pool_3x3~1|+|nor_conv_1x1~0|nor_conv_3x3~1|none~2|"
    )
    vcnn = cell_vcnn(cell)
    # Edge 1 is a skip; the pool of edge 2 ends at node 2, which nothing reads.
    assert len(vcnn.convs) == 1 + 4 + 15 * 3
    assert sum(isinstance(step, Add) for step in vcnn.steps) == 15
    assert not any(isinstance(step, Pool) for step in vcnn.steps)
    assert vcnn.removed.count("shortcut") == 15 + 2
    assert vcnn.steps[-1].out_channels == 64 and vcnn.steps[-1].out_resolution == (8, 8)
    assert math.isfinite(zen_terms(vcnn, batch_size=2, repeats=1).score()[0])


def test_a_chain_of_convolutions_is_a_chain():
    vcnn = cell_vcnn(
        Cell.from_string("|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|avg_pool_3x3~2|")
    )
    assert vcnn.is_chain and sum(isinstance(step, Pool) for step in vcnn.steps) == 15


def test_a_cell_without_a_path_has_no_score():
    skips = Cell(("skip_connect",) * 6)
    assert math.isfinite(CellScorer(0, batch_size=4, resolution=8, **SMALL).terms(skips).score())
    with pytest.raises(ScoreUndefined, match="no path leads"):
        cell_vcnn(skips)
    with pytest.raises(ScoreUndefined, match="no path leads"):
        CellScorer(0, batch_size=4, resolution=8, **SMALL).terms(Cell(("none",) * 6))
