"""Figures of the chapter on the cells of NAS-Bench-201."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.figures.forest import forest
from experiments.figures.marks import band, legend, levels, zero
from experiments.figures.style import COLOURS, PALETTE, new_figure, styled

NAMES = {
    "zen_l1_minibatch": "Zen, as built",
    "zen_l1_running": "Zen, released",
    "vanilla_l1_minibatch": "Zen, skips cut",
    "log_delta_l1": "log Delta alone",
    "live_convs": "live convolutions",
    "params": "parameters",
}
"""Predictors of the figures, in the order of their colours."""

POPULATIONS = {
    "all": "all cells",
    "valid": "with a path",
    "one per class": "one per\nisomorphism class",
    "one per function": "one per function",
    "no dead edges": "no dead edges",
    "no none": "no none edge",
    "no skip, no pool": "no skip,\nno pool",
    "vanilla path": "path without\nskips",
    "top 10 %": "best 10 %",
}
UNSHOWN = ("valid", "one per function", "vanilla path")
"""Populations that the figure leaves out, since each orders as its neighbour does."""
KINDS = {"convs": "convolutions", "none": "none edges", "skip": "skip edges", "pool": "pooling edges"}


@styled
def strata(correlations: pd.DataFrame, dataset: str = "cifar10") -> Figure:
    """Kendall's tau with its interval, one row a population, one mark a predictor."""
    figure, ((axes,),) = new_figure(height=8.2)
    rows = correlations[correlations["dataset"] == dataset]
    forest(
        axes,
        {text: rows[rows["score"] == score].set_index("population") for score, text in NAMES.items()},
        {name: text for name, text in POPULATIONS.items() if name not in UNSHOWN},
        size=70,
    )
    axes.set_xlabel("Kendall's tau with test accuracy")
    legend(figure, [axes])
    return figure


@styled
def by_edges(correlations: pd.DataFrame) -> Figure:
    """Kendall's tau on CIFAR-10 among cells with the same number of edges of one kind, one panel a kind."""
    figure, axes = new_figure(2, 2, height=8.0, sharey=True)
    rows = correlations[correlations["dataset"] == "cifar10"]
    shown = ("zen_l1_minibatch", "zen_l1_running", "params")
    for panel, (kind, title) in zip(axes.flat, KINDS.items(), strict=True):
        for index, score in enumerate(shown):
            members = rows[(rows["score"] == score) & rows["population"].str.startswith(f"{kind} = ")]
            numbers = members["population"].str.split().str[-1].astype(int)
            line = members.assign(number=numbers).sort_values("number", kind="stable")
            if len(line):
                band(panel, line, "number", "kendall", index, NAMES[score])
        zero(panel)
        panel.set_xlabel(f"number of {title}")
        panel.set_xticks(range(7))
    for panel in axes[:, 0]:
        panel.set_ylabel("Kendall's tau")
    legend(figure, [axes[0, 0]], 3)
    return figure


@styled
def structure(rows: pd.DataFrame) -> Figure:
    """Spearman's rho of each score with the number of edges of each kind."""
    figure, ((axes,),) = new_figure(height=5.4)
    shown = [score for score in NAMES if score in set(rows["score"])]
    table = rows.set_index("score")
    for index, (kind, text) in enumerate(KINDS.items()):
        y = np.arange(len(shown))[::-1] + 0.18 * (1.5 - index)
        values = [table.loc[score, f"spearman_{kind}"] for score in shown]
        axes.barh(y, values, height=0.17, color=PALETTE[index], label=text)
    axes.axvline(0, color=COLOURS["black"], linewidth=1.2)
    levels(axes, [NAMES[score] for score in shown])
    axes.set_xlabel("Spearman's rho with the number of edges")
    legend(figure, [axes])
    return figure
