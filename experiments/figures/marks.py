"""What several figures draw: the marks, intervals and bands of a series, axes and legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter
from numpy.typing import ArrayLike

from experiments.figures.style import COLOURS, MARKERS, PALETTE


def dots(axes: Axes, x: ArrayLike, y: ArrayLike, index: int, text: str | None = None, **style: Any) -> None:
    """The marks of a series, with a white edge.

    Args:
        axes: where to draw.
        x: of each mark.
        y: of each mark.
        index: of the series in `PALETTE` and `MARKERS`.
        text: of the legend.
        style: of `Axes.scatter`, where it differs.
    """
    usual: dict[str, Any] = {
        "s": 45,
        "marker": MARKERS[index],
        "color": PALETTE[index],
        "edgecolor": "white",
        "zorder": 3,
    }
    axes.scatter(x, y, label=text, **usual | style)


def hollow(
    axes: Axes, x: ArrayLike, y: ArrayLike, index: int, edge: str, text: str | None = None, **style: Any
) -> None:
    """The marks of a series, empty, with an edge of this colour."""
    dots(axes, x, y, index, text, **{"color": None, "facecolor": "none", "edgecolor": edge} | style)


def bars(axes: Axes, y: ArrayLike, low: ArrayLike, high: ArrayLike, index: int, width: float = 3) -> None:
    """The intervals of a series, `width` points thick."""
    axes.hlines(y, low, high, color=PALETTE[index], linewidth=width, alpha=0.55)


def band(
    axes: Axes,
    rows: pd.DataFrame,
    x: str,
    y: str,
    index: int,
    text: str | None = None,
    alpha: float = 0.2,
    **style: Any,
) -> None:
    """A line with its interval, from the columns `y`, `y_low` and `y_high`; `style` is that of the line."""
    axes.fill_between(
        rows[x], rows[f"{y}_low"], rows[f"{y}_high"], color=PALETTE[index], alpha=alpha, linewidth=0
    )
    axes.plot(rows[x], rows[y], color=PALETTE[index], label=text, **{"marker": MARKERS[index]} | style)


def measured(axes: Axes, rows: pd.DataFrame, x: str, y: str, **style: Any) -> None:
    """A line of means with 95 % intervals, from the columns `y` and `y_stderr`."""
    axes.errorbar(rows[x], rows[y], yerr=1.96 * rows[f"{y}_stderr"], **{"capsize": 3} | style)


def levels(axes: Axes, names: Sequence[str], margin: float | None = None) -> None:
    """Names of the rows of a figure, from top to bottom; with a margin, that is kept above and below them."""
    axes.set_yticks(range(len(names)), list(names)[::-1])
    if margin is not None:
        axes.set_ylim(-margin, len(names) - 1 + margin)
    axes.grid(axis="y", visible=False)


def zero(axes: Axes, width: float = 1.2) -> None:
    """A horizontal line at 0."""
    axes.axhline(0, color=COLOURS["black"], linewidth=width)


def log2_axis(axes: Axes, ticks: Sequence[int] | np.ndarray) -> None:
    """A logarithmic axis along x with these ticks written out."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())


def legend(figure: Figure, axes: Sequence[Axes], columns: int = 2, **spacing: float) -> None:
    """One legend below the figure for the marks of some panels; none where they show nothing."""
    marks = [mark for panel in axes for mark in zip(*panel.get_legend_handles_labels(), strict=True)]
    if marks:
        handles, texts = zip(*marks, strict=True)
        figure.legend(handles, texts, loc="outside lower center", ncols=columns, **spacing)
