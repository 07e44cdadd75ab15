"""Figures of the chapter on what one score costs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.figures.marks import bars, dots, hollow, legend
from experiments.figures.style import COLOURS, PALETTE, new_figure, styled

NAMES = {"resnet18": "ResNet-18", "resnet50": "ResNet-50"}


@styled
def times(costs: pd.DataFrame, beside: pd.DataFrame) -> Figure:
    """The time of every score as a ratio to Zen, with those of the paper."""
    rows = costs[costs["score"] != "zen"]
    order = rows.groupby("score")["ratio"].max().sort_values(kind="stable").index.tolist()
    figure, ((axes,),) = new_figure(height=2.2 + 0.34 * max(4, len(order)))
    for index, (network, members) in enumerate(rows.groupby("network", sort=False)):
        y = np.array([order.index(score) for score in members["score"]]) + 0.16 * (1 - 2 * index)
        name = NAMES.get(network, network)
        bars(axes, y, members["ratio_low"], members["ratio_high"], index)
        dots(axes, members["ratio"], y, index, name, linewidth=0.8)
        paper = beside[beside["network"] == network]
        where = [order.index(score) + 0.16 * (1 - 2 * index) for score in paper["score"]]
        style = {"s": 90, "linewidth": 1.6, "zorder": 4}
        hollow(axes, paper["paper"], where, index, COLOURS["black"], f"{name}, paper", **style)
    axes.axvline(1, color=COLOURS["black"], linewidth=1.2)
    axes.set_xscale("log")
    axes.set_yticks(range(len(order)), order)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("time, as a multiple of Zen's")
    legend(figure, [axes])
    return figure


@styled
def memory(costs: pd.DataFrame) -> Figure:
    """The memory of every score that reads images, those of one resolution."""
    rows = costs[(costs["needs"] != "counting") & (costs["resolution"] == costs["resolution"].max())]
    order = rows.groupby("score")["mebibytes"].max().sort_values(kind="stable").index.tolist()
    figure, ((axes,),) = new_figure(height=2.0 + 0.36 * max(4, len(order)))
    for index, (network, members) in enumerate(rows.groupby("network", sort=False)):
        y = np.array([order.index(score) for score in members["score"]]) + 0.18 * (1 - 2 * index)
        text = NAMES.get(network, network)
        axes.barh(y, members["mebibytes"] / 1024, height=0.34, color=PALETTE[index], label=text)
    axes.set_yticks(range(len(order)), order)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("memory of one score (GiB)")
    legend(figure, [axes])
    return figure
