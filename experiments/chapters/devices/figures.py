"""Figures of the chapter on devices."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.figures.marks import band, legend, tell, zero
from experiments.figures.style import COLOURS, MARKERS, PALETTE, new_figure, styled

_FAMILIES = ("ResNets", "Mobile nets", "ZenNets")


@styled
def overview(
    predictions: pd.DataFrame, cells: pd.DataFrame, devices: Mapping[str, str], scores: Mapping[str, str]
) -> Figure:
    """Above: the paper's V100 column against the table of convolutions. Below: scores at equal latency."""
    figure, axes = new_figure(2, 1, height=9.2)
    _v100(axes[0, 0], predictions)
    panel = axes[1, 0]
    for index, (score, text) in enumerate(scores.items()):
        mine = cells[cells["score"] == score].set_index("device").reindex(list(devices))
        style = {"marker": MARKERS[index], "color": PALETTE[index]}
        y = [len(devices) - 1 - place + 0.16 * (1.5 - index) for place in range(len(devices))]
        panel.errorbar(
            mine["tau_equal"], y, xerr=1.96 * mine["tau_equal_stderr"], linestyle="none", label=text, **style
        )
    panel.set_yticks(range(len(devices)), list(devices.values())[::-1])
    panel.axvline(0, color=COLOURS["black"], linewidth=1.2)
    panel.grid(axis="y", visible=False)
    panel.set_xlabel("Kendall's tau with accuracy at equal latency")
    panel.set_title("NAS-Bench-201, CIFAR-10")
    legend(figure, [panel])
    return figure


@styled
def fronts(lines: pd.DataFrame, devices: Mapping[str, str], scores: Mapping[str, str]) -> Figure:
    """What the fronts that scores find lose against the true one, a panel for each device."""
    figure, axes = new_figure(-(-len(devices) // 2), 2, height=9.6, sharex=True, sharey=True)
    for panel, (device, title) in zip(axes.flat, devices.items(), strict=False):
        for index, (score, text) in enumerate(scores.items()):
            mine = lines[(lines["device"] == device) & (lines["score"] == score)]
            if score == "latency":
                panel.plot(mine["budget"], mine["lost"], "--", color=COLOURS["grey"], label=text)
            else:
                band(panel, mine, "budget", "lost", index, text, alpha=0.15)
        zero(panel)
        panel.set_title(title)
    axes[0, 0].set_yscale("symlog", linthresh=1, linscale=0.6)
    ticks = [0, 1, 2, 5, 10, 20]
    axes[0, 0].set_yticks(ticks, [str(tick) for tick in ticks])
    axes[0, 0].set_yticks([], minor=True)
    axes[0, 0].set_ylim(25, -0.1)
    for panel in axes[-1]:
        panel.set_xlabel("cells within budget (%)")
    figure.supylabel("accuracy below the true front (points)")
    legend(figure, [axes[0, 0]])
    return figure


def _v100(panel: Axes, predictions: pd.DataFrame) -> None:
    mine = predictions[(predictions["precision"] == "fp16") & predictions["whole"].astype(bool)]
    for index, family in enumerate(_FAMILIES):
        part = mine[mine["family"] == family]
        panel.scatter(
            part["milliseconds"],
            part["published"],
            marker=MARKERS[index],
            color=PALETTE[index],
            s=60,
            label=family,
            urls=tell(
                part, "network", {"milliseconds": "predicted {:.2g} ms", "published": "Table 7 {:.2g} ms"}
            ),
        )
    if len(mine):
        ends = [mine["milliseconds"].min(), mine["milliseconds"].max()]
        for factor, style in ((1, "-"), (2, "--")):
            panel.plot(
                ends, [factor * end for end in ends], color=COLOURS["grey"], linestyle=style, linewidth=1.4
            )
    panel.set_xscale("log")
    panel.set_yscale("log")
    ticks = [0.05, 0.1, 0.2, 0.5, 1]
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.set_ticks([], minor=True)
    panel.set_xlabel("predicted from the table of convolutions (ms)")
    panel.set_ylabel("paper's Table 7 (ms)")
    panel.set_title("V100, fp16, batch 64")
    panel.legend(loc="lower right")
