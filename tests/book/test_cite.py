"""The numbers to cite, and the table of all results: facts of executed chapters that rest on stored rows."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

BOOK = Path(__file__).parents[2] / "book"
NUMBERS = yaml.safe_load((BOOK / "numbers.yml").read_text(encoding="utf-8"))


CHAPTERS = sorted(path.stem for path in BOOK.glob("studies/*.ipynb"))


@pytest.fixture
def extension(monkeypatch):
    monkeypatch.syspath_prepend(BOOK / "_extensions")
    import numbers_to_cite

    yield numbers_to_cite
    sys.modules.pop("numbers_to_cite")


@pytest.fixture
def table(extension):
    import all_results

    yield all_results
    sys.modules.pop("all_results")


@pytest.mark.parametrize("number", NUMBERS, ids=[number["fact"] for number in NUMBERS])
def test_a_number_has_all_that_it_needs_to_be_quoted(number, extension):
    assert set(number) == {"says", "fact", "n", "definition", "seeds", "rows"}
    assert extension.fact(number["fact"]).strip("?") and extension.fact(number["n"]).strip("?")
    assert len(extension.row_hash(number["rows"])) == 12


def test_a_fact_that_no_chapter_recorded_is_an_error(extension):
    with pytest.raises(KeyError):
        extension.fact("03_imagenet_zoo::nothing")


@pytest.mark.parametrize(
    ("text", "parts"),
    {
        "0.68 [0.61, 0.75]": ("0.68", "0.61", "0.75", "interval", ""),
        "−0.13 [−0.40, 0.15]": ("-0.13", "-0.40", "0.15", "interval", ""),
        "15,284": ("15284", "", "", "none", ""),
        "198.03 ± 2.49": ("198.03", "195.54", "200.52", "half", ""),
        "39 s": ("39", "", "", "none", "s"),
        "0.2 to 0.5 %": ("", "0.2", "0.5", "span", "%"),
        "0.13 (0.08 to 0.22)": ("0.13", "0.08", "0.22", "span", ""),
        "less than 0.001": ("", "", "0.001", "limit", ""),
    }.items(),
)
def test_a_fact_is_read_as_number_spread_and_unit(text, parts, table):
    read = table.parsed(text)
    assert tuple(read.get(name, "") for name in ("value", "low", "high", "spread", "unit")) == parts


@pytest.mark.parametrize(
    "text", ["?", "not measured", "1, 2 and 4", "10^22", "0.29/0.28", "az-nas (0.70, n = 500)"]
)
def test_what_is_not_one_number_is_no_result(text, table):
    assert table.parsed(text) is None


def test_a_share_has_its_whole_as_n(table):
    assert (read := table.parsed("19 of 20"))["value"] == "19" and read["n"] == "20"


def test_all_results_have_rows_behind_them_and_their_n_where_the_page_records_it(table, extension):
    rows = [row for page in CHAPTERS for row in table.results(page)]
    assert len(rows) > 5000 and all(set(row) <= set(table.COLUMNS) and len(row["rows"]) == 12 for row in rows)
    found = {f"{row['chapter']}::{row['name']}": row for row in rows}
    assert len(found) == len(rows)
    told = [number for number in NUMBERS if found[number["fact"]]["n"]]
    assert len(told) >= 4
    assert all(found[number["fact"]]["n"] == extension.fact(number["n"]).replace(",", "") for number in told)
