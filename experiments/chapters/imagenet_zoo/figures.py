"""Figures of the chapter on torchvision's ImageNet classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.forest import forest
from experiments.figures.labels import label
from experiments.figures.marks import dots, hollow, legend, tell
from experiments.figures.room import name_mark
from experiments.figures.style import COLOURS, new_figure, styled

LINES = ("RegNets", "ResNets", "EfficientNets", "VGG and AlexNet", "Mobile nets", "ConvNeXts")
"""Lines of families in the order of their colours; "Graphs" are drawn hollow and grey."""

POPULATIONS = ("V1", "V1, no VGG or AlexNet", "V1 of V2's networks", "V2")
"""Populations in the order of their colours."""

COUNTS = ("convs", "flops", "params")

PREDICTOR_NAMES = {
    "l1_minibatch": "Zen-Score",
    "frobenius_minibatch": "Zen, Frobenius",
    "l1_running": "Zen, released",
    "convs": "convolutions",
    "flops": "FLOPs",
    "published_flops": "FLOPs at the\npublished crop",
    "params": "parameters",
}

_NAMED = {
    "alexnet": "AlexNet",
    "vgg19": "VGG-19",
    "resnet50": "ResNet-50",
    "resnet152": "ResNet-152",
    "mobilenet_v3_small": "MobileNetV3-S",
    "regnet_y_32gf": "RegNetY-32GF",
    "efficientnet_b0": "B0",
    "efficientnet_b7": "EfficientNet-B7",
    "efficientnet_v2_l": "V2-L",
    "convnext_large": "ConvNeXt-L",
    "densenet201": "DenseNet-201",
    "squeezenet1_0": "SqueezeNet",
}
"""Networks that are named where there is room; every mark tells its name when it is pointed at."""

_TOLD = {
    "l1_minibatch": "Zen-Score {:.1f} nats",
    "convs": "{:,.0f} convolutions",
    "flops": "{:,.0f} FLOPs",
    "params": "{:,.0f} parameters",
}
"""How a mark tells its number."""


@styled
def zen_top1(rows: pd.DataFrame) -> Figure:
    """Zen-Score against top-1, first weights above and V2 weights below."""
    figure, axes = new_figure(2, 1, height=9.6, sharex=True)
    for panel, weights in zip(axes[:, 0], ("V1", "V2"), strict=True):
        members = rows[rows["weights"] == f"IMAGENET1K_{weights}"]
        _scatter(panel, members, "l1_minibatch", names=_NAMED)
        panel.set_title(f"{weights} weights, n = {len(members)}")
        panel.set_ylabel(label("top1"))
    axes[-1, 0].set_xlabel(label("zen"))
    legend(figure, [axes[0, 0]])
    return figure


@styled
def baselines(rows: pd.DataFrame) -> Figure:
    """What costs nothing against top-1, V1 weights: number of convolutions, FLOPs, parameters."""
    members = rows[rows["weights"] == "IMAGENET1K_V1"]
    figure, axes = new_figure(3, 1, height=11.5, sharey=True)
    for panel, column in zip(axes[:, 0], COUNTS, strict=True):
        _scatter(panel, members, column)
        if column != "convs":
            panel.set_xscale("log")
        panel.set_xlabel(label(column))
        panel.set_ylabel(label("top1"))
    legend(figure, [axes[0, 0]])
    return figure


@styled
def predictors(correlations: pd.DataFrame) -> Figure:
    """Kendall's tau with top-1 and its interval, one row a predictor, one mark a population."""
    figure, ((axes,),) = new_figure(height=7.6)
    _forest(axes, correlations, "predictor", PREDICTOR_NAMES)
    axes.set_xlabel("Kendall's tau with ImageNet top-1")
    legend(figure, [axes])
    return figure


@styled
def apart(pairs: pd.DataFrame) -> Figure:
    """Tau of the Zen-Score minus that of each baseline, over pairs across two lines and within one."""
    figure, axes = new_figure(2, 1, height=8.4, sharex=True, sharey=True)
    names = {name: text for name, text in PREDICTOR_NAMES.items() if name in COUNTS}
    titles = {"across": "Networks of two different lines", "within": "Networks of one line"}
    for panel, (kind, title) in zip(axes[:, 0], titles.items(), strict=True):
        rows = pairs[(pairs["pairs"] == kind) & pairs["baseline"].notna()]
        _forest(panel, rows, "baseline", names)
        panel.set_title(title)
    axes[-1, 0].set_xlabel("tau of the Zen-Score minus tau of the baseline")
    legend(figure, [axes[0, 0]])
    return figure


@styled
def partials(partial: pd.DataFrame) -> Figure:
    """Partial tau with top-1: the Zen-Score given each baseline, and each baseline given the Zen-Score."""
    figure, ((axes,),) = new_figure(height=7.6)
    rows = partial.assign(row=partial["predictor"] + " | " + partial["given"])
    pairs = [pair for name in COUNTS for pair in (("l1_minibatch", name), (name, "l1_minibatch"))]
    names = {f"{a} | {b}": f"{PREDICTOR_NAMES[a]}\ngiven {PREDICTOR_NAMES[b]}" for a, b in pairs}
    _forest(axes, rows, "row", names)
    axes.set_xlabel("partial Kendall's tau with ImageNet top-1")
    legend(figure, [axes])
    return figure


@styled
def lines(rows: pd.DataFrame) -> Figure:
    """Zen-Score against top-1 inside each line of families; filled marks are V1 weights, hollow ones V2."""
    figure, axes = new_figure(len(LINES), 1, height=18.0)
    for panel, line in zip(axes.flat, LINES, strict=True):
        for weights, marker, face in (("V1", "o", COLOURS["blue"]), ("V2", "D", "white")):
            members = rows[(rows["line"] == line) & (rows["weights"] == f"IMAGENET1K_{weights}")]
            style = {"s": 60, "marker": marker, "c": face, "edgecolor": COLOURS["blue"], "linewidth": 1.8}
            told = _told(members, "l1_minibatch", f", {weights} weights")
            panel.scatter(members["l1_minibatch"], members["top1"], **style, urls=told)
            panel.scatter([], [], **style, label=f"{weights} weights")
        panel.set_title(line)
        panel.set_ylabel("top-1 (%)")
        panel.set_xlabel(label("zen"))
    legend(figure, [axes[0, 0]])
    return figure


@styled
def line_taus(within: pd.DataFrame) -> Figure:
    """Tau with top-1 inside each line of families, V1 weights, for the score and the baselines."""
    figure, ((axes,),) = new_figure(height=7.6)
    rows = within[within["population"] == "V1"]
    sizes = rows.groupby("line")["n"].max()
    names = {line: line.replace(" and ", ",\n") + f"\nn = {sizes[line]}" for line in LINES if line in sizes}
    by_predictor = {name: members.set_index("line") for name, members in rows.groupby("predictor")}
    series = {PREDICTOR_NAMES[name]: by_predictor[name] for name in ("l1_minibatch", *COUNTS) if len(rows)}
    forest(axes, series, names, step=0.18, size=60, width=4)
    axes.set_xlabel("Kendall's tau with ImageNet top-1")
    legend(figure, [axes])
    return figure


def _scatter(
    axes: Axes, rows: pd.DataFrame, column: str, names: Mapping[str, str] = MappingProxyType({})
) -> None:
    """One mark a network, coloured by line; graphs hollow. Some are named."""
    for index, line in enumerate(LINES):
        members = rows[rows["line"] == line]
        style = {"s": 60, "zorder": 1, "urls": _told(members, column)}
        dots(axes, members[column], members["top1"], index, line, **style, linewidth=0.7)
    graphs = rows[rows["line"] == "Graphs"]
    style = {"s": 60, "zorder": 1, "urls": _told(graphs, column)}
    hollow(axes, graphs[column], graphs["top1"], 0, COLOURS["grey"], "graphs", **style, linewidth=1.6)
    for row in rows[rows["model"].isin(names)].itertuples():
        name_mark(axes, getattr(row, column), row.top1, names[row.model])


def _told(rows: pd.DataFrame, column: str, more: str = "") -> list[str]:
    return tell(rows, "model", {column: _TOLD[column], "top1": f"top-1 {{:.1f}} %{more}"})


def _forest(axes: Axes, rows: pd.DataFrame, row: str, names: Mapping[str, str]) -> None:
    """One row a name, one mark a population; intervals thick over networks and thin over families."""
    present = {name: text for name, text in names.items() if name in set(rows[row])}
    by_population = {kind: members.set_index(row) for kind, members in rows.groupby("population")}
    series = {
        f"{kind} (n = {by_population[kind]['n'].max():.0f})": by_population[kind]
        for kind in POPULATIONS
        if kind in by_population
    }
    forest(axes, series, present, step=0.18, size=60, width=4, thin="kendall_family")
