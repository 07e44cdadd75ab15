"""Figures of the chapter on why the Zen-Score fails on cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

from zenlib.plots.style import COLOURS, MARKERS, PALETTE, new_figure, styled
from zenlib.spaces.cell_layers import EDGES
from zenlib.spaces.nasbench201 import Cell

PLACES = ((0.0, 0.0), (1.0, 1.1), (2.0, -1.1), (3.0, 0.0))
"""Where the nodes of a cell stand."""
EDGE_NAMES = {"skip_connect": "skip", "avg_pool_3x3": "pool", "nor_conv_1x1": "conv 1x1", "nor_conv_3x3": "conv 3x3"}
SHOWN = {
    "zen": "Zen-Score by arithmetic",
    "cancelled": "its cancelled part",
    "zen_rest": "the rest of it",
    "effective_gain": "repaired score",
    "effective_cells": "with the cell term",
    "live_convs": "live convolutions",
    "params": "parameters",
}
POPULATIONS = {
    "all": "all cells",
    "valid": "with a path",
    "one per class": "one per\nisomorphism class",
    "no none": "no none edge",
    "no skip, no pool": "no skip,\nno pool",
    "top 20 %": "best 20 %",
    "equal params": "pairs of equal\nparameters",
}
SEARCHED = {
    "effective_gain": "repaired score",
    "effective_cells": "with the cell term",
    "zen_l1_minibatch": "Zen-Score",
    "live_convs": "live convolutions",
    "params": "parameters",
    "random": "random",
}


@styled
def nodes(rows: pd.DataFrame) -> Figure:
    """A cell whose nodes have areas in proportion to their variance, at the first and the last repeat of a stage.

    Args:
        rows: `CellRows.nodes`.
    """
    figure, axes = new_figure(2, 1, height=8.6)
    largest = rows[["input", "first", "second", "output"]].to_numpy().max()
    for panel, repeat in zip(axes[:, 0], (rows["repeat"].min(), rows["repeat"].max()), strict=True):
        row = rows.set_index("repeat").loc[repeat]
        variances = [float(row[name]) for name in ("input", "first", "second", "output")]
        _cell(panel, Cell.from_string(str(row["arch"])), variances, largest)
        panel.set_title(f"repeat {repeat + 1} of the cell")
    return figure


def _cell(axes: Axes, cell: Cell, variances: list[float], largest: float) -> None:
    for op, (source, target) in zip(cell.ops, EDGES, strict=True):
        if op == "none":
            continue
        start, end = np.array(PLACES[source]), np.array(PLACES[target])
        bend = 0.0 if abs(source - target) == 1 else 0.15
        colour = COLOURS["black"] if op.startswith("nor") else PALETTE[1]
        arrow = FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", arrowstyle="-|>", mutation_scale=16, color=colour, linewidth=1.6, zorder=1)
        axes.add_patch(arrow)
        middle = (start + end) / 2 + bend * np.array([end[1] - start[1], start[0] - end[0]]) * 0.5
        axes.text(*middle, EDGE_NAMES[op], ha="center", va="center", bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0}, zorder=2)
    for place, variance in zip(PLACES, variances, strict=True):
        axes.add_patch(Circle(place, 0.62 * np.sqrt(variance / largest) + 0.02, facecolor=PALETTE[0], edgecolor="white", alpha=0.85, zorder=3))
        axes.text(place[0], place[1] - 0.78, f"{variance:.3g}", ha="center", va="center", zorder=4)
    axes.set_xlim(-0.8, 3.8)
    axes.set_ylim(-2.1, 1.9)
    axes.set_aspect("equal")
    axes.axis("off")


@styled
def strata(correlations: pd.DataFrame, dataset: str = "cifar10", half: str = "report") -> Figure:
    """Kendall's tau with its interval, one row a population, one mark a score.

    Args:
        correlations: `CellRows.correlations`.
        dataset: whose accuracies.
        half: half of the isomorphism classes.
    """
    figure, ((axes,),) = new_figure(height=10.5)
    rows = correlations[(correlations["dataset"] == dataset) & (correlations["half"] == half)]
    names = list(POPULATIONS)
    for index, (score, text) in enumerate(SHOWN.items()):
        members = rows[(rows["score"] == score) & rows["population"].isin(names)].dropna(subset="kendall")
        y = [len(names) - 1 - names.index(name) + 0.12 * ((len(SHOWN) - 1) / 2 - index) for name in members["population"]]
        colour, marker = PALETTE[index % len(PALETTE)], MARKERS[index % len(MARKERS)]
        axes.hlines(y, members["kendall_low"], members["kendall_high"], color=colour, linewidth=3, alpha=0.55)
        axes.scatter(members["kendall"], y, s=45, marker=marker, color=colour, edgecolor="white", zorder=3, label=text)
    axes.axvline(0, color=COLOURS["black"], linewidth=1.2)
    axes.set_yticks(range(len(names)), list(reversed(POPULATIONS.values())))
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("Kendall's tau with test accuracy")
    handles, texts = axes.get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2)
    return figure


AGREEMENT_PANELS = {
    "scale": "sum of log sqrt q (nats)",
    "gain": "sum of log(sigma / sqrt q) (nats)",
    "inputs": "half sum of log PR (nats)",
    "delta": "log Delta (nats)",
    "channels_2": "PR of channels, stage 3",
    "growth_2": "1 - correlation, stage 3",
}


@styled
def agreement(rows: pd.DataFrame) -> Figure:
    """Theory against Monte Carlo, one panel a quantity, one mark a cell.

    Args:
        rows: `CellRows.agreement`.
    """
    figure, axes = new_figure(3, 2, height=10.5)
    for index, (panel, (name, text)) in enumerate(zip(axes.flat, AGREEMENT_PANELS.items(), strict=True)):
        theory, found = rows[f"{name}_theory"], rows[f"{name}_measured"]
        panel.scatter(found, theory, s=22, color=PALETTE[0], alpha=0.6, edgecolor="white")
        ends = [min(theory.min(), found.min()), max(theory.max(), found.max())]
        panel.plot(ends, ends, color=COLOURS["black"], linewidth=1.2)
        panel.set_title(text)
        if index >= 4:
            panel.set_xlabel("Monte Carlo")
        if index % 2 == 0:
            panel.set_ylabel("arithmetic")
    return figure


@styled
def search(rows: pd.DataFrame, dataset: str = "cifar10", strategy: str = "evolution") -> Figure:
    """Mean regret against the number of cells scored, with the standard error over seeds.

    Args:
        rows: `CellRows.search`.
        dataset: whose accuracies.
        strategy: how cells are chosen.
    """
    figure, ((axes,),) = new_figure(height=6.0)
    members = rows[(rows["dataset"] == dataset) & (rows["strategy"] == strategy)]
    for index, (score, text) in enumerate(SEARCHED.items()):
        found = members[members["score"] == score].groupby("evaluations")["regret"].agg(["mean", "sem"])
        if len(found):
            axes.fill_between(found.index, found["mean"] - found["sem"], found["mean"] + found["sem"], color=PALETTE[index], alpha=0.2, linewidth=0)
            axes.plot(found.index, found["mean"], marker=MARKERS[index], color=PALETTE[index], label=text)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("cells scored")
    axes.set_ylabel("regret (% accuracy)")
    handles, texts = axes.get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2)
    return figure
