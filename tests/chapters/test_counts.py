"""The chapter on what proxies count: counts are those of modules, and the choice is made where it says."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from experiments.benchmarks import layer_sums
from experiments.benchmarks import nasbench_macro_space as macro
from experiments.benchmarks.nasbench201_space import CONVS, Cell, build
from experiments.chapters.blind import scores as blind
from experiments.chapters.counts import counted, measured, parts, study
from zenlib import PROXIES, Architecture
from zenlib.errors import BenchmarkMissing, ScoreUndefined
from zenlib.scores.formulas.counts import Counts


def sums(module) -> list[float]:
    return [PROXIES[name.replace("_", "-")](module, 32) for name in Counts._fields]


@pytest.mark.parametrize("code", ["00000000", "12021210", "21100212"])
def test_counts_of_a_macro_code_are_those_of_its_module(code):
    assert sums(macro.build(code)) == pytest.approx(list(macro.layer_sums(code)), rel=1e-12)


def test_counts_of_cells_add_up_and_dead_edges_count():
    texts = [
        "|nor_conv_3x3~0|+|none~0|none~1|+|nor_conv_1x1~0|none~1|none~2|",
        "|nor_conv_1x1~0|+|avg_pool_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|",
    ]
    cells = [Cell.from_string(text) for text in texts]
    for cell, counts in zip(cells, layer_sums.cell_sums(cells).to_numpy(), strict=True):
        assert sums(build(cell)) == pytest.approx(counts.tolist(), abs=1e-9)


def test_cells_with_as_many_convolutions_are_tied_in_all_sums_but_that_of_fan_in():
    cells = [Cell((op, *("none",) * 4, other)) for op in CONVS for other in CONVS]
    counts = layer_sums.cell_sums(cells).nunique().to_dict()
    assert counts == {"relu_units": 1, "activations": 1, "log_width": 1, "log_fan_in": 3}


def test_mutants_are_as_deep_as_their_parent_and_the_first_ones_do_not_depend_on_the_number():
    parent = Architecture.from_string(measured.networks("resnet-like", 1)[0])
    mutants = [Architecture.from_string(text) for text in measured.networks("equal-depth", 4)]
    assert {mutant.depth for mutant in mutants} == {parent.depth}
    assert measured.networks("equal-depth", 2) == measured.networks("equal-depth", 4)[:2]


def test_a_code_has_the_recent_scores_of_its_network():
    try:
        rows = counted.networks("macro").set_index("arch")
    except BenchmarkMissing:
        pytest.skip("needs nasbench_macro_cifar10.csv in $ZENLIB_DATA")
    stored = blind.PEER_SCORES.read()
    for place in blind.sample(5):
        codes = rows[rows["family"] == blind.networks()[place]]
        assert len(codes) > 0 and set(codes["swap"]) == {stored["swap_s0"][place]}
    assert rows["swap"].notna().sum() < len(rows)


def test_no_accuracy_stands_beside_the_scores_of_accel_nasbench():
    row = counted.counted_row(space="accel_nasbench", dataset=counted.UNKNOWN[1], score="naswot")
    assert row["count"] == "relu_units" and math.isnan(row["alone"])
    assert not {*counted.networks("accel_nasbench")} & {"accuracy", "top1", "imagenet"}


@pytest.fixture
def toy(monkeypatch):
    """A space whose score is the square of its ReLU values, and whose accuracies follow another number."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({name: rng.random(120) for name in counted.COUNTS})
    rows["naswot"] = rows["relu_units"] ** 2
    rows["snip"] = rows["relu_units"] + 0.3 * rows["params"]
    rows["fisher_channels"] = np.nan
    rows["cifar10"] = rows["relu_units"] + rows["params"]
    rows["family"] = [str(place) for place in range(120)]
    monkeypatch.setattr(counted, "networks", lambda space: rows)


def test_a_score_that_is_a_count_is_found_and_keeps_nothing(toy):
    row = counted.counted_row(space="macro", dataset=counted.UNTRAINED, score="naswot")
    assert row["count"] == "relu_units"
    assert row["agreement"] == pytest.approx(1)
    assert math.isnan(row["given"])


def test_what_a_score_knows_beyond_its_count_is_kept(toy):
    row = counted.counted_row(space="macro", dataset="cifar10", score="snip")
    assert row["count"] == "relu_units"
    assert row["given_low"] > 0
    assert row["alone"] > row["of_count"]


def test_a_score_without_values_is_undefined(toy):
    with pytest.raises(ScoreUndefined, match="not measured on enough networks"):
        counted.counted_row(space="macro", dataset="cifar10", score="fisher-channels")


def test_at_most_ten_variants_are_tried_and_the_choice_is_that_of_the_choice_half():
    assert len(parts.VARIANTS) <= 10
    rows = pd.DataFrame(
        {
            "variant": ["a", "b", "b", "a"],
            "half": ["choice", "choice", "report", "report"],
            "population": ["all"] * 4,
            "kendall": [0.5, 0.4, 0.9, 0.1],
        }
    )
    assert parts.choice(rows) == "a"


def test_parts_of_a_cell_are_finite_and_gradients_grow_backwards():
    cell = Cell.from_string("|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|nor_conv_3x3~2|")
    found = parts.formulas_of(cell)
    assert all(math.isfinite(value) for value in found.values())
    assert found["growth"] > 10


def test_facts_of_nothing_are_unknown():
    told = study.facts(study.CountRows(*(table.stored().iloc[:0] for table in study.TABLES[4:])))
    assert told["cases"] == "0"
    assert told["chosen"] == "?"
