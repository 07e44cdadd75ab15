"""A table: rows are computed once, undefined scores keep their reason, verification finds what changed."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch

from experiments.record.agreement import ARITHMETIC, EXACT, NotCompared, OneDraw, StandardError, Within
from experiments.record.table import Table
from zenlib.errors import ScoreUndefined

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
        return {
            "score": np.float64(len(network) + alpha + shift),
            "error": 0.25,
            "layer": None if alpha else 3,
        }

    parts = {
        "key": ("network", "resolution", "alpha"),
        "units": UNITS,
        "agreement": {"score": StandardError("error"), "layer": EXACT},
    } | changed
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
        table(calls=calls).fill(
            [{"network": "deep net", "resolution": value, "alpha": 0.5} for value in values]
        )
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

    interrupted = Table("demo", "interrupted", compute, {"seed": "1: seed", "score": "nat: s"})
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
        ({"network": "=1+cmd()", "resolution": 32, "alpha": 1}, "begins with none of"),
        ({"network": "a\rb", "resolution": 32, "alpha": 1}, "without carriage returns"),
        (
            {"network": "", "resolution": 32, "alpha": 1},
            r"keys\[0\]\['network'\]: needed a number, a boolean, non-empty text",
        ),
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
    wrong = Table(
        "demo",
        "wrong",
        lambda seed: values,
        {"seed": "1: s", "score": "nat: s", "error": "nat: e", "layer": "1: l"},
    )
    with pytest.raises(ValueError, match=message):
        wrong.fill([{"seed": 0}])
    assert wrong.stored().empty


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"key": ("network", "width")}, r"units: needed a unit for every key column, got \['width'\]"),
        (
            {"units": UNITS | {"score": "a score"}},
            r"units: needed \"unit: meaning\" for every column, got \['score'\]",
        ),
        ({"units": UNITS | {"seconds": "s: time"}}, "units: needed no column named"),
        ({"agreement": {"skore": EXACT}}, r"agreement: needed value columns .*got \['skore'\]"),
        (
            {"agreement": {"score": StandardError("stderr")}},
            r"agreement: needed value columns .*got \['stderr'\]",
        ),
        ({"agreement": {"score": OneDraw(EXACT)}}, r"agreement: needed key columns .*got \['seed'\]"),
    ],
)
def test_a_table_that_is_not_well_described_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        table(**changed)


def test_the_key_is_what_a_row_is_computed_from_where_it_is_not_said():
    assert table(key=()).key == ("network", "resolution", "alpha")


def lines(checked, count=12, seconds=60.0, seed=0):
    """What comes of a sample of the stored rows."""
    return [line for row in checked.sample(count, seconds, seed)[0] for line in checked.recompute(row)]


def wrong(checked):
    return [str(line) for line in lines(checked) if not line.agrees]


def test_a_sample_is_determined_by_its_seed():
    table().fill(KEYS)
    first = lines(table(), count=4, seed=1)
    assert len({line.row for line in first}) == 4 and all(line.agrees for line in first)
    assert [line.row for line in first] == [line.row for line in lines(table(), count=4, seed=1)]
    assert [line.row for line in first] != [line.row for line in lines(table(), count=4, seed=2)]
    assert len(lines(table(), count=99)) == 2 * len(KEYS)


def test_a_mean_within_its_error_agrees_and_one_beyond_it_is_named():
    table().fill(KEYS)
    assert not wrong(table(shift=1.1))
    beyond = wrong(table(shift=1.2))
    assert len(beyond) == 6 and beyond[0].startswith("demo/small: network='deep net', ")
    assert any("score stored 8.0, recomputed 9.2, allowed difference 1.13" in line for line in beyond)


def test_a_value_with_a_relative_tolerance_is_held_to_it():
    within = {"score": Within(0.01), "layer": EXACT, "error": ARITHMETIC}
    table(agreement=within).fill(KEYS)
    assert not wrong(table(agreement=within, shift=0.07))
    assert len(wrong(table(agreement=within, shift=0.09))) == 6


def drawn(shift=0.0):
    """Draws of networks that spread by their size over ten."""

    def compute(network, seed):
        return {"score": network * (10 + [-0.1, 0.0, 0.1][seed]) + (shift if seed == 0 else 0.0)}

    units = {"network": "1: size", "seed": "1: seed", "score": "nat: a score"}
    return Table("demo", "drawn", compute, units, agreement={"score": OneDraw(Within(1e-3))})


def test_a_single_draw_is_judged_by_the_spread_of_the_draws_of_like_networks():
    drawn().fill([{"network": network, "seed": seed} for network in range(90, 111) for seed in range(3)])
    allowed = {line.row: line.allowed for line in lines(drawn(), count=99)}
    assert allowed["network=100, seed=1"] == pytest.approx(
        4.5 * 100 * math.sqrt((2 * 0.1**2 + 0.2**2 / 2) / 3), rel=0.01
    ), "its like, and the others of its own"
    assert not [line for line in lines(drawn(shift=1.0), count=99) if not line.agrees]
    beyond = [line.row for line in lines(drawn(shift=5 * 10.0), count=99) if not line.agrees]
    assert sorted(beyond) == sorted(f"network={network}, seed=0" for network in range(90, 111))


def test_a_wrong_draw_does_not_widen_the_spread_by_which_it_is_judged():
    drawn(shift=50.0).fill([{"network": 100, "seed": 0}])
    drawn().fill([{"network": network, "seed": seed} for network in range(90, 111) for seed in range(3)])
    assert [line.row for line in lines(drawn(), count=99) if not line.agrees] == ["network=100, seed=0"]


def test_what_is_drawn_once_is_judged_by_rounding_alone():
    once = drawn()
    once.fill([{"network": network, "seed": 0} for network in (3, 7)])
    assert [line.allowed for line in lines(once)] == pytest.approx(
        [1e-3 * line.stored for line in lines(once)]
    )


def test_numbers_that_are_zero_up_to_rounding_agree_whatever_their_ratio():
    def tiny(value):
        return Table(
            "demo",
            "tiny",
            lambda seed: {"error": value},
            {"seed": "1: s", "error": "1: e"},
            agreement={"error": ARITHMETIC},
        )

    tiny(3.1e-28).fill([{"seed": 0}])
    assert not wrong(tiny(2.0e-28))
    assert "recomputed 1e-06" in wrong(tiny(1e-6))[0]


def test_an_undefined_row_is_reproduced_only_by_an_undefined_one():
    table().fill(KEYS)
    assert any(
        "network='overflow net'" in line and "score stored nan, recomputed" in line
        for line in wrong(table(undefined=None))
    )
    assert any(
        "network='deep net'" in line and "recomputed nan" in line
        for line in wrong(table(undefined="deep net"))
    )


def test_an_infinite_value_is_reproduced_only_by_an_infinite_one():
    def infinite(value):
        units = {"seed": "1: s", "score": "nat: s"}
        return Table("demo", "inf", lambda seed: {"score": value}, units, agreement={"score": Within(0.1)})

    infinite(math.inf).fill([{"seed": 0}])
    assert not wrong(infinite(math.inf))
    for other in (-math.inf, 1e300, math.nan):
        assert "stored inf" in wrong(infinite(other))[0]


def test_rows_that_took_longer_than_wanted_are_too_dear():
    small = table()
    for index, key in enumerate(KEYS):
        values = {
            "score": math.nan,
            "error": math.nan,
            "layer": None,
            "reason": "costly",
            "seconds": 5.0 if index < 6 else 50.0,
            "run": "r",
        }
        small.store.append(key | values, {"id": "r"})
    small.store.merge()
    chosen, dear = small.sample(12, 1.0, 0)
    assert (len(chosen), dear) == (1, 11) and chosen[0]["seconds"] == 5.0, "the cheapest one"
    chosen, dear = small.sample(12, 10.0, 0)
    assert {row["network"] for row in chosen} == {"deep net"} and (len(chosen), dear) == (6, 6)


def test_a_column_that_is_not_compared_gives_no_line_and_one_without_agreement_is_an_error():
    table().fill(KEYS)
    times = dict.fromkeys(("score", "layer", "error"), NotCompared("a time"))
    assert table(agreement=times).sample(12, 60.0, 0) == ([], 0)
    said = times | {"layer": EXACT, "error": EXACT}
    assert {line.column for line in lines(table(agreement=said))} == {"layer", "error"}
    with pytest.raises(
        ValueError, match="agreement: needed one for every value column of demo/small, got none for layer"
    ):
        lines(table(agreement={"score": StandardError("error")}))
    assert {
        line.column for line in lines(table(agreement={"score": StandardError("error")}, otherwise=EXACT))
    } == {"score", "layer"}


def test_a_computation_may_state_the_seconds_that_its_work_took_before():
    def compute(network, resolution, alpha):
        return {"score": 1.0, "error": 0.1, "layer": None, "seconds": 123.5}

    small = Table("demo", "stated", compute, UNITS, ("network", "resolution", "alpha"), otherwise=EXACT)
    assert small.fill(KEYS[:1])["seconds"].tolist() == [123.5]
    assert small.sample(1, 100.0, seed=0) == ([], 1)
    assert not lines(small, seconds=100.0) and lines(small, seconds=200.0)
