"""The study that trains a population: how it is drawn, that it goes on, what it says of known numbers."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from experiments.benchmarks import population_networks as drawn
from experiments.benchmarks.population_networks import GROUPS
from experiments.chapters.population import figures as draw
from experiments.chapters.population import statistics, study
from experiments.chapters.population.facts import verdict
from experiments.record import training_rows
from tests.library.train.small import few_digits

BUDGET = {"params": 60_000.0, "flops": 3e6, "resolution": 28, "classes": 10, "seed": 0}
SMALL = {
    "data": "digits",
    "recipe": "digits",
    "epochs": 1,
    "flops": 1_000_000,
    "dtype": "float32",
    "per_group": 2,
    "proxies": ["params", "flops", "closed-form"],
    "proxy_seeds": [0],
}


@pytest.fixture(scope="module", autouse=True)
def small():
    """Few images, and a search over hundreds of networks, not thousands."""
    with pytest.MonkeyPatch.context() as patch:
        few_digits(patch)
        patch.setattr(drawn, "EVALUATIONS", 256)
        patch.setattr(drawn, "POPULATION", 16)
        yield
    drawn._along_search.cache_clear()


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZENLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        patch.setenv("ZENLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        first = study.run(**SMALL, again=1)
        patch.setattr("zenlib.train.train", None)
        again = study.run(**SMALL, again=1)
    pd.testing.assert_frame_equal(first.members, again.members)
    return first


def sizes(group, index):
    network = drawn.network(group, index, **BUDGET)
    return network.params(10), network.flops(28, 10)


@pytest.mark.parametrize("group", drawn.GROUPS)
def test_every_network_meets_the_budget_and_is_drawn_alike_again(group):
    params, flops = sizes(group, 1)
    assert params <= BUDGET["params"] and flops <= BUDGET["flops"]
    assert (
        drawn.network(group, 1, **BUDGET)
        == drawn.network(group, 1, **BUDGET)
        != drawn.network(group, 0, **BUDGET)
    )


def test_networks_of_equal_size_are_within_five_percent_of_each_other():
    found = np.array([sizes("equal", index) for index in range(3)])
    assert (found.max(axis=0) / found.min(axis=0) < 1.055).all()


def test_every_beginning_of_the_places_along_a_search_is_spread_out():
    order = drawn._spread(16)
    assert order[:3] == [0, 15, 7] and sorted(order) == list(range(16))
    for count in range(3, 16):
        gaps = np.diff(sorted(order[:count]))
        assert gaps.max() <= 2 * gaps.min() + 1


@pytest.mark.parametrize(
    ("group", "index", "message"),
    [
        ("uniforms", 0, "group: needed one of uniform, evolution, equal"),
        ("evolution", 16, "index: needed 0 to 15"),
    ],
)
def test_a_network_that_does_not_exist_is_one_clear_error(group, index, message):
    with pytest.raises(ValueError, match=message):
        drawn.network(group, index, **BUDGET)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"again": 3}, r"again: needed 0 to per_group \(2\) networks, got 3"),
        ({"per_group": 0}, "per_group: needed at least 1 network, got 0"),
        ({"recipe": "digit"}, "recipe: needed one of cifar, .*, got 'digit'"),
        ({"epochs": 0}, "epochs: needed at least 1, got 0"),
        ({"params": -1.0}, "budget: params needed a positive number"),
        ({"proxies": ["zenn"]}, "proxies: needed names among .*, got zenn"),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(given, message, monkeypatch, tmp_path):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    with pytest.raises(ValueError, match=message):
        study.run(**(SMALL | {"again": 0} | given))


def test_a_population_is_trained_scored_and_told(rows):
    assert len(rows.members) == 6 and len(rows.usual) == 9 and set(rows.members["seeds"]) == {1, 2}
    told = study.facts(rows)
    assert told["networks"] == "6" and told["trainings"] == "9" and told["seeds"].startswith("Too few")
    assert told["tau_uniform_closed"] == "too few" and told["longer"].startswith("Too few")
    assert (rows.members["params"] == rows.members["network_params"]).all() and (
        rows.members["flops"] == rows.members["network_flops"]
    ).all()
    assert isinstance(draw.accuracies(rows.members, math.nan), Figure) and isinstance(
        draw.correlations(rows.correlations), Figure
    )


def test_what_longer_trainings_gain_is_told_with_the_depth_of_the_networks(rows):
    members = rows.members.drop_duplicates("network").assign(depth=range(6))
    longer = pd.DataFrame(
        {"network": members["network"], "top1": np.arange(6.0), "other": 2.0 * np.arange(6)}
    )
    told = study.facts(dataclasses.replace(rows, members=members, longer=longer))["longer"]
    assert told.count("1.00 [1.00, 1.00]") == 2 and "They gain 0.00 to 5.00 points" in told


def members(scores, accuracies):
    lines = {
        "group": "uniform",
        "network": [f"n{index}" for index in range(len(scores))],
        "closed-form": scores,
        "top1": accuracies,
    }
    return pd.DataFrame(lines | {"params": scores[::-1]})


def test_a_perfect_order_has_a_tau_of_one_in_every_sample_and_every_range():
    perfect = members(np.arange(20.0), np.arange(20.0) / 10 + 80)
    found = statistics.correlations(perfect).set_index(["group", "proxy"])
    assert found.loc[("all", "closed-form"), "kendall"] == 1 and found.loc[("all", "params"), "kendall"] == -1
    assert found.loc[("all", "params"), "behind_zen"] == 2
    assert (statistics.small_samples(perfect)["reached"] == 1).all()
    assert (statistics.restricted(perfect)["kendall"] == 1).all() and statistics.restricted(perfect)[
        "n"
    ].tolist() == [20, 15, 10, 5]


def test_a_restricted_range_hides_an_order_that_the_whole_range_shows():
    rng = np.random.default_rng(0)
    scores = np.arange(200.0)
    found = statistics.restricted(members(scores, scores + rng.normal(0, 40, 200)))["kendall"]
    assert found.iloc[0] > 0.6 > 0.45 > found.iloc[-1]


def test_noise_is_the_spread_between_seeds_beside_that_between_networks():
    rng = np.random.default_rng(0)
    truth = rng.normal(90, 1, 400)
    trained = pd.concat(
        pd.DataFrame(
            {
                "network": [f"n{index}" for index in range(400)],
                "seed": seed,
                "top1": truth + rng.normal(0, 0.5, 400),
            }
        )
        for seed in (0, 1)
    )
    found = statistics.noise(trained)
    assert found["seed_sd"] == pytest.approx(0.5, rel=0.1) and found["network_sd"] == pytest.approx(
        math.hypot(1, 0.5), rel=0.1
    )
    assert found["networks"] == 400 and 0.5 < found["kendall"] < 0.8
    assert math.isnan(statistics.noise(trained[trained["seed"] == 0])["kendall"])


def test_the_peak_is_a_rate_of_this_machine():
    assert 0.1 < training_rows.peak_row(dtype="float32", device="cpu")["gflops"] < 1e4


def test_the_verdict_names_the_groups_in_which_an_interval_excludes_zero():
    def told(*intervals):
        ends = pd.DataFrame(intervals, columns=["kendall_low", "kendall_high"])
        return verdict(ends.assign(proxy="closed-form", group=list(GROUPS)))

    assert told((-0.1, 0.5), (-0.5, 0.1), (-0.1, 0.1)) == "not seen in any of the 3 groups"
    reverse = (
        "holds among random networks; the reverse holds among networks of equal size; not seen elsewhere"
    )
    assert told((0.1, 0.5), (-0.5, 0.1), (-0.5, -0.1)) == reverse
    assert (
        told((0.1, 0.5), (0.5, 0.7), (0.1, 0.2))
        == "holds among random networks, along a search, among networks of equal size"
    )
