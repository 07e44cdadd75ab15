"""The store: what is written comes back as it was, survives a kill at any moment, and damage is named."""

from __future__ import annotations

import json
import math
import os
import random
import resource
import shutil
import time
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest

from experiments.record.results import Store, data_root, figures_root, results_root, study_folder
from tests.slow_table import fill, keys, slow_table
from zenlib.errors import ResultsError

ROOT = Path(__file__).parents[2]
RUN = {"id": "run-1", "started": "2026-01-01T00:00:00+00:00", "commit": "unknown"}


@pytest.fixture(autouse=True)
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


def store(version=1, **units):
    return Store("demo", "table", ("seed",), {"seed": "1: seed", "score": "nat: a score"} | units, version)


def row(seed, score=0.5, **more):
    return {"seed": seed, "score": score, "reason": None, "seconds": 0.1, "run": "run-1"} | more


def stored(*rows, **units):
    """A store with these rows in its CSV."""
    table = store(**units)
    for one in rows:
        table.append(one, RUN)
    table.merge()
    return table


def start(log, seconds, first, stop):
    """A copy of this process, which has loaded everything, fills a table."""
    process = get_context("fork").Process(target=fill, args=(log, seconds, first, stop))
    process.start()
    return process


# What comes back


def test_every_kind_of_cell_comes_back_as_it_was():
    floats = [0.1, 1 / 3, 1e-300, -0.0, math.inf, -math.inf, 12345678901234567890.0, 5e-324, 0.0, -1.5]
    texts = ["a,b", 'say "x"', "two\nlines", "nan", "None", "1", " padded ", "é", "True", "'"]
    mixtures = [1, "1", 2.5, None, True, "x", -3, "None", False, 0.1]
    rows = [
        row(seed, score, text=text, count=2**60 + seed, flag=seed % 2 == 0, mixed=mixed)
        for seed, (score, text, mixed) in enumerate(zip(floats, texts, mixtures, strict=True))
    ]
    table = stored(*rows, text="text: t", count="1: c", flag="1: f", mixed="1: m")
    assert table.read() == rows
    assert [type(cell["mixed"]) for cell in table.read()] == [type(value) for value in mixtures]
    assert math.copysign(1, table.read()[3]["score"]) == -1


def test_an_undefined_value_is_written_as_nan_and_a_missing_one_is_empty():
    table = stored(row(0), row(1, math.nan), row(2, None))
    assert [line.split(",")[1] for line in table.data_path.read_text().splitlines()] == [
        "score",
        "0.5",
        "nan",
        "",
    ]
    first, second, third = (cell["score"] for cell in table.read())
    assert first == 0.5 and math.isnan(second) and third is None


def test_rows_are_sorted_by_key_whatever_the_order_they_came_in():
    assert [cell["seed"] for cell in stored(row(3), row(None), row(-1), row(2)).read()] == [None, -1, 2, 3]


def test_the_sidecar_says_what_the_rows_mean_and_where_they_came_from():
    table = stored(row(4), row(5))
    sidecar = json.loads(table.sidecar_path.read_text())
    assert sidecar["columns"]["score"] == {"type": "number", "unit": "nat: a score"}
    assert sidecar["seeds"] == [4, 5]
    assert sidecar["parameters"] == {"seed": [4, 5]}
    assert sidecar["rows"] == 2
    assert sidecar["runs"]["run-1"] == RUN | {"rows": 2, "seconds": 0.2}


def test_a_file_can_be_read_with_pandas_alone():
    frame = pd.read_csv(stored(row(0, 0.25), row(1, math.inf)).data_path)
    assert frame["score"].tolist() == [0.25, math.inf]


def test_roots_follow_the_environment(monkeypatch, tmp_path):
    for variable, root in {
        "ZENLIB_RESULTS": results_root,
        "ZENLIB_FIGURES": figures_root,
        "ZENLIB_DATA": data_root,
    }.items():
        monkeypatch.setenv(variable, str(tmp_path / variable))
        assert root() == tmp_path / variable
    monkeypatch.delenv("ZENLIB_RESULTS")
    assert results_root() == ROOT / "experiments" / "chapters"
    assert study_folder("zen_score") == ROOT / "experiments" / "chapters" / "zen_score" / "results"
    assert study_folder("zen_score", tmp_path) == tmp_path / "zen_score"


# Kills


def test_a_killed_run_resumes_to_the_same_rows_with_nothing_computed_twice(tmp_path, monkeypatch, tried):
    tried("study killed by SIGKILL")
    log = tmp_path / "log"
    process = start(log, 0.2, 0, 12)
    journal = slow_table(log).store.journal_path
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 4):
        assert process.is_alive()
        time.sleep(0.02)
    process.kill()
    process.join()
    finished = [entry["seed"] for entry in slow_table(log).store.read()]
    assert 4 <= len(finished) < 12

    resumed = slow_table(log).fill(keys(0, 12), progress=False)
    computed = [int(line) for line in log.read_text().split()]
    assert all(computed.count(seed) == 1 for seed in finished)
    assert not journal.exists()

    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path / "uninterrupted"))
    straight = slow_table(tmp_path / "other log").fill(keys(0, 12), progress=False)
    pd.testing.assert_frame_equal(
        resumed.drop(columns=["seconds", "run"]), straight.drop(columns=["seconds", "run"])
    )


def test_two_processes_that_fill_one_table_lose_no_row(tmp_path):
    logs = tmp_path / "first", tmp_path / "second"
    processes = [start(logs[0], 0.1, 0, 20), start(logs[1], 0.1, 10, 30)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    table = slow_table(tmp_path / "log")
    assert table.stored()["seed"].tolist() == list(range(30))
    assert not table.store.journal_path.exists()
    runs = json.loads(table.store.sidecar_path.read_text())["runs"]
    assert sum(run["rows"] for run in runs.values()) == 30 and len(runs) == 2


def test_a_kill_between_the_two_renames_is_finished_at_the_next_opening(tried):
    tried("table killed between its two renames")
    table = stored(row(0))
    before = table.sidecar_path.read_bytes()
    table.append(row(1), RUN)
    journal = table.journal_path.read_bytes()
    table.merge()
    shutil.copy(table.sidecar_path, table.sidecar_path.with_name("table.json.new"))
    table.sidecar_path.write_bytes(before)
    table.journal_path.write_bytes(journal)

    assert [cell["seed"] for cell in table.read()] == [0, 1]
    table.merge()
    assert [cell["seed"] for cell in table.read()] == [0, 1]
    assert sorted(path.name for path in table.folder.iterdir()) == [".table.lock", "table.csv", "table.json"]


def test_a_kill_while_the_temporary_files_are_written_changes_nothing():
    table = stored(row(0))
    for path in (table.data_path, table.sidecar_path):
        path.with_name(path.name + ".new").write_bytes(path.read_bytes()[:20])
    assert [cell["seed"] for cell in table.read()] == [0]
    table.merge()
    assert [cell["seed"] for cell in table.read()] == [0]
    assert sorted(path.name for path in table.folder.iterdir()) == [".table.lock", "table.csv", "table.json"]


@pytest.mark.parametrize("lost", [1, 2, 30])
def test_a_journal_line_that_was_cut_short_is_dropped_and_overwritten(lost):
    table = store()
    table.append(row(0), RUN)
    table.append(row(1), RUN)
    table.journal_path.write_bytes(table.journal_path.read_bytes()[:-lost])
    assert [cell["seed"] for cell in table.read()] == [0]
    table.append(row(2), RUN)
    table.merge()
    assert [cell["seed"] for cell in table.read()] == [0, 2]


# Damage


def damage_journal(table, content):
    table.append(row(7), RUN)
    table.journal_path.write_bytes(content + table.journal_path.read_bytes())


@pytest.mark.parametrize(
    "content",
    [b"nonsense\n", b"[1]\n", b'{"version": 1, "row": {"seed": 1}, "run": {}}\n', b"\xff\xfe\n", b"\n"],
)
def test_any_other_damage_to_a_journal_names_the_line(content):
    table = stored(row(0))
    damage_journal(table, content)
    with pytest.raises(ResultsError, match=r"table\.journal\.jsonl: line 1: needed .*delete the line"):
        table.read()


def edit(text):
    return text.replace("0.5", "0.6")


def cut(text):
    return text[:-9]


@pytest.mark.parametrize(
    "change",
    [edit, cut, lambda text: "", lambda text: text + "\n"],
    ids=["edited", "cut short", "empty", "longer"],
)
def test_a_changed_csv_is_refused_with_the_way_out(change):
    table = stored(row(0), row(1))
    table.data_path.write_text(change(table.data_path.read_text()))
    with pytest.raises(
        ResultsError,
        match=(
            r"table\.csv: needed the file with sha256 .*edited or cut short; .*git checkout -- .* or delete "
            r"both"
        ),
    ):
        table.read()


def test_a_csv_without_its_sidecar_and_a_sidecar_without_its_csv_are_refused(tmp_path):
    table = stored(row(0))
    sidecar = table.sidecar_path.rename(tmp_path / "kept.json")
    with pytest.raises(
        ResultsError, match=r"needed table\.json beside it, found no such file; .*delete both"
    ):
        table.read()
    sidecar.rename(table.sidecar_path)
    table.data_path.unlink()
    with pytest.raises(
        ResultsError, match=r"table\.csv: needed the rows that table\.json describes, found no file"
    ):
        table.read()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_sidecar_is_refused(content):
    table = stored(row(0))
    table.sidecar_path.write_text(content)
    with pytest.raises(ResultsError, match=r"table\.json: needed a JSON object with a format"):
        table.read()


def flips(content, count):
    """The content with one bit flipped, again and again."""
    rng = random.Random(0)
    for _ in range(count):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        yield bytes(flipped)


def read_or_refused(table):
    """The rows, or None where the files are refused by name."""
    try:
        return table.read()
    except ResultsError as error:
        assert str(table.folder / "table.") in str(error)
        return None


def test_a_flipped_bit_in_any_file_of_a_table_is_refused(tried):
    tried("bit flipped in the rows, the sidecar or the journal of a table", 600)
    table = stored(row(0), row(1, 0.25), row(2, math.nan))
    table.append(row(3), RUN)
    for path in (table.data_path, table.sidecar_path, table.journal_path):
        content = path.read_bytes()
        for flipped in flips(content, 200):
            path.write_bytes(flipped)
            assert read_or_refused(table) is None, (path, flipped)
        path.write_bytes(content)
    assert [cell["seed"] for cell in table.read()] == [0, 1, 2, 3]


def first_sidecar(table, **changes):
    """Rewrites the sidecar as the first version did, without a digest of its own."""
    sidecar = json.loads(table.sidecar_path.read_text()) | changes
    del sidecar["digest"]
    table.sidecar_path.write_text(json.dumps(sidecar, indent=2, ensure_ascii=False) + "\n")
    return sidecar


def test_a_sidecar_without_a_digest_is_read_as_it_was():
    table = stored(row(0), row(1, 0.25))
    first_sidecar(table)
    assert [cell["score"] for cell in table.read()] == [0.5, 0.25]


@pytest.mark.parametrize(
    "name", ["columns", "parameters", "seeds", "rows", "seconds", "key", "runs", "study"]
)
def test_a_sidecar_without_a_digest_is_held_against_the_rows(name):
    table = stored(row(0), row(1, 0.25))
    sidecar = first_sidecar(table)
    wrong = {
        "columns": sidecar["columns"] | {"score": {"type": "number", "unit": "bit: a score"}},
        "runs": {"run-1": sidecar["runs"]["run-1"] | {"rows": 3}},
    }
    table.sidecar_path.write_text(json.dumps(sidecar | {name: wrong.get(name, "another")}))
    with pytest.raises(
        ResultsError, match=rf"table\.json: needed what follows from table\.csv, got another {name}"
    ):
        table.read()


def test_a_sidecar_of_a_newer_format_is_refused():
    table = stored(row(0))
    first_sidecar(table, format=99)
    with pytest.raises(ResultsError, match="needed format 1 or lower, got 99; update zenlib"):
        table.read()


def test_rows_of_a_lower_version_are_outdated_and_of_a_higher_one_refused():
    stored(row(0))
    assert store(version=2).read() == []
    store(version=2).append(row(5), RUN)
    store(version=2).merge()
    assert [cell["seed"] for cell in store(version=2).read()] == [5]
    with pytest.raises(ResultsError, match="needed version 1 of table demo/table, got 2"):
        store().read()


def test_a_table_whose_columns_changed_asks_for_a_new_version():
    stored(row(0))
    with pytest.raises(ResultsError, match=r"differs in \['extra'\]; raise the version"):
        store(extra="1: e").read()


# Disks


def test_a_full_disk_is_named_and_leaves_whole_rows_only(tried):
    tried("full disk")
    table = store()
    table.append(row(0), RUN)
    size = table.journal_path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, limits[1]))
    try:
        with pytest.raises(
            ResultsError,
            match=r"demo: needed to write results here, got File too large; nothing was half-written",
        ):
            table.append(row(1), RUN)
        with pytest.raises(ResultsError, match="needed to write results here"):
            table.merge()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert table.journal_path.stat().st_size == size
    assert sorted(path.name for path in table.folder.iterdir()) == [".table.lock", "table.journal.jsonl"]
    assert [cell["seed"] for cell in table.read()] == [0]


def test_a_folder_that_cannot_be_made_is_named(results):
    results.mkdir()
    (results / "demo").write_text("in the way")
    with pytest.raises(
        ResultsError, match=r"results/demo: needed to write results here, got File exists; .*ZENLIB_RESULTS"
    ):
        store().append(row(0), RUN)


def test_reading_a_table_that_is_not_there_makes_nothing(results):
    assert store().read() == []
    assert not results.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_complete_rows_are_read_from_a_folder_that_cannot_be_written():
    table = stored(row(0))
    (table.folder / ".table.lock").unlink()
    table.folder.chmod(0o555)
    try:
        assert [cell["seed"] for cell in table.read()] == [0]
    finally:
        table.folder.chmod(0o755)
