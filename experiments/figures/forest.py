"""Estimates with intervals, one row a thing that is estimated, one mark a series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, MARKERS, PALETTE


def forest(
    axes: Axes,
    series: Mapping[str, pd.DataFrame],
    rows: Mapping[Any, str],
    column: str = "kendall",
    *,
    step: float = 0.13,
    size: float = 45,
    width: float = 3,
    styles: Sequence[int] | None = None,
    zero: bool = True,
) -> None:
    """Draws the estimates of some series and labels the rows.

    Args:
        axes: where to draw.
        series: text of the legend -> one line per row, indexed by the row's name, with the columns `column`,
            `column_low`, `column_high`.
        rows: name of a row -> its label, from top to bottom.
        column: of the estimates.
        step: distance of two series in a row, in rows.
        size: of a mark, points squared.
        width: of an interval, points.
        styles: of each series its place in `PALETTE` and `MARKERS`; None means the first ones.
        zero: whether there is a line at 0.
    """
    for index, (text, lines) in enumerate(series.items()):
        style = index if styles is None else styles[index]
        found = lines.reindex(list(rows))
        y = np.arange(len(rows))[::-1] + step * ((len(series) - 1) / 2 - index)
        axes.hlines(
            y,
            found[f"{column}_low"],
            found[f"{column}_high"],
            color=PALETTE[style],
            linewidth=width,
            alpha=0.55,
        )
        axes.scatter(
            found[column],
            y,
            s=size,
            marker=MARKERS[style],
            color=PALETTE[style],
            edgecolor="white",
            zorder=3,
            label=text,
        )
    if zero:
        axes.axvline(0, color=COLOURS["black"], linewidth=1.2)
    axes.set_yticks(range(len(rows)), list(rows.values())[::-1])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="y", visible=False)


def legend(figure: Figure, axes: Sequence[Axes], columns: int = 2) -> None:
    """One legend below the figure for the marks of some panels."""
    marks = [mark for panel in axes for mark in zip(*panel.get_legend_handles_labels(), strict=True)]
    figure.legend(
        [handle for handle, _ in marks],
        [text for _, text in marks],
        loc="outside lower center",
        ncols=columns,
    )
