from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from zenlib import cli
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import zennet_architecture

net = Architecture.from_string

TINY = "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,2,16,2)SuperConvK1BNRELU(16,32,1,1)"
SEARCH = [
    "search",
    "--space",
    "resnet-like",
    "--params",
    "1e6",
    "--depth",
    "18",
    "--evaluations",
    "150",
    "--population",
    "20",
    "--round-size",
    "16",
]


def run(capsys, *arguments):
    """Exit code, standard output and standard error of one command."""
    with pytest.raises(SystemExit) as exit_code:
        cli.main([str(argument) for argument in arguments])
    told = capsys.readouterr()
    return exit_code.value.code, told.out, told.err


def test_a_search_writes_its_best_network_history_and_report(capsys, tmp_path):
    code, out, err = run(capsys, *SEARCH, "--out", tmp_path / "found")
    assert code == 0, err
    history = pd.read_parquet(tmp_path / "found" / "history.parquet")
    best = Architecture.from_string((tmp_path / "found" / "best.txt").read_text())
    assert len(history) == 150
    assert best.to_string() == history.loc[history["score"].idxmax(), "architecture"]
    assert out.splitlines()[-1] == best.to_string()
    report = (tmp_path / "found" / "report.md").read_text()
    assert best.to_string() in report and "![" in report and "were turned away" in report
    assert json.loads(report.split("```json")[1].split("```")[0])["budget"]["params"] == 1e6
    assert (tmp_path / "found" / "convergence.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("cost", ["params", "flops", "memory", "latency"])
def test_the_front_of_score_and_cost_is_told_when_asked_for_even_afterwards(capsys, tmp_path, cost):
    command = [*SEARCH[:8], 40, "--population", 20, "--round-size", 16, "--resolution", 8, "--out", tmp_path]
    if cost == "latency":
        code, _, err = run(capsys, *command, "--front", "latency")
        assert code == 1 and "front: needed --latency-ms" in err
        return
    assert run(capsys, *command)[0] == 0
    code, out, err = run(capsys, *command, "--front", cost, "--json")
    assert code == 0, err
    history = pd.read_parquet(tmp_path / "history.parquet")
    if cost == "memory":
        history["memory"] = [net(text).peak_memory(8, 100) for text in history["architecture"]]
    expected = [
        row.architecture
        for row in history.itertuples()
        if not any(
            (history["score"] >= row.score)
            & (history[cost] <= getattr(row, cost))
            & (history["id"] != row.id)
        )
    ]
    front = json.loads(out)["front"]
    assert {row["architecture"] for row in front} == {*expected}
    assert [row["score"] for row in front] == sorted(row["score"] for row in front)
    assert len(pd.read_csv(tmp_path / "front.csv")) == len(front)
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "](front.png)" in (tmp_path / "report.md").read_text()
    assert " front.png" in (tmp_path / "SHA256SUMS").read_text()


def test_the_same_command_goes_on_and_other_settings_are_refused(capsys, tmp_path):
    run(capsys, *SEARCH, "--out", tmp_path)
    before = (tmp_path / "history.parquet").read_bytes()
    assert run(capsys, *SEARCH, "--out", tmp_path)[0] == 0
    assert (tmp_path / "history.parquet").read_bytes() == before
    code, _, err = run(capsys, *SEARCH, "--seed", 5, "--out", tmp_path)
    assert code == 1 and "seed is 0 there and 5 here" in err
    code, _, err = run(capsys, *SEARCH, "--no-resume", "--out", tmp_path)
    assert code == 1 and "out: needed a folder without a search" in err


def test_a_search_keeps_a_limit_on_memory_that_is_told_in_kilobytes(capsys, tmp_path):
    code, out, err = run(capsys, *SEARCH, "--memory", "16KB", "--out", tmp_path, "--json")
    assert code == 0, err
    told, history = json.loads(out), pd.read_parquet(tmp_path / "history.parquet")
    assert told["settings"]["budget"]["memory"] == 16 * 1024
    best = Architecture.from_string(told["best"])
    assert told["memory"] == best.peak_memory(32, told["settings"]["num_classes"]) <= 16 * 1024
    assert history["memory"].max() <= 16 * 1024 and told["rejected"]["memory"] > 0


def test_a_search_keeps_a_limit_of_a_latency_table(capsys, tmp_path):
    sizes = itertools.product((2, 4, 8, 16, 32), (1, 2), (1, 3, 5, 7), (0, 1), (3, 8, 32, 128), (8, 32, 128))
    rows = [
        ("Regular", 8, wide, side, side, narrow, kernel, stride, add, 1e-6 * wide * narrow * side * kernel)
        for side, stride, kernel, add, wide, narrow in sizes
    ]
    names = "kind batch in_channels in_height in_width out_channels kernel stride fused_add int8_ms"
    pd.DataFrame(rows, columns=names.split()).to_csv(tmp_path / "device.csv", index=False)
    options = ["--precision", "int8", "--batch-size", "8", "--latency-ms", "0.05"]
    table = ["--latency-table", str(tmp_path / "device.csv")]
    code, out, err = run(capsys, *SEARCH, *options, *table, "--out", tmp_path / "found", "--json")
    assert code == 0, err
    told = json.loads(out)
    assert 0 < told["latency_ms"] <= 0.05
    assert told["settings"]["budget"]["latency"]["precision"] == "int8"


def test_a_search_with_worker_processes_finds_the_same(capsys, tmp_path):
    command = [*SEARCH[:8], 20, "--round-size", 8]
    assert run(capsys, *command, "--out", tmp_path / "one")[0] == 0
    assert run(capsys, *command, "--workers", 2, "--out", tmp_path / "two")[0] == 0
    one, two = (pd.read_parquet(tmp_path / name / "history.parquet") for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two)


def test_scores_are_told_for_zennets_torchvision_names_and_structure_strings(capsys):
    for network in ("zennet-0.5M", "resnet18", TINY):
        code, out, err = run(capsys, "score", network, "--resolution", 32, "--repeats", 2, "--batch-size", 2)
        assert code == 0, err
        assert "Monte Carlo" in out and "closed form" in out


def test_convert_prints_the_vanilla_network(capsys):
    code, out, _ = run(capsys, "convert", "zennet-1.0M")
    assert code == 0 and "conv 7x7" in out and "at 32 x 32" in out and "removed:" in out


def test_latency_is_measured_and_predicted(capsys, tmp_path):
    code, out, err = run(
        capsys, "latency", TINY, "--resolution", 16, "--device", "cpu", "--table", tmp_path / "table.csv"
    )
    assert code == 0, err
    assert "measured" in out and "predicted" in out and (tmp_path / "table.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["search", "--space", "resnet-like", "--out", __file__], 1, "out: needed a folder"),
        (["correlate", "empty.csv", "--score", "a", "--accuracy", "b"], 1, "needed a CSV file with a header"),
        (["score", "zennet-9M"], 1, "network: needed one of a ZenNet"),
        (
            ["score", "zennet-1.0M", "--device", "tpu"],
            2,
            "needed a device on which PyTorch computes on this machine (cpu",
        ),
        (["score", "zennet-1.0M", "--device", "meta"], 2, "got 'meta'; leave the option out"),
        (["latency", TINY, "--batch-size", "0"], 1, "batch_size: needed a whole number of at least 1, got 0"),
        (["score", "SuperConvK3BNRELU(3,8,1"], 1, "structure string, character 23"),
        (["score", "zennet-1.0M", "--resolution", "2"], 1, "resolution: needed at least"),
        (["search", "--space", "resnet-like", "--front", "beauty", "--out", "x"], 1, "front: needed one of"),
        (["search", "--space", "tiny", "--out", "x"], 1, "space: needed one of"),
        (
            ["search", "--space", "resnet-like", "--params", "-5", "--out", "x"],
            1,
            "budget: params needed a positive number",
        ),
        (["search", "--space", "resnet-like", "--score", "beauty", "--out", "x"], 1, "score: needed one of"),
        (
            ["search", "--space", "resnet-like", "--scheduler-file", "none.json", "--out", "x"],
            1,
            "scheduler_file: needed the file",
        ),
        (
            ["search", "--space", "resnet-like", "--workers", "-1", "--out", "x"],
            1,
            "workers: needed 0 or more",
        ),
        (["latency", "zennet-1.0M", "--dtype", "float"], 1, "dtype: needed"),
        (["search"], 2, "Missing option"),
        ([*SEARCH, "--memory", "much", "--out", "x"], 1, "memory: needed bytes such as 320KB"),
        ([*SEARCH, "--latency-table", "t.csv", "--out", "x"], 1, "latency_ms: needed a limit"),
        (["dance"], 2, "No such command"),
    ],
)
def test_errors_are_one_message_and_an_exit_code(capsys, tmp_path, monkeypatch, arguments, code, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").touch()
    found, _, err = run(capsys, *arguments)
    assert found == code
    assert told in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err


def test_the_installed_command_starts_without_torch():
    check = "import sys, zenlib.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
    environment = os.environ | {"COLUMNS": "200", "NO_COLOR": "1"}
    told = subprocess.run(
        [sys.executable, "-m", "zenlib.cli", "--help"],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    ).stdout
    assert all(command in told for command in ("search", "latency", "score", "convert"))


def test_a_published_net_can_start_a_search(capsys, tmp_path):
    code, _, err = run(
        capsys,
        "search",
        "--space",
        "resnet-like",
        "--initial",
        "zennet-0.5M",
        "--evaluations",
        20,
        "--out",
        tmp_path,
    )
    assert code == 0, err
    assert (
        pd.read_parquet(tmp_path / "history.parquet")["architecture"][0]
        == zennet_architecture("zennet-0.5M").to_string()
    )


def table(path, rows=40):
    """A file of networks whose score says something."""
    rng = np.random.default_rng(0)
    accuracy = rng.normal(70, 5, rows)
    pd.DataFrame(
        {
            "name": "net",
            "mine": accuracy + rng.normal(0, 5, rows),
            "other": rng.normal(size=rows),
            "top1": accuracy,
        }
    ).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("rows", [40, 2000])
def test_scores_of_ones_own_are_correlated_with_intervals(capsys, tmp_path, rows):
    file = table(tmp_path / "mine.csv", rows)
    code, out, err = run(
        capsys, "correlate", file, "--score", "mine", "--score", "other", "--accuracy", "top1"
    )
    assert code == 0, err
    numbers = pd.read_csv(file)
    for column in ("mine", "other"):
        (line,) = [line for line in out.splitlines() if f" {column} " in line]
        assert (
            f" {rows} " in line and f"{numbers[column].corr(numbers['top1'], method='kendall'):.3f} [" in line
        )
        assert f"{numbers[column].corr(numbers['top1'], method='spearman'):.3f} [" in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda rows: rows.drop(columns="mine"),
            "needed the columns mine, top1, got no mine; it has name, other, top1",
        ),
        (lambda rows: rows.assign(mine=1.0), "scores: needed at least two different values"),
        (
            lambda rows: rows.assign(mine=rows["mine"].where(rows.index != 3)),
            "needed a number in every row of mine, got nan in line 5",
        ),
        (lambda rows: rows.assign(mine="high"), "needed a number in every row of mine, got 'high' in line 2"),
        (lambda rows: rows.head(4), "needed at least 5 networks, got 4"),
    ],
)
def test_a_table_that_cannot_be_correlated_is_refused(capsys, tmp_path, change, message):
    file = table(tmp_path / "mine.csv")
    change(pd.read_csv(file)).to_csv(file, index=False)
    code, out, err = run(capsys, "correlate", file, "--score", "mine", "--accuracy", "top1")
    assert code == 1 and out == "" and message in err.replace("np.float64(nan)", "nan")
    assert run(capsys, "correlate", tmp_path / "none.csv", "--score", "mine", "--accuracy", "top1")[
        2
    ].startswith("error: file: needed a CSV file")
