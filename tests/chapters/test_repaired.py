"""The repaired score elsewhere: same networks for both, searches that see scores alone, conventions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from experiments.benchmarks import nasbench201 as benchmark
from experiments.benchmarks.nasbench201_space import Cell
from experiments.benchmarks.nasbench201_terms import live_part
from experiments.benchmarks.network_scores import BENCHMARKS, drawing_order
from experiments.chapters.repaired import conventions, other_scores, others, search, study
from experiments.chapters.repaired import figures as draw
from zenlib.errors import ScoreUndefined
from zenlib.scores.graph_form import GraphTerms, graph_of, repaired, repaired_score

needs_table = pytest.mark.skipif(not benchmark.is_there(), reason="needs nasbench201.csv in $ZENLIB_DATA")
MIXED = Cell.from_string(
    "|nor_conv_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|"
)
DEAD = Cell.from_string("|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|")
UNFED = Cell.from_string("|none~0|+|none~0|nor_conv_3x3~1|+|nor_conv_1x1~0|none~1|none~2|")
"""One with a convolution that nobody reads, one with a convolution that reads nothing."""


def test_the_vanilla_form_of_a_size_has_the_chain_formula_in_infinite_width_and_less_at_its_own():
    told = other_scores.vanilla_terms("nats_sizes", "8:24:8:16:8")
    assert told["wide_vanilla"] == pytest.approx(told["gain_vanilla"], abs=1e-9)
    assert told["repaired_vanilla"] < told["gain_vanilla"]


def test_counts_of_a_network_without_gates_are_those_of_the_built_module():
    told = other_scores.built_terms("nats_sizes", "8:24:8:16:8")
    module = BENCHMARKS["nats_sizes"].build("8:24:8:16:8")
    assert told["params"] == sum(parameter.numel() for parameter in module.parameters())
    assert told["repaired"] == pytest.approx(repaired_score(module, 32))
    graph = graph_of(
        torch.nn.Sequential(
            torch.nn.Conv2d(3, 6, 3, stride=2, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(6, 4, 1, groups=2)
        ),
        8,
    )
    assert other_scores.multiply_adds(graph) == 3 * 6 * 9 * 16 + 3 * 4 * 16


def test_an_operation_without_a_rule_leaves_the_score_undefined():
    with pytest.raises(ScoreUndefined, match="no rule"):
        other_scores.built_terms("torchvision", "convnext_tiny")


def test_rows_are_in_the_drawing_order_of_the_benchmark_study():
    assert drawing_order("pycls")[:5] == BENCHMARKS["pycls"].sample(5)


def test_changes_of_conventions_are_changes_of_one_thing():
    told, terms = conventions.changed(MIXED), GraphTerms(graph_of(live_part(MIXED)))
    number, defined = sum(conv.live for conv in terms.convs), repaired(terms)
    assert told["mean"] == pytest.approx(defined / number)
    assert (
        told["all_inputs"] > max(told["taps"], told["channels"])
        and min(told["taps"], told["channels"]) > defined
    )
    assert told["taps"] + told["channels"] == pytest.approx(told["all_inputs"] + defined)
    assert told["cells_only"] < defined and told["uncentred"] > defined and told["borders"] < defined
    assert told["pool_as_skip"] != pytest.approx(defined)
    assert conventions.with_dead(DEAD)["dead"] > repaired_score(live_part(DEAD))
    assert conventions.with_dead(UNFED)["dead"] == pytest.approx(repaired_score(live_part(UNFED)))


@needs_table
def test_both_scores_are_judged_on_the_same_networks():
    rows = others.members("nasbench201", "cifar10", "all", 500, "az-nas")
    assert set(rows.index) <= set(search.places("drawn cells").tolist()) and rows[
        ["repaired", "other"]
    ].notna().all(axis=None)
    told = others.comparison_row(
        benchmark="nasbench201",
        dataset="cifar10",
        population="all",
        half="report",
        networks_used=500,
        contestant="params",
    )
    assert (
        told["over"] == pytest.approx(told["repaired"] - told["other"])
        and told["over_low"] < told["over"] < told["over_high"]
    )
    assert 200 < told["n"] < 300


@needs_table
def test_a_search_keeps_the_highest_score_it_has_seen_and_the_first_of_equals():
    order, values = search.drawn("all cells", 3), search.scores("params")
    kept = search.kept("all cells", "draws", "params", 3)
    assert kept[0] == order[0] and (np.diff(values[kept]) >= 0).all()
    assert [int(kept[step]) for step in (9, 99)] == [
        int(order[: step + 1][np.argmax(values[order[: step + 1]])]) for step in (9, 99)
    ]


@needs_table
def test_evolution_changes_one_edge_of_a_member_that_is_still_alive():
    seen = search.evolved(search.scores("repaired"), 0, 200)
    cells = search.cells()["cell"]
    for place in range(search.POPULATION, 200):
        alive = seen[place - search.POPULATION : place]
        assert 1 in {
            sum(a != b for a, b in zip(cells[seen[place]].ops, cells[index].ops, strict=True))
            for index in alive
        }
    assert np.array_equal(seen, search.evolved(search.scores("repaired"), 0, 200))


@needs_table
def test_regret_is_zero_where_the_score_is_the_accuracy(monkeypatch):
    accuracies = search.cells()["cifar10"].to_numpy(float)
    monkeypatch.setattr(search, "scores", lambda score: accuracies)
    search.kept.cache_clear()
    told = search.search_row(
        dataset="cifar10", space="all cells", strategy="draws", score="repaired", evaluations=15_625, seeds=2
    )
    search.kept.cache_clear()
    assert told["regret"] == 0 and told["over_random"] > 0


def test_without_files_and_rows_every_fact_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    rows = study.run(whole=False)
    assert rows.comparisons.empty and set(study.facts(rows).values()) == {study.MISSING}
    assert study.overview(rows).empty and study.conventions_table(rows).empty
    assert isinstance(draw.places(study.widest(rows.comparisons)), Figure) and isinstance(
        draw.regret(rows.searches), Figure
    )


def test_without_files_the_stored_aggregates_are_read(monkeypatch, tmp_path):
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    rows = study.run()
    assert "nasbench201" in rows.missing and isinstance(rows.searches, pd.DataFrame)
    told = study.facts(rows)
    assert (
        told["over_params_all_all_nasbench201_cifar10"]
        != study.MISSING
        != told["regret_repaired_all_evolution_early_cifar10"]
    )
    assert told["over_dead_report"] != study.MISSING
    assert set(draw.SHOWN) <= set(rows.comparisons["contestant"]) and set(study.CHANGES) == set(
        conventions.UNITS
    )


@pytest.mark.skipif(not benchmark.is_there(), reason="needs the table of NAS-Bench-201")
@pytest.mark.parametrize("index", [2510, 1617])
def test_cells_that_compute_one_function_by_other_edges_have_conventions_of_their_own(index):
    stored = conventions.SCORES.read()
    for column in ("mean", "pool_as_skip", "dead"):
        assert conventions.CHECKS[0].compute(column, index) == pytest.approx(stored[column][index], rel=1e-5)
    assert abs(stored["all_inputs"][2510] - stored["all_inputs"][1617]) > 1
