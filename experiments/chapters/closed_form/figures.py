"""Figures of the chapter on the closed form of the Zen-Score."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.figures.marks import legend, log2_axis, zero
from experiments.figures.style import COLOURS, MARKERS, PALETTE, SHADES, new_figure, note, styled

STAGES = {"fan_in": "fan-in", "border": "and the border", "theory_log_sigma": "and how q fluctuates"}
"""Stages of the derivation, by their columns."""


@styled
def agreement(resnet_like: pd.DataFrame, mobilenet_like: pd.DataFrame) -> Figure:
    """Deviation from Monte Carlo against the score, one panel a space; colour is the number of convs."""
    figure, axes = new_figure(2, 1, height=8.0)
    for panel, rows, title in zip(
        axes[:, 0], (resnet_like, mobilenet_like), ("ResNet-like", "MobileNet-like"), strict=True
    ):
        error = 196 * rows["l1_minibatch_stderr"] / rows["l1_minibatch"]
        panel.errorbar(
            rows["l1_minibatch"], rows["deviation"], yerr=error, fmt="none", ecolor="#C8C8C8", elinewidth=1
        )
        style = {"cmap": SHADES, "s": 30, "edgecolor": "white", "linewidth": 0.5, "zorder": 3}
        points = panel.scatter(rows["l1_minibatch"], rows["deviation"], c=rows["convs"], **style)
        zero(panel)
        reach = max(1.2, 1.1 * rows["deviation"].abs().max())
        panel.set_ylim(-reach, reach)
        panel.set_title(title)
        panel.set_xlabel("Zen-Score by Monte Carlo (nats)")
        panel.set_ylabel("closed form minus\nMonte Carlo (%)")
        note(panel, f"n = {len(rows)}", at=(0.03, 0.04))
        figure.colorbar(points, ax=panel, label="convolutions")
    return figure


@styled
def steps(inside: pd.DataFrame) -> Figure:
    """Error of log sigma in every layer for the three stages of the derivation, one panel a chain."""
    chains = list(dict.fromkeys(inside["chain"]))
    figure, axes = new_figure(len(chains), 1, height=2.9 * len(chains) + 0.8)
    for panel, chain in zip(axes[:, 0], chains, strict=True):
        rows = inside[inside["chain"] == chain]
        for index, (column, text) in enumerate(STAGES.items()):
            error = rows[column] - rows["log_sigma"]
            panel.plot(
                rows["layer"] + 1, error, marker=MARKERS[index], markersize=4, linewidth=1.4, label=text
            )
        noise = 1.96 * rows["log_sigma_stderr"]
        style = {"color": "#C8C8C8", "linewidth": 0, "label": "95 % of Monte Carlo"}
        panel.fill_between(rows["layer"] + 1, -noise, noise, **style)
        zero(panel, 1.0)
        panel.set_title(chain)
        panel.set_ylabel("error of\nlog sigma (nats)")
        panel.set_xlabel("convolution")
    legend(figure, [axes[0, 0]])
    return figure


@styled
def mechanism(inside: pd.DataFrame) -> Figure:
    """Three quantities of the theory, as lines, against their measurement in every fourth layer."""
    figure, axes = new_figure(3, 1, height=9.0, sharex=True)
    panels = (
        ("mean_ratio", "How Gaussian the values are, r"),
        ("image_spread", "Spread between images"),
        ("overlap", "Two channels' squared correlation"),
    )
    for panel, (column, text) in zip(axes[:, 0], panels, strict=True):
        for index, (chain, rows) in enumerate(inside.groupby("chain", sort=False)):
            seen = rows[rows["layer"] % 4 == 0]
            error = 1.96 * seen[f"{column}_stderr"]
            style = {"fmt": MARKERS[index], "markersize": 6, "elinewidth": 1.2, "zorder": 3}
            panel.errorbar(seen["layer"] + 1, seen[column], yerr=error, color=PALETTE[index], **style)
            width = 0.8 if column == "overlap" else 2.4
            theory = rows[f"theory_{column}"]
            panel.plot(rows["layer"] + 1, theory, color=PALETTE[index], linewidth=width, label=chain)
        if column != "mean_ratio":
            panel.set_yscale("log")
        panel.set_title(text)
    axes[-1, 0].set_xlabel("convolution")
    legend(figure, [axes[0, 0]])
    return figure


@styled
def takeover(inside: pd.DataFrame) -> Figure:
    """Share of the batch's variance that the largest image has, by layer."""
    figure, ((axes,),) = new_figure(height=5.0)
    for index, (chain, rows) in enumerate(inside.groupby("chain", sort=False)):
        share, error = 100 * rows["largest_share"], 196 * rows["largest_share_stderr"]
        style = {"marker": MARKERS[index], "markersize": 4, "elinewidth": 0.8, "linewidth": 1.6}
        axes.errorbar(rows["layer"] + 1, share, yerr=error, label=chain, **style)
    batch = int(inside["batch_size"].iloc[0])
    axes.axhline(100 / batch, color=COLOURS["grey"], linestyle=":", linewidth=1.8)
    note(axes, f"equal share of {batch} images: {100 / batch:.1f} %", at=(0.03, 0.96))
    axes.set_ylim(0, None)
    axes.set_xlabel("convolution")
    axes.set_ylabel("share of the largest image (%)")
    legend(figure)
    return figure


@styled
def mutants(rows: pd.DataFrame) -> Figure:
    """Closed form against Monte Carlo for mutants of one network."""
    figure, ((axes,),) = new_figure(height=5.4)
    score, theory, error = rows["l1_minibatch"], rows["closed_form"], 1.96 * rows["l1_minibatch_stderr"]
    axes.errorbar(score, theory, xerr=error, fmt="o", color=COLOURS["blue"], elinewidth=1, markersize=6)
    ends = np.array([np.min([score, theory]), np.max([score, theory])])
    axes.plot(ends, ends, color=COLOURS["black"], linewidth=1.2, label="equal")
    shift = rows["residual"].mean()
    axes.plot(ends, ends + shift, color=COLOURS["grey"], linestyle=":", label=f"{shift:+.1f} nats")
    axes.set_xlabel("Zen-Score by Monte Carlo (nats)")
    axes.set_ylabel("closed form (nats)")
    note(axes, f"n = {len(rows)}")
    axes.legend(loc="lower right")
    return figure


@styled
def limits(size: pd.DataFrame) -> Figure:
    """Deviation from Monte Carlo for plain networks against depth, one line a width."""
    figure, ((axes,),) = new_figure(height=5.2)
    for index, (width, line) in enumerate(size.groupby("width")):
        error = 196 * line["l1_minibatch_stderr"] / line["l1_minibatch"].abs()
        style = {"marker": MARKERS[index], "capsize": 3, "label": f"{width} channels"}
        axes.errorbar(line["convs"], line["deviation"], yerr=error, **style)
    axes.axhspan(-1, 1, color="#E8E8E8", zorder=0)
    log2_axis(axes, sorted(size["convs"].unique()))
    axes.set_xlabel("number of convolutions")
    axes.set_ylabel("closed form minus\nMonte Carlo (%)")
    legend(figure)
    return figure


@styled
def saturation(rows: pd.DataFrame) -> Figure:
    """What the finite difference lost against the derivative, by convolution, of the published networks."""
    figure, ((axes,),) = new_figure(height=5.4)
    groups = (("zennet-0.5M", "zennet-1.0M", "zennet-2.0M"), ("ms",), ("-SE",))
    for index, (endings, text) in enumerate(zip(groups, ("CIFAR", "latency", "FLOPs"), strict=True)):
        chosen = rows[[name.endswith(endings) for name in rows["network"]]]
        for number, (_, line) in enumerate(chosen.groupby("network", sort=False)):
            name = f"ZenNets for {text}" if number == 0 else None
            axes.plot(line["conv"], line["loss"], color=PALETTE[index], linewidth=1.8, label=name)
    axes.axhline(-0.5, color=COLOURS["grey"], linestyle="--", linewidth=1.5)
    note(axes, "half a nat lost", at=(0.97, 0.9))
    axes.set_xlabel("convolution")
    axes.set_ylabel("log(Delta / alpha) minus\nits exact limit (nats)")
    legend(figure)
    return figure


@styled
def value(rows: pd.DataFrame) -> Figure:
    """What one more convolution adds to the score, and per thousand weights, against width."""
    figure, axes = new_figure(2, 1, height=8.0, sharex=True)
    for index, (kind, line) in enumerate(rows.groupby("kind", sort=False)):
        dashes = "--" if "depthwise" in kind else "-"
        style = {"marker": MARKERS[index], "color": PALETTE[index], "linestyle": dashes}
        axes[0, 0].plot(line["width"], line["nats"], label=kind, **style)
        axes[1, 0].plot(line["width"], line["per_kilo"], **style)
    axes[0, 0].set_ylabel("nats a convolution")
    axes[1, 0].set_ylabel("nats per 1000 weights")
    axes[1, 0].set_yscale("log")
    log2_axis(axes[1, 0], sorted(rows["width"].unique()))
    axes[1, 0].set_xlabel("channels in and out")
    legend(figure)
    return figure
