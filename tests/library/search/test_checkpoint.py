from __future__ import annotations

import functools
import itertools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from tests.library.search.scores import BUDGET, log_widths, patient
from zenlib.durable import line_of, write_sums
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


def called_as(name, score):
    """The score under the name of another one, as a checkpoint knows it."""
    score.__module__, score.__qualname__ = name.__module__, name.__qualname__
    return score


def assert_same(one, other):
    pd.testing.assert_frame_equal(one.history, other.history)
    assert (one.best, one.best_score, one.rejected, one.proposed) == (
        other.best,
        other.best_score,
        other.rejected,
        other.proposed,
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_search_that_is_killed_again_and_again_ends_as_if_it_never_was(tmp_path, strategy, tried):
    path, rng, kills, resumed = tmp_path / "search.journal", random.Random(strategy), 0, 0
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
        resumed += any(checkpoint.read_rounds(path))
    tried("search killed by SIGKILL", kills)
    assert kills >= 2 and resumed >= 2
    assert_same(run(path, evaluations=400, strategy=strategy), run(evaluations=400, strategy=strategy))


def test_a_finished_search_is_read_not_run(tmp_path):
    def forbidden(network):
        raise AssertionError

    first = run(tmp_path / "search.journal", score=log_widths)
    assert_same(run(tmp_path / "search.journal", score=called_as(log_widths, forbidden)), first)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("first", [1, 8, 40, 41, 45, 48])
def test_a_search_that_is_made_longer_is_one_long_search_wherever_the_first_one_ended(
    tmp_path, first, strategy
):
    path = tmp_path / "search.journal"
    for evaluations in (first, first + 1, first + 10, 96):
        found = run(path, evaluations, strategy=strategy, score=log_widths)
    assert_same(found, run(evaluations=96, strategy=strategy, score=log_widths))


def test_a_search_that_is_made_longer_scores_nothing_twice(tmp_path):
    scored = []

    def counted(network):
        scored.append(network)
        return log_widths(network)

    for evaluations in (45, 96):
        run(tmp_path / "search.journal", evaluations, score=counted)
    assert len(scored) == len(set(scored)) == 96


def test_a_search_cannot_be_made_shorter(tmp_path):
    run(tmp_path / "search.journal")
    with pytest.raises(
        ValueError, match=r"evaluations: needed at least the 96 that .* already holds, got 50"
    ):
        run(tmp_path / "search.journal", evaluations=50)


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
    path = tmp_path / "search.journal"
    run(path, evaluations=20)
    before = path.read_bytes()
    with pytest.raises(
        ResultsError, match=f"needed the settings of the search that wrote it, got others.*{told}"
    ):
        run(path, evaluations=20, **options)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"hello", b"a\n", b"\xff\n", None])
def test_a_file_that_is_no_checkpoint_is_refused_and_left_alone(tmp_path, content):
    path = tmp_path / "search.journal"
    if content is None:
        run(evaluations=9).history.to_parquet(path)
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(ResultsError, match="needed the checkpoint of a search, got a file that is none"):
        run(path)
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_format_is_refused(tmp_path, monkeypatch):
    run(tmp_path / "search.journal", evaluations=9)
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    with pytest.raises(ResultsError, match="needed a checkpoint of format 99, got 2"):
        run(tmp_path / "search.journal", evaluations=9)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The bytes of a search of 45 networks, and that of 96 networks in one piece."""
    path = tmp_path_factory.mktemp("begun") / "search.journal"
    run(path, evaluations=45, score=log_widths)
    return path.read_bytes(), run(evaluations=96, score=log_widths)


def goes_on(path, content, whole):
    """Whether a search with these bytes as its checkpoint goes on, to the right end; else it is refused."""
    path.write_bytes(content)
    try:
        found = run(path, score=log_widths)
    except ResultsError as error:
        assert str(path) in str(error)
        return False
    assert_same(found, whole)
    return True


def test_a_flipped_bit_is_refused(tmp_path, begun, tried):
    content, whole = begun
    rng, refused = random.Random(0), 0
    for _ in range(150):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        refused += not goes_on(tmp_path / "search.journal", bytes(flipped), whole)
    tried("bit flipped in the journal of a search", 150)
    assert refused == 150


def test_a_checkpoint_that_was_cut_short_goes_on_or_is_refused(tmp_path, begun, tried):
    content, whole = begun
    rng, refused = random.Random(1), 0
    header = content.index(b"\n") + 1
    for size in [0, header - 1, header, header + 1, *rng.choices(range(header, len(content)), k=30)]:
        refused += not goes_on(tmp_path / "search.journal", content[:size], whole)
    tried("journal of a search cut short", 34)
    assert refused == 2


def test_a_checkpoint_whose_lines_were_taken_out_exchanged_or_repeated_is_refused(tmp_path, begun, tried):
    tried("lines taken out of the journal of a search, exchanged or repeated", 5)
    content, whole = begun
    header, *rounds = content.splitlines(keepends=True)
    for lines in (
        [*rounds[:2], *rounds[3:]],
        [rounds[1], rounds[0], *rounds[2:]],
        rounds[1:],
        [*rounds, rounds[0]],
    ):
        assert not goes_on(tmp_path / "search.journal", b"".join([header, *lines]), whole)
    assert not goes_on(tmp_path / "search.journal", b"".join(rounds), whole)


FIELDS = ("round", "asked", "rows", "rejected", "proposed", "seconds", "strategy")


@pytest.mark.parametrize(
    "field", [*FIELDS, "settings", "format", "rows score", "rows parent", "strategy rng"]
)
def test_a_checkpoint_that_lacks_a_field_is_refused(tmp_path, begun, field, tried):
    tried("field missing in the journal of a search")
    content, whole = begun
    entries = [json.loads(line.partition(b" ")[2]) for line in content.splitlines()]
    outer, _, inner = field.partition(" ")
    for entry in entries:
        entry.get(outer, {}).pop(inner, None) if inner else entry.pop(outer, None)
    assert not goes_on(tmp_path / "search.journal", b"".join(map(line_of, entries)), whole)


@pytest.mark.parametrize("rows", [3, 0])
def test_a_checkpoint_with_fewer_networks_than_its_state_says_is_refused(tmp_path, begun, rows):
    content, whole = begun
    entries = [json.loads(line.partition(b" ")[2]) for line in content.splitlines()]
    entries[3]["rows"] = {name: values[:rows] for name, values in entries[3]["rows"].items()}
    assert not goes_on(tmp_path / "search.journal", b"".join(map(line_of, entries)), whole)


def test_a_score_that_raises_loses_its_round_alone(tmp_path, tried):
    tried("score that raises in a search")
    scored, path = [], tmp_path / "search.journal"

    def raises(network):
        if len(scored) == 70:
            scored.append(None)
            raise KeyError("boom")
        scored.append(network)
        return log_widths(network)

    with pytest.raises(KeyError, match="boom"):
        run(path, score=raises)
    assert_same(run(path, score=raises), run(score=log_widths))
    assert len(scored) <= 96 + 8
    assert [file.name for file in tmp_path.iterdir()] == ["search.journal"]


SLOW = [pytest.param(sent, marks=pytest.mark.slow) for sent in (signal.SIGHUP, signal.SIGINT, signal.SIGKILL)]


@pytest.mark.parametrize("sent", [signal.SIGTERM, *SLOW])
def test_a_search_loses_one_round_however_it_is_ended(tmp_path, sent, tried):
    path, log = tmp_path / "search.journal", tmp_path / "log"
    command = [sys.executable, "-m", "tests.library.search.killed", str(path), "evolution", "200", str(log)]
    kills = 0
    while (status := ended_after(command, path, 3 + 6 * (kills + 1), sent)) != 0:
        kills += 1
        assert status != 1 and kills < 30
    tried(f"search killed by {sent.name}", kills)
    assert kills >= 3
    scored = log.read_text().splitlines()
    assert len(scored) - len(set(scored)) <= 8 * kills and len(set(scored)) == 200


def ended_after(command, path, lines, sent):
    """Sends a signal to a search as soon as its journal has so many lines; returns its exit status.

    The signal is not ignored there, even where these tests run in the background.
    """
    heard = functools.partial(signal.signal, sent, signal.SIG_DFL) if sent != signal.SIGKILL else None
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, preexec_fn=heard) as process:
        while process.poll() is None:
            if path.exists() and path.read_bytes().count(b"\n") >= lines:
                process.send_signal(sent)
                break
            time.sleep(0.002)
        return process.wait(60)


def test_a_second_search_in_one_place_is_told_who_is_there(tmp_path, tried):
    tried("second search, training or runner begun in one folder")
    path = tmp_path / "search.journal"

    def looks(network):
        with pytest.raises(
            ResultsError,
            match=f"no other search is at work, got one that process {os.getpid()} on",
        ):
            run(path, evaluations=5, score=log_widths, seed=1)
        return log_widths(network)

    found = run(path, evaluations=3, score=looks)
    assert found.history["score"].notna().all()
    run(path, evaluations=3, score=looks)  # the first one has let go


def test_a_process_that_was_forked_does_not_keep_the_checkpoint(tmp_path):
    """As workers do that outlive a search that was killed."""
    ready, path = tmp_path / "ready", tmp_path / "search.journal"
    parent = os.fork()
    if parent == 0:

        def forks(network):
            if os.fork() == 0:
                ready.touch()
                time.sleep(30)
                os._exit(0)
            while not ready.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

        run(path, score=called_as(log_widths, forks))
    os.waitpid(parent, 0)
    assert ready.exists()
    assert_same(run(path, score=log_widths, evaluations=9), run(score=log_widths, evaluations=9))


def test_a_folder_that_is_deleted_while_a_search_runs_is_named(tmp_path, tried):
    tried("folder deleted under a search")

    def deletes(network):
        shutil.rmtree(tmp_path / "found", ignore_errors=True)
        return log_widths(network)

    with pytest.raises(ResultsError, match=r"found/search.journal: needed to write this file, got No such"):
        run(tmp_path / "found" / "search.journal", score=deletes)


def test_a_clock_that_jumps_back_changes_nothing(tmp_path, monkeypatch, tried):
    tried("clock that jumps back")
    now = itertools.count(2e9, -3600.0)
    monkeypatch.setattr(time, "time", lambda: next(now))
    run(tmp_path / "search.journal", evaluations=45, score=log_widths)
    assert_same(run(tmp_path / "search.journal", score=log_widths), run(score=log_widths))


def test_a_disk_that_is_full_keeps_what_was_scored_and_no_temporary_file(tmp_path, tried):
    tried("full disk")
    path = tmp_path / "search.journal"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        with pytest.raises(ResultsError, match=r"journal: needed to write this file, got File too large"):
            run(path, score=log_widths)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [file.name for file in tmp_path.iterdir()] == ["search.journal"]
    assert len([*checkpoint.read_rounds(path)]) >= 2
    assert_same(run(path, score=log_widths), run(score=log_widths))


def test_a_disk_that_is_full_at_once_keeps_nothing(tmp_path, tried):
    tried("full disk")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(ResultsError, match=r"journal: needed to write this file, got File too large"):
            run(tmp_path / "search.journal", score=log_widths)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not [*tmp_path.iterdir()]


def test_a_damaged_history_is_refused_by_name(tmp_path, tried):
    tried("bit flipped in a published history", 30)
    path = tmp_path / "history.parquet"
    found = run(evaluations=20, score=log_widths)
    checkpoint.write_history(path, found.history, found.settings)
    write_sums([path], ResultsError)
    content, rng = path.read_bytes(), random.Random(2)
    for _ in range(30):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(ResultsError, match=r"history.parquet: needed the file with sha256"):
            checkpoint.best_in(path)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ResultsError, match="needed to write this file"):
        run(tmp_path / "file" / "search.journal", evaluations=9)
