"""Figures of the chapter on what proxies count."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.forest import forest
from experiments.figures.marks import legend
from experiments.figures.style import COLOURS, SMALL, new_figure, styled

SHORT = {
    "params": "params",
    "flops": "FLOPs",
    "layers": "convs",
    "relu_units": "ReLUs",
    "activations": "acts",
    "log_width": "width",
    "log_fan_in": "fan-in",
}
"""Count -> the word in a field."""


@styled
def at_a_glance(grid: pd.DataFrame, spaces: dict[str, str], names: dict[str, str]) -> Figure:
    """Above, the count that agrees best with each score in each space; below, what the score says beyond it.

    Args:
        grid: `study.grid` of the rows.
        spaces: space -> title, in order.
        names: score -> title, in order.
    """
    spaces = {key: title for key, title in spaces.items() if (grid["space"] == key).any()}
    names = {key: title for key, title in names.items() if (grid["score"] == key).any()}
    figure, axes = new_figure(2, 1, beside=1, height=3.0 + 0.62 * max(4, len(names)))
    at = grid.set_index(["score", "space"])
    _field(axes[0, 0], at, spaces, names, "agreement", _counted)
    axes[0, 0].set_title("The count that a score follows; tau with it")
    trained = grid.dropna(subset="given")["space"].unique()
    spaces = {key: title for key, title in spaces.items() if key in trained}
    _field(axes[1, 0], at, spaces, names, "given", _kept)
    axes[1, 0].set_title("Tau with accuracy: score, count; what is left")
    return figure


def _counted(line: pd.Series) -> tuple[str, bool]:
    return f"{SHORT[line['count']]}\n{_short(line['agreement'])}", False


def _kept(line: pd.Series) -> tuple[str, bool]:
    words = f"{_short(line['alone'])} {_short(line['of_count'])}\n{_short(line['given'])}"
    return words, bool(line["given_low"] > 0)


def _short(value: float) -> str:
    """Two digits, without the zero before the point."""
    return f"{round(value, 2) + 0.0:.2f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")


def _field(
    axes: Axes, at: pd.DataFrame, spaces: dict[str, str], names: dict[str, str], column: str, text
) -> None:  # type: ignore[no-untyped-def]
    """A table of fields coloured by a column, with words in them."""
    values = np.full((len(names), len(spaces)), np.nan)
    for row, score in enumerate(names):
        for place, space in enumerate(spaces):
            if (score, space) not in at.index or np.isnan(at.loc[(score, space)][column]):
                continue
            line = at.loc[(score, space)]
            values[row, place] = line[column]
            words, strong = text(line)
            dark = abs(line[column]) > 0.55
            axes.text(
                place,
                row,
                words,
                ha="center",
                va="center",
                fontsize=SMALL - 4,
                linespacing=0.95,
                fontweight="bold" if strong else "normal",
                color="white" if dark else COLOURS["black"],
            )
    if values.size > 0:
        axes.imshow(values, cmap="RdBu", vmin=-1, vmax=1, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(spaces)), list(spaces.values()), rotation=30, ha="right")
    axes.set_yticks(range(len(names)), list(names.values()))
    axes.grid(visible=False)


@styled
def against_draws(agreement: pd.DataFrame, groups: dict[str, str]) -> Figure:
    """Spearman's rho of every formula with one draw, one mark a group of networks.

    Args:
        agreement: `CountRows.agreement`.
        groups: group -> title, in order.
    """
    figure, ((axes,),) = new_figure(height=2.2 + 0.5 * max(4, agreement["score"].nunique()))
    shown = {
        title: agreement[agreement["group"] == group].set_index("score")
        for group, title in groups.items()
        if (agreement["group"] == group).any()
    }
    forest(axes, shown, {score: score for score in agreement["score"].unique()}, "spearman")
    axes.set_xlabel("Spearman's rho with one draw")
    legend(figure, [axes])
    return figure
