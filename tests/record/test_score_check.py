"""Stored scores computed again: the sample, what counts as agreement, and a file that somebody changed."""

from __future__ import annotations

import hashlib
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.benchmarks import nasbench201
from experiments.benchmarks import nasbench201_terms as cells_scores
from experiments.benchmarks import network_scores as benchmark_scores
from experiments.chapters.blind import scores as blind_scores
from experiments.record.chapters import STUDIES, load_study
from experiments.record.score_check import ScoreCheck, Within, seed_of, without_seed
from experiments.record.score_columns import ScoreColumns
from zenlib.errors import ResultsError, ScoreUndefined
from zenlib.spaces.nasbench201 import Cell

COLUMNS = ScoreColumns("some_study", 40, {"half": "1: half of the index", "cube": "1: its third power"})


@pytest.fixture
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))


@pytest.fixture
def filled(empty_folder):
    COLUMNS.fill(("half_s0",), lambda index: {"half_s0": value("half_s0", index)}, progress=False)
    COLUMNS.fill(("cube_s1",), lambda index: {"cube_s1": value("cube_s1", index)}, indices=range(5), progress=False)


def value(column, index):
    if column == "half_s0" and index == 7:
        raise ScoreUndefined("seven has none")
    return index / 2 if column == "half_s0" else float(index**3 + 0.1)


def check(compute=value, **within):
    return ScoreCheck(COLUMNS, compute, {"half": Within(0.0), "cube": Within(0.0)} | within)


def tampered(column, index, new):
    """The file with one value changed and its checksum mended, as an editor who knows about it would do."""
    path = COLUMNS.path
    table = pq.read_table(path)
    values = table[column].to_numpy().copy()
    values[index] = new
    array = pa.array(values, mask=~np.asarray(table[column].combine_chunks().is_valid()), from_pandas=False)
    pq.write_table(table.set_column(table.column_names.index(column), column, array), path)
    sidecar = json.loads(COLUMNS.sidecar_path.read_text())
    COLUMNS.sidecar_path.write_text(json.dumps(sidecar | {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()}))


def test_a_sample_covers_every_column_before_one_comes_again_and_depends_on_the_seed_alone(filled):
    compared = check().verify(6, 60.0, seed=3)
    assert compared["agrees"].all() and compared["column"].value_counts().to_dict() == {"half_s0": 3, "cube_s1": 3}
    assert compared.equals(check().verify(6, 60.0, seed=3))
    assert not compared.equals(check().verify(6, 60.0, seed=4))
    assert compared[compared["column"] == "cube_s1"]["index"].max() < 5, "a value that was never computed is not compared"


def test_a_tampered_value_is_named_with_file_row_column_and_both_values(filled):
    tampered("cube_s1", 3, 30.0)
    assert COLUMNS.read()["cube_s1"][3] == 30.0, "the checksum alone does not see it"
    with pytest.raises(ResultsError) as caught:
        check().verify(60, 60.0, seed=0)
    text = str(caught.value)
    assert str(COLUMNS.path) in text and "row 3, column cube_s1: stored 30, recomputed 27.1, allowed difference 3e-05" in text


def test_a_difference_within_the_tolerance_agrees_and_one_beyond_it_does_not(filled):
    def moved(column, index):
        return value(column, index) * 1.01

    assert check(moved, half=Within(0.011), cube=Within(0.011, absolute=0.01)).verify(60, 60.0, seed=0)["agrees"].all()
    with pytest.raises(ResultsError, match="column half_s0"):
        check(moved, half=Within(0.009), cube=Within(0.011, absolute=0.01)).verify(60, 60.0, seed=0)


@pytest.mark.parametrize("wrong", [0.0, math.nan, math.inf])
def test_undefined_agrees_with_undefined_alone(filled, wrong):
    always = check(lambda column, index: math.nan if column == "half_s0" and index == 7 else value(column, index))
    assert always.verify(400, 60.0, seed=0)["agrees"].all()
    tampered("half_s0", 7 if not math.isnan(wrong) else 8, wrong)
    with pytest.raises(ResultsError, match=r"row [78], column half_s0"):
        check(half=Within(0.1, absolute=0.1)).verify(400, 60.0, seed=0)


def test_time_ends_the_sample_after_the_first_value_and_nothing_stored_is_nothing_to_compare(filled):
    assert len(check().verify(10, 0.0, seed=0)) == 1
    absent = ScoreCheck(ScoreColumns("none_stored", 3, COLUMNS.units), value, {})
    assert absent.verify(10, 60.0, seed=0).empty


def test_a_column_without_a_tolerance_is_refused(filled):
    with pytest.raises(ResultsError, match=r"needed columns with a tolerance \(half\), got cube_s1"):
        ScoreCheck(COLUMNS, value, {"half": Within(0.0)}).verify(4, 60.0, seed=0)


def test_names_and_seeds_of_columns():
    assert (without_seed("az_trainability_s12"), seed_of("az_trainability_s12")) == ("az_trainability", 12)
    assert (without_seed("closed_form"), seed_of("closed_form")) == ("closed_form", 0)
    assert without_seed("linear_s") == "linear_s"


@pytest.mark.parametrize("study", [name for name in STUDIES if hasattr(load_study(name), "SCORE_CHECKS")])
def test_every_stored_column_has_a_tolerance(study):
    for checked in load_study(study).SCORE_CHECKS:
        missing = {without_seed(column) for column in checked.columns.values()} - set(checked.within)
        assert not missing, f"{checked.columns.path}: {missing}"


@pytest.mark.parametrize("column", ["naswot_s0", "zen_s0", "closed_form", "params"])
def test_a_stored_score_of_a_network_size_is_what_the_code_gives(column):
    stored = float(benchmark_scores.BENCHMARKS["nats_sizes"].scores.read()[column][2])
    checked = next(checked for checked in benchmark_scores.CHECKS if checked.columns.name == "nats_sizes")
    assert checked.compute(column, 2) == pytest.approx(stored, abs=checked.within[without_seed(column)].allowed(stored))


@pytest.mark.parametrize("column", ["zen_s1", "synflow_s0", "zico_s0", "closed_form", "repaired"])
def test_a_stored_score_of_a_macro_network_is_what_the_code_gives(column):
    (checked,) = blind_scores.CHECKS
    stored = float(blind_scores.SCORES.read()[column][5])
    assert checked.compute(column, 5) == pytest.approx(stored, abs=checked.within[without_seed(column)].allowed(stored))


@pytest.mark.skipif(not nasbench201.is_there(), reason="needs the table of NAS-Bench-201")
def test_cells_that_compute_one_function_by_other_edges_have_scores_of_their_own():
    stored = cells_scores.SCORES.read()["zen_s0"]
    texts = nasbench201.table()["arch"]
    once, twice = 2510, 1617
    assert Cell.from_string(texts[once]).function == Cell.from_string(texts[twice]).function
    for index in (once, twice):
        assert cells_scores.recomputed("zen_s0", index) == pytest.approx(stored[index], rel=1e-5)
    assert abs(stored[once] - stored[twice]) > 10
