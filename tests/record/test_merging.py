"""Rows of another machine: none is lost, counted twice or half-written, and each keeps where it came from."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest

from experiments.record import merging, results_command
from experiments.record import status as status_module
from experiments.record.merging import merge_results
from experiments.record.score_columns import ScoreColumns
from experiments.record.status import status
from tests.slow_table import slow_table
from zenlib.errors import ResultsError

UNITS = {"half": "1: half of the index"}


@pytest.fixture
def houses(tmp_path, monkeypatch):
    """Our results folder and another one, and a study "demo" with a table of a score and its error."""
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path / "ours"))
    table = slow_table(tmp_path / "log")
    for module in (merging, status_module):
        monkeypatch.setattr(module, "STUDIES", {"demo": "here"})
        monkeypatch.setattr(module, "load_study", lambda name: SimpleNamespace(TABLES=(table,)))
    return SimpleNamespace(table=table, ours=tmp_path / "ours", theirs=tmp_path / "theirs")


def run(capsys, *words):
    """Exit status, standard output and standard error of one command."""
    status = results_command.main([str(word) for word in words])
    told = capsys.readouterr()
    return status, told.out, told.err


def provenance(machine):
    about = {
        "versions": {"zenlib": "0.1.0", "torch": "2.14.1"},
        "device": f"{machine} processor",
        "threads": 1,
    }
    started = {"ours": "2026-01-02", "theirs": "2026-02-03"}[machine]
    return {"id": machine, "started": f"{started}T00:00:00+00:00", "commit": machine * 3} | about


def put(houses, machine, scores, error=0.01):
    """Rows by seed into one of the folders."""
    store = replace(houses.table.store, root=getattr(houses, machine))
    for seed, score in scores.items():
        store.append(
            {"seed": seed, "score": score, "error": error, "reason": None, "seconds": 1.0, "run": machine},
            provenance(machine),
        )
    store.merge()
    return store


def stored(houses):
    return {row["seed"]: (row["score"], row["run"]) for row in houses.table.store.read()}


def test_rows_of_both_machines_are_there_once_with_their_origin(houses):
    put(houses, "ours", {1: 0.1, 2: 0.2})
    put(houses, "theirs", {2: 0.2, 3: 0.3})
    (merged,) = merge_results(houses.theirs)
    assert (merged.added, merged.same, merged.conflicts) == (1, 1, ())
    assert stored(houses) == {1: (0.1, "ours"), 2: (0.2, "ours"), 3: (0.3, "theirs")}
    sidecar = json.loads(houses.table.store.sidecar_path.read_text())
    assert {name: entry["rows"] for name, entry in sidecar["runs"].items()} == {"ours": 2, "theirs": 1}
    assert sidecar["runs"]["theirs"] == provenance("theirs") | {"rows": 1, "seconds": 1.0}


def test_merging_again_changes_no_byte(houses):
    put(houses, "ours", {1: 0.1})
    put(houses, "theirs", {2: 0.2})
    merge_results(houses.theirs)
    before = {path: path.read_bytes() for path in houses.ours.rglob("*") if path.is_file()}
    assert [(one.added, one.same) for one in merge_results(houses.theirs)] == [(0, 1)]
    assert {path: path.read_bytes() for path in houses.ours.rglob("*") if path.is_file()} == before


def test_estimates_that_agree_within_their_errors_are_one_row_and_ours_stays(houses):
    put(houses, "ours", {1: 0.10})
    put(houses, "theirs", {1: 0.12})
    assert merge_results(houses.theirs)[0].same == 1
    assert stored(houses) == {1: (0.10, "ours")}


def test_rows_that_disagree_are_named_and_nothing_is_written(houses, tried):
    tried("merging of rows that disagree")
    put(houses, "ours", {1: 0.1, 2: 0.2})
    put(houses, "theirs", {2: 9.0, 3: 0.3})
    with pytest.raises(
        ResultsError,
        match=(
            r"got 1 that disagree; nothing was merged.*\n.*demo/slow: seed=2: score is 0.2 here and 9.0 there"
        ),
    ):
        merge_results(houses.theirs)
    assert stored(houses) == {1: (0.1, "ours"), 2: (0.2, "ours")}
    assert merge_results(houses.theirs, keep="ours")[0].added == 1
    assert stored(houses)[2] == (0.2, "ours")
    merge_results(houses.theirs, keep="theirs")
    assert stored(houses) == {1: (0.1, "ours"), 2: (9.0, "theirs"), 3: (0.3, "theirs")}


def test_a_disagreement_in_one_table_keeps_the_others_from_being_written(houses, monkeypatch):
    put(houses, "ours", {1: 0.1})
    put(houses, "theirs", {2: 0.2})
    columns(houses.ours, {0: 1.0})
    columns(houses.theirs, {0: 2.0})
    with pytest.raises(ResultsError, match=r"demo/scores.parquet: half_s0\[0\] is 1.0 here and 2.0 there"):
        merge_results(houses.theirs)
    assert stored(houses) == {1: (0.1, "ours")}


def test_rows_that_a_killed_run_left_in_the_other_journal_come_along(houses):
    store = replace(houses.table.store, root=houses.theirs)
    put(houses, "theirs", {1: 0.1})
    store.append(
        {"seed": 2, "score": 0.2, "error": 0.1, "reason": None, "seconds": 1.0, "run": "theirs"},
        provenance("theirs"),
    )
    assert merge_results(houses.theirs)[0].added == 2
    assert store.journal_path.exists(), "the other folder is only read"


def columns(root, values, column="half_s0"):
    """Some values of a column of six networks."""
    found = ScoreColumns("demo", 6, UNITS, root)
    found.fill((column,), lambda index: {column: values[index]}, indices=list(values), progress=False)
    return found


def test_score_columns_are_merged_by_value(houses):
    columns(houses.ours, {0: 0.0, 1: 0.5})
    columns(houses.theirs, {1: 0.5, 2: 1.0})
    columns(houses.theirs, {5: 7.0}, column="half_s1")
    (merged,) = merge_results(houses.theirs)
    assert (merged.table, merged.added, merged.same) == ("scores.parquet", 2, 1)
    ours = ScoreColumns("demo", 6, UNITS)
    np.testing.assert_array_equal(ours.read()["half_s0"], [0, 0.5, 1.0, np.nan, np.nan, np.nan])
    assert ours.done("half_s1").tolist() == [False] * 5 + [True]
    assert len(ours.runs()) == 3


def test_a_folder_that_holds_no_results_is_refused(houses, tmp_path):
    houses.ours.mkdir()
    for folder in (tmp_path / "nowhere", houses.ours):
        with pytest.raises(ResultsError, match="other: needed a results folder"):
            merge_results(folder)
    put(houses, "ours", {1: 0.1})
    with pytest.raises(ResultsError, match="got our own folder"):
        merge_results(houses.ours)


def test_tables_that_this_version_does_not_know_are_named(houses, capsys):
    put(houses, "theirs", {1: 0.1})
    for path in (houses.theirs / "demo").glob("slow.*"):
        path.rename(path.with_name(path.name.replace("slow", "newer")))
    code, out, err = run(capsys, "merge", houses.theirs, "--json")
    assert code == 0 and "update the checkout" in err
    assert json.loads(out)["tables"][0]["skipped"].startswith("this version of the studies has no such table")


def test_the_command_merges_and_shows_what_there_is(houses, capsys):
    put(houses, "ours", {1: 0.1})
    put(houses, "theirs", {2: 0.2})
    code, out, _ = run(capsys, "merge", houses.theirs)
    assert code == 0 and "slow" in out
    code, out, _ = run(capsys, "status", "--json")
    (line,) = json.loads(out)["tables"]
    assert (line["rows"], line["last run"], line["state"]) == (2, "2026-02-03", "current")
    assert line["age, days"] > 0 and line["code"] == "0.1.0 oursour, theirst"
    assert line["machine"] == "ours processor, 1 thread; theirs processor, 1 thread"


def test_a_copy_of_the_chapters_of_another_checkout_is_merged_as_well(houses):
    put(houses, "theirs", {1: 0.1})
    (houses.theirs / "demo").rename(houses.theirs / "results")
    (houses.theirs / "demo").mkdir()
    (houses.theirs / "results").rename(houses.theirs / "demo" / "results")
    assert [(one.table, one.added) for one in merge_results(houses.theirs)] == [("slow", 1)]
    assert (houses.ours / "demo" / "slow.csv").is_file()


def test_a_folder_without_results_is_one_message(houses, capsys):
    code, _, err = run(capsys, "merge", houses.theirs)
    assert code == 1 and err.startswith("error: other: needed a results folder")


def test_every_example_of_the_help_is_shown(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    for command, examples in results_command.COMMANDS.items():
        assert all(
            example in " ".join(run(capsys, command.__name__, "--help")[1].split()) for example in examples
        )


def state(houses):
    return status(["demo"], date(2026, 3, 1)).iloc[0]


def test_the_status_tells_missing_unfinished_stale_and_damaged_tables(houses, monkeypatch):
    assert (state(houses)["state"], state(houses)["rows"]) == ("missing", 0)
    store = put(houses, "ours", {1: 0.1})
    assert state(houses)["state"] == "current" and state(houses)["age, days"] == 58
    store.append(
        {"seed": 2, "score": 0.2, "error": 0.1, "reason": None, "seconds": 1.0, "run": "ours"},
        provenance("ours"),
    )
    assert state(houses)["state"] == "unfinished: 1 rows in the journal" and state(houses)["rows"] == 2
    store.merge()
    newer = replace(houses.table, version=2)
    monkeypatch.setattr(status_module, "load_study", lambda name: SimpleNamespace(TABLES=(newer,)))
    assert state(houses)["state"] == "stale: rows of version 1, the code has 2" and state(houses)["rows"] == 2
    store.data_path.write_text("seed,score\n")
    assert state(houses)["state"].startswith("damaged: ")
    assert "age, days" not in status(["demo"])
