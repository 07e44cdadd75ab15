"""The study of noise: the formula on simulated data, repetitions, with the benchmark's file and without."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.stats import kendalltau

from experiments.benchmarks import nasbench201 as benchmark
from experiments.chapters.noise import figures as draw
from experiments.chapters.noise import rows as rows_of
from experiments.chapters.noise import study
from experiments.chapters.noise.parts import averaged, ceiling, parts, repetitions, to_correlation, to_tau
from tests.quick_scores import fill, forget_all

needs_table = pytest.mark.skipif(not benchmark.is_there(), reason="needs nasbench201.csv in $ZENLIB_DATA")
AT = {"dataset": "cifar10", "population": "valid"}
SMALL = {"datasets": ["cifar10"], "seeds": [0, 1], "cells_scored": 1200}


@pytest.fixture
def quick(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    monkeypatch.setattr(study, "fill_zen", fill)
    forget_all()
    yield tmp_path
    forget_all()


def simulated(true, score_noise, accuracy_noise, n=4000):
    """Rows as of a run, from normal variables of a known correlation seen twice through noise.

    And the tau of what is seen.
    """
    rng = np.random.default_rng(0)
    quality = rng.normal(size=n)
    opinion = true * quality + np.sqrt(1 - true**2) * rng.normal(size=n)
    scores = [opinion + score_noise * rng.normal(size=n) for _ in range(2)]
    accuracies = [quality + accuracy_noise * rng.normal(size=n) for _ in range(2)]

    def line(x, y, **key):
        found = rows_of._correlated(x, y, list(range(n)))
        return AT | key | found

    correlations = [
        line(score, accuracies[0], score="zen", seeds=str(seed)) for seed, score in enumerate(scores)
    ]
    correlations.append(line(sum(scores), accuracies[0], score="zen", seeds="0+1"))
    draws = [line(*scores, score="zen", seed=0, other=1)]
    again = [line(*accuracies, repeated="isomorphic")]
    rows = rows_of.NoiseRows(*(pd.DataFrame(lines) for lines in (correlations, draws, again)))
    return rows, kendalltau(opinion, quality).statistic


def test_tau_and_correlation_are_two_words_for_one_thing():
    taus = np.linspace(-1, 1, 9)
    assert np.allclose(to_tau(to_correlation(taus)), taus)
    pair = np.random.default_rng(0).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=4000).T
    assert float(to_tau(0.6)) == pytest.approx(kendalltau(*pair).statistic, abs=0.02)
    assert float(ceiling(1.0)) == 1 and float(ceiling(0.5)) > 0.5
    assert float(repetitions(0.5, 1)) == pytest.approx(float(to_correlation(0.5)))
    assert float(repetitions(0.5, 10**6)) == pytest.approx(1)


@pytest.mark.parametrize(("score_noise", "accuracy_noise"), [(0.0, 0.0), (0.8, 0.0), (0.0, 0.8), (0.6, 0.6)])
def test_the_parts_give_back_the_order_before_noise_was_added(score_noise, accuracy_noise):
    rows, truth = simulated(0.7, score_noise, accuracy_noise)
    found = parts(rows).iloc[0]
    assert (
        found["truth"] == pytest.approx(truth, abs=0.03)
        and found["truth_low"] < truth < found["truth_high"] + 0.01
    )
    assert found[["measured", "draw", "training", "ranking"]].sum() == pytest.approx(1)
    assert (found["draw"] > 0.02) == (score_noise > 0) and (found["training"] > 0.02) == (accuracy_noise > 0)


def test_the_mean_of_two_draws_does_as_well_as_the_formula_foretells():
    found = averaged(simulated(0.7, 0.8, 0.3)[0]).iloc[0]
    assert found["draws"] == 2 and found["measured"] > found["single"] + 0.03
    assert found["foretold"] == pytest.approx(found["measured"], abs=0.02)


@needs_table
def test_a_run_states_every_fact_and_is_read_again_as_it_was(quick):
    rows = study.run(**SMALL)
    own = rows.draws[rows.draws["population"] == "valid"]
    assert (own["kendall"] < 0.98).all() and (own["kendall_low"] > 0.3).all()
    again = rows.accuracies.set_index(["population", "repeated"])["kendall"]
    assert again["valid", "releases"] > again["valid", "isomorphic"] > 0.8
    found = parts(rows, "validation").set_index(["population", "score"])
    assert found.loc[("valid", "params"), "draw"] == 0 < found.loc[("valid", "zen_l1_running"), "draw"]
    facts = study.facts(rows)
    assert (
        facts["draws"] == "2"
        and facts["tau_isomorphic_valid_c100"] == study.UNKNOWN
        and "[" in facts["tau_validation_valid"]
    )
    pd.testing.assert_frame_equal(study.run(**SMALL).correlations, rows.correlations)
    assert isinstance(draw.gaps(found.reset_index(), rows.accuracies), Figure) and isinstance(
        draw.repetitions(rows.accuracies), Figure
    )


@needs_table
def test_isomorphic_cells_are_paired_once_and_never_with_themselves(quick):
    fill(0, rows_of_sample := study.sample(1200))
    forget_all()
    members = rows_of._members("cifar10", "valid", len(rows_of_sample))
    found = rows_of._isomorphic(members, members, "cifar10")
    assert found["n"] == (members["class"].value_counts() > 1).sum() and found["kendall"] < 1


def test_without_the_benchmark_the_stored_aggregates_are_shown(quick, monkeypatch, tmp_path):
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    rows = study.run()
    assert rows.correlations.empty and rows.accuracies.empty
    assert study.facts(rows)["foretold_worst"] == study.UNKNOWN
    assert isinstance(draw.gaps(parts(rows), rows.accuracies), Figure) and isinstance(
        draw.repetitions(rows.accuracies), Figure
    )
