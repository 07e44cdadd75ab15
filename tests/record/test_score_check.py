"""Stored scores computed again: the sample, what counts as agreement, and a file that somebody changed."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.benchmarks import nasbench201
from experiments.benchmarks import nasbench201_terms as cells_scores
from experiments.benchmarks import network_scores as benchmark_scores
from experiments.benchmarks.nasbench201_space import Cell
from experiments.chapters.blind import scores as blind_scores
from experiments.record.agreement import EXACT, SPREADS, OneDraw, Within
from experiments.record.chapters import STUDIES, load_study
from experiments.record.score_check import ScoreCheck, seed_of, without_seed
from experiments.record.score_columns import ScoreColumns
from zenlib.errors import ResultsError, ScoreUndefined

COLUMNS = ScoreColumns("some_study", 40, {"half": "1: half of the index", "cube": "1: its third power"})


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))


@pytest.fixture
def filled(empty_folder):
    COLUMNS.fill(("half_s0",), lambda index: {"half_s0": value("half_s0", index)}, progress=False)
    COLUMNS.fill(
        ("cube_s1",), lambda index: {"cube_s1": value("cube_s1", index)}, indices=range(5), progress=False
    )


def value(column, index):
    if column == "half_s0" and index == 7:
        raise ScoreUndefined("seven has none")
    return index / 2 if column == "half_s0" else float(index**3 + 0.1)


def check(compute=value, **within):
    return ScoreCheck(COLUMNS, compute, {"half": EXACT, "cube": EXACT} | within)


def lines(checked, count=400, seed=0):
    """What comes of a sample of the stored values."""
    return [line for at in checked.sample(count, 60.0, seed)[0] for line in checked.recompute(at)]


def wrong(checked):
    return [str(line) for line in lines(checked) if not line.agrees]


def tampered(column, index, new):
    """The file with one value changed and its checksum mended, as an editor who knows about it would do."""
    path = COLUMNS.path
    table = pq.read_table(path)
    values = table[column].to_numpy().copy()
    values[index] = new
    array = pa.array(values, mask=~np.asarray(table[column].combine_chunks().is_valid()), from_pandas=False)
    pq.write_table(table.set_column(table.column_names.index(column), column, array), path)
    sidecar = json.loads(COLUMNS.sidecar_path.read_text())
    COLUMNS.sidecar_path.write_text(
        json.dumps(sidecar | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    )


def test_a_sample_covers_every_column_before_one_comes_again_and_depends_on_the_seed_alone(filled):
    compared = lines(check(), 6, seed=3)
    assert all(line.agrees for line in compared) and Counter(line.column for line in compared) == {
        "half_s0": 3,
        "cube_s1": 3,
    }
    assert compared == lines(check(), 6, seed=3)
    assert compared != lines(check(), 6, seed=4)
    assert {line.row for line in compared if line.column == "cube_s1"} <= {
        f"row {row}" for row in range(5)
    }, "what was never computed is not compared"


def test_a_tampered_value_is_named_with_file_row_column_and_both_values(filled):
    tampered("cube_s1", 3, 30.0)
    assert COLUMNS.read()["cube_s1"][3] == 30.0, "the checksum alone does not see it"
    assert {line.partition(", allowed")[0] for line in wrong(check())} == {
        "some_study/scores.parquet: row 3: cube_s1 stored 30.0, recomputed 27.1"
    }


def test_a_difference_within_the_tolerance_agrees_and_one_beyond_it_does_not(filled):
    def moved(column, index):
        return value(column, index) * 1.01

    assert not wrong(check(moved, half=Within(0.011), cube=Within(0.011, absolute=0.01)))
    beyond = wrong(check(moved, half=Within(0.009), cube=Within(0.011, absolute=0.01)))
    assert beyond and all(": half_s0 stored" in line for line in beyond)


def test_a_single_draw_is_judged_by_the_spread_of_the_draws_beside_it(empty_folder):
    random = np.random.default_rng(0)
    for seed in range(3):
        draws = random.normal(np.arange(40), 0.5).tolist()
        COLUMNS.fill(
            (f"half_s{seed}",),
            lambda index, of=f"half_s{seed}", draws=draws: {of: draws[index]},
            progress=False,
        )
    stored = COLUMNS.values()
    checked = ScoreCheck(
        COLUMNS, lambda column, index: float(stored[column][0][index]), {"half": OneDraw(Within(1e-4))}
    )
    spread = np.array([line.allowed for line in lines(checked)]) / SPREADS
    assert 0.3 < np.median(spread) < 0.7 and spread.min() > 0.15
    for spreads, found in ((5.0, True), (1.0, False)):
        tampered(
            "half_s1",
            7,
            float(stored["half_s1"][0][7]) + spreads * checked.allowed("half_s1", 7, 1.0) / SPREADS,
        )
        assert any("row 7: half_s1" in line for line in wrong(checked)) == found
        tampered("half_s1", 7, float(stored["half_s1"][0][7]))


@pytest.mark.parametrize("new", [0.0, math.nan, math.inf])
def test_undefined_agrees_with_undefined_alone(filled, new):
    assert not wrong(
        check(lambda column, index: math.nan if column == "half_s0" and index == 7 else value(column, index))
    )
    tampered("half_s0", 7 if not math.isnan(new) else 8, new)
    assert any("half_s0" in line for line in wrong(check(half=Within(0.1, absolute=0.1))))


def test_nothing_stored_is_nothing_to_compare():
    absent = ScoreCheck(ScoreColumns("none_stored", 3, COLUMNS.units), value, {})
    assert absent.sample(10, 60.0, seed=0) == ([], 0)


def test_a_column_without_an_agreement_is_refused(filled):
    with pytest.raises(ResultsError, match=r"needed columns with an agreement \(half\), got cube_s1"):
        lines(ScoreCheck(COLUMNS, value, {"half": EXACT}))


def test_names_and_seeds_of_columns():
    assert (without_seed("az_trainability_s12"), seed_of("az_trainability_s12")) == ("az_trainability", 12)
    assert (without_seed("closed_form"), seed_of("closed_form")) == ("closed_form", 0)
    assert without_seed("linear_s") == "linear_s"


@pytest.mark.parametrize("study", [name for name in STUDIES if hasattr(load_study(name), "SCORE_CHECKS")])
def test_every_stored_column_has_an_agreement(study):
    for checked in load_study(study).SCORE_CHECKS:
        missing = {without_seed(column) for column in checked.columns.values()} - set(checked.within)
        assert not missing, f"{checked.columns.path}: {missing}"


@pytest.mark.parametrize("column", ["naswot_s0", "zen_s0", "closed_form", "params"])
def test_a_stored_score_of_a_network_size_is_what_the_code_gives(column):
    stored = float(benchmark_scores.BENCHMARKS["nats_sizes"].scores.read()[column][2])
    checked = next(checked for checked in benchmark_scores.CHECKS if checked.columns.name == "nats_sizes")
    assert checked.compute(column, 2) == pytest.approx(stored, abs=checked.allowed(column, 2, stored))


@pytest.mark.parametrize("column", ["zen_s1", "synflow_s0", "zico_s0", "closed_form", "repaired"])
def test_a_stored_score_of_a_macro_network_is_what_the_code_gives(column):
    checked = next(checked for checked in blind_scores.CHECKS if checked.columns is blind_scores.SCORES)
    stored = float(blind_scores.SCORES.read()[column][5])
    assert checked.compute(column, 5) == pytest.approx(stored, abs=checked.allowed(column, 5, stored))


@pytest.mark.skipif(not nasbench201.is_there(), reason="needs the table of NAS-Bench-201")
def test_cells_that_compute_one_function_by_other_edges_have_scores_of_their_own():
    stored = cells_scores.SCORES.read()["zen_s0"]
    texts = nasbench201.table()["arch"]
    once, twice = 2510, 1617
    assert Cell.from_string(texts[once]).function == Cell.from_string(texts[twice]).function
    for index in (once, twice):
        assert cells_scores.CHECKS[0].compute("zen_s0", index) == pytest.approx(stored[index], rel=1e-5)
    assert abs(stored[once] - stored[twice]) > 10
