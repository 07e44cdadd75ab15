"""The study of cells: terms, parts of the score, halves of classes, stored aggregates, facts and figures."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.benchmarks import nasbench201 as benchmark
from experiments.benchmarks.map_terms import log_delta
from experiments.benchmarks.nasbench201_space import Cell
from experiments.benchmarks.nasbench201_terms import PERTURBATION, UNITS, gain, live_part, terms_of
from experiments.chapters.cells import figures as draw
from experiments.chapters.cells import study
from zenlib.errors import ScoreUndefined
from zenlib.scores.graph_form import GraphTerms, graph_of

needs_table = pytest.mark.skipif(not benchmark.is_there(), reason="needs nasbench201.csv in $ZENLIB_DATA")
DEAD = Cell.from_string("|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|")
BARE = Cell.from_string("|none~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|")


@pytest.fixture
def empty_store(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    study.cells.cache_clear()
    yield tmp_path
    study.cells.cache_clear()


def test_a_dead_convolution_changes_no_term():
    assert live_part(DEAD) == BARE
    assert terms_of(DEAD) == terms_of(BARE)


def test_cells_that_compute_one_function_have_the_same_terms():
    first = Cell.from_string(
        "|nor_conv_3x3~0|+|avg_pool_3x3~0|none~1|+|none~0|nor_conv_1x1~1|skip_connect~2|"
    )
    second = Cell.from_string(
        "|avg_pool_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|nor_conv_1x1~2|"
    )
    assert first.function == second.function and first != second
    assert terms_of(first) == pytest.approx(terms_of(second))


def test_the_two_parts_make_the_score():
    cell = Cell.from_string(study.EXAMPLES["convolutions"])
    terms, graph = terms_of(cell), GraphTerms(graph_of(cell), perturbation=PERTURBATION)
    # Every BatchNorm that reads no convolution (the last one) is in the cancelled part alone.
    assert terms["zen"] - terms["cancelled"] == pytest.approx(log_delta(graph) + gain(graph))
    assert set(terms) == set(UNITS)


def test_copies_of_a_map_add_as_amplitudes_and_convolutions_as_variances():
    skips, convolutions = (study.example_row(arch=arch) for arch in study.EXAMPLES.values())
    assert [skips[name] for name in study.NODE_NAMES] == pytest.approx([1, 1, 4, 1 + 9])
    assert [convolutions[name] for name in study.NODE_NAMES] == pytest.approx([1, 1, 2, 3])
    assert skips["fifth"] == pytest.approx(
        sum(9**power for power in range(6))
    )  # q -> 9 q + 1, five times from 1
    assert (
        skips["cancelled"] > convolutions["cancelled"]
        and skips["effective_gain"] < convolutions["effective_gain"]
    )


def test_a_cell_with_an_unread_node_has_no_picture():
    with pytest.raises(ScoreUndefined, match="reads nothing"):
        study.example_row(arch=BARE.to_string())


def test_arithmetic_and_monte_carlo_agree_on_what_is_cancelled():
    for cell in study.connected(2):  # over all cells the sums lie between -20 and 200 nats
        row = study.agreement_row(arch=cell.to_string(), seed=0, batch_size=8)
        assert row["scale_theory"] == pytest.approx(row["scale_measured"], abs=4)
        assert row["gain_theory"] == pytest.approx(row["gain_measured"], abs=2)


@needs_table
def test_halves_split_classes_and_the_choice_has_only_its_variants():
    rows = study.cells()
    assert rows.groupby("class")["half"].nunique().max() == 1
    assert 0.4 < (rows["half"] == "choice").mean() < 0.6
    chosen_on = {
        tuple(key.values()) for key in study.correlation_keys(study.DATASETS) if key["half"] == "choice"
    }
    assert chosen_on == {("cifar10", "all", "choice", score) for score in study.VARIANTS}


@needs_table
def test_equal_parameters_leave_nothing_for_a_count_to_order():
    with pytest.raises(ScoreUndefined, match="equal"):
        study.correlation_row(dataset="cifar10", population="equal params", half="report", score="params")
    told = study.correlation_row(
        dataset="cifar10", population="equal params", half="report", score=study.CHOSEN
    )
    assert told["kendall_low"] < told["kendall"] < told["kendall_high"] and math.isnan(told["over_convs"])


@needs_table
def test_monte_carlo_agrees_with_the_arithmetic_of_the_whole_score_where_no_edge_is_dead():
    alive, dead = (study.whole_row(group=group) for group in ("no dead edge", "dead edge"))
    assert alive["n"] + dead["n"] == 15625 - 341
    assert alive["spearman"] > 0.9 > dead["spearman"]
    assert alive["difference_spread"] < dead["difference_spread"]


def test_without_the_benchmark_the_arithmetic_is_shown_and_aggregates_that_are_missing_are_named(
    empty_store, monkeypatch, tmp_path
):
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    rows = study.run(agreement_cells=3, batch_size=2, larger_cells=1, larger_batch=4)
    assert (
        rows.correlations.empty
        and rows.whole.empty
        and len(rows.agreement) == 3
        and len(rows.examples) == len(study.EXAMPLES)
    )
    told = study.facts(rows)
    assert told["tau_effective_gain_all_report_cifar10"] == study.MISSING and told["skips_output"] == "10"
    for figure in (
        draw.examples(rows.examples),
        draw.strata(rows.correlations),
        draw.agreement(rows.agreement),
    ):
        assert isinstance(figure, Figure)


def test_without_the_benchmark_stored_aggregates_are_read(monkeypatch, tmp_path):
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    rows = study.run(datasets=["cifar10"], agreement_cells=3, larger_cells=1)
    read = rows.correlations
    assert isinstance(read, pd.DataFrame) and set(read["dataset"]) == {"cifar10"}
    found = read.set_index(["population", "half", "score"])["kendall"]
    assert found["no none", "all", "cancelled"] < 0 < found["no none", "all", "zen_rest"]
    told = study.facts(rows)
    assert told["tau_cancelled_full_all_cifar10"].startswith("\N{MINUS SIGN}")


def test_every_score_of_the_figure_is_reported():
    assert set(draw.SHOWN) <= set(study.SHOWN) and tuple(draw.POPULATIONS) == study.POPULATIONS
