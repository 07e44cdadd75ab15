"""Figures of the chapter on what a zero-shot score is worth."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.labels import name_of
from experiments.figures.marks import band, bars, dots, legend, levels
from experiments.figures.style import COLOURS, new_figure, styled

LEARNED = {
    ("ridge", "paths"): "ridge, paths",
    ("gradient boosting", "paths"): "gradient boosting, paths",
    ("gaussian process", "operations"): "Gaussian process, operations",
    ("gradient boosting", "operations+counts+zen"): "gradient boosting, operations and scores",
}
"""Predictors of the figures, in the order of their colours."""
LEVELS = {"zen_l1_running": "bottom", "log_delta_l1": "top", "params": "top", "live_convs": "bottom"}
"""Scores drawn as levels across the learning curves, and the end of their name that touches the level."""


@styled
def learning(curves: pd.DataFrame) -> Figure:
    """Kendall's tau on held-out cells, CIFAR-10, against the number of trained cells; scores are levels."""
    figure, ((axes,),) = new_figure(height=7.4)
    rows = curves[(curves["dataset"] == "cifar10") & (curves["labels"] == "test")]
    rows = rows.sort_values("n", kind="stable")
    for index, ((predictor, features), text) in enumerate(LEARNED.items()):
        line = rows[(rows["predictor"] == predictor) & (rows["features"] == features)]
        if len(line):
            band(axes, line, "n", "kendall", index, text, 0.18)
    for score, touching in LEVELS.items():
        line = rows[(rows["predictor"] == "none") & (rows["features"] == score)]
        if not line.empty:
            axes.plot(line["n"], line["kendall"], color=COLOURS["black"], linewidth=1.4, linestyle="--")
            end, away = line.iloc[-1], 4 if touching == "bottom" else -4
            style = {"textcoords": "offset points", "ha": "right", "va": touching}
            axes.annotate(name_of(score), (end["n"], end["kendall"]), xytext=(0, away), **style)
    axes.set_xscale("log", base=2)
    _plain_ticks(axes, rows["n"])
    axes.set_xlabel("trained cells")
    axes.set_ylabel("Kendall's tau on held-out cells")
    legend(figure, [axes])
    return figure


@styled
def pays(rows: pd.DataFrame) -> Figure:
    """For each score the trained cells from which on predictors are better, with intervals."""
    rows = rows[~rows["score"].str.contains("frobenius")]  # its order of cells is that of the L1 norm
    shown = list(LEARNED.items())[:3]
    rows = rows.loc[[(row.predictor, row.features) in dict(shown) for row in rows.itertuples()]]
    order = (
        rows.drop_duplicates("score").sort_values(["score_value", "score"], kind="stable")["score"].tolist()
    )
    figure, ((axes,),) = new_figure(height=1.9 + 0.52 * max(3, len(order)))
    for index, ((predictor, features), text) in enumerate(shown):
        line = rows[(rows["predictor"] == predictor) & (rows["features"] == features)]
        line = line.set_index("score").reindex(order)[["n", "low", "high"]].replace(np.inf, 2.0**12)
        y = np.arange(len(order)) + 0.2 * (1 - index)
        bars(axes, y, line["low"], line["high"], index, 4)
        dots(axes, line["n"], y, index, text, linewidth=0.8)
    levels(axes, [name_of(score) for score in reversed(order)])
    axes.set_xscale("log", base=2)
    _plain_ticks(axes, rows[["n", "high"]].replace(np.inf, np.nan).stack())
    axes.set_xlabel("trained cells that a predictor needs")
    legend(figure, [axes])
    return figure


SEARCHES = {
    ("random", "none", "none"): "cells at random",
    ("score", "none", "zen_l1_running"): "highest Zen, released",
    ("score", "none", "log_delta_l1"): "highest log Delta",
    ("score", "none", "params"): "most parameters",
    ("score", "none", "live_convs"): "most live convolutions",
    ("predictor", "ridge", "paths"): "half random, half predicted",
}
"""Strategies of the figure, in the order of their colours."""
SHADED = ("cells at random", "highest Zen, released", "most parameters")
"""Those whose spread is drawn; more would lie on each other."""


@styled
def regret(picks: pd.DataFrame) -> Figure:
    """What is lost against the best candidate, by the number of cells that a search trains."""
    figure, ((axes,),) = new_figure(height=7.0)
    for index, (how, text) in enumerate(SEARCHES.items()):
        line = picks[(picks[["strategy", "predictor", "features"]] == list(how)).all(axis=1)]
        if len(line):
            line = line.sort_values("n", kind="stable")
            band(axes, line, "n", "regret", index, text, 0.15 if text in SHADED else 0.0)
    axes.set_xscale("log", base=2)
    axes.set_yscale("symlog", linthresh=0.1)
    axes.set_yticks([0, 0.1, 0.3, 1, 3, 10], ["0", "0.1", "0.3", "1", "3", "10"])
    axes.set_ylim(bottom=0)
    _plain_ticks(axes, picks["n"])
    axes.set_xlabel("trained cells")
    axes.set_ylabel("accuracy lost (points)")
    legend(figure, [axes])
    return figure


def _plain_ticks(axes: Axes, n: pd.Series) -> None:
    """Powers of four, written out."""
    n = n.dropna()
    last = int(n.max()) if len(n) else 64
    first = int(n.min()) if len(n) else 1
    ticks = [4**power for power in range(8) if first <= 4**power <= 1.2 * last]
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
