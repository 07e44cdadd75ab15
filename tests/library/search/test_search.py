from __future__ import annotations

import inspect
import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import zenlib
import zenlib.search
from tests.library.search.scores import BUDGET, log_widths, picky
from zenlib.errors import ScoreUndefined
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import zennet_architecture
from zenlib.search import SCORES, STRATEGIES, Budget, Gate, checkpoint, search
from zenlib.search.history import UNITS

STRATEGY = pytest.mark.parametrize("strategy", STRATEGIES)


def run(evaluations=300, score=log_widths, budget=BUDGET, **options):
    options = {"population": 20, "round_size": 16, "progress": False} | options
    return search("resnet-like", score, budget, evaluations=evaluations, **options)


@STRATEGY
def test_a_search_scores_as_many_networks_as_asked_all_new_and_within_the_budget(strategy):
    found = run(strategy=strategy)
    networks = [Architecture.from_string(text) for text in found.history["architecture"]]
    assert len(networks) == len(set(networks)) == 300
    assert [network.params(100) for network in networks] == found.history["params"].tolist()
    assert [network.flops(32, 100) for network in networks] == found.history["flops"].tolist()
    assert [network.depth for network in networks] == found.history["depth"].tolist()
    assert found.history["params"].max() <= 300_000 and found.history["depth"].max() <= 12
    assert list(found.history) == list(UNITS)
    assert found.best_score == found.history["score"].max() == log_widths(found.best)


@STRATEGY
def test_proposals_are_scored_or_counted_by_reason(strategy):
    found = run(strategy=strategy)
    assert found.proposed == 300 + sum(found.rejected.values())
    assert (
        set(found.rejected) <= {"depth", "params", "flops", "duplicate", "latency"}
        and found.rejected["depth"] > 0
    )


@STRATEGY
def test_the_seed_decides_the_search(strategy):
    one, same, other = (run(evaluations=100, strategy=strategy, seed=seed) for seed in (3, 3, 4))
    pd.testing.assert_frame_equal(one.history, same.history)
    assert one.rejected == same.rejected
    assert one.history["architecture"].tolist() != other.history["architecture"].tolist()


def test_evolution_and_the_policy_improve_on_random_sampling():
    best = {
        strategy: np.mean(
            [run(evaluations=2500, strategy=strategy, seed=seed).best_score for seed in range(2)]
        )
        for strategy in STRATEGIES
    }
    assert best["evolution"] > best["random"] + 1
    assert best["reinforce"] > best["random"] + 1


@pytest.mark.parametrize("mutation", ["paper", "released"])
@pytest.mark.parametrize("space", ["resnet-like", "mobilenet-like"])
def test_both_rules_work_in_both_spaces_under_every_kind_of_limit(space, mutation):
    budget = Budget(params=2e6, flops=3e8, depth=14)
    found = search(
        space, log_widths, budget, evaluations=150, resolution=64, mutation=mutation, progress=False
    )
    assert (
        found.history["flops"].max() <= 3e8
        and found.history["params"].max() <= 2e6
        and found.history["depth"].max() <= 14
    )
    assert len(found.history) == 150


@pytest.mark.parametrize("score", SCORES)
def test_scores_have_names(score):
    found = run(evaluations=6, score=score, resolution=16, population=4)
    assert np.isfinite(found.history["score"]).all()
    assert found.settings["score"] == score


def test_failures_are_recorded_with_their_reason_and_never_win():
    found = run(score=picky)
    failed = found.history[found.history["fate"] == "failed"]
    assert set(failed["reason"]) == {"too narrow for its taste", "the score is nan", "the score is inf"}
    assert failed["score"].isna().all()
    assert (found.history.loc[found.history["fate"] != "failed", "reason"] == "").all()
    assert math.isfinite(found.best_score) and found.best_score == found.history["score"].max()


def test_a_search_in_which_nothing_has_a_score_says_why():
    with pytest.raises(
        ScoreUndefined, match="none of 5 candidates has a score; the first one: the score is nan"
    ):
        run(evaluations=5, score=lambda network: math.nan)


def test_an_error_of_the_score_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        run(score=lambda network: 1 / 0)


def test_a_given_network_is_scored_first_and_without_gates():
    initial = Architecture(zennet_architecture("zennet-0.5M").blocks, use_se=True)
    found = run(evaluations=20, initial=initial, budget=Budget(params=6e5))
    assert found.history["architecture"][0] == initial.to_string()
    assert found.history["params"][0] == zennet_architecture("zennet-0.5M").params(100)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluations": 0}, "evaluations: needed a whole number of at least 1, got 0"),
        ({"population": 0}, "population: needed"),
        ({"round_size": 0}, "round_size: needed"),
        ({"seed": -1}, "seed: needed"),
        ({"score": "beauty"}, "score: needed one of closed-form, zen, .* or a callable.*; got 'beauty'"),
        ({"strategy": "luck"}, "strategy: needed one of evolution, random, reinforce, got 'luck'"),
        ({"mutation": "none"}, "mutation: needed one of paper, released, got 'none'"),
        (
            {"initial": zennet_architecture("zennet-2.0M")},
            r"initial: needed a network within the budget \(params <= 300000, depth <= 12\), got one with "
            r"depth 20",
        ),
        (
            {"initial": zennet_architecture("zennet-400M-SE")},
            "initial: needed a network of the space resnet-like",
        ),
        (
            {"initial": zennet_architecture("zennet-0.5M"), "strategy": "random", "budget": Budget()},
            "initial: needed None for the strategy 'random'",
        ),
        (
            {"initial": zennet_architecture("zennet-0.5M"), "budget": Budget(), "resolution": 4},
            "resolution: needed at least",
        ),
    ],
)
def test_bad_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        run(**options)


def test_an_unknown_space_is_refused():
    with pytest.raises(ValueError, match="space: needed one of resnet-like, mobilenet-like, got 'tiny'"):
        search("tiny", log_widths, BUDGET, evaluations=1)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"params": -1}, "params"),
        ({"depth": 0}, "depth"),
        ({"flops": math.nan}, "flops"),
        ({"latency_ms": "1"}, "latency_ms"),
    ],
)
def test_a_budget_is_positive_numbers(limits, message):
    with pytest.raises(ValueError, match=f"budget: {message} needed a positive number or None"):
        Budget(**limits)


def test_a_budget_that_no_network_meets_is_an_error_that_names_the_limit(monkeypatch):
    monkeypatch.setattr(Gate, "patience", 200)
    with pytest.raises(
        ValueError,
        match=(
            r"got params <= 500; of 200 draws of resnet-like at 32 pixels all were turned away \(200 for "
            r"params\)"
        ),
    ):
        run(budget=Budget(params=500))
    with pytest.raises(ValueError, match="200 for depth"):
        run(budget=Budget(depth=3))


def test_a_space_that_runs_out_of_new_networks_is_an_error(monkeypatch):
    monkeypatch.setattr(Gate, "patience", 500)
    start = Architecture.from_string(
        "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,8,2,8,1)SuperConvK1BNRELU(8,8,1,1)"
    )
    with pytest.raises(ValueError, match=r"mutants at 32 pixels all were turned away.*duplicate"):
        run(budget=Budget(params=start.params(100)), initial=start)


def test_the_history_survives_its_file(tmp_path):
    found = run(score=picky, evaluations=60, checkpoint=tmp_path / "search.journal")
    pd.testing.assert_frame_equal(
        run(score=picky, evaluations=60, checkpoint=tmp_path / "search.journal").history, found.history
    )
    checkpoint.write_history(tmp_path / "history.parquet", found.history, found.settings)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "history.parquet"), found.history)
    for place in ("", "search.journal", "history.parquet"):
        assert checkpoint.best_in(tmp_path / place) == (found.best.to_string(), 32)


def test_the_package_and_its_function_share_their_name():
    assert (
        zenlib.search(
            space="resnet-like", score=log_widths, budget=BUDGET, evaluations=3, progress=False
        ).proposed
        >= 3
    )
    assert inspect.signature(zenlib.search) == inspect.signature(search)
    from zenlib import Budget as public

    assert public is Budget and zenlib.SPACES["resnet-like"].name == "resnet-like"


def test_the_function_is_there_whichever_is_imported_first():
    orders = (
        "from zenlib import search",
        "import zenlib.search; from zenlib import search",
        "from zenlib import search; import zenlib.search",
    )
    for order in orders:
        check = (
            f"{order}; from zenlib import search, Budget; search('resnet-like', lambda network: 1.0, "
            "Budget(), evaluations=2, progress=False)"
        )
        assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0, order
