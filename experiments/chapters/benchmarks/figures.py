"""Figures of the chapter on every proxy and every benchmark."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.figures.fields import Colour, fields, mixed, short
from experiments.figures.forest import forest
from experiments.figures.marks import dots, legend, levels
from experiments.figures.style import COLOURS, new_figure, styled

Place = tuple[str, str]
LIKE_VANILLA = {
    ("nats_sizes", "cifar10"): "NATS sizes",
    ("pycls", "imagenet"): "pycls",
    ("torchvision", "imagenet"): "torchvision",
}
LIKE_CELLS = {("nasbench201", "cifar10"): "NAS-Bench-201", ("nasbench101", "cifar10"): "NAS-Bench-101"}
"""Places whose networks are near to vanilla ones, and cells."""
BEST = 5
"""So many of the highest numbers of a column are bold."""
COSTS = {"params": "parameters", "flops": "FLOPs", "layers": "weight layers"}
STRATA = {
    "all": "all cells",
    "valid": "with a path",
    "one per class": "one per class",
    "top 10 %": "best 10 %",
}


@styled
def overview(rows: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Kendall's tau, one row a proxy, one column a benchmark: near-vanilla networks first, then cells."""
    places = LIKE_VANILLA | LIKE_CELLS
    return _table({text: _at(rows, place) for place, text in places.items()}, names, "kendall")


@styled
def partials(rows: pd.DataFrame, names: Mapping[str, str], places: Mapping[Place, str]) -> Figure:
    """Spearman's rho of a proxy once one cost is known, one column a benchmark and cost."""
    return _by_cost(rows.assign(cost=rows["given"]), names, places, "spearman")


@styled
def equal_cost(rows: pd.DataFrame, names: Mapping[str, str], places: Mapping[Place, str]) -> Figure:
    """Kendall's tau over pairs of networks of nearly equal cost, one column a benchmark and cost."""
    return _by_cost(rows, names, places, "kendall")


def _by_cost(
    rows: pd.DataFrame, names: Mapping[str, str], places: Mapping[Place, str], column: str
) -> Figure:
    found = {
        f"{title}, {name}": _at(rows, place).query("cost == @cost")
        for place, title in places.items()
        for cost, name in COSTS.items()
    }
    return _table(found, names, column)


@styled
def strata(rows: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """Kendall's tau with CIFAR-10 accuracy on NAS-Bench-201 by population."""
    members = _at(rows, ("nasbench201", "cifar10"))
    found = {text: members[members["population"] == name] for name, text in STRATA.items()}
    return _table(found, names, "kendall")


def _table(series: Mapping[str, pd.DataFrame], names: Mapping[str, str], column: str) -> Figure:
    """A column a series, blue above zero and red below, the five highest of each in bold."""

    def field(line: pd.Series) -> tuple[Colour, str, bool]:
        value = line[column]
        colour = mixed(COLOURS["blue" if value > 0 else "vermilion"], min(1.0, abs(value)))
        return colour, short(value), line["rank"] <= BEST

    lines = [
        rows.drop_duplicates("proxy")
        .dropna(subset=[column])
        .assign(
            space=text, score=lambda own: own["proxy"], rank=lambda own: own[column].rank(ascending=False)
        )
        for text, rows in series.items()
    ]
    return fields(pd.concat(lines), {text: text for text in series}, dict(names), field, 0.29, 1.05)[0]


@styled
def redrawn(ranges: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """How far Kendall's tau moves between draws of a proxy, one row a proxy, one mark a benchmark."""
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
    """Spearman's rho with stored scores, one choice switched a row; behind it the most that chance allows."""
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
