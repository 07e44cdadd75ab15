"""The study of the paper's Table 1: searches by each proxy, the order of trainings, what a beginning says."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from experiments.chapters.table1 import figures as draw
from experiments.chapters.table1 import latency, study, supernet
from experiments.chapters.table1.published import TABLE1
from experiments.chapters.table1.searches import MINIMISED, SEARCHED, SEARCHES, minus_synflow
from experiments.record.wording import UNKNOWN
from tests.library.train.small import few_digits
from zenlib import PROXIES, SPACES, Architecture
from zenlib.search.latency import Latency

BUDGET = {
    "params": 20_000,
    "flops": 1_000_000,
    "depth": 6,
    "resolution": 16,
    "population": 6,
    "round_size": 4,
}
SMALL = BUDGET | {"evaluations": 12, "longer_evaluations": 0, "search_seeds": [0, 1], "training_seeds": [0]}
DIGITS = {"data": "digits", "recipe": "digits", "epochs": 1, "dtype": "float32"}
NETWORK = "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,2,8,1)SuperConvK1BNRELU(16,32,1,1)"


@pytest.fixture
def quick(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("ZENLIB_CACHE", str(tmp_path / "cache"))
    few_digits(monkeypatch)


def trainings(*rows):
    return pd.DataFrame(rows, columns=["proxy", "search_seed", "training_seed", "network", "top1"])


def found(**sizes):
    """Searches with one seed for each proxy, by number of parameters."""
    return pd.DataFrame(
        [
            {
                "proxy": name,
                "seed": 0,
                "network": name,
                "network_params": n,
                "network_flops": 10 * n,
                "network_depth": 5,
                "latency": 1.0,
            }
            for name, n in sizes.items()
        ]
    )


@pytest.mark.parametrize("proxy", SEARCHED)
def test_every_proxy_searches_within_the_budget_and_its_best_is_the_last_point_of_its_curve(quick, proxy):
    row = SEARCHES.fill([BUDGET | {"proxy": proxy, "evaluations": 8, "seed": 3}], progress=False).iloc[0]
    best = Architecture.from_string(row["network"])
    assert (
        best.params(10) == row["network_params"] <= BUDGET["params"]
        and best.flops(16, 10) == row["network_flops"] <= BUDGET["flops"]
    )
    assert best.depth <= BUDGET["depth"] and SPACES["resnet-like"].contains(best)
    curve = study.curves(pd.DataFrame([row]))
    assert curve["score"].is_monotonic_increasing and curve["score"].iloc[-1] == pytest.approx(
        row["best_score"], rel=1e-4
    )
    assert (
        curve["gained"].iloc[-1] == 1
        and study.nearly_done(pd.DataFrame([row]))["evaluations"].iloc[0] <= row["found_at"]
    )


def test_the_minimised_synflow_is_the_proxy_with_its_sign_changed():
    network = Architecture.from_string(NETWORK)
    assert minus_synflow(network, 16, 0) == -PROXIES["synflow"](
        network, 16, batch_size=16, seed=0, device="cpu"
    )
    assert SEARCHED[MINIMISED] == "synflow" and set(TABLE1) < set(SEARCHED)


def test_an_unknown_proxy_is_refused_by_name(quick):
    with pytest.raises(ValueError, match=r"proxies: needed names among zen, .* got 'zenn'"):
        study.run(**SMALL, proxies=["zenn"], trainings=0)


def test_a_pass_of_no_image_and_a_negative_number_of_trainings_are_refused(quick):
    with pytest.raises(ValueError, match="latency_images: needed at least 1 image a pass, got 0"):
        study.run(**SMALL, trainings=0, latency_images=0)
    with pytest.raises(ValueError, match="trainings: needed 0 or more, got -1"):
        study.run(**SMALL, trainings=-1)


def test_every_beginning_of_the_list_compares_proxies():
    searches = pd.concat([found(zen=1, flops=2), found(zen=3, flops=4).assign(seed=1)], ignore_index=True)
    order = [
        (place["proxy"], place["search_seed"], place["training_seed"])
        for place in study.training_order(searches, [5, 6])
    ]
    assert order[:4] == [("zen", 0, 5), ("flops", 0, 5), ("zen", 1, 5), ("flops", 1, 5)]
    assert len(order) == len(set(order)) == 8 and {seed for *_, seed in order[4:]} == {6}


def test_a_winner_counts_once_however_often_it_was_trained():
    rows = trainings(("zen", 0, 0, "a", 80.0), ("zen", 0, 1, "a", 84.0), ("zen", 1, 0, "b", 90.0))
    zen, params = study.winners(found(zen=100, params=200), rows).to_dict("records")
    assert (
        zen["top1"] == (82 + 90) / 2
        and (zen["low"], zen["high"]) == (80, 90)
        and (zen["networks"], zen["trainings"]) == (2, 3)
    )
    assert zen["cifar100"] == 80.1 and math.isnan(params["cifar100"]) and math.isnan(params["top1"])
    assert study.seed_spread(rows) == (pytest.approx(8**0.5), 1) and math.isnan(
        study.seed_spread(rows.iloc[1:])[0]
    )


def test_the_order_is_compared_with_the_papers_over_five_proxies_or_more():
    accuracies = {"zen": 80.0, "naswot": 79.0, "random": 75.0, "flops": 70.0, "params": 99.0}
    rows = trainings(*((name, 0, 0, name, top1) for name, top1 in accuracies.items()))
    searches = found(**dict.fromkeys((*accuracies, "ntk"), 1))
    assert study.agreement(study.winners(searches, rows), "cifar100") is None
    more = pd.concat([rows, trainings(("ntk", 0, 0, "ntk", 76.0))])
    order = study.agreement(study.winners(searches, more), "cifar100")
    assert (order.n, order.kendall, order.kendall_interval) == (5, 1.0, (1.0, 1.0))


@pytest.mark.parametrize(
    ("zen", "seeds", "searches", "text"),
    [
        (
            80.0,
            0.1,
            math.nan,
            "does not hold at this scale: −2.00 ± 0.12 points to params, the best of the others (1 and 2 "
            "networks, 1 and 2 trainings)",
        ),
        (80.0, 1.5, math.nan, "not to be told from the best: −2.00 ± 1.84 points to params"),
        (80.0, 0.1, 1.5, "not to be told from the best: −2.00 ± 1.84 points to params"),
        (84.0, 1.5, 0.1, "holds at this scale: 2.00 ± 0.12 points"),
        (84.0, math.nan, math.nan, f"not to be told from the best: 2.00 ± {UNKNOWN} points to params"),
    ],
)
def test_the_verdict_compares_zen_with_the_best_of_the_others_and_with_the_noise_of_searches(
    zen, seeds, searches, text
):
    rows = pd.DataFrame(
        {
            "proxy": ["zen", "params", "flops", "random", "ntk"],
            "top1": [zen, 82.0, 81.0, 70.0, 69.0],
            "trainings": [1, 2, 2, 2, 2],
        }
    )
    rows["networks"] = rows["trainings"]
    assert study.verdict(rows, seeds, searches).startswith(text)
    assert (
        study.verdict(rows.iloc[:4], seeds, searches)
        == study.verdict(rows.iloc[1:], seeds, searches)
        == "open until more winners are trained"
    )


def test_the_noise_of_a_search_is_told_from_winners_of_one_proxy():
    rows = trainings(
        ("zen", 0, 0, "a", 80.0),
        ("zen", 0, 1, "a", 84.0),
        ("zen", 1, 0, "b", 90.0),
        ("params", 0, 0, "c", 70.0),
    )
    assert study.search_spread(rows) == (pytest.approx(32**0.5), 1)
    assert math.isnan(study.search_spread(rows[rows["search_seed"] == 0])[0])


def test_random_search_judges_by_another_training_than_it_chooses_by():
    rows = pd.DataFrame(
        [("a", 0, 80.0), ("a", 1, 70.0), ("b", 0, 75.0), ("b", 1, 76.0), ("c", 0, 99.0)],
        columns=["network", "seed", "top1"],
    )
    assert study.random_search(rows) == {"networks": 2, "chosen": 80.0, "judged": 70.0}
    assert study.random_search(rows[rows["seed"] == 0])["networks"] == 0


def test_a_beginning_is_told_as_such_and_goes_on_where_it_ended(quick):
    rows = study.run(**SMALL, **DIGITS, proxies=["zen", "flops", "random"], trainings=2)
    told = study.facts(rows)
    assert (told["trainings"], told["proxies_trained"], told["top1_random"], told["tau_cifar10"]) == (
        "2",
        "2",
        study.UNTRAINED,
        study.TOO_FEW,
    )
    assert (
        told["zen_place"] in ("1", "2")
        and told["drawn"] == "0"
        and told["random_search_judged"] == study.TOO_FEW
    )
    again = study.run(**SMALL, **DIGITS, proxies=["zen", "flops", "random"], trainings=3)
    pd.testing.assert_frame_equal(again.trained.iloc[:2], rows.trained)
    assert study.facts(again)["top1_random"] != study.UNTRAINED
    for figure in (
        draw.convergence(study.curves(again.searches)),
        draw.accuracies(again.trained, again.winners, again.drawn),
    ):
        assert isinstance(figure, Figure)


def test_without_a_training_the_searches_are_still_told(quick):
    rows = study.run(**SMALL, proxies=["params", "random"], trainings=0)
    told = study.facts(rows)
    assert (
        told["near_ntk"] == told["params_ntk"] == study.UNSEARCHED != told["params_params"]
        and told["top1_params"] == study.UNTRAINED
    )
    assert float(told["latency_params"]) > 0 and told["latency_ntk"] == study.UNSEARCHED
    assert (
        told["trainings"] == "0" and told["best_proxy"] == study.UNTRAINED and float(told["core_hours"]) == 0
    )
    assert isinstance(draw.accuracies(rows.trained, rows.winners, rows.drawn), Figure)


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


def test_networks_of_the_slice_are_judged_with_shared_weights_and_trained_alone(quick):
    rows = study.run(
        **SMALL, **DIGITS, proxies=["params"], trainings=0, supernet_networks=2, supernet_epochs=1
    )
    assert rows.shared["network"].nunique() == 2 and rows.shared["supernet_cpu_seconds"].nunique() == 1
    assert (rows.shared["shared_top1"] > 0).all() and (rows.shared["top1"] > 0).all()
    assert "2 of at least 8" in study.facts(rows)["supernet"]
    pd.testing.assert_frame_equal(
        study.run(
            **SMALL, **DIGITS, proxies=["params"], trainings=0, supernet_networks=2, supernet_epochs=1
        ).shared,
        rows.shared,
    )


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
