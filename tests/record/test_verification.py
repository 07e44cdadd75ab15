"""Stored values computed again: every one has a limit that a fault passes, and reports say what was found."""

from __future__ import annotations

import importlib.util
import json
import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.benchmarks import nasbench201
from experiments.chapters.zen_score import study as zen_score
from experiments.record import verification
from experiments.record.agreement import OneDraw, StandardError, Within
from experiments.record.kernels import KERNELS
from experiments.record.results import identity, results_root
from experiments.record.score_check import ScoreCheck, Stored
from experiments.record.table import Table
from experiments.record.verification import places

RUNNER = Path(__file__).parents[2] / "experiments" / "verify.py"
TABLES = [name for name, check in places().items() if isinstance(check, Table)]
FILES = [name for name, check in places().items() if isinstance(check, ScoreCheck)]
SAMPLE = 5
"""Stored rows of each table whose limits are looked at."""


def verify(*arguments):
    spec = importlib.util.spec_from_file_location("verify", RUNNER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(arguments)


def limits(table, column):
    """Stored finite values of a column with the largest allowed difference, and one spread of them."""
    how = table.agreement_of(column)
    for row in table.sample(SAMPLE, math.inf, seed=0)[0]:
        value = row[column]
        if isinstance(value, int | float) and math.isfinite(value):
            allowed = table.allowed(row, column, how)
            spread = row[how.column] if isinstance(how, StandardError) else None
            yield value, allowed, spread


@pytest.mark.parametrize("name", TABLES)
def test_one_percent_in_an_exact_value_and_five_errors_in_a_mean_are_beyond_the_limit(name):
    table = places()[name]
    for column in table.values:
        how = table.agreement_of(column)
        if isinstance(how, Within) and how.relative < 0.01:
            assert all(
                allowed < 0.01 * abs(value)
                for value, allowed, _ in limits(table, column)
                if abs(value) > 1e-6
            ), column
        if isinstance(how, StandardError):
            assert all(
                allowed < 5 * spread
                for value, allowed, spread in limits(table, column)
                if spread and spread > 1e-5 * abs(value)
            ), column


def test_what_is_held_to_more_than_one_percent_is_listed_here():
    loose = {
        f"{name} {column}"
        for name in TABLES
        for column in places()[name].values
        if isinstance(how := places()[name].agreement_of(column), Within) and how.relative >= 0.01
    }
    assert loose == {"proxy_cost/costs value"}


@pytest.mark.parametrize("name", FILES)
def test_five_spreads_of_a_draw_are_beyond_the_limit_wherever_draws_spread_more_than_rounding(name):
    check = places()[name]
    stored = check.columns.values()
    for at in check.sample(min(20, len(stored)), 0.0, seed=0)[0]:
        how, value = check.within_of(at.column), float(stored[at.column][0][at.row])
        if isinstance(how, OneDraw) and math.isfinite(value):
            spread = check.spread(at.column, at.row)
            if 5 * spread > 1.2 * how.rounding.allowed(value):
                assert check.allowed(at.column, at.row, value) < 5 * spread, at
        elif math.isfinite(value):
            assert check.allowed(at.column, at.row, value) <= 0.01 * abs(value), at


needs_data = pytest.mark.skipif(not nasbench201.is_there(), reason="needs the table of NAS-Bench-201")


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """The stored rows of one study in another folder, where they may be changed."""
    shutil.copytree(results_root() / "zen_score", tmp_path / "zen_score")
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    return zen_score.TABLE


def cheap_row(table):
    """The cheapest stored row."""
    return min(table.store.read(), key=lambda row: row["seconds"])


def plant(table, row, **changed):
    """Puts other values into the store, with a digest that fits, as an editor who knows about it would."""
    rows, runs = table.store.contents()
    table.store.absorb(
        {identity(row, table.key): rows[identity(row, table.key)] | changed}, runs, replace=True
    )


def test_a_stored_row_is_reproduced_and_planted_faults_are_each_found(copied):
    row = cheap_row(copied)
    assert all(line.agrees for line in copied.recompute(row))
    for column, wrong in {
        "weights": round(1.01 * row["weights"]) + 1,
        "l1_minibatch": row["l1_minibatch"] + 5 * row["l1_minibatch_stderr"],
        "log_sigma": row["log_sigma"] - 5 * row["log_sigma_stderr"],
    }.items():
        plant(copied, row, **{column: wrong})
        assert [line.column for line in copied.recompute(cheap_row(copied)) if not line.agrees] == [column]
        plant(copied, row, **{column: row[column]})


def test_a_wrong_definition_is_found(copied):
    def frobenius(**key):
        values = copied.compute(**key)
        return values | {"l1_minibatch": values["frobenius_minibatch"]}

    wrong = [
        line.column
        for line in replace(copied, compute=frobenius).recompute(cheap_row(copied))
        if not line.agrees
    ]
    assert wrong == ["l1_minibatch"]


def test_the_spread_of_stored_draws_is_that_of_draws_of_one_network():
    check = places()["blind/scores.parquet"]
    stored = check.columns.values()
    spreads = np.array([check.spread("zen_s0", row) for row in range(0, 3969, 400)])
    own = np.stack([stored[f"zen_s{seed}"][0] for seed in range(3)]).std(axis=0, ddof=1)
    assert 0.5 < np.median(spreads) / np.median(own) < 2


def test_the_command_tells_what_it_recomputed_and_ends_with_one_where_a_value_is_wrong(
    copied, tmp_path, capsys, monkeypatch
):
    report = tmp_path / "report.json"
    asked = ("--only", "zen_score", "--rows", "2", "--dear", "0.3", "--report", str(report))
    assert verify(*asked) == 0
    printed = capsys.readouterr().out
    assert "not reproduced" in printed and "zen_score" in printed and "seed 20261128" in printed
    told = json.loads(report.read_text())
    (place,) = told["places"]
    assert (
        place["reproduced"] == 2
        and place["failed"] == []
        and place["dear"] > 100
        and max(place["shares"].values(), default=0) < 1
    )

    chosen, _ = copied.sample(2, 0.3, 20261128)
    plant(copied, chosen[0], weights=chosen[0]["weights"] + 1)
    monkeypatch.setattr(
        verification, "_workers", lambda kernel: ThreadPoolExecutor(1)
    )  # once in processes is enough
    assert verify(*asked) == 1
    captured = capsys.readouterr()
    assert "1 stored values are not reproduced; undo the change of the code" in captured.err
    assert (
        f"weights stored {chosen[0]['weights'] + 1}, recomputed {chosen[0]['weights']}, allowed difference 0"
        in captured.err
    )


@pytest.mark.parametrize(
    "wrong",
    [
        ("--rows", "-1"),
        ("--dear", "-1"),
        ("--seconds", "0"),
        ("--seconds", "nan"),
        ("--seed", "x"),
        ("--kernels", "mmx"),
        ("--only", "nothing"),
    ],
)
def test_a_wrong_call_is_refused(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        verify(*wrong)
    assert ended.value.code == 2 and f"argument {wrong[0]}" in capsys.readouterr().err


def test_a_place_that_needs_an_absent_file_says_so(monkeypatch, tmp_path):
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    told = verification.recompute(
        "own", "nasbench201/scores.parquet", [Stored("zen_l1_minibatch_s0", 0)], math.inf
    )
    assert "ZENLIB_DATA" in told.missing and not told.failed and not told.reproduced


def test_rows_that_time_does_not_allow_are_counted():
    chosen, _ = places()["blind/scores.parquet"].sample(3, 0.0, seed=0)
    told = verification.recompute("own", "blind/scores.parquet", chosen, end=0.0)
    assert told.late == 3 and told.reproduced == 0


def test_every_setting_says_how_many_threads_there_are():
    assert {kernel: variables["OMP_NUM_THREADS"] for kernel, variables in KERNELS.items()} == {
        "own": "1",
        "sse": "1",
        "avx2": "1",
        "two-threads": "2",
    }
