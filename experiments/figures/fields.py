"""Tables of coloured fields with numbers: scores down, spaces across."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, SMALL, new_figure

Colour = tuple[float, ...]
WIDE = 8.0
"""Inches across from which a field has room for more than one number in a line."""


def mixed(colour: str, share: float) -> Colour:
    """A colour diluted with white, in tenths: a picture has 256 colours, and those of the legend are few."""
    return tuple(1 - round(share, 1) * (1 - part) for part in to_rgb(colour))


def short(value: float) -> str:
    """Two digits, without the zero before the point."""
    return f"{round(value, 2) + 0.0:.2f}".replace("0.", ".", 1).replace("-", "\N{MINUS SIGN}")


def fields(
    grid: pd.DataFrame,
    spaces: dict[str, str],
    names: dict[str, str],
    field: Callable[[pd.Series], tuple[Colour, str, bool]],
    row: float,
    stretch: float = 1.45,
) -> tuple[Figure, Axes]:
    """A table of scores down and spaces across.

    Args:
        grid: one line a field, with the columns `space` and `score`.
        spaces: space -> title, in order; those without a line are left out.
        names: score -> title, in order; likewise.
        field: gives the colour of a line's field, its words, and whether they are bold.
        row: height of a row on a desk, inches.
        stretch: how much higher it is on a telephone, where every word has a line.
    """
    spaces = {key: title for key, title in spaces.items() if (grid["space"] == key).any()}
    names = {key: title for key, title in names.items() if (grid["score"] == key).any()}
    figure, ((axes,),) = new_figure(height=1.7 + row * max(4, len(names)))
    narrow = figure.get_figwidth() < WIDE
    if narrow:  # a number a line
        figure.set_figheight(1.7 + stretch * row * max(4, len(names)))
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
    return figure, axes
