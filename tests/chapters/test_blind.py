"""The blind test: the space, its fast scores, the predictions, how they were judged, and what came out."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from experiments.benchmarks import nasbench_macro_space as space
from experiments.benchmarks.chain_zen import chain_terms
from experiments.chapters.blind import figures as draw
from experiments.chapters.blind import opened, scores, study
from experiments.chapters.blind.endpoints import PRIMARY, SECOND, endpoints, half_width, regret, verdict
from experiments.figures.agreement import triangle
from experiments.record.results import data_file
from zenlib.errors import ArchitectureError, BenchmarkMissing
from zenlib.proxies import PROXIES
from zenlib.scores.closed_form import closed_form_zen_score
from zenlib.scores.graph_form import repaired_score
from zenlib.scores.zen import zen_score
from zenlib.vanilla.convert import to_vcnn

CODES = random.Random(0).sample(list(space.codes()), 4)
EXTREMES = ("00000000", "22222222")


def predictions() -> pd.DataFrame:
    return pd.read_csv(opened.REGISTERED.path, dtype={"arch": str})


needs_file = pytest.mark.skipif(
    not opened.REGISTERED.path.exists(), reason="the predictions are not written yet"
)


def shapes(network):
    return [
        (conv.weight_shape, conv.stride, conv.padding, conv.groups, conv.in_resolution, conv.out_resolution)
        for conv in network.convs
    ]


def test_the_codes_are_those_of_the_published_list():
    try:
        published = pd.read_csv(data_file("nasbench_macro_architectures.csv", ""), dtype=str)
    except BenchmarkMissing:
        pytest.skip("needs nasbench_macro_architectures.csv in $ZENLIB_DATA")
    assert list(published.columns) == ["arch"], "the list must come without accuracies"
    assert sorted(published["arch"]) == sorted(space.codes())


@pytest.mark.parametrize("code", [*CODES, *EXTREMES])
def test_costs_are_counted_as_the_built_module_has_them(code):
    module = space.build(code)
    counted = {
        name: PROXIES[proxy](module, 32, device="cpu")
        for name, proxy in (("params", "params"), ("flops", "flops"), ("depth", "layers"))
    }
    assert space.costs(code) == counted
    assert module.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_parameters_of_the_smallest_network_are_those_counted_by_hand():
    convs = 3 * 32 * 9 + 32 * 64 + 64 * 128 + 128 * 256 + 256 * 1280
    assert space.costs("00000000")["params"] == convs + 2 * (32 + 64 + 128 + 256 + 1280) + 1280 * 10 + 10


@pytest.mark.parametrize("code", [*CODES, *EXTREMES])
def test_the_vanilla_chain_is_what_the_conversion_makes_of_the_module(code):
    assert shapes(space.vanilla(code)) == shapes(to_vcnn(space.build(code), 32))


def test_codes_of_one_network_have_one_chain_and_others_have_not():
    chains = {code: tuple(shapes(space.vanilla(code))) for code in space.codes()}
    assert all(chains[space.canonical(code)] == chain for code, chain in chains.items())
    assert len(set(chains.values())) == len({space.canonical(code) for code in chains}) == scores.SCORES.rows


@pytest.mark.parametrize("code", ["", "0000000", "00000003", "0000000a", 12121212])
def test_what_is_no_code_is_refused(code):
    with pytest.raises(ArchitectureError, match="8 digits of 0"):
        space.check(code)


def test_the_score_with_common_draws_estimates_the_zen_score_of_the_module():
    code = "11022010"
    fast = [chain_terms(space.vanilla(code), seed, 16).score() for seed in range(6)]
    plain = zen_score(space.build(code), 32, repeats=6, seed=100, device="cpu")
    spread = np.hypot(np.std(fast, ddof=1), plain.std) / np.sqrt(6)
    assert abs(np.mean(fast) - plain.mean) < 4 * spread


def test_a_column_holds_the_proxy_of_its_network(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    index = scores.networks().index("10000000")
    scores.fill(("shared",), 2, [index])
    row = scores.SCORES.read().loc[index]
    for name in ("zico", "synflow"):
        assert row[f"{name}_s2"] == pytest.approx(
            PROXIES[name](space.build("10000000"), 32, seed=2, device="cpu"), rel=1e-6
        )


@needs_file
def test_the_file_has_every_code_once_and_no_gaps():
    found = predictions()
    assert found["arch"].tolist() == list(space.codes())
    assert list(found.columns[:4]) == ["arch", "params", "flops", "depth"]
    assert {"zen", "zen_frobenius", "zen_running", "closed_form", "built_running", *PRIMARY} <= set(
        found.columns
    )
    assert np.isfinite(found.drop(columns="arch").to_numpy(float)).all()


@needs_file
def test_the_file_carries_scores_and_costs_alone():
    columns = set(predictions().columns)
    assert columns <= {"arch", *study.NAMES, *study.PROXIES}


@needs_file
def test_codes_of_one_network_are_tied_in_every_score():
    found = predictions()
    numbers = found.drop(columns="arch").groupby(found["arch"].map(space.canonical)).nunique()
    assert (numbers == 1).all(axis=None)


@needs_file
def test_rows_of_the_file_are_what_is_computed_again():
    found = predictions().set_index("arch")
    for code in random.Random(7).sample(list(space.codes()), 5):
        row, chain = found.loc[code], space.vanilla(code)
        assert {name: row[name] for name in study.COSTS} == space.costs(code)
        terms = [chain_terms(chain, seed, scores.BATCH_SIZE) for seed in study.SEEDS]
        for name, definition in scores.DEFINITIONS.items():
            assert row[name] == pytest.approx(np.mean([term.score(*definition) for term in terms]), abs=5e-3)
        assert row["closed_form"] == pytest.approx(closed_form_zen_score(chain), rel=1e-5)
        assert row["repaired"] == pytest.approx(repaired_score(space.build(code), 32), rel=1e-5)


@needs_file
def test_proxies_of_the_file_are_what_is_computed_again():
    found = predictions().set_index("arch")
    code = random.Random(8).choice(list(space.codes()))
    for name in (name for name in scores.SHARED if name in PROXIES and name.replace("-", "_") in found):
        again = PROXIES[name](space.build(code), 32, batch_size=16, seed=0, device="cpu")
        # ZiCo divides by the spread of two half batches, which may be tiny: the order of a sum, and so the
        # number of threads, moves it by percents.
        assert found.loc[code, name.replace("-", "_")] == pytest.approx(
            again, rel=0.05 if name == "zico" else 1e-3
        )


@pytest.fixture
def made_up():
    """Predictions of some scores, and no accuracies."""
    rows = pd.DataFrame({"arch": list(space.codes())[::3]})
    networks = rows["arch"].map(space.canonical)
    drawn = dict(
        zip(sorted(set(networks)), np.random.default_rng(0).normal(size=networks.nunique()), strict=True)
    )
    costs = pd.DataFrame([space.costs(code) for code in rows["arch"]])
    noise = networks.map(drawn)
    return pd.concat([rows, costs], axis=1).assign(
        repaired=costs["depth"] + 0.5 * noise, built_running=noise, zen=noise
    )


NAMES = ("params", "flops", "depth", "repaired", "built_running", "zen")


@pytest.mark.parametrize(("truth", "expected"), [("repaired", "confirmed"), ("params", "refuted")])
def test_the_verdict_follows_the_accuracies(made_up, truth, expected):
    accuracies = pd.Series(made_up[truth].rank().to_numpy(), index=made_up["arch"])
    found = endpoints(made_up, accuracies, NAMES)
    assert verdict(found) == expected
    assert regret(made_up, accuracies, truth) == pytest.approx(0)
    alone = found[(found["score"] == truth) & found["baseline"].isna()].set_index("population")["kendall"]
    assert alone["all"] == pytest.approx(1)
    assert set(found["population"]) == {"all", "networks", "top", "equal FLOPs"}


def test_accuracies_that_know_nothing_decide_nothing(made_up):
    accuracies = pd.Series(np.random.default_rng(5).normal(size=len(made_up)), index=made_up["arch"])
    assert (
        verdict(endpoints(made_up, accuracies, NAMES))
        == verdict(endpoints(made_up, accuracies, NAMES), SECOND)
        == "undecided"
    )


def test_an_accuracy_of_an_unknown_code_is_refused(made_up):
    with pytest.raises(ValueError, match="codes of the predictions"):
        endpoints(made_up, pd.Series([90.0], index=["33333333"]), NAMES)


def test_the_width_of_the_interval_is_told_before(made_up):
    assert 0.005 < half_width(made_up) < 0.05


def test_a_small_run_states_every_fact_and_writes_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    rows = study.run(count=6, seeds=[0], proxies=False)
    facts = study.facts(rows)
    assert facts["tau_repaired_built_running"] == facts["range_zico"] == study.NOT_SCORED
    assert facts["networks"] == "6" and len(rows.predictions) >= 6
    assert not opened.REGISTERED.path.exists()
    assert not opened.REGISTERED.digest()
    for figure in (triangle(rows.agreement, study.NAMES), draw.disagreement(rows.unique, study.NAMES)):
        assert isinstance(figure, Figure)
    assert study.run(count=6, seeds=[0], proxies=False).predictions.equals(rows.predictions)


def test_the_committed_predictions_are_those_that_were_registered():
    assert opened.registered().equals(predictions())


@pytest.mark.parametrize("code", [*CODES, *EXTREMES])
def test_values_that_meet_a_relu_are_counted_as_a_forward_pass_has_them(code):
    module, found = space.build(code).eval(), []
    for layer in module.modules():
        if isinstance(layer, torch.nn.ReLU):
            layer.register_forward_hook(lambda _, __, out: found.append(out[0].numel()))
    module(torch.zeros(1, 3, 32, 32))
    assert space.layer_sums(code).relu_units == sum(found)


def test_the_ceiling_is_what_a_perfect_score_reaches_with_the_mean_of_three_noisy_trainings():
    draw = np.random.default_rng(0)
    true = draw.normal(size=4000)
    trainings = [true + draw.normal(scale=0.3, size=len(true)) for _ in range(3)]
    between = pd.Series(trainings[0]).corr(pd.Series(trainings[1]), method="kendall")
    reached = pd.Series(np.mean(trainings, axis=0)).corr(pd.Series(true), method="kendall")
    assert opened.ceiling(between) == pytest.approx(reached, abs=0.01)


def test_the_stored_result_has_every_comparison_of_the_registration_and_says_its_verdict():
    rows = opened.run(whole=True)
    told = opened.facts(rows)
    assert len(rows.judged.drop_duplicates(["population", "score", "baseline"])) == len(rows.judged)
    assert set(rows.judged["population"]) == set(opened.POPULATIONS)
    assert told["verdict_primary"] == "confirmed" and told["hit_params"] == "below"
    assert int(told["hits"]) == [told[f"hit_{name}"] for name in (*study.GUESSES, "gain")].count("inside")


def test_without_any_accuracy_every_fact_of_the_result_is_told_as_unknown():
    opened_tables = (opened.JUDGED, opened.FIRST, opened.AFTER, opened.BEST)
    empty = opened.Opened(*(table.stored().iloc[:0] for table in opened_tables))
    told = opened.facts(empty)
    assert told["verdict_primary"] == "not opened here"
    assert told["came_all_naswot"] == told["ceiling"] == told["regret_params"] == "?"
