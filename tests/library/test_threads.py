"""However many threads the environment asks for, no more are started than there are cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import threadpoolctl
import torch

from zenlib.search.executors import open_executor
from zenlib.threads import ONE_THREAD, cap_threads, cores

TOO_MANY = dict.fromkeys(ONE_THREAD, "64")
PROGRAM = """
import json
from zenlib import cli
try:
    cli.main(["--version"])
except SystemExit:
    from tests.library.test_threads import threads
    print(json.dumps(threads()))
"""


def threads():
    """Of PyTorch and of every library of linear algebra that this process has loaded."""
    return [torch.get_num_threads(), *(library["num_threads"] for library in threadpoolctl.threadpool_info())]


def run(program):
    done = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | TOO_MANY, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_the_command_line_never_has_more_threads_than_cores():
    assert max(run(PROGRAM)) <= cores()


def test_a_search_from_python_never_has_more_threads_than_cores():
    search = (
        "import torch, zenlib; zenlib.search('resnet-like', 'zen', zenlib.Budget(params=1e6), resolution=16, "
        "evaluations=2, progress=False)"
    )
    assert run(f"{search}; print(torch.get_num_threads())") <= cores()


def test_a_study_asks_for_no_more_threads_than_cores_before_it_loads_torch():
    found, loaded = run(
        "import json, os, sys, experiments.record.chapters; print(json.dumps([dict(os.environ), 'torch' in "
        "sys.modules]))"
    )
    assert {int(found[name]) for name in TOO_MANY} == {cores()} and not loaded


def test_a_torch_that_is_loaded_is_told():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    cap_threads(2)
    assert torch.get_num_threads() == 2
    cap_threads(1)
    assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


def test_a_search_has_at_most_a_process_for_each_core_with_one_thread_each(monkeypatch):
    for name, wanted in TOO_MANY.items():
        monkeypatch.setenv(name, wanted)
    with (
        pytest.warns(UserWarning, match=rf"one for each core \({cores()}\), got 64.*the result is the same"),
        open_executor(64) as pool,
    ):
        assert pool._max_workers == cores()
        assert max(pool.submit(threads).result()) == 1


@pytest.mark.parametrize(
    ("wanted", "given"),
    [("64", "2"), ("2", "2"), ("1", "1"), ("8,4", "2"), ("2,1", "2,1"), ("many", "2"), ("0", "2")],
)
def test_a_variable_that_asks_for_too_much_is_lowered_and_others_are_left(monkeypatch, wanted, given):
    for name in ONE_THREAD:
        monkeypatch.setenv(name, wanted)
    monkeypatch.delenv("MKL_NUM_THREADS")
    cap_threads(2)
    assert [os.environ.get(name) for name in ONE_THREAD] == [given, None, given]
