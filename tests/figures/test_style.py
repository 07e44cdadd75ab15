"""The visual style: figures are saved whole, with the same bytes, and matplotlib's settings stay."""

from __future__ import annotations

import json

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image

from experiments.figures import label, new_figure, show, styled
from experiments.figures.marks import dots, legend, tell
from experiments.figures.room import NAME, name_mark
from experiments.figures.saving import tidy
from experiments.figures.style import LEAST_TALL, MARKERS, PALETTE, SCREENS, SMALL, TALLEST, phone

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
        "some_figure.phone.png",
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
    for ending in (".png", ".phone.png"):
        once, twice = ((tmp_path / "s" / f"{name}{ending}").read_bytes() for name in ("once", "twice"))
        assert once == twice
    with Image.open(tmp_path / "s" / "once.png") as picture:
        assert set(picture.info) == {"dpi"}


def test_the_smallest_type_is_eleven_pixels_high_on_either_screen(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_FIGURES", str(tmp_path))
    show(draw(ROWS), "s", "figure")
    for ending, screen in ((".png", SCREENS["desk"]), (".phone.png", SCREENS["phone"])):
        with Image.open(tmp_path / "s" / f"figure{ending}") as picture:
            assert picture.width == round(screen.width * screen.dpi) >= 2 * screen.shown
            assert SMALL / 72 * screen.dpi * screen.shown / picture.width >= 11
    for figure in (draw(ROWS), phone(draw(ROWS))):
        texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
        assert texts and min(text.get_fontsize() for text in texts) >= SMALL


@pytest.mark.parametrize(
    ("rows", "columns", "beside", "wide"),
    [
        (1, 1, None, (1, 1)),
        (2, 1, None, (1, 2)),
        (3, 1, None, (1, 3)),
        (4, 1, None, (2, 2)),
        (6, 1, None, (2, 3)),
        (2, 2, None, (2, 2)),
        (2, 1, 1, (2, 1)),
    ],
)
def test_a_column_of_panels_lies_down_on_a_desk_and_all_stand_on_a_telephone(rows, columns, beside, wide):
    @styled
    def panels() -> Figure:
        figure, axes = new_figure(rows, columns, height=40, beside=beside, sharex="col", sharey=True)
        assert axes.shape == (rows, columns)
        return figure

    figure = panels()
    for drawn, shape in ((figure, wide), (phone(figure), (rows * columns, 1))):
        grids = {panel.get_subplotspec().get_gridspec().get_geometry() for panel in drawn.axes}
        assert grids == {shape} and len(drawn.axes) == rows * columns
    assert LEAST_TALL <= figure.get_figheight() <= TALLEST
    assert TALLEST * SCREENS["desk"].shown / SCREENS["desk"].width < 900


@pytest.mark.parametrize("shared", [True, False])
def test_an_axis_is_named_once_where_panels_share_it(shared):
    @styled
    def panels() -> Figure:
        figure, axes = new_figure(2, 1, height=9, sharex=shared, sharey=shared)
        for panel in axes.flat:
            panel.set_ylabel("score (nats)")
        axes[-1, 0].set_xlabel("width")
        return figure

    left, right = panels().axes
    assert (left.get_ylabel(), right.get_ylabel()) == ("score (nats)", "" if shared else "score (nats)")
    assert (left.get_xlabel(), right.get_xlabel()) == ("width" if shared else "", "width")


def test_long_titles_are_broken_and_legends_keep_inside_the_picture():
    @styled
    def wordy() -> Figure:
        figure, axes = new_figure(3, 1, height=12)
        for panel in axes.flat:
            panel.set_title("a title of many words that is wider than the panel below it")
            for index in range(6):
                panel.plot([0, 1], [0, index], label=f"{index} of several series with a long name")
        legend(figure)
        return figure

    for figure in (wordy(), phone(wordy())):
        (made,) = figure.legends
        assert len(made.get_texts()) == 6 and made.get_window_extent().width <= figure.bbox.width
        for panel in figure.axes:
            title = panel.get_title(loc="left")
            assert "\n" in title and " ".join(title.split()).startswith("a title of many words")
            assert panel._left_title.get_window_extent().width <= panel.get_window_extent().width


def test_names_of_marks_cover_no_mark_and_no_other_name():
    @styled
    def crowded() -> Figure:
        figure, ((axes,),) = new_figure()
        x, y = np.meshgrid(np.linspace(0, 1, 12), np.linspace(0, 1, 4))
        dots(axes, x.ravel(), y.ravel(), 0)
        for number in range(48):
            name_mark(axes, x.ravel()[number], y.ravel()[number], f"network-{number}")
        return figure

    for figure in (crowded(), phone(crowded())):
        names = [text for text in figure.findobj(matplotlib.text.Annotation) if text.get_gid() == NAME]
        boxes = [name.get_window_extent() for name in names if name.get_visible()]
        assert len(names) == 48 > len(boxes) >= 5
        assert not any(a.overlaps(b) for a in boxes for b in boxes if a is not b)
        (marks,) = figure.findobj(matplotlib.collections.PathCollection)
        for place in marks.get_offset_transform().transform(marks.get_offsets()):
            assert not any(box.contains(*place) for box in boxes)


def test_marks_tell_their_numbers_where_they_stand_in_either_picture(tmp_path, monkeypatch):
    rows = pd.DataFrame(
        {"name": ["b", 'a "<&>"', "lost"], "zen": [59.52, 112.3, np.nan], "top1": [70, 76, 80]}
    )

    @styled
    def scatter() -> Figure:
        figure, ((axes,),) = new_figure()
        told = tell(rows, "name", {"zen": "Zen-Score {:.1f}", "top1": "top-1 {:.0f} %"})
        dots(axes, rows["zen"], rows["top1"], 0, urls=told)
        dots(axes, [60], [75], 1)
        return figure

    monkeypatch.setenv("ZENLIB_FIGURES", str(tmp_path))
    show(scatter(), "s", "marks")
    told = json.loads((tmp_path / "s" / "marks.marks.json").read_text(encoding="utf-8"))
    assert [mark[4] for mark in told] == [
        "b: Zen-Score 59.5, top-1 70 %",
        'a "<&>": Zen-Score 112.3, top-1 76 %',
    ]
    for ending, first in ((".png", 0), (".phone.png", 2)):
        with Image.open(tmp_path / "s" / f"marks{ending}") as picture:
            for mark in told:
                place = round(mark[first] * picture.width), round(mark[first + 1] * picture.height)
                colour = np.array(picture.convert("RGB").getpixel(place)) / 255
                assert np.allclose(colour, matplotlib.colors.to_rgb(PALETTE[0]), atol=0.05)


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
