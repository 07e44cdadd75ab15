"""The one visual style of the study's figures, in two sizes: wide for a desk and tall for a telephone.

A figure function draws panels and need not ask for which screen: `styled` runs it once for each. On a desk a
column of panels becomes a row; on a telephone all panels stand one below the other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple, ParamSpec
from weakref import WeakKeyDictionary

import matplotlib
import numpy as np
import seaborn
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from experiments.figures.room import make_room

SMALL = 13.0
"""Smallest type in a figure, points: 13 pixels high on a desk and 11 on a telephone."""


class Screen(NamedTuple):
    """How pictures for one kind of screen are made."""

    width: float  # inches
    dpi: int
    shown: int  # pixels of the page across which the picture is shown


SCREENS = {"desk": Screen(10.5, 150, 760), "phone": Screen(5.6, 180, 360)}
TALLEST = 12.3
"""Height of a picture on a desk, inches: 890 pixels of the page."""
LEAST_TALL = 3.9
"""Least height of one, inches."""

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

SHADES = ListedColormap(matplotlib.colormaps["cividis"](np.linspace(0, 0.75, 256)))
"""Shades of marks; lighter ones would be lost on white, and in the dark, where light is turned round."""

STYLE: Any = {
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
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.usetex": False,
    "svg.hashsalt": "zenlib",
}

_screen: ContextVar[str] = ContextVar("screen", default="desk")
_PHONES: WeakKeyDictionary[Figure, Figure] = WeakKeyDictionary()
P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorator of every figure function: runs it in the style, for both screens.

    It gives the picture for a desk; `phone` has the other. Matplotlib's settings are left alone.
    """

    @functools.wraps(draw)
    def inside(*args: P.args, **kwargs: P.kwargs) -> Figure:
        drawn = {}
        for screen in SCREENS:
            before = _screen.set(screen)
            with matplotlib.rc_context(STYLE):
                drawn[screen] = draw(*args, **kwargs)
                make_room(drawn[screen])
            _screen.reset(before)
        _PHONES[drawn["desk"]] = drawn["phone"]
        return drawn["desk"]

    return inside


def phone(figure: Figure) -> Figure:
    """The tall picture that was drawn with this wide one."""
    return _PHONES[figure]


def new_figure(
    rows: int = 1, columns: int = 1, *, height: float = 4.6, beside: int | None = None, **subplots: Any
) -> tuple[Figure, np.ndarray]:
    """An empty figure of the style, outside pyplot (nothing to close).

    Call it inside a function decorated with `styled`.

    Args:
        rows: panels from top to bottom; a column of them stands side by side on a desk.
        columns: panels side by side; they stand one below the other on a telephone.
        height: of the figure with its panels in these rows and columns, inches.
        beside: how many panels of a column stand side by side on a desk; None for 3 or 2.
        subplots: passed to `Figure.subplots` (sharex, sharey, ...).

    Returns:
        The figure and its axes, always an array of shape (rows, columns).
    """
    screen, tall_screen = SCREENS[_screen.get()], _screen.get() == "phone"
    count = rows * columns
    down, across = (count, 1) if tall_screen else (rows, columns)
    if not tall_screen and rows > columns == 1:
        across = beside or (2 if count % 3 else 3)
        down = -(-count // across)
    tall = height * down / rows  # each panel as asked for
    if not tall_screen:
        tall = min(max(tall, LEAST_TALL), TALLEST)
    figure = Figure(figsize=(screen.width, tall), dpi=screen.dpi, layout="constrained")
    shared = {
        name: subplots.pop(name) for name in ("sharex", "sharey") if isinstance(subplots.get(name), str)
    }
    grid = figure.subplots(down, across, squeeze=False, **subplots)
    for spare in grid.flat[count:]:
        spare.remove()
    panels = grid.flatten()[:count].reshape(rows, columns)
    for share, along in shared.items():
        firsts = panels[:1] if along == "col" else panels[:, :1]
        for panel, first in zip(panels.flat, np.broadcast_to(firsts, panels.shape).flat, strict=True):
            if panel is not first:
                getattr(panel, share)(first)
    return figure, panels


def note(axes: Axes, text: str, *, at: tuple[float, float] = (0.03, 0.96)) -> None:
    """Write a short remark into a panel, at shares of it, aligned to the nearer edges."""
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
