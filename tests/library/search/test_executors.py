from __future__ import annotations

import os
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pandas as pd
import pytest

from tests.library.search.scores import BUDGET, deadly, deadly_once, log_widths, patient, picky
from zenlib.search import search
from zenlib.search.executors import open_executor


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


def test_dask_workers_give_the_result_of_one_process_even_when_one_is_killed(tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs the extra `distributed`")
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        client.run(os.chdir, os.getcwd())
        client.write_scheduler_file(str(tmp_path / "cluster.json"))
        with open_executor(scheduler_file=tmp_path / "cluster.json") as executor:
            assert_same(run(executor), run())
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        assert_same(run(client.get_executor()), run())
