"""NAS-Bench-201 on six devices: is a score a hidden measure of cost, and which helps at equal latency?"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from experiments.benchmarks import device_tables
from experiments.benchmarks.nasbench201_variants import cells
from experiments.chapters.devices.v100 import STUDY
from experiments.record.agreement import ARITHMETIC
from experiments.record.estimates import with_ends
from experiments.record.table import Table

SCORES = {
    "zen_l1_running": "Zen, released",
    "zen_l1_minibatch": "Zen, as built",
    "effective_gain": "repaired",
    "live_convs": "live convolutions",
    "params": "parameters",
    "latency": "latency itself",
}
"""Score -> how the chapter calls it; Monte-Carlo ones with the first seed."""
BINS = 50
"""Groups of cells of nearly equal latency, equally many in each."""
BUDGETS = 20
"""Latency budgets: equally spaced quantiles of the device's latencies, the last being all cells."""
SHARES = tuple(range(10, 101, 10))
"""Percent of the cells that are within the budgets of the fronts."""
RESAMPLES = 100
"""Of the cells, for the intervals of a front."""


@cache
def members(dataset: str, device: str) -> pd.DataFrame:
    """Cells with a path that the device ran: accuracy, latency and scores."""
    latency = device_tables.cells(dataset)[device]
    rows = cells().assign(latency=latency, accuracy=cells()[dataset])
    return rows[rows["connected"] & latency.notna()].reset_index(drop=True)


def cell_row(*, dataset: str, device: str, score: str) -> dict[str, Any]:
    """A score against latency, against accuracy, at equal latency, and as a way to choose."""
    rows = members(dataset, device)
    values, latency, accuracy = (rows[name].to_numpy(float) for name in (score, "latency", "accuracy"))
    within = _at_equal_latency(values, latency, accuracy)
    budgets = np.quantile(latency, np.arange(1, BUDGETS + 1) / BUDGETS)
    losses = _lost(values, latency, accuracy, budgets)
    return {
        "n": len(rows),
        "tau_latency": float(kendalltau(values, latency).statistic),
        "tau_accuracy": float(kendalltau(values, accuracy).statistic),
        "tau_equal": float(np.mean(within)),
        "tau_equal_stderr": float(np.std(within, ddof=1) / np.sqrt(len(within))),
        "bins": len(within),
        "loss": float(np.mean(losses)),
        "worst_loss": float(np.max(losses)),
        "spread": float(np.std(accuracy[latency <= budgets[0]])),
    }


def _at_equal_latency(values: np.ndarray, latency: np.ndarray, accuracy: np.ndarray) -> list[float]:
    """Kendall's tau with accuracy within groups of nearly equal latency; 0 where all scores are alike."""
    order = np.argsort(latency, kind="stable")
    found = [
        float(kendalltau(values[part], accuracy[part]).statistic) for part in np.array_split(order, BINS)
    ]
    return [0.0 if np.isnan(tau) else tau for tau in found]


def _lost(values: np.ndarray, latency: np.ndarray, accuracy: np.ndarray, budgets: np.ndarray) -> list[float]:
    """Points of accuracy that the highest score in each budget is below the best cell; ties are averaged."""
    losses = []
    for budget in budgets:
        affordable = latency <= budget
        best = values[affordable] == values[affordable].max()
        losses.append(float(accuracy[affordable].max() - accuracy[affordable][best].mean()))
    return losses


def front_row(*, dataset: str, device: str, score: str) -> dict[str, float]:
    """How far the front that a score finds lies below the true one, at every budget."""
    rows = members(dataset, device)
    columns = rows[[score, "latency", "accuracy"]].to_numpy(float).T
    budgets = np.quantile(columns[1], np.array(SHARES) / 100)
    rng = np.random.default_rng(0)

    def lost(chosen: np.ndarray) -> list[float]:
        values, latency, accuracy = columns[:, chosen]
        return _lost(values, latency, accuracy, budgets)

    others = [lost(rng.integers(len(rows), size=len(rows))) for _ in range(RESAMPLES)]
    low, high = np.quantile(others, (0.025, 0.975), axis=0)
    found: dict[str, float] = {}
    for share, value, *interval in zip(SHARES, lost(np.arange(len(rows))), low, high, strict=True):
        found |= with_ends(f"lost_{share}", value, interval)
    return found


CELLS = Table(
    study=STUDY,
    name="cells",
    compute=cell_row,
    units={
        "dataset": "name: cifar10, cifar100 or imagenet16, test accuracy after 200 epochs",
        "device": "name: edgegpu, raspi4, edgetpu, pixel3, eyeriss or fpga, latency of HW-NAS-Bench",
        "score": "name: a score, a count, or latency",
        "n": "count: cells with a path that the device ran",
        "tau_latency": "1: Kendall's tau of score and latency",
        "tau_accuracy": "1: Kendall's tau of score and accuracy",
        "tau_equal": (
            f"1: Kendall's tau of score and accuracy, mean over {BINS} groups of nearly equal latency"
        ),
        "tau_equal_stderr": "1: standard error of tau_equal over the groups",
        "bins": "count: groups of nearly equal latency",
        "loss": (
            f"points: accuracy below the best affordable cell when the highest score is taken, mean over "
            f"{BUDGETS} budgets of latency"
        ),
        "worst_loss": "points: the largest over the budgets",
        "spread": "points: standard deviation of the accuracies in the smallest budget",
    },
    otherwise=ARITHMETIC,
)
CELL_FRONTS = Table(
    study=STUDY,
    name="cell_fronts",
    key=CELLS.key,
    compute=front_row,
    units={name: CELLS.units[name] for name in CELLS.key}
    | {
        f"lost_{share}{end}": f"points: {meaning} when the {share} % fastest cells are within the budget"
        for share in SHARES
        for end, meaning in (
            ("", "accuracy of the highest score below that of the best cell"),
            ("_low", "lower end of its 95 % interval over resampled cells"),
            ("_high", "upper end of its 95 % interval over resampled cells"),
        )
    },
    otherwise=ARITHMETIC,
)
