"""Figures of the chapter on the Zen-Score estimator."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.figures.marks import legend, log2_axis, measured, zero
from experiments.figures.style import COLOURS, MARKERS, PALETTE, SHADES, new_figure, note, styled

DEFINITION_NAMES = {
    "l1_minibatch": "L1, mini-batch (ours)",
    "frobenius_minibatch": "Frobenius, mini-batch (Algorithm 1)",
    "l1_running": "L1, running (released code)",
}


@styled
def table5(deviation: pd.DataFrame) -> Figure:
    """Deviation of three definitions from the paper's Table 5, per ResNet."""
    figure, ((axes,),) = new_figure(height=5.2)
    names = list(dict.fromkeys(deviation["network"]))[::-1]
    for index, (column, text) in enumerate(DEFINITION_NAMES.items()):
        rows = deviation[deviation["definition"] == column].set_index("network").loc[names]
        y, error = np.arange(len(names)) + 0.18 * (1 - index), 196 * rows["stderr"] / rows["paper"]
        style = {"fmt": MARKERS[index], "color": PALETTE[index], "markersize": 9, "capsize": 3}
        axes.errorbar(rows["deviation"], y, xerr=error, label=text, **style)
    axes.axvline(0, color=COLOURS["black"], linewidth=1.5)
    axes.set_yticks(range(len(names)), [name.replace("resnet", "ResNet-") for name in names])
    axes.set_xlabel("deviation from the printed score (%)")
    legend(figure)
    return figure


@styled
def spread(rows: pd.DataFrame) -> Figure:
    """Standard deviation of one repeat against batch size."""
    figure, ((axes,),) = new_figure(height=4.8)
    for index, (name, line) in enumerate(rows.groupby("network", sort=False)):
        # Relative error of a standard deviation from n draws: 1 / sqrt(2 (n - 1)).
        error = 1.96 * line["sd"] / np.sqrt(2 * (line["repeats"] - 1))
        style = {"marker": MARKERS[index], "capsize": 3, "label": _name(name)}
        axes.errorbar(line["batch_size"], line["sd"], yerr=error, **style)
    sizes = np.sort(rows["batch_size"].unique())
    anchor = rows.loc[rows["batch_size"].eq(sizes[0]), "sd"].max()
    style = {"color": COLOURS["grey"], "linestyle": ":", "label": "1 / sqrt(batch)"}
    axes.plot(sizes, anchor * (sizes / sizes[0]) ** -0.5, **style)
    log2_axis(axes, sizes)
    axes.set_yscale("log")
    axes.set_xlabel("images per batch")
    axes.set_ylabel("sd of one repeat (nats)")
    legend(figure)
    return figure


@styled
def resolution(rows: pd.DataFrame) -> Figure:
    """Score against the side of the image, one panel a network."""
    names = list(dict.fromkeys(rows["network"]))
    figure, axes = new_figure(len(names), 1, height=3.6 * len(names))
    for name, panel in zip(names, axes[:, 0], strict=True):
        line = rows[rows["network"] == name]
        measured(panel, line, "resolution", "l1_minibatch", marker="o", label="Zen-Score")
        resolutions = line["resolution"].to_numpy(float)
        expected = line["l1_minibatch"].iloc[-1] + 2 * np.log(resolutions / resolutions[-1])
        panel.plot(resolutions, expected, color=COLOURS["grey"], linestyle=":", label="2 log(side)")
        log2_axis(panel, resolutions.astype(int))
        panel.set_title(_name(name))
        panel.set_ylabel("Zen-Score (nats)")
        panel.set_xlabel("side of the image (pixels)")
    legend(figure)
    return figure


@styled
def saturation(rows: pd.DataFrame) -> Figure:
    """What the finite difference loses against the exact derivative, by the size of the perturbation."""
    figure, ((axes,),) = new_figure(height=5.4)
    for index, (name, line) in enumerate(rows.groupby("network", sort=False)):
        axes.plot(line["perturbation"], line["bias"], marker=MARKERS[index % len(MARKERS)], label=_name(name))
    axes.axvline(0.01, color=COLOURS["grey"], linestyle="--", linewidth=1.5)
    note(axes, "alpha = 0.01 (paper)", at=(0.55, 0.04))
    zero(axes)
    axes.set_xscale("log")
    axes.set_xlabel("perturbation alpha")
    axes.set_ylabel("log(Delta / alpha) minus\nits exact limit (nats)")
    legend(figure)
    return figure


@styled
def size(rows: pd.DataFrame) -> Figure:
    """Score of plain networks against depth, one line a width."""
    figure, ((axes,),) = new_figure(height=5.2)
    for index, (width, line) in enumerate(rows.groupby("width")):
        style = {"marker": MARKERS[index], "label": f"{width} channels"}
        measured(axes, line, "convs", "l1_minibatch", **style)
    axes.set_xlabel("number of convolutions")
    axes.set_ylabel("Zen-Score (nats)")
    legend(figure)
    return figure


@styled
def definitions(rows: pd.DataFrame) -> Figure:
    """The released definition against ours over random networks; colour is the number of convolutions."""
    figure, ((axes,),) = new_figure(height=5.4)
    x, y = rows["l1_minibatch"], rows["l1_running"]
    errors = {"xerr": 1.96 * rows["l1_minibatch_stderr"], "yerr": 1.96 * rows["l1_running_stderr"]}
    axes.errorbar(x, y, **errors, fmt="none", ecolor="#BBBBBB", elinewidth=1)
    style = {"cmap": SHADES, "s": 60, "edgecolor": "white", "linewidth": 0.7, "zorder": 3}
    points = axes.scatter(x, y, c=rows["convs"], **style)
    axes.set_xlabel("L1, mini-batch variance (nats)")
    axes.set_ylabel("L1, running variance (nats)")
    note(axes, f"n = {len(rows)}")
    figure.colorbar(points, ax=axes, label="number of convolutions")
    return figure


def _name(network: str) -> str:
    if network.startswith("plain-"):
        return f"plain, {network.removeprefix('plain-')} convs"
    return network.replace("zennet", "ZenNet").replace("resnet", "ResNet-")
