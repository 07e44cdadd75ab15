"""Rows that are computed where a benchmark's file is there, and read from the store where it is not."""

from __future__ import annotations

import pytest

from experiments.benchmarks.tables import filled
from experiments.record.agreement import EXACT
from experiments.record.keys import crossed
from experiments.record.table import Table


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Two of its rows are stored."""
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    units = {"net": "name: a network", "seed": "1: seed", "twice": "1: twice the seed"}
    made = Table(
        "study", "rows", lambda net, seed: {"twice": 2 * seed}, units, ("net", "seed"), otherwise=EXACT
    )
    made.fill(crossed({"net": "stored"}, seed=[1, 2]))
    return made


def test_rows_come_in_the_order_of_the_keys_computed_or_stored(table):
    keys = crossed({}, seed=[2, 1, 3], net=["new", "stored"])
    rows = filled(table, keys, lambda key: key["net"] == "new")
    found = list(rows[["net", "seed", "twice"]].itertuples(index=False, name=None))
    assert found == [("new", 2, 4), ("stored", 2, 4), ("new", 1, 2), ("stored", 1, 2), ("new", 3, 6)]


def test_nothing_is_computed_where_no_file_is_there(table):
    rows = filled(table, crossed({"net": "stored"}, seed=[3, 1]), lambda _: False)
    assert rows["seed"].tolist() == [1] and len(table.stored()) == 2


def test_combinations_change_their_last_column_fastest():
    assert crossed({"a": 0}, b=[1, 2], c="xy") == [
        {"a": 0, "b": 1, "c": "x"},
        {"a": 0, "b": 1, "c": "y"},
        {"a": 0, "b": 2, "c": "x"},
        {"a": 0, "b": 2, "c": "y"},
    ]
