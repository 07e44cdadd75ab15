"""The table of timm's and pytorchcv's networks: whole, and computed again in part where the libraries are."""

from __future__ import annotations

from collections import Counter

import pytest

from experiments.benchmarks import zoos

ROWS = list(zoos.rows())


def test_each_name_has_one_row_that_says_what_came_out():
    assert ROWS and max(Counter((row["library"], row["name"]) for row in ROWS).values()) == 1
    for row in ROWS:
        assert row["outcome"] in ("converts", "refused", "not built") and row["library"] in zoos.LIBRARIES
        assert (row["outcome"] == "converts") == bool(row["convs"])
        assert row["outcome"] == "converts" or row["reason"]


@pytest.mark.parametrize("library", zoos.LIBRARIES)
def test_rows_are_what_is_computed_again(library):
    pytest.importorskip(library)
    names = set(zoos.zoo(library)[0])
    stored = [row for row in ROWS if row["library"] == library and row["name"] in names]
    for row in stored[:3] + stored[-3:]:
        again = zoos.row_of(library, row["name"])
        for column in ("resolution", "outcome", "convs"):
            assert again[column] == row[column], row["name"]
        if row["method"] == "closed form":
            assert float(again["score"]) == pytest.approx(float(row["score"]), abs=1e-3)
