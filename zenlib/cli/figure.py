"""The figures of the report that a search writes. They need matplotlib."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

POINTS = 400
"""Points of a drawn curve, evenly spread over the candidates."""


def convergence(history: pd.DataFrame) -> Figure:
    """Scores of one search, in their order, and the best so far, against the number of candidates."""
    figure, axes = _axes("scored candidates")
    scores = history["score"].to_numpy(float)
    chosen = np.unique(np.linspace(0, len(scores) - 1, POINTS).astype(int))
    axes.scatter(chosen + 1, scores[chosen], s=10, color="#56B4E9", label="a candidate")
    axes.plot(chosen + 1, history["score"].cummax().ffill()[chosen], color="#0072B2", label="best so far")
    axes.legend(loc="lower right")
    return figure


def fronts(history: pd.DataFrame, front: pd.DataFrame, cost: str, label: str) -> Figure:
    """Scores of one search against a cost, which the label names with its unit, and the sorted front."""
    figure, axes = _axes(label)
    shown = history.sample(min(len(history), 10 * POINTS), random_state=0)
    axes.scatter(shown[cost], shown["score"], s=6, color="#56B4E9", label="a candidate")
    axes.step(front[cost], front["score"], where="post", marker="o", ms=3, color="#0072B2", label="the front")
    axes.legend(loc="lower right")
    return figure


def _axes(label: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7.0, 4.4), dpi=200, layout="constrained")
    axes = figure.subplots()
    if not label.endswith("(ms per image)"):  # counts: 10k, 1M
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(label)
    axes.set_ylabel("score (nats)")
    return figure, axes
