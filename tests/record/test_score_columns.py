"""Scores by column: resuming, what is undefined against what is missing, two writers, wrong files."""

from __future__ import annotations

import hashlib
import json
import math
import random
import resource

import numpy as np
import pandas as pd
import pytest

from experiments.record import score_columns
from experiments.record.score_columns import ScoreColumns
from zenlib.errors import ResultsError, ScoreUndefined

COLUMNS = ScoreColumns("some_study", 6, {"half": "1: half of the index", "square": "1: its square"})


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))


def both(index):
    if index == 3:
        raise ScoreUndefined("three has none")
    return {"half_s0": index / 2, "square_s0": float(index**2)}


def test_values_come_back_and_undefined_ones_are_not_computed_again():
    COLUMNS.fill(("half_s0", "square_s0"), both, progress=False)
    rows = COLUMNS.read()
    assert rows["index"].tolist() == list(range(6))
    np.testing.assert_array_equal(rows["square_s0"], [0, 1, 4, math.nan, 16, 25])
    assert COLUMNS.done("half_s0").all() and not COLUMNS.done("half_s1").any()
    COLUMNS.fill(
        ("half_s0", "square_s0"), lambda index: pytest.fail(f"computed {index} again"), progress=False
    )


def test_a_run_that_stops_keeps_what_it_finished():
    def stops(index):
        if index == 4:
            raise KeyboardInterrupt
        return both(index)

    with pytest.raises(KeyboardInterrupt):
        COLUMNS.fill(("half_s0", "square_s0"), stops, progress=False)
    assert COLUMNS.done("half_s0").tolist() == [True] * 4 + [False] * 2
    asked = []
    COLUMNS.fill(("half_s0", "square_s0"), lambda index: asked.append(index) or both(index), progress=False)
    assert asked == [4, 5]
    assert COLUMNS.read()["half_s0"].tolist()[4:] == [2.0, 2.5]


def test_values_are_saved_while_a_run_goes_on(monkeypatch):
    monkeypatch.setattr(score_columns, "SAVE_AFTER", 0.0)

    def looks(index):
        assert COLUMNS.done("half_s0").sum() == index
        return {"half_s0": index / 2}

    COLUMNS.fill(("half_s0",), looks, progress=False)


def test_a_column_may_cover_some_rows_and_columns_do_not_disturb_each_other():
    COLUMNS.fill(("square_s1",), lambda index: {"square_s1": 1.0}, indices=[5, 2], progress=False)
    COLUMNS.fill(("half_s0",), lambda index: {"half_s0": 2.0}, indices=[0], progress=False)
    assert COLUMNS.done("square_s1").tolist() == [False, False, True, False, False, True]
    assert COLUMNS.read()["half_s0"].notna().sum() == 1


def test_the_sidecar_says_what_and_where_from():
    COLUMNS.fill(("half_s0", "square_s0"), both, progress=False)
    sidecar = json.loads(COLUMNS.path.with_suffix(".json").read_text())
    assert sidecar["columns"]["half_s0"] == {"unit": "1: half of the index", "computed": 6, "undefined": 1}
    assert sidecar["sha256"] == hashlib.sha256(COLUMNS.path.read_bytes()).hexdigest()
    (run,) = sidecar["runs"].values()
    assert run["rows"] == 6 and run["columns"] == ["half_s0", "square_s0"] and "commit" in run
    assert pd.read_parquet(COLUMNS.path).dtypes["half_s0"] == np.float32


def test_another_number_of_rows_is_refused():
    COLUMNS.fill(("half_s0",), lambda index: {"half_s0": 2.0}, progress=False)
    with pytest.raises(ResultsError, match="needed 7 rows, got 6"):
        ScoreColumns("some_study", 7, COLUMNS.units).read()


@pytest.mark.parametrize("columns", [("third_s0",), ("half_s0", "cube_s1")])
def test_a_column_without_a_unit_is_refused(columns):
    with pytest.raises(ValueError, match="columns: needed names of half, square"):
        COLUMNS.fill(columns, both)


def test_a_compute_function_returns_what_was_asked():
    with pytest.raises(ValueError, match="compute: needed exactly the columns half_s0, got square_s0"):
        COLUMNS.fill(("half_s0",), lambda index: {"square_s0": 1.0}, progress=False)


@pytest.mark.parametrize("content", [b"", b"PAR1 cut short"])
def test_a_damaged_file_is_refused_and_left_alone(content):
    COLUMNS.fill(("half_s0", "square_s0"), both, progress=False)
    COLUMNS.path.write_bytes(content)
    with pytest.raises(
        ResultsError,
        match=r"scores.parquet: needed the file with sha256 .* edited or cut short; .* or delete both",
    ):
        COLUMNS.read()
    with pytest.raises(ResultsError, match="edited or cut"):
        COLUMNS.fill(("half_s1",), lambda index: {"half_s1": 1.0}, progress=False)
    assert COLUMNS.path.read_bytes() == content


def test_a_flipped_bit_in_either_file_is_refused(tried):
    tried("bit flipped in a file of score columns or its sidecar", 400)
    COLUMNS.fill(("half_s0", "square_s0"), both, progress=False)
    rng = random.Random(0)
    for path in (COLUMNS.path, COLUMNS.sidecar_path):
        content = path.read_bytes()
        for _ in range(200):
            flipped = bytearray(content)
            flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            path.write_bytes(flipped)
            with pytest.raises(ResultsError, match=r"some_study/scores\."):
                COLUMNS.read()
        path.write_bytes(content)
    assert COLUMNS.done("half_s0").all()


def test_a_file_of_a_newer_format_is_refused():
    COLUMNS.fill(("half_s0",), lambda index: {"half_s0": 2.0}, progress=False)
    COLUMNS.sidecar_path.write_text(json.dumps(json.loads(COLUMNS.sidecar_path.read_text()) | {"format": 99}))
    with pytest.raises(ResultsError, match="needed format 1 or lower, got 99; update zenlib"):
        COLUMNS.read()


def test_a_kill_between_the_two_renames_leaves_a_file_that_is_read():
    COLUMNS.fill(("half_s0",), lambda index: {"half_s0": 2.0}, progress=False)
    before = COLUMNS.sidecar_path.read_bytes()
    COLUMNS.fill(("square_s0",), lambda index: {"square_s0": 1.0}, progress=False)
    COLUMNS.sidecar_path.rename(COLUMNS.path.with_name("scores.json.new"))
    COLUMNS.sidecar_path.write_bytes(before)
    assert COLUMNS.done("square_s0").all()


def test_a_full_disk_is_named_and_leaves_the_file_as_it_was(tried):
    tried("full disk")
    COLUMNS.fill(("half_s0",), lambda index: {"half_s0": 2.0}, progress=False)
    before = COLUMNS.path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(
            ResultsError, match="some_study: needed to write results here, got File too large"
        ):
            COLUMNS.fill(("half_s1",), lambda index: {"half_s1": 1.0}, progress=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert COLUMNS.path.read_bytes() == before and not list(COLUMNS.path.parent.glob("*.new"))
    assert COLUMNS.done("half_s0").all()
