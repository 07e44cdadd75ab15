"""The numbers to cite: each is a fact of an executed chapter and rests on rows that are there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

BOOK = Path(__file__).parents[2] / "book"
NUMBERS = yaml.safe_load((BOOK / "numbers.yml").read_text(encoding="utf-8"))


@pytest.fixture
def extension(monkeypatch):
    monkeypatch.syspath_prepend(BOOK / "_extensions")
    import numbers_to_cite

    yield numbers_to_cite
    sys.modules.pop("numbers_to_cite")


@pytest.mark.parametrize("number", NUMBERS, ids=[number["fact"] for number in NUMBERS])
def test_a_number_has_all_that_it_needs_to_be_quoted(number, extension):
    assert set(number) == {"says", "fact", "n", "definition", "seeds", "rows"}
    assert extension.fact(number["fact"]).strip("?") and extension.fact(number["n"]).strip("?")
    assert len(extension.row_hash(number["rows"])) == 12


def test_a_fact_that_no_chapter_recorded_is_an_error(extension):
    with pytest.raises(KeyError):
        extension.fact("03_imagenet_zoo::nothing")
