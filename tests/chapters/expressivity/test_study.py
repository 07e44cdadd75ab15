from __future__ import annotations

import math

import pytest

from experiments.chapters.expressivity import figures, study

SMALL = {
    "depths": (1, 34),
    "widths": (2, 8),
    "score_resolution": 4,
    "score_repeats": 2,
    "picture_depths": (1, 2),
    "growth_channels": (2, 4),
    "equal_channels": 6,
    "equal_depths": (1, 2),
    "region_seeds": 2,
    "bounds": (1.0, 2.0),
    "complexity_draws": 3,
    "rate_depths": (2,),
    "rate_widths": (8,),
    "theorem_batches": (1, 2),
    "theorem_depths": (1, 3),
    "theorem_widths": (4, 8),
    "theorem_draws": 3,
    "theorem_seeds": 2,
    "fit_widths": (4, 19),
    "fit_images": (20, 40),
    "fit_depths": (1, 2),
    "fit_seeds": 2,
    "check_seeds": 1,
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZENLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        yield study.run(**SMALL)


def test_a_second_run_computes_nothing_and_gives_the_same_rows(rows):
    again = study.run(**SMALL)
    for name, frame in vars(rows).items():
        assert frame.equals(getattr(again, name)), name
    assert set(again.by_depth["run"]) == set(rows.by_depth["run"])


def test_stored_rows_are_reproduced(rows):
    for table in study.TABLES:
        chosen, _ = table.sample(2, seconds=5.0, seed=0)
        assert chosen and all(line.agrees for row in chosen for line in table.recompute(row)), table.name


def test_every_fact_is_text_without_undefined_numbers(rows):
    told = study.facts(rows)
    assert len(told) > 50
    for name, text in told.items():
        assert isinstance(text, str) and text, name
        assert name == "overflow_layer" or "nan" not in text, (name, text)


def test_overflow_is_stored_as_infinite_beside_the_value_of_float64(rows):
    deep = rows.by_depth.set_index("depth").loc[34]
    assert math.isinf(deep["phi_float32"])
    assert math.isfinite(deep["phi"])
    assert deep["overflow_layer"] < 34


def test_every_figure_draws_from_the_rows(rows):
    drawn = [
        figures.regions(rows.pictures),
        figures.growth(rows.growth),
        figures.equal_neurons(rows.equal_neurons),
        figures.figure2(rows.by_depth, rows.by_width),
        figures.theorem_rate(rows.rate, rows.rate_by_width),
        figures.theorem_depth(rows.rate_by_depth),
        figures.fits(rows.fits),
        figures.fits_by_depth(rows.fits_by_depth),
    ]
    for figure in drawn:
        figure.draw_without_rendering()
        assert all(panel.has_data() for panel in figure.axes)


def test_a_power_law_is_recovered_with_its_interval():
    slope = study.log_slope([1, 2, 4, 8], [3 * x**-0.5 for x in (1, 2, 4, 8)])
    assert slope.value == pytest.approx(-0.5)
    assert slope.low <= slope.value <= slope.high
