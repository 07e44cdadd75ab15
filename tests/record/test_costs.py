"""What stored rows cost is read from their provenance."""

from __future__ import annotations

from pathlib import Path

from experiments.record.chapters import load_study
from experiments.record.costs import command_times, costs


def test_the_costs_of_a_stored_table_are_its_rows_minutes_and_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    store = load_study("zen_score").TABLES[0].store
    run = {"id": "one", "started": "2026-01-02T03:04:05+00:00", "device": "some processor", "threads": 2}
    for value in (1, 2):
        store.append(
            dict.fromkeys(store.columns, value) | {"reason": None, "seconds": 90.0, "run": "one"}, run
        )
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


def test_the_times_of_the_commands_are_those_of_the_readme():
    told = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    for command, minutes in command_times().iterrows():
        line = next(
            line
            for line in told.splitlines()
            if line.startswith("|") and command.removeprefix("bash ") in line.replace("`", "")
        )
        assert [f"{value:g} min" if value else "" for value in minutes] == [
            cell.strip() for cell in line.split("|")[2:-1]
        ], command
