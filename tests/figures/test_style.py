"""The visual style: figures are saved whole, with the same bytes, and matplotlib's settings stay."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from experiments.figures import label, new_figure, show, styled
from experiments.figures.style import MARKERS, PALETTE, SMALL, WIDTH, tidy

ROWS = pd.DataFrame({"convs": [17, 33, 49], "zen": [59.5, 112.3, 140.3]})


@styled
def draw(rows: pd.DataFrame) -> Figure:
    figure, axes = new_figure()
    axes[0, 0].plot(rows["convs"], rows["zen"], label="ResNets")
    axes[0, 0].set(xlabel=label("convs"), ylabel=label("zen"))
    axes[0, 0].legend()
    return figure


def test_a_shown_figure_is_saved_with_the_numbers_behind_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_FIGURES", str(tmp_path))
    show(draw(ROWS), "some_study", "some_figure", data=ROWS)
    assert sorted(path.name for path in (tmp_path / "some_study").iterdir()) == [
        "some_figure.csv",
        "some_figure.png",
    ]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "some_study" / "some_figure.csv"), ROWS)


def test_numbers_behind_a_figure_have_the_digits_that_carry_meaning():
    written = tidy(
        pd.DataFrame(
            {
                "place": list("abcd"),
                "score": [0.12345678, -1e-17, np.inf, np.nan],
                "flops": [7.14e8, 1.0, 2.0, np.nan],
            }
        )
    )
    assert written["score"].tolist()[:3] == [0.123457, 0.0, np.inf]
    assert written.to_csv(index=False).splitlines()[1:] == [
        "a,0.123457,714000000",
        "b,0.0,1",
        "c,inf,2",
        "d,,",
    ]
    assert tidy(pd.DataFrame({"value": [1e30, 0.00259, 1e-15]}))["value"].tolist() == [0.0, 0.00259, 1e30]
    assert tidy(pd.DataFrame({"value": [2e-14, 3.1e-15]}))["value"].tolist() == [3.1e-15, 2e-14]


def test_rows_behind_a_figure_are_in_the_order_of_their_key():
    rows = pd.DataFrame(
        {"network": ["b", "a", "b", "a"], "depth": [10, 9, 9, 10], "score": [1.5, 2.5, 3.5, 4.5]}
    )
    expected = pd.DataFrame(
        {"network": ["a", "a", "b", "b"], "depth": [9, 10, 9, 10], "score": [2.5, 4.5, 3.5, 1.5]}
    )
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        pd.testing.assert_frame_equal(tidy(rows.iloc[order]).reset_index(drop=True), expected)
        pd.testing.assert_frame_equal(tidy(rows.astype(object).iloc[order]).reset_index(drop=True), expected)


def test_the_same_rows_give_the_same_picture_without_date_or_version(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_FIGURES", str(tmp_path))
    show(draw(ROWS), "s", "once")
    show(draw(ROWS), "s", "twice")
    assert (tmp_path / "s" / "once.png").read_bytes() == (tmp_path / "s" / "twice.png").read_bytes()
    with Image.open(tmp_path / "s" / "once.png") as picture:
        assert set(picture.info) == {"dpi"}


def test_the_smallest_type_is_nine_pixels_high_on_a_telephone(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_FIGURES", str(tmp_path))
    show(draw(ROWS), "s", "figure")
    with Image.open(tmp_path / "s" / "figure.png") as picture:
        shrink = 360 / picture.width
        assert picture.width == WIDTH * 200
    assert SMALL / 72 * 200 * shrink >= 9
    texts = [text for text in draw(ROWS).findobj(matplotlib.text.Text) if text.get_text()]
    assert texts and min(text.get_fontsize() for text in texts) >= SMALL


def test_drawing_leaves_the_settings_of_matplotlib_alone():
    before = dict(matplotlib.rcParams)
    draw(ROWS)
    assert dict(matplotlib.rcParams) == before


def test_every_colour_has_a_marker_and_stands_out_from_white():
    assert len(PALETTE) == len(MARKERS) == len(set(PALETTE)) == len(set(MARKERS))
    for colour in PALETTE:
        red, green, blue = matplotlib.colors.to_rgb(colour)
        assert 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.75


def test_a_column_without_a_label_is_named_in_the_error():
    with pytest.raises(ValueError, match=r"column: needed one that .* got 'zzz'"):
        label("zzz")
