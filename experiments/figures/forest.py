"""Estimates with intervals, one row a thing that is estimated, one mark a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from experiments.figures.marks import bars, dots, levels
from experiments.figures.style import COLOURS, PALETTE


def forest(
    axes: Axes,
    series: Mapping[str, pd.DataFrame],
    rows: Mapping[Any, str],
    column: str = "kendall",
    *,
    step: float = 0.13,
    size: float = 60,
    width: float = 3,
    styles: Sequence[int] | None = None,
    zero: bool = True,
    thin: str = "",
) -> None:
    """Draws the estimates of some series and labels the rows.

    Args:
        axes: where to draw.
        series: text of the legend -> one line per row, indexed by the row's name, with the columns `column`,
            `column_low`, `column_high`. A text that begins with "_" stays out of the legend.
        rows: name of a row -> its label, from top to bottom.
        column: of the estimates.
        step: distance of two series in a row, in rows.
        size: of a mark, points squared.
        width: of an interval, points.
        styles: of each series its place in `PALETTE` and `MARKERS`; None means the first ones.
        zero: whether there is a line at 0.
        thin: beginning of the columns `_low` and `_high` of a second interval, drawn thin.
    """
    for index, (text, lines) in enumerate(series.items()):
        style = index if styles is None else styles[index]
        found = lines.reindex(list(rows))
        y = np.arange(len(rows))[::-1] + step * ((len(series) - 1) / 2 - index)
        if thin:
            axes.hlines(y, found[f"{thin}_low"], found[f"{thin}_high"], color=PALETTE[style], linewidth=1.2)
        bars(axes, y, found[f"{column}_low"], found[f"{column}_high"], style, width)
        dots(axes, found[column], y, style, text, s=size, linewidth=0.8)
    if zero:
        axes.axvline(0, color=COLOURS["black"], linewidth=1.2)
    levels(axes, list(rows.values()), 0.6)
