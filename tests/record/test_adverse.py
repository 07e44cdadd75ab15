"""What a machine can do to a run: Ctrl-C, a folder that cannot be written, two processes at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from experiments.record.agreement import EXACT
from experiments.record.results import Store
from experiments.record.score_columns import ScoreColumns
from experiments.record.table import Table
from tests.slow_table import keys, slow_table
from zenlib.errors import CheckpointError, ResultsError

ROOT = Path(__file__).parents[2]
NOBODY = 65534
RUN = {"id": "run-1", "started": "2026-01-01T00:00:00+00:00", "commit": "unknown"}
ROW = {"seed": 0, "score": 0.5, "reason": None, "seconds": 0.1, "run": "run-1"}


def test_an_interrupted_study_keeps_its_rows_and_leaves_no_journal(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path / "results"))
    log = tmp_path / "log"
    command = [sys.executable, "-m", "tests.slow_table", str(log), "0.05", "0", "1000"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    journal = slow_table(log).store.journal_path
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) != 0
    stored = slow_table(log).stored()["seed"].tolist()
    assert len(stored) >= 3 and stored == list(range(len(stored)))
    assert sorted(path.name for path in journal.parent.iterdir()) == [".slow.lock", "slow.csv", "slow.json"]


def as_nobody(check):
    """The exit status of a function in a process without any rights of root's."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            check()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def readable_folder():
    """A folder that everybody may enter, which those of pytest are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_a_folder_that_is_read_only_is_read_and_a_refused_row_is_one_message(
    readable_folder, monkeypatch, tried
):
    tried("folder that is read only")
    monkeypatch.setenv("ZENLIB_RESULTS", str(readable_folder))
    store = Store("demo", "table", ("seed",), {"seed": "1: seed", "score": "nat: a score"})
    store.append(ROW, RUN)
    store.merge()
    columns = ScoreColumns("demo", 3, {"half": "1: half"})
    columns.fill(("half_s0",), lambda index: {"half_s0": 1.0}, progress=False)
    before = {path: path.read_bytes() for path in store.folder.iterdir()}
    store.folder.chmod(0o555)

    def forbidden(*_, **__):
        pytest.fail("computed before the folder was looked at")

    def table(compute):
        return Table("demo", "table", compute, store.units, ("seed",), otherwise=EXACT)

    def check():
        assert store.read() == [ROW]
        assert columns.done("half_s0").all()
        for write in (
            lambda: store.append(ROW | {"seed": 1}, RUN),
            lambda: columns.fill(("half_s1",), forbidden, progress=False),
            lambda: table(forbidden).fill([{"seed": 2}], progress=False),
        ):
            with pytest.raises(
                ResultsError,
                match="needed to write results here, got Permission denied; nothing was half-written",
            ):
                write()

    assert as_nobody(check) == 0
    assert {path: path.read_bytes() for path in store.folder.iterdir()} == before


def test_a_search_and_a_training_notice_at_once_that_their_folder_is_read_only(readable_folder, tried):
    tried("folder that is read only", 2)
    from tests.library.train.small import NETWORK, RECIPE
    from zenlib.search import Budget, search
    from zenlib.train import train

    def forbidden(network):
        pytest.fail("scored before the folder was looked at")

    def check():
        with pytest.raises(ResultsError, match="needed to write this file, got Permission denied"):
            search(
                "resnet-like", forbidden, Budget(), evaluations=5, checkpoint=readable_folder / "s.journal"
            )
        with pytest.raises(CheckpointError, match="needed to write this file, got Permission denied"):
            train(NETWORK, "no such data", RECIPE, readable_folder, device="cpu")

    readable_folder.chmod(0o555)
    assert as_nobody(check) == 0
    assert not [*readable_folder.iterdir()]


def test_two_processes_that_fill_one_file_of_scores_lose_no_value(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    monkeypatch.setattr("experiments.record.score_columns.SAVE_AFTER", 0.0)
    columns = ScoreColumns("demo", 30, {"half": "1: half"})

    def fill(indices):
        columns.fill(("half_s0",), lambda index: {"half_s0": index / 2}, indices=indices, progress=False)

    child = os.fork()
    if child == 0:
        fill(range(0, 20))
        os._exit(0)
    fill(range(10, 30))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert columns.done("half_s0").all()
    assert columns.read()["half_s0"].tolist() == [index / 2 for index in range(30)]


def test_a_row_is_computed_once_by_those_that_take_turns(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path / "results"))
    slow_table(tmp_path / "first").fill(keys(0, 5), progress=False)
    slow_table(tmp_path / "second").fill(keys(3, 8), progress=False)
    assert (tmp_path / "second").read_text().split() == ["5", "6", "7"]
