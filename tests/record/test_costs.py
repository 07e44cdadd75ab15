"""What stored rows cost is read from their provenance."""

from __future__ import annotations

from experiments.record.chapters import load_study
from experiments.record.costs import costs


def test_the_costs_of_a_stored_table_are_its_rows_minutes_and_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    store = load_study("zen_score").TABLES[0].store
    run = {"id": "one", "started": "2026-01-02T03:04:05+00:00", "device": "some processor", "threads": 2}
    for value in (1, 2):
        store.append(dict.fromkeys(store.columns, value) | {"reason": None, "seconds": 90.0, "run": "one"}, run)
    store.merge()
    table = costs(["zen_score"])
    assert table.loc[("zen_score", store.name)].to_dict() == {
        "rows": 2,
        "minutes": 3.0,
        "computed on": "some processor, 2 threads",
        "last run": "2026-01-02",
    }
    assert table.loc[("all", ""), "minutes"] == 3.0


def test_tables_without_stored_rows_cost_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    table = costs(["zen_score"])
    assert list(table.index) == [("all", "")]
    assert table["rows"].tolist() == [0]
