"""The one visual style of the study's figures, and the only place that saves them.

Sizes follow from the smallest screen: a figure is 7 inches wide at 200 dots per inch (1400 pixels), so on a
telephone of 400 pixels it is shown at about a quarter of its size, and text of 13 points is then 9 pixels
high. Hence large type, at most two panels side by side, and few labels. A legend of many entries belongs
below the panels: `figure.legend(loc="outside lower center", ncols=3)`.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable
from typing import Any, ParamSpec

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 7.0
"""Width of every figure, inches."""
DPI = 200
SMALL = 13.0
"""Smallest type in a figure, points: 9 pixels where the figure is shown 360 pixels wide."""
DIGITS = 6
"""Significant digits of a number behind a figure: as many as scores in float32 carry."""
ROUNDING = 1e-12
"""A difference of numbers near 1 that is smaller than this is 0 up to rounding."""

COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "black": "#222222",
    "grey": "#7A7A7A",
}
"""Colours told apart by every kind of colour vision (Okabe and Ito 2008), darker grey for reference lines."""
PALETTE = tuple(COLOURS[name] for name in ("blue", "orange", "green", "vermilion", "purple", "sky", "black"))
"""Colours of categories, in the order to use them."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Marker of each colour of `PALETTE`, so that colour is never the only difference."""

_STYLE: Any = {
    **seaborn.axes_style("whitegrid"),
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": SMALL,
    "axes.labelsize": 14.0,
    "axes.titlesize": 14.0,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titlepad": 10.0,
    "axes.edgecolor": "#444444",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=PALETTE),
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "grid.color": "#E3E3E3",
    "legend.fontsize": SMALL,
    "legend.title_fontsize": SMALL,
    "legend.frameon": True,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "white",
    "legend.labelspacing": 0.3,
    "legend.handletextpad": 0.5,
    "legend.borderpad": 0.3,
    "lines.linewidth": 2.2,
    "lines.markersize": 7.0,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.usetex": False,
    "svg.hashsalt": "zenlib",
}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorator of every figure function: runs it in the style, and leaves matplotlib's settings alone."""

    @functools.wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with matplotlib.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return inside


def new_figure(
    rows: int = 1, columns: int = 1, *, height: float = 4.6, **subplots: Any
) -> tuple[Figure, np.ndarray]:
    """An empty figure of the style, outside pyplot (nothing to close).

    Call it inside a function decorated with `styled`.

    Args:
        rows: panels from top to bottom.
        columns: panels side by side; at most 2 stay readable on a telephone.
        height: of the whole figure, inches; about 3.4 per row of panels.
        subplots: passed to `Figure.subplots` (sharex, sharey, width_ratios, ...).

    Returns:
        The figure and its axes, always an array of shape (rows, columns).
    """
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **subplots)


def note(axes: Axes, text: str, *, at: tuple[float, float] = (0.03, 0.96)) -> None:
    """Write a short remark (n, an interval) into a panel.

    Args:
        axes: the panel.
        text: a few words.
        at: position as shares of the panel; the text is aligned to the nearer edges.
    """
    across, up = at
    axes.text(
        across,
        up,
        text,
        transform=axes.transAxes,
        ha="left" if across < 0.5 else "right",
        va="bottom" if up < 0.5 else "top",
        bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none", "alpha": 0.85},
    )


def show(figure: Figure, study: str, name: str, data: pd.DataFrame | None = None) -> None:
    """Save a figure with the numbers behind it, and display it when a notebook runs.

    Writes `<figures>/<study>/<name>.png` and, with `data`, `<name>.csv` beside it. The same figure gives the
    same bytes:
    the picture carries no date and no version. So do the same rows on another processor: see `tidy`. Each
    file is replaced at once or not at all.

    Args:
        figure: what a function of this package returned.
        study: name of the study.
        name: name of the figure within the study.
        data: the rows that the figure shows.
    """
    picture = _png(figure)
    _write(study, f"{name}.png", picture)
    if data is not None:
        _write(
            study,
            f"{name}.csv",
            tidy(data).to_csv(index=False, float_format=f"%.{DIGITS}g", lineterminator="\n").encode(),
        )
    _display(picture)


def tidy(data: pd.DataFrame) -> pd.DataFrame:
    """The rows behind a figure as they are written.

    Numbers have the digits that carry meaning: the last ones differ between processors, which add in
        different orders. Whole
    numbers are whole. Rows are in the order of their key, which is the first columns: by the first column,
    then the second and so on.
    """
    rounded = data.infer_objects().apply(
        lambda column: _rounded(column) if pd.api.types.is_float_dtype(column) else column
    )
    return rounded.sort_values(list(rounded.columns), kind="stable", key=_comparable)


def _comparable(column: pd.Series) -> pd.Series:
    return column if pd.api.types.is_numeric_dtype(column) else column.astype(str)


def _rounded(column: pd.Series) -> pd.Series:
    """A column of floats with `DIGITS` significant digits, as integers where all are whole."""
    finite = column[np.isfinite(column)]
    least = ROUNDING * min(1.0, finite.abs().max())
    if (
        len(finite) == column.notna().sum()
        and finite.abs().lt(2**53).all()
        and np.isclose(finite, finite.round(), rtol=ROUNDING, atol=least).all()
    ):
        return column.round().astype("Int64")
    return column.map(lambda value: 0.0 if abs(value) < least else float(f"{value:.{DIGITS}g}"))


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Ticks are made while drawing, so they need the style once more.
    with matplotlib.rc_context(_STYLE):
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return buffer.getvalue()


def _write(study: str, file_name: str, content: bytes) -> None:
    from experiments.record.results import figures_root

    target = figures_root() / study / file_name
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{file_name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(target)


def _display(picture: bytes) -> None:
    from IPython.core.getipython import get_ipython
    from IPython.display import Image, display

    if get_ipython() is not None:
        display(Image(data=picture, format="png", width=700))
