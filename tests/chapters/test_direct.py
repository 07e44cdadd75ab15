"""The direct test on ImageNet: the space, the scores, and how the predictions will be judged."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.benchmarks import accel_nasbench_space as space
from experiments.chapters.direct import cases, opened, scores, study
from experiments.chapters.direct import endpoints as judge
from zenlib.errors import ArchitectureError, BenchmarkMissing, ResultsError
from zenlib.scores.graph_form import graph_of
from zenlib.vanilla.convert import to_vcnn

PLAIN = space.Network((1,) * 7, (3,) * 7, (1,) * 7, (0,) * 7)
LARGE = space.Network((6,) * 7, (5,) * 7, (3, 3, 3, 3, 3, 4, 3), (1,) * 7)


def drawn(seed):
    draw = random.Random(seed)
    return space.Network(*(tuple(draw.choices(choices, k=7)) for choices in space.CHOICES.values()))


NETWORKS = [PLAIN, LARGE, *map(drawn, range(3))]


def the_list():
    try:
        return space.architectures()
    except BenchmarkMissing:
        pytest.skip("needs accel_nasbench_architectures.csv in $ZENLIB_DATA")


def made_up(noise=0.0, rows=400):
    """Predictions of made-up networks, and accuracies that follow `closed_form` up to noise."""
    draw = np.random.default_rng(0)
    table = pd.DataFrame({name: draw.normal(size=rows) for name in judge.BASELINES})
    table["params"], table["multiply_adds"] = np.exp(table["params"]), np.exp(table["multiply_adds"])
    table["seconds"], table["gates"] = draw.uniform(size=rows), draw.random(rows) < 0.5
    table["id"] = table["network"] = np.arange(rows)
    accuracies = 60 + table["closed_form"] + noise * draw.normal(size=rows)
    return table, pd.Series(accuracies.to_numpy(), index=table["id"])


def test_the_list_comes_without_accuracies_and_has_the_published_parameters_in_every_row():
    listed = the_list()
    assert not [name for name in listed if "acc" in name.lower() or "top" in name.lower()]
    counted = np.array([space.params(network) for network in space.networks()])
    assert len(counted) == scores.ROWS and np.abs(counted / 1e6 - listed["params_M"]).max() < 1e-9


def test_the_published_multiply_adds_are_ours_with_four_operations_for_each_normalised_value():
    listed = the_list()
    places = [place for place, network in enumerate(space.networks()) if not network.has_gates][:50]
    for place in places:
        network = space.networks()[place]
        pooled = space.HEAD * 49 + space.HEAD
        values = scores.arithmetic(place)["activations"]
        ours = space.multiply_adds(network) + 4 * values + pooled
        assert ours / 1e6 == pytest.approx(listed["macs_M"][place], abs=1e-6)


@pytest.mark.parametrize("network", NETWORKS)
def test_counts_and_the_vanilla_chain_are_those_of_the_built_module(network):
    with torch.device("meta"):
        module = space.build(network)
    chain, converted = space.vanilla(network), to_vcnn(module, space.RESOLUTION)
    assert [conv.weight_shape for conv in chain.convs] == [conv.weight_shape for conv in converted.convs]
    assert [conv.out_resolution for conv in chain.convs] == [conv.out_resolution for conv in converted.convs]
    assert space.params(network) == sum(value.numel() for value in module.parameters())
    found = []
    for layer in module.modules():
        if isinstance(layer, torch.nn.ReLU):
            layer.register_forward_hook(lambda _, __, out: found.append(out.numel()))
    module.eval()(torch.zeros(1, 3, space.RESOLUTION, space.RESOLUTION, device="meta"))
    assert space.relu_units(network) == sum(found)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_graph_is_what_is_read_from_the_built_module(network):
    with torch.device("meta"):
        read = graph_of(space.build(network), space.RESOLUTION)
    graph = space.graph(network)
    plain, expected = ([place._replace(name="") for place in one.operations] for one in (graph, read))
    assert plain == expected and graph.output == read.output
    assert len(graph.marks) == len(network.blocks()) + 2


def test_a_network_outside_the_space_is_refused_with_the_field():
    with pytest.raises(ArchitectureError, match="kernel: needed 7 numbers of"):
        PLAIN._replace(kernel=(7,) * 7).checked()


def test_the_sample_is_drawn_without_looking_and_has_its_size():
    assert len(set(scores.sample())) == scores.SAMPLE and max(scores.sample()) < scores.ROWS


def test_a_score_that_is_the_accuracy_is_confirmed_and_its_reverse_is_refuted():
    predictions, accuracies = made_up(noise=0.1)
    names = ["closed_form", "multiply_adds", "params"]
    assert judge.verdict(judge.endpoints(predictions, accuracies, names)) == "confirmed"
    assert judge.verdict(judge.endpoints(predictions, -accuracies, names)) == "refuted"


def test_accuracies_that_say_nothing_leave_the_comparison_undecided():
    predictions, accuracies = made_up()
    shuffled = pd.Series(np.random.default_rng(1).permutation(accuracies), index=accuracies.index)
    assert judge.verdict(judge.endpoints(predictions, shuffled, ["closed_form"])) == "undecided"


def test_a_score_of_the_sample_is_compared_with_every_baseline_within_it():
    predictions, accuracies = made_up()
    predictions["naswot"] = predictions["closed_form"].where(predictions["id"] < 100)
    found = judge.endpoints(predictions, accuracies, ["naswot"])
    whole = found[(found["population"] == "all") & (found["baseline"] != judge.ALONE)]
    assert set(whole["baseline"]) == set(judge.BASELINES) and set(whole["n"]) == {100}


def test_accuracies_of_other_networks_are_refused():
    predictions, accuracies = made_up()
    with pytest.raises(ValueError, match="needed one for each of the 400 networks"):
        judge.endpoints(predictions, accuracies.iloc[1:], ["closed_form"])


def test_by_looking_up_a_perfect_score_has_no_regret_and_random_choice_that_of_the_mean():
    predictions, accuracies = made_up()
    found = judge.lookups(predictions, accuracies, ["closed_form", "log_width"])
    perfect = found[found["score"] == "closed_form"]
    assert len(perfect) == len(judge.COSTS) * len(judge.QUANTILES)
    assert perfect["regret"].max() == 0 and perfect["ndcg"].min() == pytest.approx(1)
    under = predictions[predictions["params"] <= predictions["params"].quantile(0.5)]
    known = accuracies[under["id"]]
    chosen = (found["score"] == judge.RANDOM) & (found["cost"] == "params") & (found["quantile"] == 0.5)
    line = found[chosen].iloc[0]
    assert line["regret"] == pytest.approx(known.max() - known.mean()) and line["n"] == len(under)
    assert 0 < line["ndcg"] < 0.9


def test_the_normalised_gain_of_ten_networks_is_the_one_counted_by_hand():
    order = np.array([80, 70, 100, 90, 60, 50, 40, 30, 20, 10], dtype=float)
    assert judge.ndcg(-np.arange(10.0), order) == pytest.approx(0.50, abs=0.005)
    tied = judge.ndcg(np.zeros(2), np.array([1.0, 2.0]))  # both share the mean gain of 1 and 3
    assert tied == pytest.approx((2 + 2 / np.log2(3)) / (3 + 1 / np.log2(3)))


def test_the_facts_of_an_empty_checkout_say_that_there_is_nothing():
    nothing = opened.Opened(opened.JUDGED.stored().iloc[:0], opened.LOOKUPS.stored().iloc[:0])
    told = study.facts(study.DirectRows(study.nothing(), cases.CASES.stored().iloc[:0], nothing))
    assert told["networks"] == "0" and told["tau_params"] == "?"


def test_a_network_that_others_searched_is_counted_from_its_structure_alone():
    try:
        row = cases.case_row(name="Params-450M", resolution=224)
    except BenchmarkMissing:
        pytest.skip("needs zen_space_networks.csv in $ZENLIB_DATA")
    assert row["convs"] == 26 and row["multiply_adds"] / 1e6 == pytest.approx(451, rel=0.01)


def test_published_zennets_need_no_file():
    assert cases.case_row(name="zennet-1.0M", resolution=32)["params"] > 0


@pytest.fixture
def brought(tmp_path, monkeypatch):
    """A folder of results with made-up predictions, and one of data with made-up accuracies of them."""
    predictions, accuracies = made_up(noise=0.5)
    predictions["repaired"] = predictions["closed_form"] + 0.1 * predictions["log_width"]
    predictions = predictions.drop(columns="seconds")
    predictions = predictions[["id", "network", "gates", *judge.BASELINES, "repaired"]]
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    path = opened.REGISTERED.path
    path.parent.mkdir(parents=True, exist_ok=True)
    predictions.to_csv(path, index=False)
    digest = opened.REGISTERED.digest()
    monkeypatch.setattr(opened, "REGISTERED", opened.REGISTERED._replace(sha256=digest))
    throughput = pd.DataFrame({"id": predictions["id"], "thr_a100": predictions["params"]})
    monkeypatch.setattr(space, "architectures", lambda: throughput)
    caches = opened._endpoints, opened._lookups
    for cache in caches:
        cache.cache_clear()
    yield accuracies.rename("top1").rename_axis("id").reset_index(), tmp_path / opened.ACCURACIES
    for cache in caches:
        cache.cache_clear()


def test_on_the_day_that_the_file_of_accuracies_is_there_everything_registered_is_judged(brought):
    accuracies, path = brought
    assert not opened.is_open() and opened.run(whole=True).judged.empty
    accuracies.to_csv(path, index=False)
    found = opened.run(whole=True)
    told = opened.facts(found)
    assert told["verdict_primary"] == told["verdict_second"] == "confirmed" and "confirmed" in told["answer"]
    assert set(found.judged["population"]) == set(judge.POPULATIONS)
    assert len(found.lookups) == 9 * 10 and np.isfinite(found.lookups["regret"]).all()
    guesses = opened.guesses(found, study.NAMES).set_index("what")
    assert guesses.loc["Zen, closed form, all networks", "inside"] == "no"
    assert int(told["hits"]) == list(guesses["inside"]).count("yes")
    names = {name: study.NAMES[name] for name in ("closed_form", "params")}
    assert len(opened.shown(found, names)) == 2 and len(opened.looked_up(found, names)) == 3


def test_without_accuracies_every_result_is_told_as_not_opened(brought):
    told = opened.facts(opened.run(whole=True))
    assert told["verdict_primary"] == told["hits"] == opened.CLOSED and "nobody" in told["answer"]
    assert set(opened.guesses(opened.run(whole=True), study.NAMES)["result"]) == {opened.CLOSED}


def test_accuracies_may_be_fractions_and_are_refused_where_two_columns_could_be_meant(brought):
    accuracies, path = brought
    renamed = accuracies.assign(top1=accuracies["top1"] / 100).rename(columns={"top1": "val_top-1"})
    renamed.to_csv(path, index=False)
    assert opened.accuracies().to_numpy() == pytest.approx(accuracies["top1"].to_numpy())
    renamed.assign(test_acc=0.5).to_csv(path, index=False)
    with pytest.raises(ResultsError, match="needed one column of accuracies, top1, got val_top-1, test_acc"):
        opened.accuracies()


def test_the_committed_predictions_are_the_registered_ones_without_gaps():
    found = opened.REGISTERED.predictions()
    assert found["id"].tolist() == list(range(scores.ROWS)) and list(found["network"].unique()) == sorted(
        found["network"].unique()
    )
    assert set(found) == {"id", "network", "gates", *study.NAMES}
    drawn = [name for name in study.NAMES if found[name].isna().any()]
    assert found.drop(columns=drawn).notna().all(axis=None)
    rows = found[found[drawn].notna().any(axis=1)]
    assert rows["id"].tolist() == scores.sample() and rows[drawn].notna().all(axis=None)


def test_the_committed_predictions_are_what_the_stored_scores_give():
    the_list()
    again = study._predictions(scores.ROWS, scores.sample())
    pd.testing.assert_frame_equal(opened.REGISTERED.predictions(), again, rtol=1e-6, check_dtype=False)


def test_equal_networks_are_tied_in_every_score_for_all():
    found = opened.REGISTERED.predictions()
    whole = [name for name in study.NAMES if found[name].notna().all()]
    assert (found.groupby("network")[whole].nunique() == 1).all(axis=None)


def test_a_wide_comparison_is_told_before():
    assert 0 < judge.half_width(made_up()[0]) < 0.2
