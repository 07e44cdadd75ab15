"""Figures of the chapter on search."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from experiments.figures.labels import label
from experiments.figures.marks import band, dots, legend
from experiments.figures.style import COLOURS, MARKERS, PALETTE, new_figure, note, styled

BUDGETS = {
    "0.5M": "0.5M parameters",
    "1M": "1M parameters",
    "2M": "2M parameters",
    "400M": "400M FLOPs",
    "600M": "600M FLOPs",
    "900M": "900M FLOPs",
}
"""What the budgets limit; the others are milliseconds."""


@styled
def generators(curves: pd.DataFrame) -> Figure:
    """Best score so far of several generators, with intervals over seeds."""
    figure, ((axes,),) = new_figure(height=5.2)
    for index, (name, line) in enumerate(curves.groupby("generator", sort=False)):
        _band(axes, line, index, name)
    axes.set_xlabel(label("evaluations"))
    axes.set_ylabel(label("closed_form"))
    _count_axis(axes, curves["evaluations"].max())
    _start_at_reasonable(axes, curves)
    legend(figure)
    return figure


@styled
def main_convergence(curves: pd.DataFrame, published: float) -> Figure:
    """Best score so far of the long searches, against the published network."""
    figure, ((axes,),) = new_figure(height=4.6)
    _band(axes, curves, 0, "best so far")
    axes.axhline(published, color=COLOURS["vermilion"], linestyle="--", label="published net")
    axes.set_xlabel(label("evaluations"))
    axes.set_ylabel(label("closed_form"))
    _count_axis(axes, curves["evaluations"].max())
    _start_at_reasonable(axes, curves)
    axes.legend(loc="lower right")
    note(axes, f"{int(curves['count'].max())} seeds, 95 % interval", at=(0.97, 0.5))
    return figure


@styled
def against_published(summary: pd.DataFrame) -> Figure:
    """Monte-Carlo score of what was found minus the published network's, per budget and first network."""
    tasks = list(dict.fromkeys(summary["task"]))
    figure, ((axes,),) = new_figure(height=0.55 * len(tasks) + 2.2)
    for index, (start, rows) in enumerate(summary.groupby("start", sort=False)):
        places = np.array([len(tasks) - 1 - tasks.index(task) for task in rows["task"]]) + 0.15 - 0.3 * index
        name = f"first network: {start}"
        style = {"fmt": MARKERS[index], "color": PALETTE[index], "markersize": 8, "capsize": 4}
        axes.errorbar(rows["gain"], places, xerr=rows["half_width"], label=name, **style)
    axes.axvline(0, color=COLOURS["black"], linewidth=1.5)
    axes.set_yticks(range(len(tasks)), [BUDGETS.get(task, task.replace("ms", " ms")) for task in tasks[::-1]])
    axes.set_ylim(-0.6, len(tasks) - 0.4)
    axes.set_xlabel("Zen-Score minus published net's (nats)")
    legend(figure)
    return figure


@styled
def populations(members: pd.DataFrame) -> Figure:
    """One population at several moments: score of its members against parameters and against layers."""
    figure, axes = new_figure(1, 2, height=4.8, sharey=True)
    for index, (step, then) in enumerate(members.groupby("step", sort=False)):
        for panel, column in zip(axes[0], ("params", "depth"), strict=True):
            dots(panel, then[column], then["score"], index, f"after {step:,}", s=30, linewidth=0, alpha=0.6)
            panel.set_ylabel(label("closed_form"))
    axes[0, 0].xaxis.set_major_formatter(EngFormatter(sep=""))
    axes[0, 0].set_xlabel(label("params"))
    axes[0, 1].set_xlabel("layers")
    legend(figure, [axes[0, 0]])
    return figure


@styled
def last_stage(alike: pd.DataFrame) -> Figure:
    """Share of the layers on the smallest map, one point a seed."""
    settings = list(dict.fromkeys(alike["setting"]))
    figure, ((axes,),) = new_figure(height=0.6 * len(settings) + 1.8)
    for place, setting in enumerate(settings[::-1]):
        shares = 100 * alike.loc[alike["setting"] == setting, "last_stage"].to_numpy()
        offsets = np.linspace(-0.15, 0.15, len(shares)) if len(shares) > 1 else np.zeros(1)
        index = settings.index(setting)
        style = {"color": PALETTE[index % len(PALETTE)], "marker": MARKERS[index % len(MARKERS)], "s": 60}
        axes.scatter(shares, place + offsets, **style)
    axes.set_yticks(range(len(settings)), settings[::-1])
    axes.set_ylim(-0.6, len(settings) - 0.4)
    axes.set_xlim(0, 100)
    axes.set_xlabel("layers on the smallest map (% of inner layers)")
    return figure


@styled
def latency(points: pd.DataFrame) -> Figure:
    """Predicted against measured latency of random networks, one panel a space."""
    spaces = list(dict.fromkeys(points["space"]))
    figure, axes = new_figure(1, len(spaces), height=4.4)
    for index, (panel, space) in enumerate(zip(axes[0], spaces, strict=True)):
        rows = points[points["space"] == space]
        panel.scatter(rows["measured"], rows["predicted"], color=PALETTE[index], marker=MARKERS[index], s=30)
        low, high = rows[["measured", "predicted"]].min().min(), rows[["measured", "predicted"]].max().max()
        panel.plot([low, high], [low, high], color=COLOURS["grey"], linestyle=":")
        panel.set_title(space)
        panel.set_xlabel("measured (ms per image)")
        panel.set_ylabel("predicted (ms per image)")
    return figure


def _band(axes: Axes, line: pd.DataFrame, index: int, name: str) -> None:
    """A mean curve with its interval."""
    low, high = line["mean"] - line["half_width"], line["mean"] + line["half_width"]
    band(axes, line.assign(mean_low=low, mean_high=high), "evaluations", "mean", index, name, marker="")


def _count_axis(axes: Axes, largest: float) -> None:
    axes.set_xscale("log")
    axes.set_xlim(max(1.0, largest / 1000), largest)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _start_at_reasonable(axes: Axes, curves: pd.DataFrame) -> None:
    """Limits of the scores that belong to the counts in view."""
    seen = curves[curves["evaluations"] >= curves["evaluations"].max() / 1000]
    axes.set_ylim(seen["mean"].min() - 5, seen["mean"].max() + 10)
