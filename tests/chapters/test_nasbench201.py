"""The NAS-Bench-201 study: populations, undefined scores, facts and figures, with the file and without."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.benchmarks import nasbench201 as benchmark
from experiments.benchmarks import nasbench201_scores as scores
from experiments.benchmarks.nasbench201_space import OPS
from experiments.chapters.nasbench201 import figures as draw
from experiments.chapters.nasbench201 import study
from zenlib.errors import BenchmarkMissing, ScoreUndefined

needs_table = pytest.mark.skipif(not benchmark.is_there(), reason="needs nasbench201.csv in $ZENLIB_DATA")
FIGURES = (
    lambda rows: draw.strata(rows.correlations),
    lambda rows: draw.by_edges(rows.correlations),
    lambda rows: draw.structure(rows.structure),
)


@pytest.fixture
def empty_store(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    study.cells.cache_clear()
    study.population_of.cache_clear()
    yield tmp_path
    study.cells.cache_clear()
    study.population_of.cache_clear()


@pytest.fixture
def quick(empty_store, monkeypatch):
    """Scores that cost nothing: the number of live edges, seen through noise that depends on the seed."""

    def zen(seed):
        columns = (*(f"zen_{name}_s{seed}" for name in scores.DEFINITIONS), f"log_delta_l1_s{seed}")
        return columns, lambda cell: dict.fromkeys(
            columns, sum(cell.live) + 0.1 * np.random.default_rng([seed, *map(OPS.index, cell.ops)]).normal()
        )

    def vanilla(seed):
        columns = tuple(f"vanilla_{name}_s{seed}" for name in scores.DEFINITIONS)
        return (
            columns,
            lambda cell: (
                dict.fromkeys(columns, float(cell.convs))
                if cell.without_skips().is_connected
                else undefined()
            ),
        )

    def gains(seed, indices):
        scores.SCORES.fill(
            (f"gain_s{seed}",), lambda index: {f"gain_s{seed}": float(index % 7)}, indices, progress=False
        )

    def undefined():
        raise ScoreUndefined("no path")

    monkeypatch.setattr(study, "fill_gains", gains)
    few = ("all", "valid", "one per class", "convs = 3", "convs = 4", "none = 1")
    monkeypatch.setattr(study, "POPULATIONS", {name: study.POPULATIONS[name] for name in few})
    monkeypatch.setattr(scores, "as_built", zen)
    monkeypatch.setattr(scores, "vanilla", vanilla)


@needs_table
def test_a_run_correlates_what_it_scored_and_states_every_fact(quick):
    rows = study.run(
        datasets=["cifar10"], cells_scored=2000, gain_cells=500, noise_seeds=[1], noise_cells=300
    )
    found = rows.correlations.set_index(["population", "score"])
    assert found.loc[("all", "params"), "n"] == 2000
    assert (
        found.loc[("valid", "zen_l1_minibatch"), "kendall_low"]
        < found.loc[("valid", "zen_l1_minibatch"), "kendall"]
    )
    assert 0.4 < found.loc[("all", "params"), "kendall"] < 0.7
    assert set(rows.noise["kendall"].round(3)) - {1.0}
    facts = study.facts(rows)
    assert (
        facts["n_all"] == "2,000"
        and "[" in facts["tau_all_zen"]
        and facts["tau_all_zen_c100"] == study.TOO_FEW
    )
    assert facts["n_gain_all"] == "500" and facts["gain_all_gain"].startswith(("0.0", "\N{MINUS SIGN}0.0"))
    again = study.run(
        datasets=["cifar10"], cells_scored=2000, gain_cells=500, noise_seeds=[1], noise_cells=300
    )
    pd.testing.assert_frame_equal(again.correlations, rows.correlations)
    for figure in FIGURES:
        assert isinstance(figure(rows), Figure)


def test_without_the_benchmark_the_stored_aggregates_are_shown(empty_store, monkeypatch, tmp_path):
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    assert not benchmark.is_there()
    rows = study.run()
    assert rows.correlations.empty and len(rows.examples) == len(study.EXAMPLE_CELLS)
    facts = study.facts(rows)
    assert facts["tau_all_zen"] == study.TOO_FEW and facts["nearest_zico_tau"] == study.TOO_FEW
    for figure in FIGURES:
        assert isinstance(figure(rows), Figure)
    with pytest.raises(BenchmarkMissing):
        study.cells()


@needs_table
def test_an_undefined_score_ranks_below_all_others(quick):
    scores.fill_zen(0, scores.sample(800))
    rows = study.cells().iloc[scores.sample(800)]
    values = study.column(rows, "vanilla_l1_minibatch", 0)
    undefined = rows["vanilla_l1_minibatch_s0"].isna().to_numpy()
    assert undefined.any() and values[undefined].max() < values[~undefined].min()


@needs_table
def test_populations_are_what_they_say():
    rows = study.cells()
    sizes = {name: int(of(rows, "cifar10").sum()) for name, of in study.POPULATIONS.items()}
    assert (
        sizes["all"] == 15625
        and sizes["valid"] == 15625 - 341
        and sizes["no none"] == 4096
        and sizes["no skip, no pool"] == 662
        and sizes["no dead edges"] == 9445
    )
    assert (
        sizes["one per function"] == 4929
        and sizes["one per class"] == rows["class"][rows["connected"]].nunique()
    )
    assert sizes["none = 0"] == 4096 and sizes["convs = 6"] == 64
    assert sum(sizes[f"pool = {number}"] for number in range(7)) == sizes["valid"]
    assert 1563 <= sizes["top 10 %"] <= 1600


def test_every_population_has_a_name_in_the_figure_and_in_the_prose():
    assert tuple(draw.POPULATIONS) == study.MAIN == tuple(study._PEOPLE)
    assert set(draw.UNSHOWN) < set(draw.POPULATIONS)
    assert set(draw.NAMES) <= set(study.PREDICTORS) <= set(study._SHORT)


def test_the_nearest_choice_is_found():
    lines = [
        {
            "dataset": dataset,
            "population": population,
            "score": score,
            "n": 10,
            "kendall": value,
            "spearman": 0.0,
        }
        for population, score, values in (
            ("all", "zen_l1_running", (0.27, 0.28, 0.30)),
            ("valid", "zen_l1_minibatch", (0.1, 0.08, 0.09)),
        )
        for dataset, value in zip(study.DATASETS, values, strict=True)
    ]
    found = study.reproductions(pd.DataFrame(lines)).groupby("source", sort=False).first()
    assert found.loc["Suite-Zero, tau", "score"] == "zen_l1_running" and found.loc[
        "Suite-Zero, tau", "off"
    ] == pytest.approx(0.005)
    assert found.loc["VKDNW, tau", "score"] == "zen_l1_minibatch"
