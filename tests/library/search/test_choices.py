"""A space of one's own: `Choices` in the place of the spaces of blocks."""

from __future__ import annotations

import json
import math
import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pandas as pd
import pytest
from torch import nn

from tests.library.search.scores import own_network, width_of
from zenlib import Budget, Choices, closed_form_zen_score, search, to_vcnn

OPTIONS = {"width": [8, 16, 24, 32], "depth": range(1, 6), "kernel": (1, 3, 5)}
SPACE = Choices(OPTIONS, build=own_network)


def found(evaluations=20, space=SPACE, score="closed-form", budget=Budget(params=20_000), **settings):  # noqa: B008
    settings = {"population": 8, "round_size": 4, "resolution": 16, "progress": False} | settings
    return search(space, score, budget, evaluations=evaluations, **settings)


def same(one, other):
    pd.testing.assert_frame_equal(one.history, other.history)
    assert one.best == other.best and one.rejected == other.rejected and one.proposed == other.proposed


@pytest.mark.parametrize("strategy", ["evolution", "random"])
def test_networks_are_scored_once_within_the_budget_as_they_are_when_built(strategy):
    result = found(strategy=strategy)
    assert len(result.history) == 20 and result.history["architecture"].is_unique
    for row in result.history.itertuples():
        module = own_network(json.loads(row.architecture))
        assert row.params == sum(parameter.numel() for parameter in module.parameters()) <= 20_000
        assert row.depth == sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in module)
        vcnn = to_vcnn(module, 16)
        assert row.flops == vcnn.flops + module[0].out_channels * 10  # the classifier
        assert row.score == closed_form_zen_score(vcnn) and math.isnan(row.latency_ms)
    assert result.best_score == result.history["score"].max()
    assert result.best.choices == json.loads(str(result.best)) and isinstance(result.best.build(), nn.Module)
    assert result.rejected["impossible"] > 0 and result.rejected["params"] > 0


def test_a_search_goes_on_and_is_the_same_with_workers(tmp_path):
    whole = found(score=width_of, checkpoint=tmp_path / "whole")
    for evaluations in (7, 20):
        parts = found(evaluations, score=width_of, checkpoint=tmp_path / "parts")
    same(whole, parts)
    same(whole, found(score=width_of, checkpoint=tmp_path / "whole"))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        same(whole, found(score=width_of, executor=executor))
    assert whole.best_score == 32
    fewer = Choices(OPTIONS | {"width": [8, 16]}, build=own_network)
    with pytest.raises(ValueError, match="space is"):
        found(space=fewer, score=width_of, checkpoint=tmp_path / "whole")


def test_a_search_ends_where_its_space_has_no_other_network(tmp_path):
    small = Choices({"width": [8, 16], "depth": [1, 2], "kernel": [3]}, build=own_network)
    for _ in range(2):
        with pytest.warns(UserWarning, match="asked for 50, got all 4 networks"):
            result = found(50, space=small, checkpoint=tmp_path / "search")
        assert len(result.history) == 4 and result.best.choices == {"width": 16, "depth": 2, "kernel": 3}
    with pytest.warns(UserWarning, match="asked for 50, got all 2 networks"):
        assert len(found(50, space=small, budget=Budget(depth=2), initial=None).history) == 2


def test_an_initial_network_is_given_by_its_choices():
    first = {"width": 8, "depth": 2, "kernel": 3}
    result = found(initial=first)
    assert json.loads(result.history["architecture"][0]) == first and len(result.history) == 20
    with pytest.raises(ValueError, match="choices: needed one value each"):
        found(initial={"width": 9, "depth": 2, "kernel": 3})
    with pytest.raises(ValueError, match="initial: needed a network within the budget"):
        found(initial={"width": 32, "depth": 3, "kernel": 5})


def test_values_are_numbers_of_numpy_tuples_and_objects_with_names():
    options = {
        "width": np.array([8, 16]),
        "act": [nn.ReLU, nn.GELU],
        "shape": [(1, 3), (3, 1)],
        "se": [True, None],
    }

    def build(choices):
        pad = tuple(side // 2 for side in choices["shape"])
        convolution = nn.Conv2d(3, int(choices["width"]), choices["shape"], padding=pad)
        return nn.Sequential(convolution, choices["act"](), nn.Conv2d(int(choices["width"]), 8, 3))

    space = Choices(options, build=build)
    result = found(8, space=space, score=lambda network: float(network[0].out_channels), budget=Budget())
    assert result.best.choices["width"] == 16 and result.best.choices["act"] in (nn.ReLU, nn.GELU)
    for text in result.history["architecture"]:
        assert str(space.parse(text)) == text
    drawn = space.sample(random.Random(0))
    assert space.mutate(drawn, random.Random(1)) != drawn and space.size == 16


def test_a_network_that_has_no_score_is_in_the_history_with_its_reason():
    def build(choices):
        layers = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()]
        return nn.Sequential(*layers, *[nn.Upsample(scale_factor=2), nn.Conv2d(8, 8, 3)] * choices["up"])

    history = found(2, space=Choices({"up": [0, 1]}, build=build), budget=Budget()).history.set_index(
        "architecture"
    )
    assert math.isfinite(history["score"]['{"up": 0}']) and "interpolation" in history["reason"]['{"up": 1}']


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Choices({}, build=own_network), "needed names with lists of values"),
        (lambda: Choices({"width": []}, build=own_network), "needed a list of different values for 'width'"),
        (lambda: Choices({"width": [8, 8]}, build=own_network), "needed a list of different values"),
        (lambda: Choices({"act": [lambda: 1, lambda: 2]}, build=own_network), "such as lambdas, by name"),
        (lambda: Choices({"act": "relu"}, build=own_network), "needed a list of different values for 'act'"),
        (
            lambda: found(space=Choices({"a": [1, 2]}, build=lambda choices: 3)),
            "returns a torch.nn.Module, got int",
        ),
        (lambda: found(space=Choices({"a": [1, 2]}, build=own_network)), "cannot be built or run: 'width'"),
        (
            lambda: found(initial={"width": 32, "depth": 5, "kernel": 3}),
            "initial: needed a network that can be built and run",
        ),
        (lambda: found(strategy="reinforce"), "strategy: needed evolution or random"),
        (lambda: found(budget=Budget(latency_ms=1.0)), "budget: needed no latency_ms"),
        (lambda: found(budget=Budget(params=1)), "budget: needed one that new networks can meet"),
    ],
)
def test_what_cannot_be_searched_is_one_message(make, message):
    with pytest.raises(ValueError, match=message):
        make()
