"""Rank correlations with intervals: `correlate` for one score, `compare` for two; `ndcg` for the best alone.

`influence` correlates thousands of networks.
"""

from zenlib.stats.correlation import (
    FEWEST,
    Correlation,
    Interval,
    check,
    compare,
    correlate,
    partial_correlation,
)
from zenlib.stats.gain import ndcg

__all__ = [
    "FEWEST",
    "Correlation",
    "Interval",
    "check",
    "compare",
    "correlate",
    "ndcg",
    "partial_correlation",
]
