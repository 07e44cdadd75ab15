"""What several figures draw: the marks, intervals and bands of a series, axes and legends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter
from numpy.typing import ArrayLike

from experiments.figures.style import COLOURS, MARKERS, PALETTE


def dots(axes: Axes, x: ArrayLike, y: ArrayLike, index: int, text: str | None = None, **style: Any) -> None:
    """The marks of a series, whose `index` is that of `PALETTE` and `MARKERS`, with a white edge."""
    usual: dict[str, Any] = {
        "s": 45,
        "marker": MARKERS[index],
        "color": PALETTE[index],
        "edgecolor": "white",
        "zorder": 3,
    }
    axes.scatter(x, y, label=text, **usual | style)


def tell(rows: pd.DataFrame, name: str, texts: Mapping[str, str]) -> list[str]:
    """What marks tell when pointed at, a name and formatted columns; give it to `dots` as `urls`."""
    return [
        f"{row[name]}: " + ", ".join(text.format(row[column]) for column, text in texts.items())
        for row in rows.to_dict("records")
    ]


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


def legend(figure: Figure, axes: Sequence[Axes] | None = None, columns: int | None = None) -> None:
    """One legend below the figure, in as few lines as fit, for the marks of some panels or all."""
    panels = figure.axes if axes is None else axes
    marks = {
        text: mark for panel in panels for mark, text in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    for lines in range(1, len(marks) + 1):
        beside = -(-len(marks) // lines)
        if columns is not None and beside > columns:
            continue
        made = figure.legend(marks.values(), marks, loc="outside lower center", ncols=beside)
        if beside == 1 or made.get_window_extent().width <= figure.bbox.width:
            break
        made.remove()
