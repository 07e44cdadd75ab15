"""Figures of the chapter on torchvision's ImageNet classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.labels import label
from experiments.figures.style import COLOURS, MARKERS, PALETTE, new_figure, styled

LINES = ("RegNets", "ResNets", "EfficientNets", "VGG and AlexNet", "Mobile nets", "ConvNeXts")
"""Lines of families in the order of their colours; "Graphs" are drawn hollow and grey."""

POPULATIONS = ("V1", "V1, no VGG or AlexNet", "V1 of V2's networks", "V2")
"""Populations in the order of their colours."""

PREDICTOR_NAMES = {
    "l1_minibatch": "Zen-Score",
    "frobenius_minibatch": "Zen, Frobenius",
    "l1_running": "Zen, released",
    "convs": "convolutions",
    "flops": "FLOPs",
    "published_flops": "FLOPs at the\npublished crop",
    "params": "parameters",
}

# Where a name stands beside its point, in points of type; only networks that mark the ends of a line are
# named.
_NAMED = {
    "alexnet": ("AlexNet", (9, -4)),
    "vgg19": ("VGG-19", (9, -8)),
    "resnet18": ("ResNet-18", (9, -10)),
    "resnet50": ("ResNet-50", (8, -14)),
    "resnet152": ("ResNet-152", (-12, -18)),
    "mobilenet_v3_small": ("MobileNetV3-S", (9, -6)),
    "regnet_y_32gf": ("RegNetY-32GF", (10, -4)),
    "efficientnet_b0": ("B0", (-24, 4)),
    "efficientnet_b7": ("EfficientNet-B7", (9, -10)),
    "efficientnet_v2_l": ("V2-L", (9, -10)),
    "convnext_large": ("ConvNeXt-L", (-96, 4)),
    "densenet201": ("DenseNet-201", (-60, -20)),
    "squeezenet1_0": ("SqueezeNet", (9, -6)),
}


@styled
def zen_top1(rows: pd.DataFrame) -> Figure:
    """Zen-Score against top-1, first weights above and V2 weights below.

    Args:
        rows: `ZooRows.common`.
    """
    figure, axes = new_figure(2, 1, height=9.6, sharex=True)
    for panel, weights in zip(axes[:, 0], ("V1", "V2"), strict=True):
        members = rows[rows["weights"] == f"IMAGENET1K_{weights}"]
        _scatter(panel, members, "l1_minibatch", names=_NAMED)
        panel.set_title(f"{weights} weights, n = {len(members)}")
        panel.set_ylabel(label("top1"))
    axes[-1, 0].set_xlabel(label("zen"))
    _legend(figure, axes[0, 0], columns=3)
    return figure


@styled
def baselines(rows: pd.DataFrame) -> Figure:
    """What costs nothing against top-1, V1 weights: number of convolutions, FLOPs, parameters.

    Args:
        rows: `ZooRows.common`.
    """
    members = rows[rows["weights"] == "IMAGENET1K_V1"]
    figure, axes = new_figure(3, 1, height=11.5, sharey=True)
    for panel, column in zip(axes[:, 0], ("convs", "flops", "params"), strict=True):
        _scatter(panel, members, column)
        if column != "convs":
            panel.set_xscale("log")
        panel.set_xlabel(label(column))
        panel.set_ylabel(label("top1"))
    _legend(figure, axes[0, 0], columns=3)
    return figure


@styled
def predictors(correlations: pd.DataFrame) -> Figure:
    """Kendall's tau with top-1 and its interval, one row a predictor, one mark a population.

    Args:
        correlations: `studies.imagenet_zoo.correlations`.
    """
    figure, ((axes,),) = new_figure(height=7.6)
    _forest(axes, correlations, "predictor", PREDICTOR_NAMES)
    axes.set_xlabel("Kendall's tau with ImageNet top-1")
    _legend(figure, axes, columns=2)
    return figure


@styled
def apart(pairs: pd.DataFrame) -> Figure:
    """Tau of the Zen-Score minus that of each baseline, over pairs across two lines and within one.

    Args:
        pairs: `studies.imagenet_zoo.pairs_apart`.
    """
    figure, axes = new_figure(2, 1, height=8.4, sharex=True)
    names = {name: text for name, text in PREDICTOR_NAMES.items() if name in ("convs", "flops", "params")}
    for panel, kind, title in zip(
        axes[:, 0],
        ("across", "within"),
        ("Networks of two different lines", "Networks of one line"),
        strict=True,
    ):
        rows = pairs[(pairs["pairs"] == kind) & pairs["baseline"].notna()]
        _forest(panel, rows, "baseline", names, labelled=kind == "across")
        panel.set_title(title)
    axes[-1, 0].set_xlabel("tau of the Zen-Score minus tau of the baseline")
    _legend(figure, axes[0, 0], columns=2)
    return figure


@styled
def partials(partial: pd.DataFrame) -> Figure:
    """Partial tau with top-1: the Zen-Score given each baseline, and each baseline given the Zen-Score.

    Args:
        partial: `studies.imagenet_zoo.partials`.
    """
    figure, ((axes,),) = new_figure(height=7.6)
    rows = partial.assign(row=partial["predictor"] + " | " + partial["given"])
    names = {
        f"{predictor} | {given}": f"{PREDICTOR_NAMES[predictor]}\ngiven {PREDICTOR_NAMES[given]}"
        for baseline in ("convs", "flops", "params")
        for predictor, given in (("l1_minibatch", baseline), (baseline, "l1_minibatch"))
    }
    _forest(axes, rows, "row", names)
    axes.set_xlabel("partial Kendall's tau with ImageNet top-1")
    _legend(figure, axes, columns=2)
    return figure


@styled
def lines(rows: pd.DataFrame) -> Figure:
    """Zen-Score against top-1 inside each line of families; filled marks are V1 weights, hollow ones V2.

    Args:
        rows: `ZooRows.common`.
    """
    figure, axes = new_figure(3, 2, height=9.0)
    for panel, line in zip(axes.flat, LINES, strict=True):
        for weights, marker, face in (("V1", "o", COLOURS["blue"]), ("V2", "D", "white")):
            members = rows[(rows["line"] == line) & (rows["weights"] == f"IMAGENET1K_{weights}")]
            panel.scatter(
                members["l1_minibatch"],
                members["top1"],
                s=60,
                marker=marker,
                c=face,
                edgecolor=COLOURS["blue"],
                linewidth=1.8,
            )
            panel.scatter(
                [],
                [],
                s=60,
                marker=marker,
                c=face,
                edgecolor=COLOURS["blue"],
                linewidth=1.8,
                label=f"{weights} weights",
            )
        panel.set_title(line)
    for panel in axes[:, 0]:
        panel.set_ylabel("top-1 (%)")
    for panel in axes[-1]:
        panel.set_xlabel(label("zen"))
    _legend(figure, axes[0, 0], columns=2)
    return figure


@styled
def line_taus(within: pd.DataFrame) -> Figure:
    """Tau with top-1 inside each line of families, V1 weights, for the score and the baselines.

    Args:
        within: `studies.imagenet_zoo.within_lines`.
    """
    figure, ((axes,),) = new_figure(height=7.6)
    rows = within[within["population"] == "V1"]
    sizes = rows.groupby("line")["n"].max()
    names = {line: line.replace(" and ", ",\n") + f"\nn = {sizes[line]}" for line in LINES if line in sizes}
    for index, predictor in enumerate(("l1_minibatch", "convs", "flops", "params")):
        members = rows[rows["predictor"] == predictor]
        _series(axes, members, "line", list(names), index, 4, PREDICTOR_NAMES[predictor], families=False)
    _finish(axes, list(names.values()))
    axes.set_xlabel("Kendall's tau with ImageNet top-1")
    _legend(figure, axes, columns=4, columnspacing=0.9)
    return figure


def _scatter(
    axes: Axes,
    rows: pd.DataFrame,
    column: str,
    names: Mapping[str, tuple[str, tuple[int, int]]] | None = None,
) -> None:
    """One mark a network, coloured by line; graphs hollow. Some are named."""
    for line, colour, marker in zip(LINES, PALETTE, MARKERS, strict=False):
        members = rows[rows["line"] == line]
        axes.scatter(
            members[column],
            members["top1"],
            s=60,
            marker=marker,
            color=colour,
            edgecolor="white",
            linewidth=0.7,
            label=line,
        )
    graphs = rows[rows["line"] == "Graphs"]
    axes.scatter(
        graphs[column],
        graphs["top1"],
        s=60,
        marker="o",
        facecolor="none",
        edgecolor=COLOURS["grey"],
        linewidth=1.6,
        label="graphs",
    )
    for row in rows[rows["model"].isin(names or {})].itertuples():
        text, offset = (names or {})[row.model]
        axes.annotate(
            text, (getattr(row, column), row.top1), offset, textcoords="offset points", color="#444444"
        )


def _legend(figure: Figure, axes: Axes, columns: int, **spacing: float) -> None:
    """One legend below all panels, of what one of them shows; none where it shows nothing."""
    handles, texts = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, texts, loc="outside lower center", ncols=columns, **spacing)


def _forest(
    axes: Axes, rows: pd.DataFrame, row: str, names: Mapping[str, str], *, labelled: bool = True
) -> None:
    """One row a name, one mark a population, with its number of networks in the legend."""
    present = [name for name in names if name in set(rows[row])]
    kinds = [kind for kind in POPULATIONS if kind in set(rows["population"])]
    for index, kind in enumerate(kinds):
        members = rows[rows["population"] == kind]
        text = f"{kind} (n = {members['n'].max():.0f})"
        _series(axes, members, row, present, index, len(kinds), text if labelled else None)
    _finish(axes, [names[name] for name in present])


def _series(
    axes: Axes,
    rows: pd.DataFrame,
    row: str,
    order: Sequence[str],
    index: int,
    of: int,
    text: str | None,
    families: bool = True,
) -> None:
    """Estimates with their 95 % intervals.

    Thick over networks and, where there are any, thin over families.
    """
    members = rows.set_index(row).reindex(order)
    y = np.arange(len(order))[::-1] + 0.18 * ((of - 1) / 2 - index)
    if families:
        axes.hlines(
            y,
            members["kendall_family_low"],
            members["kendall_family_high"],
            color=PALETTE[index],
            linewidth=1.2,
        )
    axes.hlines(
        y, members["kendall_low"], members["kendall_high"], color=PALETTE[index], linewidth=4, alpha=0.55
    )
    axes.scatter(
        members["kendall"],
        y,
        s=60,
        marker=MARKERS[index],
        color=PALETTE[index],
        edgecolor="white",
        zorder=3,
        label=text,
    )


def _finish(axes: Axes, names: Sequence[str]) -> None:
    axes.axvline(0, color=COLOURS["black"], linewidth=1.2)
    axes.set_yticks(range(len(names)), list(reversed(names)))
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.grid(axis="y", visible=False)
