"""Figures of the chapter on what proxies count."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from experiments.figures.forest import forest
from experiments.figures.marks import legend
from experiments.figures.style import COLOURS, PALETTE, SMALL, new_figure, styled

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

WIDE = 8.0
"""Inches across from which a field has room for more than one number in a line."""


@styled
def at_a_glance(
    grid: pd.DataFrame, spaces: dict[str, str], names: dict[str, str], counts: dict[str, str]
) -> Figure:
    """The count that agrees best with each score in each space: its colour, the stronger the higher tau.

    Args:
        grid: `study.grid` of the rows.
        spaces: space -> title, in order.
        names: score -> title, in order.
        counts: count -> title.
    """
    colours = dict(zip(LETTERS, PALETTE, strict=True))

    def field(line: pd.Series) -> tuple[Colour, str, bool]:
        colour = mixed(colours[line["count"]], abs(line["agreement"]))
        return colour, f"{LETTERS[line['count']]}\N{THIN SPACE}{_short(line['agreement'])}", False

    figure = _fields(grid, spaces, names, field, 0.34)
    keys = [
        Patch(color=colours[count], label=f"{letter} {counts[count]}") for count, letter in LETTERS.items()
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=2 if figure.get_figwidth() < WIDE else 3)
    return figure


@styled
def what_is_left(grid: pd.DataFrame, spaces: dict[str, str], names: dict[str, str]) -> Figure:
    """Kendall's tau with accuracy of a score and of its count, and of the score given that count.

    Args:
        grid: `study.grid` of the rows.
        spaces: space -> title, in order.
        names: score -> title, in order.
    """

    def field(line: pd.Series) -> tuple[Colour, str, bool]:
        words = f"{_short(line['alone'])} {_short(line['of_count'])}\n{_short(line['given'])}"
        colour = COLOURS["blue" if line["given"] > 0 else "vermilion"]
        return mixed(colour, abs(line["given"])), words, bool(line["given_low"] > 0)

    return _fields(grid.dropna(subset="given"), spaces, names, field, 0.43)


Colour = tuple[float, ...]


def mixed(colour: str, share: float) -> Colour:
    """A colour diluted with white, in tenths: a picture has 256 colours, and those of the legend are few."""
    return tuple(1 - round(share, 1) * (1 - part) for part in to_rgb(colour))


def _short(value: float) -> str:
    """Two digits, without the zero before the point."""
    return f"{round(value, 2) + 0.0:.2f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")


def _fields(
    grid: pd.DataFrame,
    spaces: dict[str, str],
    names: dict[str, str],
    field: Callable[[pd.Series], tuple[Colour, str, bool]],
    row: float,
) -> Figure:
    """A table of scores down and spaces across; a field has a colour, words, and whether they are bold."""
    spaces = {key: title for key, title in spaces.items() if (grid["space"] == key).any()}
    names = {key: title for key, title in names.items() if (grid["score"] == key).any()}
    figure, ((axes,),) = new_figure(height=1.7 + row * max(4, len(names)))
    narrow = figure.get_figwidth() < WIDE
    if narrow:  # a number a line
        figure.set_figheight(1.7 + 1.45 * row * max(4, len(names)))
    picture = np.ones((len(names), len(spaces), 3))
    rows, columns = list(names), list(spaces)
    for _, line in grid[grid["score"].isin(rows) & grid["space"].isin(columns)].iterrows():
        at = rows.index(line["score"]), columns.index(line["space"])
        picture[at], words, strong = field(line)
        light = picture[at] @ (0.299, 0.587, 0.114)
        axes.text(
            *at[::-1],
            "\n".join(words.split()) if narrow else words,
            ha="center",
            va="center",
            fontsize=SMALL - 2 * (narrow or "\n" in words),
            linespacing=0.95,
            fontweight="bold" if strong else "normal",
            color="white" if light < 0.55 else COLOURS["black"],
        )
    if picture.size > 0:
        axes.imshow(picture, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(len(spaces)), list(spaces.values()), rotation=30, ha="right")
    axes.set_yticks(range(len(names)), list(names.values()))
    axes.grid(visible=False)
    return figure


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
