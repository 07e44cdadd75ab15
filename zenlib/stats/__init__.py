"""Rank correlations with intervals: `correlate` for one score, `compare` for two; `influence` does the same for thousands of networks."""

from zenlib.stats.correlation import (
    FEWEST,
    Correlation,
    Interval,
    check,
    compare,
    correlate,
    partial_correlation,
)

__all__ = ["FEWEST", "Correlation", "Interval", "check", "compare", "correlate", "partial_correlation"]
