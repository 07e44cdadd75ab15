"""Numbers as the chapters write them."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from experiments.record.wording import Told, bracketed, interval, number, row_at, signed, span


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.126, "0.13"), (-0.126, "−0.13"), (-0.001, "0.00"), (math.nan, "?"), (math.inf, "?"), (12, "12.00")],
)
def test_a_number_has_a_real_minus_sign_and_is_never_a_negative_zero(value, text):
    assert number(value) == text


def test_what_is_not_known_is_said_in_the_words_of_the_chapter():
    assert number(math.nan, 1, "too few") == "too few"
    assert bracketed(0.5, math.nan, 1.0, 1, "none") == "0.5 [none, 1.0]"


def test_a_row_is_found_by_its_values_and_nothing_is_none():
    table = pd.DataFrame({"score": ["a", "b", "b"], "seed": [0, 0, 1], "tau": [1, 2, 3]})
    found = row_at(table, score="b", seed=1)
    assert found is not None and found["tau"] == 3
    assert row_at(table, score="a", seed=1) is None and row_at(pd.DataFrame(), score="a") is None


def test_the_interval_of_a_row_is_read_from_its_three_columns():
    table = pd.DataFrame([{"tau": -0.25, "tau_low": -0.5, "tau_high": 0.004}])
    for row in (table.iloc[0], next(table.itertuples()), table.to_dict("records")[0]):
        assert interval(row, "tau") == "−0.25 [−0.50, 0.00]"


def test_rows_are_told_by_their_key_and_what_is_missing_in_one_word():
    table = pd.DataFrame(
        {
            "net": ["a", "b"],
            "seed": [0, 0],
            "tau": [0.5, math.nan],
            "tau_low": 0.25,
            "tau_high": 0.75,
            "n": [1200, 3],
        }
    )
    found = Told(table, ["net", "seed"], "none")
    assert found.text(("a", 0), "{n:,.0f} nets") == "1,200 nets" and found.text(("a", 1), "{n}") == "none"
    assert found.number(("a", 0), "tau", 1) == "0.5"
    assert found.number(("b", 0), "tau") == found.number(("c", 0), "tau") == "none"
    assert found.interval(("a", 0), "tau") == "0.50 [0.25, 0.75]"
    assert found.interval(("b", 0), "tau") == found.interval(("c", 0), "tau") == "none"
    with pytest.raises(ValueError, match="needed one row for each seed, got 2 rows for fewer"):
        Told(table, ["seed"], "none")


def test_signs_and_spans_are_written_out():
    assert signed(2.04) == "+2.0" and signed(-2.06, 2) == "−2.06" and signed(-0.04) == "+0.0"
    assert span([3.0, -1.0], "{:.0f}") == "−1 to 3" and span([1.01, 1.02], "{:.1f}") == "1.0"
