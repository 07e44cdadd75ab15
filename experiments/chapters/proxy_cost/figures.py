"""Figures of the chapter on what one score costs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, MARKERS, PALETTE, new_figure, styled

NAMES = {"resnet18": "ResNet-18", "resnet50": "ResNet-50"}


@styled
def times(costs: pd.DataFrame, beside: pd.DataFrame) -> Figure:
    """The time of every score as a ratio to Zen, with those of the paper.

    Args:
        costs: `CostRows.costs`.
        beside: `studies.proxy_cost.beside_the_paper`.
    """
    rows = costs[costs["score"] != "zen"]
    order = rows.groupby("score")["ratio"].max().sort_values(kind="stable").index.tolist()
    figure, ((axes,),) = new_figure(height=2.2 + 0.34 * max(4, len(order)))
    for index, (network, members) in enumerate(rows.groupby("network", sort=False)):
        y = np.array([order.index(score) for score in members["score"]]) + 0.16 * (1 - 2 * index)
        axes.hlines(
            y, members["ratio_low"], members["ratio_high"], color=PALETTE[index], linewidth=3, alpha=0.55
        )
        axes.scatter(
            members["ratio"],
            y,
            s=45,
            marker=MARKERS[index],
            color=PALETTE[index],
            edgecolor="white",
            zorder=3,
            label=NAMES.get(network, network),
        )
        paper = beside[beside["network"] == network]
        where = [order.index(score) + 0.16 * (1 - 2 * index) for score in paper["score"]]
        text = f"{NAMES.get(network, network)}, paper"
        axes.scatter(
            paper["paper"],
            where,
            s=90,
            marker=MARKERS[index],
            facecolor="none",
            edgecolor=COLOURS["black"],
            linewidth=1.6,
            zorder=4,
            label=text,
        )
    axes.axvline(1, color=COLOURS["black"], linewidth=1.2)
    axes.set_xscale("log")
    axes.set_yticks(range(len(order)), order)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("time, as a multiple of Zen's")
    handles, texts = axes.get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2)
    return figure


@styled
def memory(costs: pd.DataFrame) -> Figure:
    """The memory of every score that reads images, in MiB.

    Args:
        costs: `CostRows.costs`.
    """
    rows = costs[costs["needs"] != "counting"]
    order = rows.groupby("score")["mebibytes"].max().sort_values(kind="stable").index.tolist()
    figure, ((axes,),) = new_figure(height=2.0 + 0.36 * max(4, len(order)))
    for index, (network, members) in enumerate(rows.groupby("network", sort=False)):
        y = np.array([order.index(score) for score in members["score"]]) + 0.18 * (1 - 2 * index)
        axes.barh(
            y,
            members["mebibytes"] / 1024,
            height=0.34,
            color=PALETTE[index],
            label=NAMES.get(network, network),
        )
    axes.set_yticks(range(len(order)), order)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("memory of one score (GiB)")
    handles, texts = axes.get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2)
    return figure
