"""nDCG@P: whether a score finds the best networks, whatever it does to the others."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from zenlib.stats.correlation import check


def ndcg(scores: ArrayLike, accuracies: ArrayLike, top: int = 1000) -> float:
    """Discounted gain of the networks that a score ranks first, over that of the best order.

    The sum over the first P networks of (2^accuracy - 1) / log2(1 + rank). A point of accuracy doubles the
    gain, so that only the very best count; networks of one score share their mean gain.

    Accuracies are in percent, `top` is P, and the gain in (0, 1], 1 for the order of the accuracies.

    Raises:
        ValueError: lengths differ, fewer than 5 networks, a value is not finite, or `top` is below 1.

    Source: Tybl and Neumann 2025 (arXiv 2502.04975), eq. 14.
    """
    given, percent = check(scores=scores, accuracies=accuracies)
    if top < 1:
        raise ValueError(f"top: needed at least 1 network, got {top}")
    gains = np.exp2(percent) - 1
    _, places, counts = np.unique(-given, return_inverse=True, return_counts=True)
    shared = (np.bincount(places, gains) / counts)[np.sort(places)]
    discounts = 1 / np.log2(np.arange(2, min(top, len(gains)) + 2))
    best = np.sort(gains)[::-1]
    return float(shared[: len(discounts)] @ discounts / (best[: len(discounts)] @ discounts))
