"""Rank correlations of many networks, with intervals from influence functions in place of resamples.

`zenlib.stats` resamples matrices of n x n signs, which is exact in spirit and ends at some thousand networks.
A benchmark has tens of thousands. There a coefficient T is so nearly linear in the weights w of the networks
that its bootstrap variance is the sum of the squared influences dT / dw_i (the infinitesimal jackknife), and
these take n log n steps: sums over pairs are counts of dominated points, which a wavelet matrix answers.

With A_ij = sign(x_i - x_j), B_ij alike, and w = 1:

    tau-b = S_ab / sqrt(S_aa S_bb),  S_ab = sum_ij w_i w_j A_ij B_ij,         dS_ab / dw_i = 2 sum_j A_ij B_ij
    rho   = R_uv / sqrt(R_uu R_vv),  R_uv = sum_i w_i u_i v_i,  u = A w,      dR_uv / dw_i = u_i v_i + sum_k
    (A_ki v_k + u_k B_ki)

Intervals are symmetric in atanh T, so they stay inside (-1, 1).

Sources: Efron and Tibshirani 1993, chapter 21 (infinitesimal jackknife); Claude et al. 2015 (wavelet matrix).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zenlib.stats.correlation import Correlation, Interval, check, codes_of, require_share

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A coefficient T with its influences dT / dw of each network, (n,), which sum to 0."""

    value: float
    influence: Floats

    def reach(self, families: Sequence[Hashable] | None, confidence: float) -> float:
        """Half the width of a normal interval; networks of one family are one unit."""
        require_share(confidence)
        codes = None if families is None else codes_of(families, len(self.influence))
        units = self.influence if codes is None else np.bincount(codes, weights=self.influence)
        return NormalDist().inv_cdf((1 + confidence) / 2) * float(np.sqrt(np.square(units).sum()))

    def interval(self, families: Sequence[Hashable] | None, confidence: float) -> Interval:
        """Symmetric in atanh of the value."""
        reach = self.reach(families, confidence)
        if abs(self.value) > 1 - 1e-12:
            return self.value, self.value
        centre, half = np.arctanh(self.value), reach / (1 - self.value**2)
        return float(np.tanh(centre - half)), float(np.tanh(centre + half))


def correlate_many(
    scores: ArrayLike,
    accuracies: ArrayLike,
    *,
    families: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Correlation:
    """How well scores order many networks by accuracy; as `zenlib.correlate`, for a hundred networks or more.

    Networks of one of the `families` are not independent; `confidence` is the probability that the interval
    covers.

    Raises:
        ValueError: lengths differ, a value is not finite, or a variable is constant.
    """
    return intervals(coefficients(scores, accuracies), families, confidence)


def intervals(
    estimates: Sequence[Estimate], families: Sequence[Hashable] | None, confidence: float
) -> Correlation:
    """Kendall's tau and Spearman's rho, or what was made of several of them, with their intervals."""
    kendall, spearman = estimates
    ends = [estimate.interval(families, confidence) for estimate in estimates]
    return Correlation(kendall.value, spearman.value, ends[0], ends[1], len(kendall.influence))


def coefficients(scores: ArrayLike, accuracies: ArrayLike) -> tuple[Estimate, Estimate]:
    """Kendall's tau-b and Spearman's rho with their influences."""
    checked = check(scores=scores, accuracies=accuracies)
    x, y = (np.unique(values, return_inverse=True)[1] for values in checked)
    return tau_of(concordance(x, y), untied(x), untied(y)), _spearman(x, y)


def tau_of(both: Floats, of_x: Floats, of_y: Floats) -> Estimate:
    """Tau-b from sums over the pairs of each network: in order minus against it, untied in x, and in y."""
    scale = np.sqrt(of_x.sum() * of_y.sum())
    value = both.sum() / scale
    return Estimate(float(value), 2 * both / scale - value * (of_x / of_x.sum() + of_y / of_y.sum()))


def _spearman(x: Ints, y: Ints) -> Estimate:
    u, v = (_lower_minus_higher(ranks, np.ones(len(x))) for ranks in (x, y))  # twice the centred mid-ranks

    def moved(a: Ints, b: Ints, of_a: Floats, of_b: Floats) -> Floats:
        return of_a * of_b - _lower_minus_higher(a, of_b) - _lower_minus_higher(b, of_a)

    top, left, right = (u * v).sum(), (u * u).sum(), (v * v).sum()
    value = top / np.sqrt(left * right)
    influence = moved(x, y, u, v) / np.sqrt(left * right) - value / 2 * (
        moved(x, x, u, u) / left + moved(y, y, v, v) / right
    )
    return Estimate(float(value), influence)


def concordance(x: Ints, y: Ints) -> Floats:
    """For each point, how many others lie in its order minus how many against it; ties in x or y count 0.

    Both are dense ranks from 0, (n,).
    """
    tree = _WaveletMatrix(y[np.argsort(x, kind="stable")])
    counts = np.bincount(x)
    up_to = np.cumsum(counts)
    # Lower minus higher points to the left, less those to the right: all, less those that are not right.
    result = -_lower_minus_higher(y, np.ones(len(y)))
    for first in ((up_to - counts)[x], up_to[x]):
        result += tree.count(first, y) + tree.count(first, y + 1) - first
    return result


class _WaveletMatrix:
    """Counts, for many pairs (p, h) at once, the entries among the first p that are smaller than h."""

    def __init__(self, values: Ints) -> None:
        self.bits = max(1, int(values.max() + 1).bit_length())
        self.zeros: list[Ints] = []
        for bit in reversed(range(self.bits)):
            ones = values >> bit & 1
            self.zeros.append(np.concatenate([[0], np.cumsum(1 - ones)]))
            values = np.concatenate([values[ones == 0], values[ones == 1]])

    def count(self, prefix: Ints, limit: Ints) -> Ints:
        """(m,) counts for prefixes and limits (m,)."""
        start, end, total = np.zeros_like(prefix), prefix.copy(), np.zeros_like(prefix)
        for zeros, bit in zip(self.zeros, reversed(range(self.bits)), strict=True):
            high = (limit >> bit & 1).astype(bool)
            from_start, from_end = zeros[start], zeros[end]
            total += np.where(high, from_end - from_start, 0)
            start = np.where(high, zeros[-1] + start - from_start, from_start)
            end = np.where(high, zeros[-1] + end - from_end, from_end)
        return total


def untied(x: Ints) -> Floats:
    """For each point, how many others have another value."""
    return (len(x) - np.bincount(x)[x]).astype(np.float64)


def _lower_minus_higher(x: Ints, values: Floats) -> Floats:
    """For each point, the sum of values over the points below it in x minus that over those above."""
    sums = np.bincount(x, weights=values)
    up_to = np.cumsum(sums)
    return ((up_to - sums) - (values.sum() - up_to))[x]
