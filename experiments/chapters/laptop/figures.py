"""Figures of the chapter on what a laptop can show."""

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
        members: `LaptopRows.members`.
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
        right = members["closed-form"].max()
        middle = members["top1"].max() - 2 * seed_sd  # high scores at the top are rare
        axes.errorbar([right], [middle], yerr=2 * seed_sd, color=COLOURS["black"], capsize=5, linewidth=2)
        note = {"xytext": (-10, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
        axes.annotate("±2 sd between\nseeds", (right, middle), **note)
    axes.set_xlabel("Zen-Score, closed form (nats)")
    axes.set_ylabel("test accuracy (%)")
    handles, texts = axes.get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=3)
    return figure


@styled
def correlations(rows: pd.DataFrame, names: dict[str, str]) -> Figure:
    """Kendall's tau of some proxies with its interval, one row a proxy, one mark a group."""
    shown = {proxy: text for proxy, text in names.items() if proxy in set(rows["proxy"])}
    figure, ((axes,),) = new_figure(height=1.6 + 0.52 * len(shown))
    groups = {group: text for group, text in GROUPS.items() if group in set(rows["group"])}
    series = {text: rows[rows["group"] == group].set_index("proxy") for group, text in groups.items()}
    forest(axes, series, shown, step=0.18, size=50, width=2.4, styles=[STYLE[group] for group in groups])
    axes.set_xlabel("Kendall's tau with test accuracy")
    legend(figure, [axes])
    return figure
