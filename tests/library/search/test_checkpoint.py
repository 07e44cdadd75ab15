from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pyarrow.parquet as pq
import pytest

from tests.library.search.scores import BUDGET, log_widths, patient
from zenlib.errors import ResultsError
from zenlib.search import STRATEGIES, Budget, checkpoint, search


def run(path=None, evaluations=96, **options):
    options = {
        "population": 20,
        "round_size": 8,
        "checkpoint": path,
        "checkpoint_seconds": 0.0,
        "progress": False,
    } | options
    return search(
        "resnet-like",
        options.pop("score", patient),
        options.pop("budget", BUDGET),
        evaluations=evaluations,
        **options,
    )


def assert_same(one, other):
    pd.testing.assert_frame_equal(one.history, other.history)
    assert (one.best, one.best_score, one.rejected, one.proposed) == (
        other.best,
        other.best_score,
        other.rejected,
        other.proposed,
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_search_that_is_killed_again_and_again_ends_as_if_it_never_was(tmp_path, strategy):
    path, rng, kills, resumed = tmp_path / "search.parquet", random.Random(strategy), 0, 0
    command = [sys.executable, "-m", "tests.library.search.killed", str(path), strategy, "400"]
    while kills < 4:
        before = path.stat().st_mtime_ns if path.exists() else 0
        with subprocess.Popen(command, start_new_session=True) as process:
            deadline = time.monotonic() + 60
            while (
                process.poll() is None
                and time.monotonic() < deadline
                and (path.stat().st_mtime_ns if path.exists() else 0) == before
            ):
                time.sleep(0.005)  # a kill before the first writing would only test the start
            time.sleep(rng.uniform(0, 0.15))
            if process.poll() is not None:
                break
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        resumed += checkpoint.read(path) is not None
    assert kills >= 2 and resumed >= 2
    assert_same(run(path, evaluations=400, strategy=strategy), run(evaluations=400, strategy=strategy))


def test_a_finished_search_is_read_not_run(tmp_path):
    def forbidden(network):
        raise AssertionError

    forbidden.__module__, forbidden.__qualname__ = patient.__module__, patient.__qualname__
    first = run(tmp_path / "search.parquet")
    assert_same(run(tmp_path / "search.parquet", score=forbidden), first)


def test_a_finished_search_can_be_made_longer(tmp_path):
    run(tmp_path / "search.parquet", evaluations=1 + 5 * 8)  # the first round is the first network alone
    assert_same(run(tmp_path / "search.parquet", evaluations=96), run(evaluations=96))


def test_a_search_cannot_be_made_shorter(tmp_path):
    run(tmp_path / "search.parquet")
    with pytest.raises(
        ValueError, match=r"evaluations: needed at least the 96 that .* already holds, got 50"
    ):
        run(tmp_path / "search.parquet", evaluations=50)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"budget": Budget(params=300_001, depth=12)}, "budget is"),
        (
            {"score": log_widths},
            "score is 'tests.library.search.scores.patient' there and "
            "'tests.library.search.scores.log_widths' here",
        ),
        ({"mutation": "released"}, "mutation is 'paper' there"),
        ({"population": 21}, "population is 20 there"),
        ({"round_size": 16}, "round_size is 8 there"),
        ({"strategy": "random"}, "strategy is 'evolution' there"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(tmp_path, options, told):
    path = tmp_path / "search.parquet"
    run(path, evaluations=20)
    before = path.read_bytes()
    with pytest.raises(
        ResultsError, match=f"needed the settings of the search that wrote it, got others.*{told}"
    ):
        run(path, evaluations=20, **options)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"hello", None])
def test_a_file_that_is_no_checkpoint_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "search.parquet"
    if content is None:
        pq.write_table(run(evaluations=9).history.pipe(_arrow), path)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(ResultsError, match="needed the checkpoint of a search, got a file that is none"):
        run(path)
    assert path.read_bytes() == before


def _arrow(frame):
    import pyarrow as pa

    return pa.Table.from_pandas(frame)


def test_a_checkpoint_of_another_format_is_refused(tmp_path, monkeypatch):
    run(tmp_path / "search.parquet", evaluations=9)
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    with pytest.raises(ResultsError, match="needed a checkpoint of format 99, got 1"):
        run(tmp_path / "search.parquet", evaluations=9)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ResultsError, match="needed to write this file"):
        run(tmp_path / "file" / "search.parquet", evaluations=9)


def test_half_a_checkpoint_beside_the_whole_one_does_no_harm(tmp_path):
    path = tmp_path / "search.parquet"
    run(path, evaluations=41)
    path.with_name("search.parquet.new").write_bytes(path.read_bytes()[:100])
    assert_same(run(path, evaluations=96), run(evaluations=96))
    assert [file.name for file in tmp_path.iterdir()] == ["search.parquet"]
