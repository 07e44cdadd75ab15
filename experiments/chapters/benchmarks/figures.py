"""Figures of the chapter on every proxy and every benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.figures.forest import forest
from experiments.figures.marks import dots, legend, levels
from experiments.figures.style import COLOURS, new_figure, styled
from zenlib.proxies.counts import SUMS

Place = tuple[str, str]
LIKE_VANILLA = {
    ("nats_sizes", "cifar10"): "NATS sizes",
    ("pycls", "imagenet"): "pycls",
    ("torchvision", "imagenet"): "torchvision",
}
LIKE_CELLS = {("nasbench201", "cifar10"): "NAS-Bench-201", ("nasbench101", "cifar10"): "NAS-Bench-101"}
"""Panels of `overview`: places whose networks are near to vanilla ones, and cells."""
COSTS = {"params": "parameters", "flops": "FLOPs", "layers": "weight layers"}
FREE = (*COSTS, *SUMS, "random")
"""What costs nothing."""
dense = partial(forest, step=0.22, size=28, width=2.5)
"""`forest` for some twenty rows."""
STRATA = {
    "all": "all cells",
    "valid": "with a path",
    "one per class": "one per class",
    "top 10 %": "best 10 %",
}


@styled
def overview(rows: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Kendall's tau with its interval, one row a proxy: near-vanilla networks at the left, cells right.

    Args:
        rows: one line per benchmark, data set and proxy.
        names: proxy -> its text, in the order of the figure.
    """
    figure, axes = new_figure(1, 2, height=12.5, sharey=True, sharex=True)
    for index, (panel, places) in enumerate(zip(axes[0], (LIKE_VANILLA, LIKE_CELLS), strict=True)):
        series = {text: _by_proxy(_at(rows, place)) for place, text in places.items()}
        dense(panel, series, names, styles=range(3 * index, 3 * index + len(series)))
        panel.set_xlabel("Kendall's tau")
        panel.set_title("near vanilla" if index == 0 else "cells")
        panel.axhline(sum(name not in FREE for name in names) - 0.5, color=COLOURS["grey"], linewidth=1.2)
    legend(figure, list(axes[0]), 3)
    return figure


@styled
def partials(rows: pd.DataFrame, names: Mapping[str, str], places: Mapping[Place, str]) -> Figure:
    """Spearman's rho of a proxy once one cost is known, one panel a benchmark.

    Args:
        rows: `BenchmarkRows.partials`.
        names: proxy -> its text, in the order of the figure.
        places: two benchmarks with their titles.
    """
    return _by_cost(rows.assign(cost=rows["given"]), names, places, "given", "spearman", "partial rho")


@styled
def equal_cost(rows: pd.DataFrame, names: Mapping[str, str], places: Mapping[Place, str]) -> Figure:
    """Kendall's tau over pairs of networks of nearly equal cost, one panel a benchmark.

    Args:
        rows: `BenchmarkRows.equal_cost`.
        names: proxy -> its text, in the order of the figure.
        places: two benchmarks with their titles.
    """
    return _by_cost(rows, names, places, "equal", "kendall", "Kendall's tau")


def _by_cost(
    rows: pd.DataFrame,
    names: Mapping[str, str],
    places: Mapping[Place, str],
    word: str,
    column: str,
    text: str,
) -> Figure:
    """One row a proxy, one mark a cost, one panel a benchmark."""
    figure, axes = new_figure(1, 2, height=9.5, sharey=True, sharex=True)
    for panel, (place, title) in zip(axes[0], places.items(), strict=True):
        members = _at(rows, place)
        series = {
            f"{word} {name}": _by_proxy(members[members["cost"] == cost]) for cost, name in COSTS.items()
        }
        dense(panel, series, names, column)
        panel.set_title(title)
        panel.set_xlabel(text)
    legend(figure, list(axes[0][:1]))
    return figure


@styled
def strata(rows: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Kendall's tau with CIFAR-10 accuracy on NAS-Bench-201 by population.

    Args:
        rows: `BenchmarkRows.correlations`.
        names: proxy -> its text, in the order of the figure.
    """
    figure, ((axes,),) = new_figure(height=11.0)
    members = _at(rows, ("nasbench201", "cifar10"))
    dense(
        axes,
        {text: _by_proxy(members[members["population"] == name]) for name, text in STRATA.items()},
        names,
    )
    axes.set_xlabel("Kendall's tau with test accuracy")
    legend(figure, [axes])
    return figure


@styled
def redrawn(ranges: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """How far Kendall's tau moves between draws of a proxy, one row a proxy, one mark a benchmark.

    Args:
        ranges: `seed_ranges` of the study.
        names: proxy -> its text, in the order of the figure.
    """
    shown = {name: text for name, text in names.items() if name in set(ranges["proxy"])}
    figure, ((axes,),) = new_figure(height=2.5 + 0.45 * len(shown))
    for index, (place, text) in enumerate((LIKE_VANILLA | LIKE_CELLS).items()):
        found = _at(ranges, place).groupby("proxy")["range"].max().reindex(list(shown))
        y = np.arange(len(shown))[::-1] + 0.15 * (2 - index)
        dots(axes, found, y, index, text, s=34, linewidth=0.6)
    levels(axes, list(shown.values()))
    axes.set_ylim(-0.7, max(len(shown), 1) - 0.3)
    axes.set_xlim(left=-0.01)
    axes.set_xlabel("largest change of tau between draws")
    legend(figure, [axes])
    return figure


@styled
def switched(rows: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Spearman's rho with stored scores, one choice switched a row; behind it the largest that chance allows.

    Args:
        rows: `tables.switched`.
        names: proxy -> its text, a panel each.
    """
    figure, axes = new_figure(1, len(names), height=6.2)
    for panel, (proxy, text) in zip(axes[0], names.items(), strict=True):
        shown = rows[rows["proxy"] == proxy].set_index("switch")
        for limit in shown.head(1).itertuples():
            ends = limit.ceiling_suite_low, limit.ceiling_suite_high
            panel.axvspan(*ends, color=COLOURS["grey"], alpha=0.3, linewidth=0, zorder=0)
            panel.axvline(limit.ceiling_suite, color=COLOURS["black"], linewidth=1.2)
        forest(panel, {"_": shown}, {name: name for name in shown.index}, "spearman", zero=False)
        panel.set_title(text)
        panel.set_xlabel("Spearman's rho with the stored scores")
    return figure


def _at(rows: pd.DataFrame, place: Place) -> pd.DataFrame:
    return rows[(rows["benchmark"] == place[0]) & (rows["dataset"] == place[1])]


def _by_proxy(members: pd.DataFrame) -> pd.DataFrame:
    return members.drop_duplicates("proxy").set_index("proxy")
