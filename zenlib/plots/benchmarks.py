"""Figures of the chapter on every proxy and every benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zenlib.plots.style import COLOURS, MARKERS, PALETTE, new_figure, styled

Place = tuple[str, str]
LIKE_VANILLA = {("nats_sizes", "cifar10"): "NATS sizes", ("pycls", "imagenet"): "pycls", ("torchvision", "imagenet"): "torchvision"}
LIKE_CELLS = {("nasbench201", "cifar10"): "NAS-Bench-201", ("nasbench101", "cifar10"): "NAS-Bench-101"}
"""Panels of `overview`: places whose networks are near to vanilla ones, and cells."""
COSTS = {"params": "parameters", "flops": "FLOPs", "layers": "convolutions"}
STRATA = {"all": "all cells", "valid": "with a path", "one per class": "one per class", "top 10 %": "best 10 %"}


@styled
def overview(rows: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Kendall's tau with its interval, one row a proxy, networks near to vanilla ones at the left and cells at the right.

    Args:
        rows: one line per benchmark, data set and proxy.
        names: proxy -> its text, in the order of the figure.
    """
    figure, axes = new_figure(1, 2, height=12.5, sharey=True, sharex=True)
    for index, (panel, places) in enumerate(zip(axes[0], (LIKE_VANILLA, LIKE_CELLS), strict=True)):
        series = {text: _at(rows, place) for place, text in places.items()}
        _forest(panel, series, names, first=3 * index)
        panel.set_xlabel("Kendall's tau")
        panel.set_title("near vanilla" if index == 0 else "cells")
        panel.axhline(len(names) - len(COSTS) - 1.5, color=COLOURS["grey"], linewidth=1.2)
    _legend(figure, [panel for panel in axes[0]], 3)
    return figure


@styled
def partials(rows: pd.DataFrame, names: Mapping[str, str], places: Mapping[Place, str]) -> Figure:
    """Spearman's rho of a proxy once one cost is known, one panel a benchmark.

    Args:
        rows: `BenchmarkRows.partials`.
        names: proxy -> its text, in the order of the figure.
        places: two benchmarks with their titles.
    """
    figure, axes = new_figure(1, 2, height=9.5, sharey=True, sharex=True)
    for panel, (place, title) in zip(axes[0], places.items(), strict=True):
        members = _at(rows, place)
        series = {f"given {text}": members[members["given"] == cost] for cost, text in COSTS.items()}
        _forest(panel, series, names, coefficient="spearman")
        panel.set_title(title)
        panel.set_xlabel("partial rho")
    _legend(figure, list(axes[0][:1]), 2)
    return figure


@styled
def equal_cost(rows: pd.DataFrame, names: Mapping[str, str], places: Mapping[Place, str]) -> Figure:
    """Kendall's tau over pairs of networks of nearly equal cost, one panel a benchmark.

    Args:
        rows: `BenchmarkRows.equal_cost`.
        names: proxy -> its text, in the order of the figure.
        places: two benchmarks with their titles.
    """
    figure, axes = new_figure(1, 2, height=9.5, sharey=True, sharex=True)
    for panel, (place, title) in zip(axes[0], places.items(), strict=True):
        members = _at(rows, place)
        series = {f"equal {text}": members[members["cost"] == cost] for cost, text in COSTS.items()}
        _forest(panel, series, names)
        panel.set_title(title)
        panel.set_xlabel("Kendall's tau")
    _legend(figure, list(axes[0][:1]), 2)
    return figure


@styled
def strata(rows: pd.DataFrame, names: Mapping[str, str], dataset: str = "cifar10") -> Figure:
    """Kendall's tau on NAS-Bench-201 by population.

    Args:
        rows: `BenchmarkRows.correlations`.
        names: proxy -> its text, in the order of the figure.
        dataset: whose accuracies.
    """
    figure, ((axes,),) = new_figure(height=11.0)
    members = _at(rows, ("nasbench201", dataset))
    _forest(axes, {text: members[members["population"] == name] for name, text in STRATA.items()}, names)
    axes.set_xlabel("Kendall's tau with test accuracy")
    _legend(figure, [axes], 2)
    return figure


@styled
def redrawn(ranges: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """How far Kendall's tau moves between draws of a proxy on the same networks, one row a proxy, one mark a benchmark.

    Args:
        ranges: `seed_ranges` of the study.
        names: proxy -> its text, in the order of the figure.
    """
    shown = {name: text for name, text in names.items() if name in set(ranges["proxy"])}
    figure, ((axes,),) = new_figure(height=2.5 + 0.36 * len(shown))
    for index, (place, text) in enumerate((LIKE_VANILLA | LIKE_CELLS).items()):
        found = _at(ranges, place).groupby("proxy")["range"].max().reindex(list(shown))
        y = np.arange(len(shown))[::-1]
        axes.scatter(found, y, s=34, marker=MARKERS[index], color=PALETTE[index], edgecolor="white", linewidth=0.6, zorder=3, label=text)
    axes.set_yticks(range(len(shown)), list(shown.values())[::-1])
    axes.set_ylim(-0.7, max(len(shown), 1) - 0.3)
    axes.set_xlim(left=0)
    axes.set_xlabel("largest difference of Kendall's tau between draws")
    _legend(figure, [axes], 2)
    return figure


def _at(rows: pd.DataFrame, place: Place) -> pd.DataFrame:
    return rows[(rows["benchmark"] == place[0]) & (rows["dataset"] == place[1])]


def _forest(axes: Axes, series: Mapping[str, pd.DataFrame], names: Mapping[str, str], coefficient: str = "kendall", first: int = 0) -> None:
    """One row a proxy, one mark a series, with intervals."""
    for index, (text, members) in enumerate(series.items()):
        table = members.drop_duplicates("proxy").set_index("proxy").reindex(list(names))
        y = np.arange(len(names))[::-1] + 0.7 / len(series) * ((len(series) - 1) / 2 - index)
        colour = PALETTE[first + index]
        axes.hlines(y, table[f"{coefficient}_low"], table[f"{coefficient}_high"], color=colour, linewidth=2.5, alpha=0.55)
        axes.scatter(table[coefficient], y, s=28, marker=MARKERS[first + index], color=colour, edgecolor="white", linewidth=0.6, zorder=3, label=text)
    axes.axvline(0, color=COLOURS["black"], linewidth=1.2)
    axes.set_yticks(range(len(names)), list(names.values())[::-1])
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.grid(axis="y", visible=False)


def _legend(figure: Figure, panels: Sequence[Axes], columns: int) -> None:
    marks = [mark for panel in panels for mark in zip(*panel.get_legend_handles_labels(), strict=True)]
    figure.legend([handle for handle, _ in marks], [text for _, text in marks], loc="outside lower center", ncols=columns)
