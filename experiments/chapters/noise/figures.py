"""Figures of the chapter on noise."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.chapters.noise.parts import ceiling
from experiments.figures.forest import forest
from experiments.figures.labels import name_of
from experiments.figures.marks import legend, levels
from experiments.figures.style import COLOURS, new_figure, styled

POPULATIONS = {
    "valid": "with a path",
    "one per class": "one per class",
    "no none": "no none edge",
    "no skip, no pool": "no skip,\nno pool",
    "top 10 %": "best 10 %",
}
REPEATED = {
    "releases": "two releases (most runs shared)",
    "isomorphic": "isomorphic cells, trained apart",
    "validation": "validation half (other data)",
}
PARTS = {
    "measured": ("tau as measured", COLOURS["blue"]),
    "draw": ("noise of the score", COLOURS["orange"]),
    "training": ("noise of training", COLOURS["vermilion"]),
    "ranking": ("the ranking itself", "#DDDDDD"),
}
SCORES = ("zen_l1_running", "zen_l1_minibatch", "log_delta_l1", "params", "live_convs")
"""Scores of the figure; others that have two draws follow."""


@styled
def gaps(parts: pd.DataFrame, accuracies: pd.DataFrame, dataset: str = "cifar10") -> Figure:
    """What the gap of tau to 1 consists of, one bar a score; a line at the ceiling by isomorphic cells."""
    rows = parts[parts["dataset"] == dataset]
    known = list(dict.fromkeys(rows["score"]))
    shown = [score for score in SCORES if score in known]
    figure, axes = new_figure(2, 1, height=1.8 + 0.9 * max(4, len(shown)), sharex=True)
    for panel, population in zip(axes[:, 0], ("one per class", "top 10 %"), strict=True):
        table = rows[rows["population"] == population].set_index("score").reindex(shown)
        start = np.zeros(len(shown))
        for name, (text, colour) in PARTS.items():
            # A part below zero belongs to a score that orders the wrong way round: nothing is gained there.
            width = np.minimum(table[name].clip(lower=0).fillna(0).to_numpy(float), 1 - start)
            y = np.arange(len(shown))[::-1]
            panel.barh(y, width, left=start, color=colour, height=0.62, linewidth=0, label=text)
            start = start + width
        again = accuracies.query(
            "dataset == @dataset and population == @population and repeated == 'isomorphic'"
        )
        for highest in ceiling(again["kendall"].dropna()):
            panel.axvline(
                highest, color=COLOURS["black"], linewidth=2, linestyle="--", label="ceiling of any score"
            )
        levels(panel, [name_of(score) for score in shown])
        panel.set_title(POPULATIONS[population].replace("\n", " "))
        panel.set_xlim(0, 1)
    axes[-1, 0].set_xlabel("Kendall's tau with test accuracy, up to 1")
    legend(figure, [axes[0, 0]])
    return figure


@styled
def repetitions(accuracies: pd.DataFrame, dataset: str = "cifar10") -> Figure:
    """Kendall's tau between test accuracy and its repetitions, one row a population."""
    figure, ((axes,),) = new_figure(height=5.8)
    rows = accuracies[accuracies["dataset"] == dataset]
    series = {
        text: rows[rows["repeated"] == repeated].set_index("population")
        for repeated, text in REPEATED.items()
    }
    forest(axes, series, POPULATIONS, step=0.2, width=4, zero=False)
    axes.set_xlim(0, 1)
    axes.set_xlabel("Kendall's tau of accuracy with its repetition")
    legend(figure, [axes])
    return figure
