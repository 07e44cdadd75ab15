"""The chapter on our own trainings: how networks are drawn and searched, that it goes on, what it says."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from experiments.benchmarks import population_networks as drawn
from experiments.chapters.laptop import facts, latency, study, supernet
from experiments.chapters.laptop import figures as draw
from experiments.chapters.laptop.searches import MINIMISED, SEARCHED, SEARCHES, minus_synflow
from experiments.record import training_rows
from tests.library.train.small import few_digits
from zenlib import PROXIES, SPACES, Architecture
from zenlib.search.latency import Latency
from zenlib.stats import correlate

BUDGET = {"params": 60_000.0, "flops": 3e6, "resolution": 28, "classes": 10, "seed": 0}
EVOLUTION = {"params": 20_000, "flops": 1_000_000, "depth": 6, "population": 6, "round_size": 4}
SMALL = {
    "data": "digits",
    "recipe": "digits",
    "epochs": 1,
    "flops": 1_000_000,
    "dtype": "float32",
    "per_group": 2,
    "again": 1,
    "longer_each": 0,
    "check_each": 0,
    "proxies": ["params", "flops", "closed-form"],
    "proxy_seeds": [0],
    "searched": ["zen", "params"],
    "evaluations": 12,
    "longer_evaluations": 0,
    "population": 6,
    "round_size": 4,
    "search_seeds": [0],
    "supernet_networks": 2,
    "supernet_epochs": 1,
}
NETWORK = "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,2,8,1)SuperConvK1BNRELU(16,32,1,1)"


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
        first = study.run(**SMALL)
        patch.setattr("zenlib.train.train", None)
        again = study.run(**SMALL)
    pd.testing.assert_frame_equal(first.members, again.members)
    pd.testing.assert_frame_equal(first.shared, again.shared)
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
        ({"searched": ["zenn"]}, r"proxies: needed names among zen, .* got 'zenn'"),
        ({"supernet_networks": 513}, "supernet_networks: needed 0 to 512"),
    ],
)
def test_bad_input_is_refused_before_anything_is_trained(given, message, monkeypatch, tmp_path):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    with pytest.raises(ValueError, match=message):
        study.run(**(SMALL | {"again": 0} | given))


def test_everything_is_trained_scored_and_told(rows):
    assert len(rows.members) == 6 and len(rows.trained) == 9 and rows.trainings == 9 + 2 * 2 + 2
    told = study.facts(rows)
    assert told["networks"] == "6" and told["searched"] == "2" and told["trainings"] == "15"
    assert told["tau_uniform_closed_form"] == told["seed_sd"] == told["best_search"] == facts.TOO_FEW
    assert "2 of at least 8" in told["supernet"]
    assert (rows.members["params"] == rows.members["network_params"]).all()
    assert (rows.members["flops"] == rows.members["network_flops"]).all()
    table = facts.found_by(rows)
    assert sorted(table.index) == ["none: drawn at random", "parameters", "zen"]
    assert isinstance(draw.accuracies(rows.members, math.nan), Figure)
    assert isinstance(draw.correlations(rows.correlations, facts.TOLD), Figure)


def members(scores, accuracies):
    lines = {
        "group": "uniform",
        "network": [f"n{index}" for index in range(len(scores))],
        "closed-form": scores,
        "top1": accuracies,
    }
    return pd.DataFrame(lines | {"params": scores[::-1]})


def test_a_perfect_order_has_a_tau_of_one_and_leads_its_reverse_by_two():
    found = facts.correlations(members(np.arange(20.0), np.arange(20.0) / 10 + 80))
    found = found.set_index(["group", "proxy"])
    assert found.loc[("all", "closed-form"), "kendall"] == 1 and found.loc[("all", "params"), "kendall"] == -1
    assert found.loc[("uniform", "params"), "gain"] == 2


def test_as_many_networks_are_needed_as_make_the_interval_exclude_the_effect():
    rng, effect = np.random.default_rng(0), 0.3
    found = correlate(rng.normal(size=60), rng.normal(size=60))
    low, high = found.kendall_interval
    line = pd.Series({"n": 60, "kendall_low": low, "kendall_high": high})
    count, rho = round(facts.needed(line, "kendall", effect)), math.sin(math.pi / 2 * effect)
    pairs = [rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=count).T for _ in range(30)]
    seen = [correlate(*pair).kendall_interval[0] > 0 for pair in pairs]
    assert 0.6 < np.mean(seen) <= 1


def test_noise_is_the_spread_between_seeds_beside_that_between_networks():
    rng = np.random.default_rng(0)
    truth = rng.normal(90, 1, 400)
    names = [f"n{index}" for index in range(400)]
    trained = pd.concat(
        pd.DataFrame({"network": names, "seed": seed, "top1": truth + rng.normal(0, 0.5, 400)})
        for seed in (0, 1)
    )
    found = facts.spread(trained)
    assert found["seed_sd"] == pytest.approx(0.5, rel=0.1)
    assert found["network_sd"] == pytest.approx(math.hypot(1, 0.5), rel=0.1)
    first = pd.Series(trained["top1"].to_numpy()[:400])
    assert found["ceiling"] == pytest.approx(first.corr(pd.Series(truth), method="kendall"), abs=0.05)
    assert found["ceiling_tau"] == pytest.approx(found["ceiling"], abs=0.05)
    assert found["networks"] == 400 and 0.5 < found["kendall"] < 0.8
    assert math.isnan(facts.spread(trained[trained["seed"] == 0])["kendall"])


def test_the_peak_is_a_rate_of_this_machine():
    assert 0.1 < training_rows.peak_row(dtype="float32", device="cpu")["gflops"] < 1e4


def test_the_upper_half_holds_the_networks_of_the_highest_scores_alone():
    scores = np.arange(40.0)
    assert facts.upper_half(members(scores, np.minimum(scores, 40 - scores))).startswith("\N{MINUS SIGN}1.00")
    assert facts.upper_half(members(scores[:4], scores[:4])) == facts.TOO_FEW


def test_the_verdict_counts_the_groups_in_which_an_interval_excludes_zero():
    def told(*intervals):
        ends = pd.DataFrame(intervals, columns=["kendall_low", "kendall_high"])
        return facts.verdict(ends.assign(proxy="closed-form", group=list(drawn.GROUPS)))

    assert told((-0.1, 0.5), (-0.5, 0.1), (-0.1, 0.1)) == "none of 3"
    assert told((0.1, 0.5), (-0.5, 0.1), (-0.5, -0.1)) == "2 of 3"


def test_the_lead_of_zen_is_held_against_the_spread_between_searches():
    lines = [("zen", 0, 80.0), ("zen", 0, 82.0), ("zen", 1, 83.0), ("params", 0, 85.0), ("params", 1, 85.0)]
    lines += [(name, 0, 70.0) for name in ("flops", "ntk", "naswot")]
    winners = pd.DataFrame(lines, columns=["proxy", "search_seed", "top1"])
    best, ahead, error, widest, without = facts.lead(winners)
    assert best == "params" and ahead == pytest.approx(82 - 85)
    assert error == pytest.approx(1.0)  # variances of 2 and 0, pooled to 1, over two searches each
    assert widest == "zen" and without == 0
    assert facts.lead(winners[winners["proxy"] != "zen"])[0] == facts.TOO_FEW


@pytest.mark.parametrize("proxy", SEARCHED)
def test_every_proxy_searches_within_the_budget_and_its_best_is_the_last_point_of_its_curve(
    proxy, tmp_path, monkeypatch
):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    key = EVOLUTION | {"resolution": 16, "proxy": proxy, "evaluations": 8, "seed": 3}
    row = SEARCHES.fill([key], progress=False).iloc[0]
    best = Architecture.from_string(row["network"])
    assert best.params(10) == row["network_params"] <= EVOLUTION["params"]
    assert best.flops(16, 10) == row["network_flops"] <= EVOLUTION["flops"]
    assert best.depth <= EVOLUTION["depth"] and SPACES["resnet-like"].contains(best)
    scores = [score for _, score in json.loads(row["curve"])]
    assert scores == sorted(scores) and scores[-1] == pytest.approx(row["best_score"], rel=1e-4)


def test_the_minimised_synflow_is_the_proxy_with_its_sign_changed():
    network = Architecture.from_string(NETWORK)
    plain = PROXIES["synflow"](network, 16, batch_size=16, seed=0, device="cpu")
    assert minus_synflow(network, 16, 0) == -plain and SEARCHED[MINIMISED] == "synflow"


def test_a_latency_is_that_of_one_thread_and_leaves_the_number_of_threads_as_it_was(monkeypatch):
    seen = []
    monkeypatch.setattr(
        latency,
        "measure_latency",
        lambda *_, **__: seen.append(torch.get_num_threads()) or Latency(1.0, 1.0, 0.1, 1, 16),
    )
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        row = latency.latency_row(
            network=NETWORK, resolution=16, batch_size=16, dtype="float32", device="cpu"
        )
        assert torch.get_num_threads() == 2 and seen == [1] and row == {"milliseconds": 1.0, "spread": 0.1}
    finally:
        torch.set_num_threads(before)


def test_a_supernet_that_orders_as_trainings_do_is_told_so():
    accuracies = [80.0 + step for step in range(8)]
    shared = pd.DataFrame(
        {
            "shared_top1": accuracies,
            "top1": accuracies,
            "cpu_seconds": 300.0,
            "supernet_cpu_seconds": 600.0,
            "judging_cpu_seconds": 6.0,
        }
        | {"closed-form": [-value for value in accuracies], "params": accuracies}
    )
    told = supernet.summary(shared)
    assert (
        "8 networks" in told
        and "1.00 [1.00, 1.00]" in told
        and "closed form of the Zen-Score −1.00 [−1.00, −1.00]" in told
        and "10 core minutes and 6 seconds for" in told
        and told.endswith("5.0 minutes")
    )
    assert len(set(supernet.members(9, 0))) == 9 and supernet.members(9, 0)[:3] == supernet.members(3, 0)
    with pytest.raises(ValueError, match="supernet_networks: needed 0 to 512"):
        supernet.members(513, 0)
