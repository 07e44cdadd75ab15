"""Numbers as the chapters write them."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from experiments.record.wording import bracketed, interval, number


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.126, "0.13"), (-0.126, "−0.13"), (-0.001, "0.00"), (math.nan, "?"), (math.inf, "?"), (12, "12.00")],
)
def test_a_number_has_a_real_minus_sign_and_is_never_a_negative_zero(value, text):
    assert number(value) == text


def test_what_is_not_known_is_said_in_the_words_of_the_chapter():
    assert number(math.nan, 1, "too few") == "too few"
    assert bracketed(0.5, math.nan, 1.0, 1, "none") == "0.5 [none, 1.0]"


def test_the_interval_of_a_row_is_read_from_its_three_columns():
    table = pd.DataFrame([{"tau": -0.25, "tau_low": -0.5, "tau_high": 0.004}])
    for row in (table.iloc[0], next(table.itertuples()), table.to_dict("records")[0]):
        assert interval(row, "tau") == "−0.25 [−0.50, 0.00]"
