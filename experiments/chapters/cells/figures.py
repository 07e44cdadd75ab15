"""Figures of the chapter on why the Zen-Score fails on cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

from experiments.benchmarks.cell_layers_space import EDGES
from experiments.benchmarks.nasbench201_space import Cell
from experiments.figures.forest import forest
from experiments.figures.marks import legend
from experiments.figures.style import COLOURS, PALETTE, new_figure, styled

PLACES = ((0.0, 0.0), (1.25, 1.35), (2.75, -1.35), (4.2, 0.0))
"""Where the nodes of a cell stand."""
RADIUS = 0.25
"""Radius of a node with variance 1."""
EDGE_NAMES = {"skip_connect": "skip", "avg_pool_3x3": "pool", "nor_conv_1x1": "conv", "nor_conv_3x3": "conv"}
NODES = ("input", "first", "second", "output")
SHOWN = {
    "zen_l1_running": "Zen-Score, released",
    "cancelled": "its cancelled part",
    "zen_rest": "the rest of it",
    "effective_gain": "repaired score",
    "params": "parameters",
}
POPULATIONS = {
    "all": "all cells",
    "valid": "with a path",
    "one per class": "one per\nclass",
    "no none": "no none\nedge",
    "top 20 %": "best 20 %",
    "equal params": "equal\nparameters",
}
PANELS = {
    "scale": "sum of log √q (nats)",
    "gain": "sum of log gain (nats)",
    "inputs": "half sum of log PR (nats)",
    "delta": "log Δ (nats)",
    "channels_2": "PR of channels, stage 3",
    "growth_2": "growth, stage 3",
}


@styled
def examples(
    rows: pd.DataFrame, titles: Sequence[str] = ("five skips, one convolution", "six convolutions")
) -> Figure:
    """Cells whose nodes have areas in proportion to their variance, one panel a cell."""
    figure, axes = new_figure(2, 1, height=9.2)
    for panel, title, row in zip(axes[:, 0], titles, rows.to_dict("records"), strict=True):
        _cell(panel, Cell.from_string(str(row["arch"])), [float(row[name]) for name in NODES])
        panel.set_title(f"{title}\nZen {row['zen']:.0f}, repaired {row['effective_gain']:.0f}")
    return figure


def _cell(axes: Axes, cell: Cell, variances: list[float]) -> None:
    for op, (source, target) in zip(cell.ops, EDGES, strict=True):
        if op == "none":
            continue
        (x, y), (to_x, to_y) = PLACES[source], PLACES[target]
        conv = op.startswith("nor")
        colour = COLOURS["black"] if conv else COLOURS["vermilion"]
        style = "-" if conv else (0, (3, 1.5))
        line: dict[str, Any] = {"linewidth": 3.0, "linestyle": style, "color": colour, "zorder": 1}
        axes.add_patch(FancyArrowPatch((x, y), (to_x, to_y), arrowstyle="-", **line))
        share = 0.35 if (source, target) == (1, 2) else 0.5
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        middle: dict[str, Any] = {"ha": "center", "va": "center", "bbox": box, "zorder": 2}
        axes.text(x + share * (to_x - x), y + share * (to_y - y), EDGE_NAMES[op], color=colour, **middle)
    for (x, y), name, variance in zip(PLACES, NODES, variances, strict=True):
        radius = RADIUS * np.sqrt(variance)
        axes.add_patch(Circle((x, y), radius, facecolor=PALETTE[0], edgecolor="white", zorder=3))
        axes.text(x, y, f"{variance:.3g}", color="white", weight="bold", ha="center", va="center", zorder=4)
        if name in ("input", "output"):
            axes.text(x, y - radius - 0.22, name, ha="center", va="center", zorder=4)
    axes.set_xlim(-0.6, 5.2)
    axes.set_ylim(-2.0, 1.8)
    axes.set_aspect("equal")
    axes.axis("off")


@styled
def strata(correlations: pd.DataFrame, dataset: str = "cifar10") -> Figure:
    """Kendall's tau with its interval on the report half, one row a population, one mark a score."""
    figure, ((axes,),) = new_figure(height=9.0)
    rows = correlations[(correlations["dataset"] == dataset) & (correlations["half"] == "report")]
    series = {text: rows[rows["score"] == score].set_index("population") for score, text in SHOWN.items()}
    forest(axes, series, POPULATIONS, step=0.15)
    axes.set_xlabel("Kendall's tau with test accuracy")
    legend(figure, [axes])
    return figure


@styled
def agreement(rows: pd.DataFrame) -> Figure:
    """Theory against Monte Carlo, one panel a quantity, one mark a cell."""
    figure, axes = new_figure(len(PANELS), 1, height=3.5 * len(PANELS))
    for panel, (name, text) in zip(axes.flat, PANELS.items(), strict=True):
        theory, found = rows[f"{name}_theory"], rows[f"{name}_measured"]
        panel.scatter(found, theory, s=26, color=PALETTE[0], alpha=0.6, edgecolor="white")
        ends = [min(theory.min(), found.min()), max(theory.max(), found.max())]
        panel.plot(ends, ends, color=COLOURS["black"], linewidth=1.2)
        if name.startswith("growth"):
            panel.set_xscale("log")
            panel.set_yscale("log")
        panel.set_title(text, fontsize=13, weight="normal")
        panel.set_xlabel("Monte Carlo")
        panel.set_ylabel("arithmetic")
    return figure
