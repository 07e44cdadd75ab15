from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from experiments.chapters.search import study
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import zennet_architecture
from zenlib.spaces import SPACES


def test_published_nets_keep_the_budgets_they_are_compared_under():
    for task in study.TASKS.values():
        network = zennet_architecture(task.published)
        plain = type(network)(network.blocks)
        assert not task.max_params or plain.params(task.num_classes) <= task.max_params
        assert not task.max_flops or plain.flops(task.resolution, task.num_classes) <= task.max_flops
        assert network.depth == task.max_depth


def test_the_released_first_networks_are_in_their_spaces_and_within_every_budget():
    for task in study.TASKS.values():
        network = Architecture.from_string(study.RELEASED_INITIAL[task.space])
        assert SPACES[task.space].contains(network)
        assert not task.max_params or network.params(task.num_classes) < task.max_params
        assert not task.max_flops or network.flops(task.resolution, task.num_classes) < task.max_flops


def test_layers_are_shared_out_by_the_size_of_their_map():
    # three blocks of 1, 3 and 4 layers before, at and after the first halving, then 2, 3 and 3 more
    assert study.stage_shares(zennet_architecture("zennet-1.0M")).tolist() == [1 / 16, 7 / 16, 2 / 16, 6 / 16]


def test_a_curve_is_the_mean_over_seeds_with_students_interval():
    rows = pd.DataFrame(
        {
            "kind": ["a"] * 3,
            "seed": [0, 1, 2],
            "curve": [json.dumps([[1, value], [10, value + 1]]) for value in (1.0, 2.0, 3.0)],
        }
    )
    curve = study.curves(rows, "kind")
    assert curve["mean"].tolist() == [2.0, 3.0]
    assert curve["half_width"].tolist() == pytest.approx([4.302653 / np.sqrt(3)] * 2)


def test_the_gain_is_the_mean_difference_to_the_published_network():
    tasks = pd.DataFrame(
        {
            "task": ["x", "x"],
            "start": "random",
            "zen": [101.0, 103.0],
            "published_zen": 100.0,
            "published_zen_stderr": 0.1,
            "params": 5,
            "flops": 6,
            "depth": 7,
        }
    )
    (row,) = study.against_published(tasks).to_dict("records")
    assert row["gain"] == 2 and row["half_width"] == pytest.approx(12.706205 * np.sqrt(2) / np.sqrt(2))
