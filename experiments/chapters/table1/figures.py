"""Figures of the chapter on the paper's Table 1."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from experiments.figures.style import COLOURS, MARKERS, PALETTE, new_figure, styled

THOUSAND = 1000
"""Scores from which ticks are written with a prefix."""


@styled
def convergence(curves: pd.DataFrame) -> Figure:
    """Best score so far of every search, one panel a proxy, one line a seed.

    Args:
        curves: rows of `experiments.chapters.table1.study.curves`.
    """
    proxies = list(dict.fromkeys(curves["proxy"]))
    rows = -(-len(proxies) // 2)
    figure, axes = new_figure(rows, 2, height=2.3 * rows + 0.6, sharex=True)
    for panel, proxy in zip(axes.flat, proxies, strict=False):
        for index, (seed, line) in enumerate(curves[curves["proxy"] == proxy].groupby("seed")):
            panel.step(
                line["evaluations"],
                line["score"],
                where="post",
                color=PALETTE[index],
                linestyle=("-", "--")[index % 2],
                label=f"seed {seed}",
            )
        panel.set_title(proxy)
        panel.set_xscale("log")
        panel.yaxis.set_major_locator(MaxNLocator(4))
        if curves.loc[curves["proxy"] == proxy, "score"].max() >= THOUSAND:
            panel.yaxis.set_major_formatter(EngFormatter(sep=""))
        panel.xaxis.set_major_formatter(EngFormatter(sep=""))
    for panel in axes.flat[len(proxies) :]:
        panel.set_visible(False)
    for panel in axes.flat[max(0, len(proxies) - 2) : len(proxies)]:
        panel.set_xlabel("scored candidates")
        panel.tick_params(labelbottom=True)
    figure.supylabel("best score so far", fontsize=14)
    handles, texts = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower center", ncols=2)
    return figure


@styled
def accuracies(trained: pd.DataFrame, winners: pd.DataFrame, drawn: pd.DataFrame) -> Figure:
    """Test accuracy of the winners, one mark a training; beside it the paper's accuracies on CIFAR-100.

    Args:
        trained: `Table1Rows.trained`.
        winners: `Table1Rows.winners`, one row a proxy.
        drawn: `Table1Rows.drawn`; their mean is drawn as a line where there are any.
    """
    rows = winners.iloc[::-1].sort_values(
        "top1", na_position="first", kind="stable"
    )  # the first proxy on top where none is trained
    places = dict(zip(rows["proxy"], range(len(rows)), strict=True))
    figure, axes = new_figure(1, 2, height=1.8 + 0.55 * len(rows), sharey=True)
    ours, paper = axes[0]
    for index, (seed, marks) in enumerate(trained.groupby("search_seed")):
        heights = marks["proxy"].map(places) + 0.16 * (0.5 - index)
        ours.scatter(
            marks["top1"],
            heights,
            s=70,
            color=PALETTE[index],
            marker=MARKERS[index],
            edgecolor="white",
            zorder=3,
            label=f"search {seed}",
        )
    if len(drawn):
        ours.axvline(
            drawn.groupby("network")["top1"].mean().mean(),
            color=COLOURS["grey"],
            linestyle=":",
            label="random networks",
        )
    for place, missing in enumerate(rows["top1"].isna()):
        if missing:
            ours.text(
                0.5,
                place,
                "not trained",
                transform=ours.get_yaxis_transform(),
                ha="center",
                va="center",
                color=COLOURS["grey"],
            )
    paper.scatter(rows["cifar100"], range(len(rows)), s=70, color=COLOURS["black"], marker="D")
    ours.set_yticks(range(len(rows)), rows["proxy"])
    ours.set_ylim(-0.6, len(rows) - 0.4)
    ours.set_title("ours")
    paper.set_title("the paper's")
    ours.set_xlabel("Fashion-MNIST (%)")
    paper.set_xlabel("CIFAR-100 (%)")
    for panel in (ours, paper):
        panel.xaxis.set_major_locator(MaxNLocator(4))
    if rows["top1"].isna().all():
        ours.set_xticks([])
    handles, texts = ours.get_legend_handles_labels()
    if handles:
        figure.legend(handles, texts, loc="outside lower center", ncols=3)
    return figure
