"""A table: rows are computed once, undefined scores keep their reason, and verification finds what changed."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.record.table import Table
from zenlib.errors import ResultsError, ScoreUndefined

UNITS = {
    "network": "text: a name",
    "resolution": "px: side",
    "alpha": "1: perturbation",
    "score": "nat: a score",
    "error": "nat: its standard error",
    "layer": "index: a layer or nothing",
}


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    return tmp_path


def table(shift=0.0, undefined="overflow net", calls=None, **changed):
    """A table whose values move with `shift`; `calls` collects the keys that were computed."""

    def compute(network, resolution, alpha):
        if calls is not None:
            calls.append((network, resolution, alpha))
        if network == undefined:
            raise ScoreUndefined("layer 3 overflows float32")
        return {"score": np.float64(len(network) + alpha + shift), "error": 0.25, "layer": None if alpha else 3}

    parts = {"key": ("network", "resolution", "alpha"), "units": UNITS, "agreement": {"score": "error", "layer": 0.0}} | changed
    return Table("demo", "small", compute=compute, **parts)


KEYS = [
    {"network": network, "resolution": resolution, "alpha": alpha}
    for network in ("deep net", "overflow net")
    for resolution in (None, 32)
    for alpha in (0.01, 0, 1e-3)
]


def test_a_second_fill_computes_nothing_and_gives_the_same_frame():
    calls = []
    first = table(calls=calls).fill(KEYS)
    again = table(calls=calls).fill(KEYS)
    pd.testing.assert_frame_equal(first, again)
    assert len(calls) == len(KEYS)


def test_rows_come_in_the_order_of_the_keys_and_may_repeat():
    table().fill(KEYS)
    asked = [KEYS[4], KEYS[0], KEYS[4]]
    assert table().fill(asked)["alpha"].tolist() == [0, 0.01, 0]


@pytest.mark.parametrize(
    "key",
    [
        {"network": "deep net", "resolution": 32.0, "alpha": 0.0},
        {"network": np.str_("deep net"), "resolution": np.int64(32), "alpha": np.float64(0)},
        {"network": "deep net", "resolution": None, "alpha": 0.001},
    ],
)
def test_a_key_is_found_again_after_the_round_trip_through_the_file(key):
    calls = []
    table().fill(KEYS)
    table(calls=calls).fill([key])
    assert calls == []


def test_truth_values_and_text_are_not_the_numbers_they_look_like():
    calls = []
    values = [1, True, "1", 1.5]
    for _ in range(2):
        table(calls=calls).fill([{"network": "deep net", "resolution": value, "alpha": 0.5} for value in values])
    assert [call[1] for call in calls] == values


def test_an_undefined_score_is_nan_with_its_reason_and_is_not_tried_again():
    calls = []
    frame = table(calls=calls).fill(KEYS)
    undefined = frame[frame["network"] == "overflow net"]
    assert undefined[["score", "error", "layer"]].isna().all(axis=None)
    assert set(undefined["reason"]) == {"layer 3 overflows float32"}
    assert frame[frame["network"] == "deep net"]["reason"].isna().all()
    table(calls=calls).fill(KEYS)
    assert len(calls) == len(KEYS)


def test_an_error_in_the_middle_keeps_the_rows_before_it():
    def compute(seed):
        if seed == 2:
            raise KeyboardInterrupt
        return {"score": seed / 7}

    interrupted = Table("demo", "interrupted", ("seed",), compute, {"seed": "1: seed", "score": "nat: s"})
    with pytest.raises(KeyboardInterrupt):
        interrupted.fill([{"seed": seed} for seed in range(4)])
    assert interrupted.stored()["score"].tolist() == [0, 1 / 7]
    assert not interrupted.store.journal_path.exists()


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ({"network": "a", "resolution": 32}, r"keys\[0\]: needed exactly the columns .*missing \['alpha'\]"),
        ({"network": "a", "resolution": 32, "alpha": 1, "beta": 2}, r"unknown \['beta'\]"),
        ({"network": "a", "resolution": 32, "alpha": math.nan}, r"keys\[0\]: needed no NaN in a key"),
        ({"network": "a", "resolution": [32], "alpha": 1}, r"keys\[0\]\['resolution'\]: needed a number"),
        ({"network": "a\rb", "resolution": 32, "alpha": 1}, "without carriage returns"),
        ({"network": "", "resolution": 32, "alpha": 1}, r"keys\[0\]\['network'\]: needed a number, a boolean, non-empty text"),
    ],
)
def test_a_wrong_key_is_refused_before_anything_is_computed(key, message, results):
    calls = []
    with pytest.raises(ValueError, match=message):
        table(calls=calls).fill([key, *KEYS])
    assert calls == [] and list(results.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"score": 1.0}, r"missing \['error', 'layer'\]"),
        ({"score": 1.0, "error": 0.1, "layer": 1, "more": 1}, r"unknown \['more'\]"),
        ({"score": torch.tensor(1.0), "error": 0.1, "layer": 1}, "score: needed a number"),
    ],
)
def test_wrong_values_are_refused_and_not_stored(values, message):
    wrong = Table("demo", "wrong", ("seed",), lambda seed: values, {"seed": "1: s", "score": "nat: s", "error": "nat: e", "layer": "1: l"})
    with pytest.raises(ValueError, match=message):
        wrong.fill([{"seed": 0}])
    assert wrong.stored().empty


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"key": ()}, "key: needed at least one column"),
        ({"key": ("network", "width")}, r"units: needed a unit for every key column, got \['width'\]"),
        ({"units": UNITS | {"score": "a score"}}, r"units: needed \"unit: meaning\" for every column, got \['score'\]"),
        ({"units": UNITS | {"seconds": "s: time"}}, "units: needed no column named"),
        ({"agreement": {"skore": 0.1}}, r"agreement: needed value columns .*got \['skore'\]"),
        ({"agreement": {"score": "stderr"}}, r"agreement: needed value columns .*got \['stderr'\]"),
    ],
)
def test_a_table_that_is_not_well_described_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        table(**changed)


def test_verification_recomputes_a_sample_that_its_seed_determines():
    table().fill(KEYS)
    compared = table().verify(rows=4, seconds=60, seed=1)
    assert len(compared.drop_duplicates(["network", "resolution", "alpha"])) == 4
    assert compared["agrees"].all()
    pd.testing.assert_frame_equal(compared, table().verify(rows=4, seconds=60, seed=1))
    assert len(table().verify(rows=99, seconds=60, seed=1)) == 2 * len(KEYS)


def test_a_value_within_its_error_agrees_and_one_beyond_it_is_named():
    table().fill(KEYS)
    assert table(shift=1.4).verify(rows=12, seconds=60, seed=0)["agrees"].all()
    with pytest.raises(ResultsError, match=r"got 6 that differ; .*version(.|\n)*network='deep net', .*: score stored 8\.0, recomputed 9\.5"):
        table(shift=1.5).verify(rows=12, seconds=60, seed=0)


def test_a_value_with_a_relative_tolerance_is_held_to_it():
    table(agreement={"score": 0.01}).fill(KEYS)
    assert table(agreement={"score": 0.01}, shift=0.07).verify(rows=12, seconds=60, seed=0)["agrees"].all()
    with pytest.raises(ResultsError, match="6 that differ"):
        table(agreement={"score": 0.01}, shift=0.09).verify(rows=12, seconds=60, seed=0)


def test_numbers_that_are_zero_up_to_rounding_agree_whatever_their_ratio():
    def tiny(value):
        return Table("demo", "tiny", ("seed",), lambda seed: {"error": value}, {"seed": "1: s", "error": "1: e"}, agreement={"error": 1e-3})

    tiny(3.1e-28).fill([{"seed": 0}])
    assert tiny(2.0e-28).verify(1, 60, 0)["agrees"].all()
    with pytest.raises(ResultsError, match="recomputed 1e-09"):
        tiny(1e-9).verify(1, 60, 0)


def test_an_undefined_row_is_reproduced_only_by_an_undefined_one():
    table().fill(KEYS)
    with pytest.raises(ResultsError, match=r"network='overflow net'.*score stored nan, recomputed"):
        table(undefined=None).verify(rows=12, seconds=60, seed=0)
    with pytest.raises(ResultsError, match=r"network='deep net'.*recomputed nan"):
        table(undefined="deep net").verify(rows=12, seconds=60, seed=0)


def test_an_infinite_value_is_reproduced_only_by_an_infinite_one():
    def infinite(value):
        return Table("demo", "inf", ("seed",), lambda seed: {"score": value}, {"seed": "1: s", "score": "nat: s"}, agreement={"score": 0.1})

    infinite(math.inf).fill([{"seed": 0}])
    assert infinite(math.inf).verify(1, 60, 0)["agrees"].all()
    for other in (-math.inf, 1e300, math.nan):
        with pytest.raises(ResultsError, match="stored inf"):
            infinite(other).verify(1, 60, 0)


def test_rows_that_take_longer_than_the_time_left_are_passed_over():
    small = table()
    for index, key in enumerate(KEYS):
        values = {"score": math.nan, "error": math.nan, "layer": None, "reason": "costly", "seconds": 5.0 if index < 6 else 50.0, "run": "r"}
        small.store.append(key | values, {"id": "r"})
    small.store.merge()
    compared = table(undefined="overflow net").verify(rows=12, seconds=0.001, seed=0)
    assert compared.empty
    sample = table(shift=math.nan).verify(rows=12, seconds=11, seed=0)
    assert sample["network"].tolist() == ["deep net"] * 4


def test_a_table_that_says_nothing_about_agreement_cannot_be_verified():
    with pytest.raises(ValueError, match="agreement: needed at least one column"):
        table(agreement={}).verify(1, 1, 0)


def test_a_computation_may_state_the_seconds_that_its_work_took_before():
    def compute(network, resolution, alpha):
        return {"score": 1.0, "error": 0.1, "layer": None, "seconds": 123.5}

    small = Table("demo", "stated", ("network", "resolution", "alpha"), compute, UNITS, agreement={"score": 0.0})
    assert small.fill(KEYS[:1])["seconds"].tolist() == [123.5]
    assert small.verify(1, 10.0, seed=0).empty
    assert small.verify(1, 200.0, seed=0)["agrees"].all()
