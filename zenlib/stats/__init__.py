"""Rank correlations with intervals: `correlate` for one score, `compare` for two; `ndcg` for the best alone.

`influence` correlates thousands of networks.
"""

from zenlib.stats.correlation import FEWEST, Correlation, Interval, compare, correlate
from zenlib.stats.gain import ndcg

__all__ = ["FEWEST", "Correlation", "Interval", "compare", "correlate", "ndcg"]
