"""The study of what a score is worth: encodings, predictors, draws without leaks, crossings, searches."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.stats import kendalltau
from sklearn.preprocessing import StandardScaler

from experiments.benchmarks import nasbench201 as benchmark
from experiments.benchmarks.nasbench201_space import Cell, cells
from experiments.chapters.worth import figures as draw
from experiments.chapters.worth import rows as rows_of
from experiments.chapters.worth import study
from experiments.chapters.worth.encodings import PATHS, features, normal_scores, operations, paths
from experiments.chapters.worth.predictors import PREDICTORS, predict
from experiments.record.score_columns import ScoreColumns
from tests.quick_scores import fill, forget_all
from zenlib.errors import ResultsError, ScoreUndefined

needs_table = pytest.mark.skipif(not benchmark.is_there(), reason="needs nasbench201.csv in $ZENLIB_DATA")
FIGURES = (
    lambda rows: draw.learning(rows.curves),
    lambda rows: draw.pays(study.pays(rows.curves)),
    lambda rows: draw.regret(rows.picks),
)


@pytest.fixture
def quick(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    monkeypatch.setattr(study, "fill_zen", fill)
    monkeypatch.setattr(study, "RESAMPLES", 200)
    forget_all()
    yield tmp_path
    forget_all()


def cell(*ops):
    return Cell(
        tuple(
            {"n": "none", "s": "skip_connect", "c": "nor_conv_3x3", "o": "nor_conv_1x1", "p": "avg_pool_3x3"}[
                op
            ]
            for op in ops
        )
    )


def met(given):
    return {PATHS[index] for index in np.flatnonzero(paths(given))}


def test_a_path_is_met_where_its_edges_follow_one_another():
    # edges in order: 0-1, 0-2, 1-2, 0-3, 1-3, 2-3
    assert met(cell("n", "n", "n", "s", "n", "n")) == {("skip_connect",)}
    assert met(cell("c", "n", "o", "n", "n", "p")) == {("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3")}
    assert met(cell("c", "s", "n", "n", "p", "o")) == {
        ("nor_conv_3x3", "avg_pool_3x3"),
        ("skip_connect", "nor_conv_1x1"),
    }
    assert len(PATHS) == 4 + 4**2 + 4**3


def test_encodings_tell_operations_exactly_and_paths_up_to_dead_edges():
    some = [given for number, given in enumerate(cells()) if number % 97 == 0]
    assert len({tuple(operations(given)) for given in some}) == len(some)
    assert all(operations(given).sum() == 6 for given in some)
    dead, alive = cell("c", "n", "n", "s", "n", "n"), cell("n", "n", "n", "s", "n", "n")
    assert tuple(paths(dead)) == tuple(paths(alive))


def test_normal_scores_keep_the_order_and_put_what_is_undefined_last():
    found = normal_scores(np.array([3.0, math.nan, 1e9, 3.0, -1e9]))
    assert found[0] == found[3] and found[1] < found[4] < found[0] < found[2]
    assert abs(found.mean()) < 0.2


@pytest.mark.parametrize("name", PREDICTORS)
def test_a_predictor_learns_what_can_be_learned_and_nothing_else(name):
    every = list(cells())[::25]
    x = StandardScaler().fit_transform(features(pd.DataFrame({"cell": every}), ["operations"], []))
    rng = np.random.default_rng(0)
    order, truth, nothing = (
        rng.permutation(len(every)),
        np.array([float(given.convs) for given in every]),
        rng.normal(size=len(every)),
    )
    trained, asked = order[:200], order[200:]
    assert kendalltau(predict(name, x, trained, truth[trained], asked, 0), truth[asked]).statistic > 0.8
    assert (
        abs(kendalltau(predict(name, x, trained, nothing[trained], asked, 0), nothing[asked]).statistic)
        < 0.15
    )


@needs_table
def test_no_held_out_cell_is_like_a_trained_one(quick):
    fill(0, rows_of.sample(3000))
    forget_all()
    rows = rows_of.pool(3000)
    trained, held_out = rows_of.split(64, 0, 3000)
    assert len(trained) == 64 == rows["class"].iloc[trained].nunique()
    for kind in ("class", "function"):
        assert not set(rows[kind].iloc[trained]) & set(rows[kind].iloc[held_out])
    assert rows["connected"].all() and len(held_out) > 1500
    assert set(rows_of.split(64, 1, 3000)[0]) != set(trained)
    with pytest.raises(ScoreUndefined):
        rows_of.split(3000, 0, 3000)


@needs_table
def test_a_run_states_every_fact_and_is_read_again_as_it_was(quick):
    small = {
        "datasets": ["cifar10", "cifar100"],
        "cells_scored": 1500,
        "n": [4, 64],
        "draws": 2,
        "candidates": 300,
        "searches": 10,
    }
    rows = study.run(**small, searches_predicted=2)
    found = rows.curves[rows.curves["dataset"] == "cifar10"].set_index(
        ["predictor", "features", "labels", "n"]
    )["kendall"]
    assert found["ridge", "operations", "test", 64] > found["ridge", "operations", "test", 4]
    assert found["none", "live_convs", "test", 4] > 0.4
    crossed = study.pays(rows.curves).set_index(["score", "predictor", "features"])
    assert 4 <= crossed.loc[("wired", "ridge", "operations"), "n"] < 64
    regret = rows.picks.set_index(["strategy", "features", "n"])["regret"]
    assert regret["random", "none", 64] < regret["random", "none", 1] and (rows.picks["regret"] >= 0).all()
    facts = study.facts(rows)
    assert (
        facts["n_most"] == "64"
        and facts["pays_params_in16"] == study.UNKNOWN
        and "(" in facts["curve_ridge_operations_64"]
    )
    pd.testing.assert_frame_equal(study.run(**small, searches_predicted=2).curves, rows.curves)
    for figure in FIGURES:
        assert isinstance(figure(rows), Figure)


@needs_table
def test_a_proxy_is_judged_on_one_sample_of_cells_however_many_were_measured(quick):
    fill(0, rows_of.sample(700))
    measured = ScoreColumns(
        "benchmarks", benchmark.CELLS, {"naswot": "1: a proxy", "snip": "1: a proxy"}, name="nasbench201"
    )
    measured.fill(
        ("naswot_s0",), lambda index: {"naswot_s0": float(index % 11)}, rows_of.sample(600), progress=False
    )
    measured.fill(("snip_s0",), lambda index: {"snip_s0": 1.0}, rows_of.sample(400), progress=False)
    forget_all()
    known = rows_of.scores_known(700, 0)
    assert known["naswot"].sum() == rows_of.pool(rows_of.PROXY_CELLS).shape[0] and "snip" not in known
    row = rows_of.curve_row(
        dataset="cifar10",
        predictor="none",
        features="naswot",
        labels="test",
        seed=0,
        n=8,
        draws=2,
        cells_scored=700,
    )
    assert 400 < row["held_out"] < rows_of.PROXY_CELLS and abs(row["kendall"]) < 0.2


@needs_table
def test_a_search_that_trains_every_candidate_ends_alike_however_it_began(quick):
    fill(0, rows_of.sample(400))
    forget_all()
    settings = {"seed": 0, "n": 100, "draws": 4, "candidates": 100, "cells_scored": 400}
    ends = [
        rows_of.pick_row(strategy="random", predictor="none", features="none", **settings),
        rows_of.pick_row(strategy="score", predictor="none", features="params", **settings),
        rows_of.pick_row(strategy="predictor", predictor="ridge", features="operations", **settings),
    ]
    assert ends[0] == ends[1] == ends[2]
    with pytest.raises(ScoreUndefined):
        rows_of.pick_row(strategy="random", predictor="none", features="none", **settings | {"n": 101})


@needs_table
def test_a_file_without_validation_accuracies_is_told(quick, monkeypatch):
    without = benchmark.table().drop(columns=rows_of.VALIDATION)
    fill(0, rows_of.sample(50))
    forget_all()
    monkeypatch.setattr(rows_of.nasbench201, "table", lambda: without)
    with pytest.raises(ResultsError, match=rows_of.VALIDATION):
        rows_of.labels_of(50, "cifar10", "validation")


def curves(**taus):
    """Curves at n = 4, 16 and 64 of one predictor and some scores."""
    lines = []
    for name, values in taus.items():
        learned = name == "learned"
        for n, tau in zip((4, 16, 64), values, strict=True):
            what = {
                "predictor": "ridge" if learned else "none",
                "features": "operations" if learned else name,
            }
            values_of = {
                "kendall": tau,
                "kendall_stderr": 0.01 * learned,
                "kendall_low": tau - 0.05,
                "kendall_high": tau + 0.05,
            }
            lines.append(
                {"dataset": "cifar10", "labels": "test", "n": n, "draws": 10, "held_out": 100.0}
                | what
                | values_of
            )
    return pd.DataFrame(lines)


def test_a_crossing_lies_where_two_curves_meet_on_a_logarithmic_scale():
    found = study.pays(
        curves(learned=(0.2, 0.4, 0.6), half=(0.3, 0.3, 0.3), low=(0.1, 0.1, 0.1), high=(0.9, 0.9, 0.9))
    ).set_index("score")
    assert (
        found.loc["half", "n"] == pytest.approx(8)
        and found.loc["half", "low"] < 8 < found.loc["half", "high"] < 16
    )
    assert found.loc["half", "surely"] == pytest.approx(4 * 4**0.75)
    assert (
        found.loc["low", "n"] == 4
        and math.isinf(found.loc["high", "n"])
        and math.isinf(found.loc["high", "low"])
    )


def test_without_the_benchmark_the_stored_aggregates_are_shown(quick, monkeypatch, tmp_path):
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    rows = study.run()
    assert rows.curves.empty and rows.picks.empty
    assert study.facts(rows)["pays_zen_l1_running"] == study.UNKNOWN
    for figure in FIGURES:
        assert isinstance(figure(rows), Figure)
