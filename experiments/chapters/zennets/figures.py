"""Figures of the chapter on the ZenNets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments.figures.forest import forest
from experiments.figures.labels import label
from experiments.figures.marks import dots, hollow, legend, tell
from experiments.figures.style import COLOURS, MARKERS, PALETTE, new_figure, styled

LOWEST = 66.0
"""Percent below which the figures of accuracy show no network: one or two would take half of the height."""

LINES = ("EfficientNets", "ResNets", "RegNets", "ZenNets", "Mobile nets", "ConvNeXts", "others")
"""Lines of families in the order of their colours and markers."""


@styled
def accuracy_cost(
    rows: pd.DataFrame, panels: Mapping[str, str], fronts: Mapping[str, pd.DataFrame]
) -> Figure:
    """Accuracy against some costs, one panel each, the Pareto front as a line; V2 weights are hollow."""
    height = -(-len(panels) // 2)
    figure, axes = new_figure(height, 2, height=3.5 * height + 1.2, sharey=True)
    for panel, (column, title) in zip(axes.flat, panels.items(), strict=False):
        _scatter(panel, rows[rows["top1"] > LOWEST], column)
        line = fronts[column].query("top1 > @LOWEST")
        panel.step(line[column], line["top1"], where="post", color=COLOURS["grey"], linewidth=1.4, zorder=1)
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:g}" if value < 1e6 else f"{value / 1e9:g}G")
        )
        panel.set_title(title)
        panel.set_xlabel("multiply-adds" if column == "flops" else "ms per image")
    for panel in axes.flat[len(panels) :]:
        panel.set_visible(False)
    for panel in axes[:, 0]:
        panel.set_ylabel(label("top1"))
    legend(figure, [axes[0, 0]])
    return figure


def _scatter(axes: Axes, rows: pd.DataFrame, column: str) -> None:
    for index, line in enumerate(LINES):
        members = rows[rows["line"] == line]
        first, second = members[members["accuracy"] != "V2"], members[members["accuracy"] == "V2"]
        colour = COLOURS["grey"] if line == "others" else PALETTE[index]
        style: dict[str, Any] = {"s": 90 if line == "ZenNets" else 48}
        cost = "{:,.0f} FLOPs" if column == "flops" else "{:.4g} ms"
        told = {column: cost, "top1": "top-1 {:.1f} %"}
        marks = style | {"color": colour, "linewidth": 0.7, "urls": tell(first, "name", told)}
        dots(axes, first[column], first["top1"], index, line, **marks)
        marks = style | {"linewidth": 1.5, "zorder": 2, "urls": tell(second, "name", told)}
        hollow(axes, second[column], second["top1"], index, colour, **marks)


@styled
def speed_ups(gains: pd.DataFrame, names: Mapping[str, str]) -> Figure:
    """How many times as long as a ZenNet an EfficientNet as accurate takes, a field a device and network."""
    gated = gains["network"].str.endswith("SE")
    order = gains.assign(gated=gated).sort_values(["gated", "top1"])["name"].unique()
    table = gains.pivot(index="name", columns="column", values="factor").reindex(index=order, columns=names)
    figure, ((axes,),) = new_figure(height=6.2)
    shades = np.log(table.to_numpy())
    axes.imshow(shades, cmap="PuOr", vmin=-np.log(12), vmax=np.log(12), aspect="auto")
    for place, factor in np.ndenumerate(table):
        colour = "white" if factor > 4.3 else COLOURS["black"]
        text = "" if np.isnan(factor) else f"{factor:.1f}"
        axes.text(*place[::-1], text, ha="center", va="center", color=colour)
    axes.set_xticks(range(len(names)), names.values(), rotation=30, ha="right")
    axes.set_yticks(range(len(order)), order)
    axes.grid(visible=False)
    return figure


@styled
def ranks(agreement: pd.DataFrame, printed: Mapping[str, str], names: Mapping[str, str]) -> Figure:
    """Kendall's tau of each column of latencies, and of FLOPs, with each device of the paper."""
    both = pd.concat([agreement, agreement.rename(columns={"first": "second", "second": "first"})])
    figure, ((axes,),) = new_figure(height=0.85 * len(names) + 2.2)
    series = {
        f"with {name}": both[both["first"] == device].set_index("second") for device, name in printed.items()
    }
    forest(axes, series, names, step=0.22, size=60, width=4, zero=False)
    axes.set_xlabel("Kendall's tau of the latencies")
    legend(figure)
    return figure


@styled
def recipes(evidence: pd.DataFrame) -> Figure:
    """The same networks in Table 7 and trained again, one row a network."""
    figure, ((axes,),) = new_figure(height=0.48 * len(evidence) + 2.2)
    y = np.arange(len(evidence))[::-1]
    axes.hlines(y, evidence["published"], evidence["top1"], color=COLOURS["grey"], linewidth=2)
    told = tell(evidence, "name", {"published": "{:.1f} % in Table 7", "top1": "{:.1f} % trained again"})
    style = {"s": 80, "facecolor": "white", "urls": told}
    hollow(axes, evidence["published"], y, 0, COLOURS["black"], "Table 7", **style)
    named = {"paper": "the paper's recipe", "short": "150 epochs, no teacher"}
    colours = COLOURS["blue"], COLOURS["vermilion"]
    for (recipe, text), colour, marker in zip(named.items(), colours, MARKERS[1:], strict=False):
        here = (evidence["recipe"] == recipe).to_numpy()
        style = {"s": 70, "marker": marker, "color": colour, "zorder": 4, "urls": np.array(told)[here]}
        axes.scatter(evidence["top1"][here], y[here], **style, label=text)
    axes.set_yticks(y, evidence["name"])
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(label("top1"))
    legend(figure)
    return figure


@styled
def training(rows: pd.DataFrame, goal: float) -> Figure:
    """Test accuracy and losses of a training, by epoch."""
    figure, axes = new_figure(2, 1, height=8.0, sharex=True)
    accuracy, losses = axes[:, 0]
    accuracy.plot(rows["epoch"], rows["test_top1"], marker=MARKERS[0], color=PALETTE[0])
    accuracy.axhline(goal, color=COLOURS["vermilion"], linestyle="--", linewidth=1.5)
    accuracy.set_ylim(min(80.0, rows["test_top1"].max() - 2), rows["test_top1"].max() + 1)
    accuracy.set_ylabel("test top-1 (%)")
    losses.plot(rows["epoch"], rows["loss"], color=PALETTE[0], label="training, smoothed labels")
    losses.plot(rows["epoch"], rows["test_loss"], color=PALETTE[1], linestyle="--", label="test")
    losses.set_ylabel("loss (nats)")
    losses.set_xlabel("epoch")
    losses.legend(loc="upper right")
    return figure
