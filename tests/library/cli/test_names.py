"""What users name is text: columns, files, networks and scores are shown as they are written."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys

import pandas as pd
import pytest

from zenlib.cli.app import main
from zenlib.cli.search import write_report
from zenlib.search import Budget, search

NAMES = (
    "time [ms]",
    "[/x]",
    "[bold]b[/bold]",
    ":x:",
    "[link=http://a.b]c[/link]",
    "a\\[b",
    "<b>i</b>",
    "$x_1$",
)


def run(capsys, *words):
    """Exit status, standard output and standard error of one command."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    told = capsys.readouterr()
    return int(end.value.code or 0), told.out, told.err


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    columns = {name: [i * (3 + k) % 11 for i in range(40)] for k, name in enumerate(NAMES)}
    path = tmp_path / "[red]mine :x:.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_column_may_have_any_name(capsys, table, name):
    code, out, err = run(
        capsys, "correlate", table, "--score", name, "--accuracy", NAMES[0], "--resamples", 100
    )
    assert code == 0, err
    assert name in out and table.name in out
    code, out, err = run(
        capsys, "correlate", table, "--score", NAMES[0], "--accuracy", name, "--resamples", 100
    )
    assert code == 0 and f"accuracy in {name}" in out, err


@pytest.mark.parametrize("name", NAMES)
def test_an_error_shows_names_as_they_are(capsys, table, name):
    code, _, err = run(capsys, "correlate", table, "--score", f"{name}?", "--accuracy", NAMES[0])
    assert code == 1 and f"got no {name}?" in err
    (table.parent / "network.txt").write_text(f"root{name}")
    code, _, err = run(capsys, "score", table.parent / "network.txt")
    assert code == 1 and f"root{name}"[:20] in err  # an error shows what is around the place
    code, _, err = run(capsys, "correlate", table, "--score", name, "--accuracy", name, name)
    assert code == 2 and name in err


def test_a_report_shows_the_score_as_it_is_called(tmp_path):
    def score(network):
        return float(len(str(network)))

    score.__qualname__ = "<script>alert(1)</script>|`x`"
    found = search("resnet-like", score, Budget(params=1e6), evaluations=5, progress=False)
    write_report(found, tmp_path)
    page = (tmp_path / "report.md").read_text()
    row, settings = page.split("## Settings")
    assert "<script>" not in re.sub(r"\\<", "", row) and r"\|\`x\`" in row
    assert json.loads(settings.split("```json")[1].split("```")[0])["score"].endswith(
        "<script>alert(1)</script>|`x`"
    )


SEARCH = ("search", "--space", "resnet-like", "--params", "1e6", "--evaluations", "30", "--population", "8")


def test_a_flipped_bit_in_what_a_search_leaves_is_refused_or_written_again(capsys, tmp_path, tried):
    assert run(capsys, *SEARCH, "--out", tmp_path)[0] == 0
    whole = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert {path.name for path in whole} == {
        *("search.journal", "history.parquet", "best.txt", "report.md", "convergence.png", "SHA256SUMS")
    }
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=tmp_path, check=True, stdout=-3)
    rng = random.Random(0)
    for path in whole:
        tried("bit flipped in a file of the folder of a search", 4)
        for _ in range(4):
            flipped = bytearray(whole[path])
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
            path.write_bytes(flipped)
            if path.name in ("history.parquet", "best.txt"):
                code, _, err = run(capsys, "convert", path)
                assert code == 1 and "needed the file with sha256" in err
            code, _, err = run(capsys, *SEARCH, "--out", tmp_path)
            assert code == (1 if path.name == "search.journal" else 0), err
            path.write_bytes(whole[path])


def test_a_history_without_its_journal_is_not_written_over(capsys, tmp_path):
    assert run(capsys, *SEARCH, "--out", tmp_path)[0] == 0
    (tmp_path / "search.journal").unlink()
    code, _, err = run(capsys, *SEARCH, "--seed", 1, "--out", tmp_path)
    assert code == 1 and "out: needed search.journal beside" in err


def test_a_second_search_on_the_command_line_is_told_who_is_there(capsys, tmp_path, tried):
    tried("second search, training or runner begun in one folder")
    command = [
        sys.executable,
        "-m",
        "zenlib.cli",
        *SEARCH[:5],
        "--evaluations",
        "1000000",
        "--out",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as first:
        while not (tmp_path / "search.journal").exists():
            assert first.poll() is None
        code, _, err = run(capsys, *SEARCH, "--seed", 1, "--out", tmp_path)
        first.terminate()
    assert code == 1 and f"got one that process {first.pid} on" in " ".join(err.split())


def test_a_time_limit_starts_a_worker_that_can_be_ended(capsys, tmp_path):
    command = [*SEARCH[:5], "--evaluations", 5, "--score-timeout", 60, "--out", tmp_path]
    code, _, err = run(capsys, *command)
    assert code == 0, err
    assert run(capsys, *SEARCH[:5], "--evaluations", 5, "--score-timeout", -1, "--out", tmp_path)[0] == 1
