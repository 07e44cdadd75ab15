"""Figures of the blind test: what came out, and how alike the predictions were before."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from experiments.figures.forest import forest
from experiments.figures.marks import legend
from experiments.figures.style import COLOURS, new_figure, styled

SHOWN = {"all": "all codes", "top": "best fifth", "equal FLOPs": "pairs of equal FLOPs"}
"""Populations of the figure of the result."""


@styled
def disagreement(unique: pd.DataFrame, texts: Mapping[str, str]) -> Figure:
    """Where the repaired score and the baselines disagree: rank against rank, one panel a baseline."""
    figure, axes = new_figure(2, 1, height=8.6, sharey=True)
    ranks = unique.rank(numeric_only=True)
    for panel, baseline in zip(axes.flat, ("params", "zen_running"), strict=True):
        panel.scatter(
            ranks[baseline],
            ranks["repaired"],
            s=4,
            alpha=0.25,
            color=COLOURS["blue"],
            linewidth=0,
            rasterized=True,
        )
        panel.plot([0, len(ranks)], [0, len(ranks)], color=COLOURS["black"], linewidth=1.2)
        panel.set_xlabel(f"rank by {texts[baseline]}, the largest at the right")
        panel.set_ylabel("rank by repaired score")
    return figure


@styled
def opened(
    judged: pd.DataFrame, texts: Mapping[str, str], guesses: Mapping[str, tuple[float, float]]
) -> Figure:
    """Kendall's tau of each score with accuracy in three populations, the guesses as bands behind."""
    alone = judged[judged["baseline"] == "none"]
    alone = alone.rename(columns={"low": "kendall_low", "high": "kendall_high"})
    order = alone[alone["population"] == "all"].sort_values("kendall", ascending=False)["score"]
    rows = {name: texts[name] for name in order}
    figure, ((axes,),) = new_figure(height=1.9 + 0.46 * max(len(rows), 1))
    for place, name in enumerate(reversed(rows)):
        if name in guesses:
            low, high = guesses[name]
            axes.barh(place, high - low, left=low, height=0.8, color="#DDDDDD", zorder=0)
    axes.barh([0], [0], color="#DDDDDD", label="our guess, all codes")
    series = {
        text: alone[alone["population"] == population].set_index("score")
        for population, text in SHOWN.items()
    }
    forest(axes, series, rows, step=0.2, size=50, width=2.4)
    axes.set_xlabel("Kendall's tau with CIFAR-10 accuracy")
    legend(figure, [axes])
    return figure
