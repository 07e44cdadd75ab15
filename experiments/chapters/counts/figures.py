"""Figures of the chapter on what proxies count."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from experiments.figures.fields import WIDE, Colour, fields, mixed, short
from experiments.figures.forest import forest
from experiments.figures.marks import legend
from experiments.figures.style import COLOURS, PALETTE, new_figure, styled

LETTERS = {
    "params": "P",
    "flops": "F",
    "layers": "L",
    "relu_units": "R",
    "activations": "A",
    "log_width": "W",
    "log_fan_in": "I",
}
"""Count -> the letter in a field; its colour is that of its place here."""


@styled
def at_a_glance(
    grid: pd.DataFrame, spaces: dict[str, str], names: dict[str, str], counts: dict[str, str]
) -> Figure:
    """The count that agrees best with each score in each space: its colour, the stronger the higher tau."""
    colours = dict(zip(LETTERS, PALETTE, strict=True))

    def field(line: pd.Series) -> tuple[Colour, str, bool]:
        colour = mixed(colours[line["count"]], abs(line["agreement"]))
        return colour, f"{LETTERS[line['count']]}\N{THIN SPACE}{short(line['agreement'])}", False

    figure, _ = fields(grid, spaces, names, field, 0.34)
    keys = [
        Patch(color=colours[count], label=f"{letter} {counts[count]}") for count, letter in LETTERS.items()
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=2 if figure.get_figwidth() < WIDE else 3)
    return figure


@styled
def what_is_left(grid: pd.DataFrame, spaces: dict[str, str], names: dict[str, str]) -> Figure:
    """Kendall's tau with accuracy of a score and of its count, and of the score given that count."""

    def field(line: pd.Series) -> tuple[Colour, str, bool]:
        words = f"{short(line['alone'])} {short(line['of_count'])}\n{short(line['given'])}"
        colour = COLOURS["blue" if line["given"] > 0 else "vermilion"]
        return mixed(colour, abs(line["given"])), words, bool(line["given_low"] > 0)

    return fields(grid.dropna(subset="given"), spaces, names, field, 0.43)[0]


@styled
def against_draws(agreement: pd.DataFrame, groups: dict[str, str], names: dict[str, str]) -> Figure:
    """Spearman's rho of every formula with one draw, one mark a group of networks."""
    figure, ((axes,),) = new_figure(height=2.2 + 0.5 * max(4, agreement["score"].nunique()))
    shown = {
        title: agreement[agreement["group"] == group].set_index("score")
        for group, title in groups.items()
        if (agreement["group"] == group).any()
    }
    forest(axes, shown, {score: names.get(score, score) for score in agreement["score"].unique()}, "spearman")
    axes.set_xlabel("Spearman's rho with one draw")
    legend(figure, [axes])
    return figure
