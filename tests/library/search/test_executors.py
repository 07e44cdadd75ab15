from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
import pytest

from tests.library.search.scores import (
    BUDGET,
    deadly,
    deadly_once,
    exits,
    hangs,
    hangs_on,
    log_widths,
    patient,
    picky,
    vanishes,
)
from zenlib.search import search
from zenlib.search.executors import Workers, open_executor


def run(executor=None, score=patient, evaluations=60, **options):
    options = {"population": 20, "round_size": 16, "progress": False} | options
    return search("resnet-like", score, BUDGET, evaluations=evaluations, executor=executor, **options)


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        yield pool


def assert_same(one, other):
    pd.testing.assert_frame_equal(one.history, other.history)
    assert (one.best, one.rejected) == (other.best, other.rejected)


@pytest.mark.parametrize("workers", [1, 4])
def test_any_number_of_threads_gives_the_result_of_one_process(workers):
    with ThreadPoolExecutor(workers) as threads:
        assert_same(run(threads), run())


def test_processes_give_the_result_of_one_process(pool):
    assert_same(run(pool), run())


def test_failures_come_back_from_workers_with_their_reason(pool):
    assert_same(run(pool, score=picky), run(score=picky))


def test_the_closed_form_works_in_workers(pool):
    assert_same(run(pool, score="closed-form", evaluations=20), run(score="closed-form", evaluations=20))


def test_a_worker_that_is_killed_costs_no_candidate(tmp_path, monkeypatch):
    monkeypatch.setenv("DEADLY_MARK", str(tmp_path / "mark"))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        killed = run(pool, score=deadly_once)
    assert (tmp_path / "mark").exists()
    assert_same(killed, run(score=log_widths))


def test_a_candidate_that_kills_every_worker_is_recorded_and_the_others_are_scored():
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        found = run(pool, score=deadly, evaluations=20, round_size=5)
    fatal = found.history[found.history["fate"] == "failed"]
    assert len(fatal) > 0
    assert set(fatal["reason"]) == {"its worker died in 3 attempts"}
    assert all(int(text.rsplit(",", 3)[1]) % 24 == 0 for text in fatal["architecture"])
    assert found.history["score"].notna().sum() == 20 - len(fatal)


REASONS = {
    exits: "the score called sys.exit(0)",
    vanishes: "its worker died, or hung for more than 1 s, in 3 attempts",
    hangs: "the score took longer than 1 s",
    hangs_on: "its worker died, or hung for more than 1 s, in 3 attempts",
}


@pytest.mark.parametrize("score", REASONS)
def test_a_score_that_exits_dies_or_hangs_is_recorded_and_never_met_again(
    tmp_path, score, monkeypatch, tried
):
    tried("score that exits, dies or hangs in a worker")
    options = {"score": score, "round_size": 4, "score_timeout": 1.0, "checkpoint": tmp_path / "s.journal"}
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        found = run(pool, evaluations=9, **options)
        history = found.history
        bad = [int(text.rsplit(",", 3)[1]) % 24 == 0 for text in history["architecture"]]
        assert 0 < sum(bad) < 9 and (history["fate"] == "failed").tolist() == bad
        assert set(history.loc[bad, "reason"]) == {REASONS[score]}
        monkeypatch.setattr(Workers, "score", lambda *_: pytest.fail("met again"))
        assert_same(run(pool, evaluations=9, **options), found)


def test_a_score_that_exits_in_this_process_is_recorded():
    failed = run(score=exits, evaluations=20).history.query("fate == 'failed'")
    assert len(failed) > 0 and set(failed["reason"]) == {"the score called sys.exit(0)"}


def test_workers_end_with_a_search_that_is_killed(tmp_path):
    command = ["search", "--space", "resnet-like", "--evaluations", "1000000", "--out", str(tmp_path)]
    with subprocess.Popen([sys.executable, "-m", "zenlib.cli", *command, "--workers", "2"]) as process:
        while (
            not (tmp_path / "search.journal").exists() or (tmp_path / "search.journal").stat().st_size < 5000
        ):
            assert process.poll() is None
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
    assert len(children) >= 2
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{child}").exists() for child in children)


def test_a_time_limit_that_is_kept_changes_nothing(pool):
    assert_same(run(pool, score_timeout=60.0), run())


def test_a_time_limit_needs_processes_that_can_be_ended():
    for executor in (None, ThreadPoolExecutor(1)):
        with pytest.raises(ValueError, match="score_timeout: needed an executor of other processes"):
            run(executor, score_timeout=1.0)
    for wrong in (0, -1.0, float("nan"), float("inf"), "5"):
        with pytest.raises(ValueError, match="score_timeout: needed a positive number or None"):
            run(score_timeout=wrong)


@contextmanager
def cluster(tmp_path, failures=3):
    """A client of two Dask workers; a task of which more than so many died is given up."""
    distributed = pytest.importorskip("distributed", reason="needs the extra `distributed`")
    import dask

    dask.config.set({"distributed.scheduler.allowed-failures": failures})
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as workers, distributed.Client(workers) as client:
        client.run(os.chdir, os.getcwd())
        client.write_scheduler_file(str(tmp_path / "cluster.json"))
        yield client


def test_dask_workers_give_the_result_of_one_process_even_when_one_is_killed(tmp_path, tried):
    tried("Dask worker killed")
    with cluster(tmp_path) as client:
        with open_executor(scheduler_file=tmp_path / "cluster.json") as executor:
            assert_same(run(executor), run())
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        assert_same(run(client.get_executor()), run())


@pytest.mark.slow
def test_a_network_that_kills_every_dask_worker_is_recorded_and_the_others_are_scored(tmp_path, tried):
    tried("network that kills or blocks every Dask worker")
    with cluster(tmp_path, failures=0) as client:
        found = run(client.get_executor(), score=deadly, evaluations=9, round_size=4)
    history = found.history
    bad = [int(text.rsplit(",", 3)[1]) % 24 == 0 for text in history["architecture"]]
    assert any(bad) and (history["fate"] == "failed").tolist() == bad
    assert set(history.loc[bad, "reason"]) == {"its worker died in 3 attempts"}


@pytest.mark.slow
def test_a_network_on_which_a_dask_worker_hangs_is_recorded(tmp_path, tried):
    tried("network that kills or blocks every Dask worker")
    with cluster(tmp_path, failures=0) as client:
        found = run(client.get_executor(), score=hangs, evaluations=9, round_size=4, score_timeout=2.0)
    history = found.history
    bad = [int(text.rsplit(",", 3)[1]) % 24 == 0 for text in history["architecture"]]
    assert any(bad) and (history["fate"] == "failed").tolist() == bad
    assert set(history.loc[bad, "reason"]) == {"its worker died, or hung for more than 2 s, in 3 attempts"}
