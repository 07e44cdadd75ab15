"""What one score costs: seconds and memory of every proxy, as ratios to Zen (Table 2 of the paper).

The paper timed three scores on a V100 for 16 images of 224 pixels. Here every proxy is timed, on this
machine; what can be compared are ratios. A time is that of the whole call: weights and images are drawn in
it, and what needs the vanilla form of the network makes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.chapters.proxy_cost.measure import REFERENCE, STEPS, in_its_own_process
from experiments.record.agreement import TIME, Within
from experiments.record.keys import crossed
from experiments.record.table import Table
from experiments.record.wording import Told
from zenlib.proxies import PROXIES

SCORES = (*PROXIES, *STEPS)
LEFT_OUT = [("resnet50", name) for name in ("intrain", "epsinas", "vkdnw")]
"""Not measured, for the minutes that it takes."""
FEWER = {"vkdnw": {"resolution": 64, "batch_size": 2, "repeats": 1}}
"""Settings of a score, and of Zen beside it, that takes a backward pass for every image and class."""
CLASSES = 1000
"""Of ImageNet, for which these networks are built."""
PAPER = {("resnet18", "zen"): 0.012, ("resnet18", "naswot"): 0.040, ("resnet18", "te-nas"): 0.34} | {
    ("resnet50", "zen"): 0.037,
    ("resnet50", "naswot"): 0.059,
    ("resnet50", "te-nas"): 0.77,
}
"""Seconds of Table 2."""


def cost_row(
    *, network: str, score: str, resolution: int, batch_size: int, repeats: int, device: str
) -> dict[str, Any]:
    """Time and memory of one score, in a process of its own."""
    return in_its_own_process(network, score, resolution, batch_size, repeats, device)


COSTS = Table(
    study="proxy_cost",
    name="costs",
    compute=cost_row,
    units={
        "network": "name: torchvision's",
        "score": "name: a proxy, or a part of one",
        "resolution": "pixel: side of the images",
        "batch_size": "count: images",
        "repeats": "count: timed scores",
        "device": (
            "name: cpu (time of the process, one thread) or cuda (time of the clock, device waited for)"
        ),
    }
    | {
        "value": "1: the score itself for seed 0, NaN where undefined",
        "time": "s: median over repeats",
        "zen_time": (
            "s: median over repeats of the Zen-Score, L1 and mini-batch variance, taken in turns with the "
            "other"
        ),
        "ratio": "1: median over repeats of time over zen_time",
        "ratio_low": "1: the smallest of these ratios",
        "ratio_high": "1: the largest",
        "mebibytes": "MiB: growth of the largest memory of a fresh process in its first score",
    },
    agreement={"value": Within(0.1)},
    otherwise=TIME,
)
TABLES = (COSTS,)


@dataclass(frozen=True)
class CostRows:
    """What the chapter reads."""

    costs: pd.DataFrame  # one line per network and score, the score's `needs` beside it


def run(
    *,
    networks: Sequence[str] = ("resnet18", "resnet50"),
    scores: Sequence[str] | None = None,
    resolution: int = 224,
    batch_size: int = 16,
    repeats: int = 2,
    device: str = "cpu",
) -> CostRows:
    """Measures what is not stored yet.

    Args:
        networks: torchvision names.
        scores: names in `PROXIES`, or parts of a score; None means all, and Zen must be among them.
        resolution: side of the images, pixels.
        batch_size: images.
        repeats: timed scores.
        device: "cpu" or "cuda".
    """
    settings = {"resolution": resolution, "batch_size": batch_size, "repeats": repeats, "device": device}
    keys = crossed(settings, network=networks, score=scores or SCORES)
    measured = [key for key in keys if (key["network"], key["score"]) not in LEFT_OUT]
    costs = COSTS.fill([key | FEWER.get(key["score"], {}) for key in measured])
    needs = costs["score"].map(lambda score: PROXIES[score].needs if score in PROXIES else "counting")
    return CostRows(costs.assign(needs=needs))


def beside_the_paper(costs: pd.DataFrame) -> pd.DataFrame:
    """Our ratios next to those of Table 2: `network`, `score`, `ours`, `low`, `high`, `paper`."""
    lines = []
    for (network, score), seconds in PAPER.items():
        row = costs[(costs["network"] == network) & (costs["score"] == score)]
        if score != REFERENCE and len(row):
            ours = row[["ratio", "ratio_low", "ratio_high"]].iloc[0]
            lines.append((network, score, *ours, seconds / PAPER[network, REFERENCE]))
    return pd.DataFrame(lines, columns=["network", "score", "ours", "low", "high", "paper"])


UNKNOWN = "not measured"
"""What a fact says in a run without this row."""


def facts(rows: CostRows) -> dict[str, str]:
    """Every number of the chapter's prose; in parentheses the smallest and the largest of two repeats."""
    told: dict[str, str] = {}
    written = rows.costs.select_dtypes("number").map(_digits)
    costs = Told(written.join(rows.costs[["network", "score"]]), ["network", "score"], UNKNOWN)
    sizes = Told(rows.costs, ["network", "score"], UNKNOWN)
    for network, short in (("resnet18", "r18"), ("resnet50", "r50")):
        for score in SCORES:
            at, name = (network, score), f"{score.replace('-', '_').replace(', ', '_')}_{short}"
            told[f"ratio_{name}"] = costs.text(at, "{ratio} ({ratio_low} to {ratio_high})")
            told[f"first_{name}"], told[f"later_{name}"] = (
                costs.text(at, "{" + end + "}") for end in ("ratio_high", "ratio_low")
            )
            told[f"seconds_{name}"] = costs.text(at, "{time}")
            told[f"mebibytes_{name}"] = sizes.text(at, "{mebibytes:,.0f}")
            if at in PAPER:
                told[f"paper_{name}"] = _digits(PAPER[at] / PAPER[network, REFERENCE])
                told[f"paper_seconds_{name}"] = f"{PAPER[at]:g}"
    first = rows.costs.iloc[0]
    proxies = rows.costs.loc[rows.costs["score"].isin(list(PROXIES)), "score"].nunique()
    settings = {name: str(first[name]) for name in ("resolution", "batch_size", "repeats", "device")}
    return told | {"scores": str(proxies), "passes_vkdnw": f"{first['batch_size'] * CLASSES:,}"} | settings


def _digits(value: float) -> str:
    """Two significant digits, never in exponents."""
    if not np.isfinite(value):
        return "undefined"
    if value <= 0:
        return f"{value:.2g}"
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.{max(0, 1 - int(np.floor(np.log10(value))))}f}"
