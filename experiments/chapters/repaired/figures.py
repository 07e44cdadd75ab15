"""Figures of the chapter on the repaired score elsewhere."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.figure import Figure

from experiments.figures.forest import forest
from experiments.figures.marks import band, legend
from experiments.figures.style import new_figure, styled

SHOWN = {
    "repaired": "repaired score",
    "params": "parameters",
    "convs": "live convolutions",
    "az-nas": "AZ-NAS",
    "zen-as-built-l1-running": "Zen, as built, released",
}
ROWS = {
    ("nasbench201", "cifar10"): "NB-201\nCIFAR-10",
    ("nasbench201", "cifar100"): "NB-201\nCIFAR-100",
    ("nasbench201", "imagenet16"): "NB-201\nImageNet-16",
    ("nasbench101", "cifar10"): "NB-101",
    ("nats_sizes", "cifar10"): "NATS sizes",
    ("pycls", "imagenet"): "pycls",
    ("torchvision", "imagenet"): "torchvision",
}
SEARCHED = {
    "repaired": "repaired score",
    "params": "parameters",
    "random": "a random cell",
    "convs": "live convolutions",
    "az-nas": "AZ-NAS",
    "zen-running": "Zen, released",
    "zen": "Zen, paper",
}
KINDS = {
    ("all cells", "draws"): "random draws",
    ("all cells", "evolution"): "evolution",
    ("drawn cells", "draws"): "draws of 500",
}
CURVE = ("regret", "regret_low", "regret_high")
FIRST = 10
"""Cells scored from which on curves are drawn: a mean over fewer is one of single cells."""
DATASETS = {"cifar10": "CIFAR-10", "imagenet16": "ImageNet-16"}


@styled
def places(rows: pd.DataFrame) -> Figure:
    """Kendall's tau with its interval, one row a benchmark, one mark a score."""
    figure, ((axes,),) = new_figure(height=9.0)
    found = rows.set_index(["benchmark", "dataset"]) if len(rows) else rows
    series = {text: found[found["contestant"] == score] for score, text in SHOWN.items()}
    forest(axes, series, ROWS, "other", step=0.15)
    axes.set_xlabel("Kendall's tau with accuracy")
    legend(figure, [axes])
    return figure


@styled
def regret(searches: pd.DataFrame, datasets: Mapping[str, str] = DATASETS) -> Figure:
    """Regret against evaluations with its interval, one column a data set, one row a kind of search."""
    figure, axes = new_figure(len(KINDS), 2, height=12.5, sharex=True, sharey="col")
    for line, ((space, strategy), kind) in zip(axes, KINDS.items(), strict=True):
        for panel, (dataset, title) in zip(line, datasets.items(), strict=True):
            here = searches[
                (searches[["space", "strategy", "dataset"]] == [space, strategy, dataset]).all(axis=1)
            ]
            for index, (score, text) in enumerate(SEARCHED.items()):
                rows = here[(here["score"] == score) & (here["evaluations"] >= FIRST)]
                rows = rows.sort_values("evaluations", kind="stable")
                rows = rows[["evaluations", *CURVE]].astype(float)
                band(panel, rows, "evaluations", "regret", index, text, 0.15, markersize=5)
            panel.set_xlim(0.8 * FIRST, 25_000)
            panel.set_xscale("log")
            panel.set_ylim(bottom=0)
            panel.set_title(f"{title}: {kind}", fontsize=13)
    for panel in axes[-1]:
        panel.set_xlabel("cells scored")
    for panel in axes[:, 0]:
        panel.set_ylabel("regret (points)")
    legend(figure, [axes[-1, 0]])
    return figure
