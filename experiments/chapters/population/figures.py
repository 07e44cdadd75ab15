"""Figures of the chapter on the trained population."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.figures.forest import forest
from experiments.figures.marks import legend
from experiments.figures.style import COLOURS, MARKERS, PALETTE, new_figure, styled

GROUPS = {
    "uniform": "at random",
    "evolution": "along a search",
    "equal": "of equal size",
    "all": "all together",
}
"""Names of the groups, in the order of their colours."""
STYLE = dict(zip(GROUPS, (0, 1, 2, len(PALETTE) - 1), strict=True))
"""Of each group its place in the palette; all together are black."""


@styled
def accuracies(members: pd.DataFrame, seed_sd: float) -> Figure:
    """Test accuracy against the closed-form score, one mark a network.

    Args:
        members: `PopulationRows.members`.
        seed_sd: standard deviation between seeds of one network, percent; drawn as a bar in the corner where
            it is known.
    """
    figure, ((axes,),) = new_figure(height=5.6)
    for group, rows in members.groupby("group", sort=False):
        axes.scatter(
            rows["closed-form"],
            rows["top1"],
            s=70,
            marker=MARKERS[STYLE[group]],
            color=PALETTE[STYLE[group]],
            edgecolor="white",
            label=GROUPS[group],
        )
    if np.isfinite(seed_sd):
        right, middle = (
            members["closed-form"].max(),
            members["top1"].max() - 2 * seed_sd,
        )  # high scores at the top are rare
        axes.errorbar([right], [middle], yerr=2 * seed_sd, color=COLOURS["black"], capsize=5, linewidth=2)
        note = {"xytext": (-10, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
        axes.annotate("±2 sd between\nseeds", (right, middle), **note)
    axes.set_xlabel("Zen-Score, closed form (nats)")
    axes.set_ylabel("test accuracy (%)")
    legend(figure, [axes])
    return figure


@styled
def correlations(rows: pd.DataFrame) -> Figure:
    """Kendall's tau of every proxy with its interval, one row a proxy, one mark a group.

    Args:
        rows: `PopulationRows.correlations`.
    """
    proxies = list(dict.fromkeys(rows["proxy"]))
    figure, ((axes,),) = new_figure(height=1.6 + 0.52 * len(proxies))
    series = {
        text: rows[rows["group"] == group].set_index("proxy")
        for group, text in GROUPS.items()
        if group in set(rows["group"])
    }
    styles = [STYLE[group] for group, text in GROUPS.items() if text in series]
    forest(
        axes, series, dict(zip(proxies, proxies, strict=True)), step=0.18, size=34, width=2.4, styles=styles
    )
    axes.set_xlabel("Kendall's tau with test accuracy")
    legend(figure, [axes])
    return figure


@styled
def small_samples(rows: pd.DataFrame, paper: float) -> Figure:
    """Range of Kendall's tau in random samples of 16 networks, one row a group, and the paper's value.

    Args:
        rows: `PopulationRows.small_samples`.
        paper: Kendall's tau of the paper's 16 networks.
    """
    figure, ((axes,),) = new_figure(height=1.9 + 0.8 * len(rows))
    y = np.arange(len(rows))[::-1]
    colours = [PALETTE[STYLE[group]] for group in rows["group"]]
    axes.hlines(y, rows["low"], rows["high"], color=colours, linewidth=5, alpha=0.5)
    axes.scatter(rows["median"], y, s=80, color=colours, edgecolor="white", zorder=3)
    axes.axvline(
        paper, color=COLOURS["vermilion"], linewidth=2, linestyle="--", label="the paper's 16 networks"
    )
    axes.set_yticks(y, [GROUPS[group] for group in rows["group"]])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("Kendall's tau of the score in 16 networks")
    figure.legend(loc="outside lower center")
    return figure
