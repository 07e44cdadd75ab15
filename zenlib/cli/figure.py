"""The figure of the report that a search writes. It needs matplotlib."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

POINTS = 400
"""Points of a drawn curve, evenly spread over the candidates."""


def convergence(history: pd.DataFrame) -> Figure:
    """Scores of one search and the best so far, against the number of scored candidates.

    Args:
        history: rows of a search, in the order of scoring.
    """
    figure = Figure(figsize=(7.0, 4.4), dpi=200, layout="constrained")
    axes = figure.subplots()
    scores = history["score"].to_numpy(float)
    best = np.maximum.accumulate(np.where(np.isnan(scores), -np.inf, scores))
    chosen = np.unique(np.linspace(0, len(scores) - 1, POINTS).astype(int))
    axes.scatter(chosen + 1, scores[chosen], s=10, color="#56B4E9", label="a candidate")
    axes.plot(
        chosen + 1,
        np.where(np.isfinite(best[chosen]), best[chosen], np.nan),
        color="#0072B2",
        label="best so far",
    )
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel("scored candidates")
    axes.set_ylabel("score (nats)")
    axes.legend(loc="lower right")
    return figure
