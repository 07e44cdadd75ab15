"""Figures of the chapter on search, and of the report that a search writes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from zenlib.plots.labels import label
from zenlib.plots.style import COLOURS, MARKERS, PALETTE, new_figure, note, styled

POINTS = 400
"""Points of a drawn curve, evenly spread over the candidates."""


@styled
def convergence(history: pd.DataFrame) -> Figure:
    """Scores of one search and the best so far, against the number of scored candidates.

    Args:
        history: rows of a search, in the order of scoring.
    """
    figure, ((axes,),) = new_figure(height=4.4)
    scores = history["score"].to_numpy(float)
    best = np.maximum.accumulate(np.where(np.isnan(scores), -np.inf, scores))
    chosen = np.unique(np.linspace(0, len(scores) - 1, POINTS).astype(int))
    axes.scatter(chosen + 1, scores[chosen], s=10, color=COLOURS["sky"], label="a candidate")
    axes.plot(chosen + 1, np.where(np.isfinite(best[chosen]), best[chosen], np.nan), color=COLOURS["blue"], label="best so far")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.set_xlabel(label("evaluations"))
    axes.set_ylabel(label("score"))
    axes.legend(loc="lower right")
    return figure
