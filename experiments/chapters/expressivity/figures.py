"""Figures of the chapter on expressivity."""

from __future__ import annotations

import math
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from experiments.figures.marks import band, legend, log2_axis, zero
from experiments.figures.style import COLOURS, MARKERS, PALETTE, new_figure, note, styled


@styled
def regions(pictures: pd.DataFrame) -> Figure:
    """Linear regions on one slice of input space, one panel a depth, coloured by the network's slope."""
    depths = list(dict.fromkeys(pictures["depth"]))
    figure, axes = new_figure(len(depths), 1, height=4.3 * len(depths))
    scale = Normalize(-1, 1)
    for panel, depth in zip(axes.flat, depths, strict=True):
        _draw_regions(panel, pictures[pictures["depth"] == depth], scale)
    colours = matplotlib.cm.ScalarMappable(scale, "cividis")
    bar = figure.colorbar(
        colours, ax=axes, location="bottom", shrink=0.8, aspect=30, extend="both", ticks=(-1, 0, 1)
    )
    bar.set_label("log of the slope, less its median (nats)")
    return figure


def _draw_regions(panel: Axes, corners: pd.DataFrame, scale: Normalize) -> None:
    shapes = [part[["u", "v"]].to_numpy() for _, part in corners.groupby("region")]
    slopes = corners.groupby("region")["slope"].first().to_numpy()
    logs = np.log(np.where(slopes > 0, slopes, np.nan))
    logs = np.nan_to_num(logs - np.nanmedian(logs), nan=-np.inf)
    edge = min(0.8, 25 / len(shapes) ** 0.5 / 10)
    panel.add_collection(
        PolyCollection(
            shapes, array=np.maximum(logs, -1), cmap="cividis", norm=scale, edgecolor="white", linewidth=edge
        )
    )
    extent = corners[["u", "v"]].abs().to_numpy().max()
    ticks = (-extent, 0, extent)
    limits = (-extent, extent)
    panel.set(xlim=limits, ylim=limits, aspect="equal", xlabel="u", ylabel="v", xticks=ticks, yticks=ticks)
    panel.grid(False)
    depth = corners["depth"].iloc[0]
    panel.set_title(f"{depth} conv{'s' if depth > 1 else ''}: {len(shapes):,} regions")


@styled
def growth(rows: pd.DataFrame) -> Figure:
    """Regions against neurons, for networks made wider and deeper: beside bounds, and alone."""
    figure, ((allowed, counted),) = new_figure(1, 2, height=5.2)
    names = {"wider": "one layer, made wider", "deeper": "layers of equal width, made deeper"}
    for index, (grown, name) in enumerate(names.items()):
        part = rows[rows["grown"] == grown]
        mean = part.groupby("neurons")["regions"].mean()
        counted.plot(part["neurons"], part["regions"], MARKERS[index], color=PALETTE[index], alpha=0.5)
        for axes in (allowed, counted):
            axes.plot(mean.index, mean, label=f"{name}, counted", **_look(index))
        bound = part.groupby("neurons")["log10_bound"].first()
        style = {"color": PALETTE[index], "linestyle": "--", "label": f"{name}, bound"}
        allowed.plot(bound.index, 10**bound, **style)
    ticks = sorted(rows["neurons"].unique())
    for axes, title in ((allowed, "Counted and allowed"), (counted, "Counted")):
        log2_axis(axes, ticks)
        axes.set_yscale("log")
        axes.set_title(title)
        axes.set_xlabel("neurons (channels x positions)")
        axes.set_ylabel("regions on the slice")
    legend(figure, [allowed])
    return figure


@styled
def equal_neurons(rows: pd.DataFrame) -> Figure:
    """Regions and Phi-Score of networks with as many neurons, shared between more and more layers."""
    figure, ((left, right),) = new_figure(1, 2, height=4.2)
    for axes, column, text in ((left, "regions", "regions on the slice"), (right, "phi", "Phi-Score (nats)")):
        mean = rows.groupby("depth")[column].mean()
        axes.plot(rows["depth"], rows[column], "o", color=PALETTE[0], alpha=0.4)
        axes.plot(mean.index, mean, color=PALETTE[0])
        axes.set_xlabel("layers")
        axes.set_ylabel(text)
        axes.set_xticks(mean.index)
    bound = rows.groupby("depth")["log10_bound"].first()
    left.plot(bound.index, 10**bound, color=COLOURS["grey"], linestyle="--")
    left.text(bound.index[-1], 10 ** bound.iloc[-1], "bound ", ha="right", va="center", color=COLOURS["grey"])
    left.set_yscale("log")
    right.set_ylim(bottom=0)
    return figure


@styled
def figure2(by_depth: pd.DataFrame, by_width: pd.DataFrame) -> Figure:
    """The paper's Figure 2: no BatchNorm, BatchNorm, Zen-Score, against depth and against width."""
    figure, axes = new_figure(6, 1, height=20.4)
    for column, (rows, across) in enumerate(((by_depth, "depth"), (by_width, "width"))):
        plain, normalised, zen = panels = axes.reshape(2, 3)[column]
        _line(plain, rows, across, "phi_float32")
        _line(normalised, rows, across, "bn_difference")
        _rings(normalised, rows, across, "bn_derivative")
        style = {"color": COLOURS["grey"], "linestyle": ":", "zorder": 1, "label": "Phi in float64"}
        plain.plot(rows[across], rows["phi"], **style)
        zen.plot(rows[across], rows["phi"], **style)
        _line(zen, rows, across, "zen_difference")
        _rings(zen, rows, across, "zen_derivative")
        texts = ("Phi-Score (nats)", "gradient norm, log (nats)", "Zen-Score - log alpha (nats)")
        letters = "abc" if column == 0 else "def"
        for letter, panel, name, text in zip(letters, panels, ("no BN", "BN", "Zen"), texts, strict=True):
            panel.set_title(f"({letter}) {name}")
            panel.set_ylim(bottom=0)
            panel.set_xlabel("depth (convolutions)" if across == "depth" else "width (channels)")
            panel.set_ylabel(text)
    _mark_overflow(axes[0, 0], by_depth)
    legend(figure)
    return figure


def _line(panel: Axes, rows: pd.DataFrame, across: str, column: str) -> None:
    finite = rows[np.isfinite(rows[column])]
    panel.plot(finite[across], finite[column], label="float32, alpha = 0.01", markersize=5, **_look(0))


def _rings(panel: Axes, rows: pd.DataFrame, across: str, column: str) -> None:
    """The exact derivative, as rings: what they lie on stays in sight."""
    style: dict[str, Any] = {
        "color": PALETTE[1],
        "markersize": 9,
        "markeredgewidth": 1.8,
        "label": "exact derivative",
    }
    panel.plot(rows[across], rows[column], "o", markerfacecolor="none", clip_on=False, **style)


def _look(index: int) -> dict[str, Any]:
    return {"color": PALETTE[index], "marker": MARKERS[index]}


def _mark_overflow(panel: Axes, rows: pd.DataFrame) -> None:
    """Shades the depths at which float32 has no value left."""
    lost = rows[np.isinf(rows["phi_float32"])]
    if len(lost):
        ends = lost["depth"].min() - 0.5, lost["depth"].max() + 0.5
        panel.axvspan(*ends, color=COLOURS["vermilion"], alpha=0.2, linewidth=0)
        note(panel, "inf", at=(0.97, 0.45))


@styled
def theorem_rate(rate: pd.DataFrame, by_width: pd.DataFrame) -> Figure:
    """How far Theorem 1's ratio is from 1, against B H W and against width, with the rate -1/2."""
    figure, ((left, right),) = new_figure(1, 2, height=5.0, sharey=True)
    sizes = rate.assign(positions=rate["batch_size"] * rate["resolution"] ** 2)
    for index, ((depth, width), part) in enumerate(sizes.groupby(["depth", "width"])):
        _mean_line(left, part, "positions", index, f"{depth} layers of {width}")
    _mean_line(right, by_width, "width", 4, f"{by_width['depth'].iloc[0]} layers")
    _half_power(left, sizes["positions"], sizes["deviation"].max())
    _half_power(right, by_width["width"], 1.4 * by_width["deviation"].max())
    left.set_ylabel("rms of sqrt(R) - 1")
    left.set_xlabel("B H W")
    right.set_xlabel("width (channels)")
    for panel, base in ((left, 10), (right, 2)):
        panel.set_xscale("log", base=base)
        panel.set_yscale("log")
        panel.yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
        panel.yaxis.set_major_formatter("{x:.2g}")
        panel.yaxis.set_minor_formatter(NullFormatter())
    legend(figure, [left])
    return figure


def _mean_line(panel: Axes, rows: pd.DataFrame, across: str, colour: int, name: str) -> None:
    mean = rows.groupby(across)["deviation"].mean()
    look = _look(colour)
    panel.plot(rows[across], rows["deviation"], linestyle="none", alpha=0.3, markersize=5, **look)
    panel.plot(mean.index, mean, label=name, **look)


def _half_power(panel: Axes, x: pd.Series, top: float) -> None:
    ends = np.array([x.min(), x.max()], float)
    y = top * (ends / ends[0]) ** -0.5
    panel.plot(ends, y, color=COLOURS["grey"], linestyle=":", label="slope -1/2 (the bound)")


@styled
def theorem_depth(by_depth: pd.DataFrame) -> Figure:
    """Theorem 1's ratio against depth, for features and for gradients, with and without mean subtraction."""
    figure, ((axes,),) = new_figure(height=5.6)
    cases = (
        (False, "log_features", "features, mean kept (the proof)"),
        (True, "log_features", "features, mean subtracted (in use)"),
        (False, "log_gradient", "gradient, mean kept"),
        (True, "log_gradient", "gradient, mean subtracted"),
    )
    for index, (centred, column, name) in enumerate(cases):
        mean = by_depth[by_depth["centred"].astype(bool) == centred].groupby("depth")[column].mean()
        axes.plot(mean.index, mean, color=PALETTE[index], marker=MARKERS[index], label=name)
    depth = np.sort(by_depth["depth"].unique())
    style = {"color": COLOURS["grey"], "linestyle": ":", "label": "(L - 1) log(1 - 1/pi)"}
    axes.plot(depth, (depth - 1) * math.log(1 - 1 / math.pi), **style)
    zero(axes)
    axes.set_xlabel("depth L (convolutions)")
    axes.set_ylabel("log of the ratio (nats)")
    legend(figure)
    return figure


@styled
def fits(rows: pd.DataFrame) -> Figure:
    """Errors of read-outs on random features against width, one panel for each number of training images."""
    sizes = sorted(rows["train_images"].unique())
    figure, axes = new_figure(1, len(sizes), height=4.8, sharey=True)
    for panel, size in zip(axes[0], sizes, strict=True):
        part = rows[rows["train_images"] == size]
        _errors(panel, part, "width")
        panel.set_xscale("log", base=2)
        panel.set_xlabel("features (channels)")
        panel.set_title(f"{size} images")
        if part["width"].min() < size < part["width"].max():
            panel.axvline(size, color=COLOURS["grey"], linestyle=":")
    axes[0, 0].set_ylabel("mean squared error")
    axes[0, 0].set_ylim(1e-2, 200)
    legend(figure, [axes[0, 0]])
    return figure


@styled
def fits_by_depth(rows: pd.DataFrame) -> Figure:
    """Errors and Phi-Score of random features of one width against depth."""
    figure, ((left, right),) = new_figure(1, 2, height=4.4)
    _errors(left, rows, "depth")
    left.set_ylabel("mean squared error")
    left.set_ylim(0, None)
    left.legend(loc="lower right")
    phi = rows.groupby("depth")["phi"].mean()
    right.plot(phi.index, phi, color=PALETTE[2], marker=MARKERS[2])
    right.set_ylabel("Phi-Score (nats)")
    for panel in (left, right):
        panel.set_xlabel("depth (convolutions)")
    return figure


def _errors(panel: Axes, rows: pd.DataFrame, across: str) -> None:
    """Median over seeds with the range between the quartiles."""
    for index, (column, name) in enumerate((("train_error", "fitted, noisy"), ("test_error", "new images"))):
        found = rows.groupby(across)[column].quantile([0.25, 0.5, 0.75]).unstack()
        found = found.set_axis(["y_low", "y", "y_high"], axis=1).reset_index()
        band(panel, found, across, "y", index, name)
    if across == "width":
        panel.set_yscale("log")
