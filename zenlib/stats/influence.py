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

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zenlib.stats import Correlation, Interval, check

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A coefficient with its influences.

    Attributes:
        value: the coefficient.
        influence: dT / dw of each network, (n,); they sum to 0.
    """

    value: float
    influence: Floats

    def stderr(self, codes: Ints | None) -> float:
        """Standard error, networks of one code being one unit."""
        units = self.influence if codes is None else np.bincount(codes, weights=self.influence)
        return float(np.sqrt(np.square(units).sum()))


def correlate_many(
    scores: ArrayLike,
    accuracies: ArrayLike,
    *,
    families: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Correlation:
    """How well scores order many networks by accuracy; as `zenlib.correlate`, for a hundred networks or more.

    Args:
        scores: one number per network.
        accuracies: one number per network, in the same order.
        families: the unit that each network belongs to, where networks of one unit are not independent; None:
            each is its own.
        confidence: probability that the interval covers.

    Raises:
        ValueError: lengths differ, a value is not finite, or a variable is constant.
    """
    kendall, spearman = coefficients(scores, accuracies)
    codes, width = _codes(families, len(kendall.influence)), _width(confidence)
    ends = [_interval(estimate, codes, width) for estimate in (kendall, spearman)]
    return Correlation(kendall.value, spearman.value, ends[0], ends[1], len(kendall.influence))


def compare_many(
    scores: ArrayLike,
    baseline: ArrayLike,
    accuracies: ArrayLike,
    *,
    families: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Correlation:
    """The correlation of `scores` with accuracy minus that of `baseline` on the same networks.

    See `correlate_many`.
    """
    first, second = coefficients(scores, accuracies), coefficients(baseline, accuracies)
    codes, width = _codes(families, len(first[0].influence)), _width(confidence)
    gaps = [
        Estimate(a.value - b.value, a.influence - b.influence) for a, b in zip(first, second, strict=True)
    ]
    reach = [width * gap.stderr(codes) for gap in gaps]
    ends = [(gap.value - half, gap.value + half) for gap, half in zip(gaps, reach, strict=True)]
    return Correlation(gaps[0].value, gaps[1].value, ends[0], ends[1], len(gaps[0].influence))


def partial_many(
    scores: ArrayLike,
    accuracies: ArrayLike,
    given: ArrayLike,
    *,
    families: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Correlation:
    """What scores still say about accuracy once `given` is known.

    As `zenlib.stats.partial_correlation`, for many networks.

    Raises:
        ValueError: as in `correlate_many`, or `given` orders the networks exactly as the scores or the
            accuracies do.
    """
    pairs = [coefficients(scores, accuracies), coefficients(scores, given), coefficients(accuracies, given)]
    partials = [_partial(*(pair[which] for pair in pairs)) for which in (0, 1)]
    codes, width = _codes(families, len(partials[0].influence)), _width(confidence)
    ends = [_interval(estimate, codes, width) for estimate in partials]
    return Correlation(partials[0].value, partials[1].value, ends[0], ends[1], len(partials[0].influence))


def _partial(xy: Estimate, xz: Estimate, yz: Estimate) -> Estimate:
    """(r_xy - r_xz r_yz) / sqrt((1 - r_xz^2)(1 - r_yz^2)), by the rule for derivatives of a quotient."""
    left, right = 1 - xz.value**2, 1 - yz.value**2
    if min(left, right) < 1e-9:
        raise ValueError(
            "given: needed an order of the networks unlike that of the scores and of the accuracies, got the "
            "same or its reverse"
        )
    scale = np.sqrt(left * right)
    value = (xy.value - xz.value * yz.value) / scale
    of_xz = (value * xz.value * right / scale - yz.value) / scale
    of_yz = (value * yz.value * left / scale - xz.value) / scale
    return Estimate(float(value), xy.influence / scale + of_xz * xz.influence + of_yz * yz.influence)


def kendall_near(
    scores: ArrayLike,
    accuracies: ArrayLike,
    costs: ArrayLike,
    ratio: float = 1.05,
    *,
    families: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> tuple[float, Interval, int]:
    """Kendall's tau-b over the pairs of networks of nearly equal cost.

    Args:
        scores: one number per network.
        accuracies: one number per network.
        costs: positive numbers, such as parameters.
        ratio: the larger cost of a pair over the smaller is at most this; 1 means equal.
        families: as in `correlate_many`.
        confidence: probability that the interval covers.

    Returns:
        tau-b, its interval, and the number of pairs. NaN where all such pairs are tied in scores or in
        accuracies.
    """
    x, y, cost = check(scores=scores, accuracies=accuracies, costs=costs)
    order = np.argsort(cost, kind="stable")
    x, y, cost = x[order], y[order], cost[order]
    low = np.searchsorted(cost, cost / ratio * (1 - 1e-12), side="left")
    high = np.searchsorted(cost, cost * ratio * (1 + 1e-12), side="right")
    sums = np.array([_signs(x, y, place, low[place], high[place]) for place in range(len(x))]).T
    both, of_x, of_y = sums
    pairs = int((high - low - 1).sum() // 2)
    if not (of_x.any() and of_y.any()):
        return math.nan, (math.nan, math.nan), pairs
    scale = np.sqrt(of_x.sum() * of_y.sum())
    value = both.sum() / scale
    influence = np.empty(len(x))
    influence[order] = 2 * both / scale - value * (of_x / of_x.sum() + of_y / of_y.sum())
    estimate = Estimate(float(value), influence)
    return estimate.value, _interval(estimate, _codes(families, len(x)), _width(confidence)), pairs


def _signs(x: Floats, y: Floats, place: int, low: int, high: int) -> tuple[float, float, float]:
    """Of one network with those from `low` to `high`.

    Concordant minus discordant pairs, pairs untied in x, and in y.
    """
    a, b = np.sign(x[low:high] - x[place]), np.sign(y[low:high] - y[place])
    return a @ b, a @ a, b @ b


def coefficients(scores: ArrayLike, accuracies: ArrayLike) -> tuple[Estimate, Estimate]:
    """Kendall's tau-b and Spearman's rho with their influences."""
    x, y = (
        np.unique(values, return_inverse=True)[1] for values in check(scores=scores, accuracies=accuracies)
    )
    return _kendall(x, y), _spearman(x, y)


def _kendall(x: Ints, y: Ints) -> Estimate:
    both, of_x, of_y = concordance(x, y), _untied(x), _untied(y)
    scale = np.sqrt(of_x.sum() * of_y.sum())
    value = both.sum() / scale
    return Estimate(float(value), 2 * both / scale - value * (of_x / of_x.sum() + of_y / of_y.sum()))


def _spearman(x: Ints, y: Ints) -> Estimate:
    u, v = _rank_sums(x), _rank_sums(y)

    def moved(a: Ints, b: Ints, of_a: Floats, of_b: Floats) -> Floats:
        return of_a * of_b + _above_minus_below(a, of_b) + _above_minus_below(b, of_a)

    top, left, right = (u * v).sum(), (u * u).sum(), (v * v).sum()
    value = top / np.sqrt(left * right)
    influence = moved(x, y, u, v) / np.sqrt(left * right) - value / 2 * (
        moved(x, x, u, u) / left + moved(y, y, v, v) / right
    )
    return Estimate(float(value), influence)


def concordance(x: Ints, y: Ints) -> Floats:
    """For each point, how many others lie in its order minus how many against it; ties in x or y count 0.

    Args:
        x: dense ranks from 0, (n,).
        y: dense ranks from 0, (n,).
    """
    order = np.argsort(x, kind="stable")
    below = np.searchsorted(x[order], x[order], side="left")
    up_to = np.searchsorted(x[order], x[order], side="right")
    heights = y[order]
    n, sorted_heights = len(x), np.sort(y)
    tree = _WaveletMatrix(heights)
    lower_left, not_higher_left = tree.count(below, heights), tree.count(below, heights + 1)
    lower_right = np.searchsorted(sorted_heights, heights, side="left") - tree.count(up_to, heights)
    not_higher_right = np.searchsorted(sorted_heights, heights, side="right") - tree.count(up_to, heights + 1)
    result = np.empty(n)
    result[order] = lower_left - (below - not_higher_left) - lower_right + (n - up_to - not_higher_right)
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


def _untied(x: Ints) -> Floats:
    """For each point, how many others have another value."""
    return (len(x) - np.bincount(x)[x]).astype(np.float64)


def _rank_sums(x: Ints) -> Floats:
    """For each point, how many lie below it minus how many above: twice its centred mid-rank."""
    counts = np.bincount(x)
    below = np.cumsum(counts) - counts
    return (2 * below + counts - len(x))[x].astype(np.float64)


def _above_minus_below(x: Ints, values: Floats) -> Floats:
    """For each point, the sum of values over the points above it in x minus that over those below."""
    sums = np.bincount(x, weights=values)
    up_to = np.cumsum(sums)
    return (values.sum() - up_to - (up_to - sums))[x]


def _codes(families: Sequence[Hashable] | None, n: int) -> Ints | None:
    if families is None:
        return None
    if len(families) != n:
        raise ValueError(f"families: needed one per network ({n}), got {len(families)}")
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(family, len(numbers)) for family in families])


def _width(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: needed a share between 0 and 1, got {confidence}")
    return NormalDist().inv_cdf((1 + confidence) / 2)


def _interval(estimate: Estimate, codes: Ints | None, width: float) -> Interval:
    if abs(estimate.value) > 1 - 1e-12:
        return estimate.value, estimate.value
    reach = width * estimate.stderr(codes) / (1 - estimate.value**2)
    return float(np.tanh(np.arctanh(estimate.value) - reach)), float(
        np.tanh(np.arctanh(estimate.value) + reach)
    )


def correlate_within(
    scores: ArrayLike,
    accuracies: ArrayLike,
    groups: Sequence[Hashable],
    *,
    families: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> tuple[float, Interval]:
    """Kendall's tau-b over the pairs of networks of one group, such as those of equal size.

    Args:
        scores: one number per network.
        accuracies: one number per network.
        groups: what the networks of a pair have in common.
        families: as in `correlate_many`.
        confidence: as in `correlate_many`.

    Raises:
        ValueError: as in `correlate_many`, or no pair of one group differs in both.
    """
    values = check(scores=scores, accuracies=accuracies)
    codes = _codes(groups, len(values[0]))
    assert codes is not None
    both, of_x, of_y = (np.zeros(len(codes)) for _ in range(3))
    for group in range(int(codes.max()) + 1):
        members = np.flatnonzero(codes == group)
        x, y = (np.unique(column[members], return_inverse=True)[1] for column in values)
        both[members], of_x[members], of_y[members] = concordance(x, y), _untied(x), _untied(y)
    scale = float(np.sqrt(of_x.sum() * of_y.sum()))
    if scale == 0:
        raise ValueError(
            "groups: needed a pair of networks of one group with different scores and accuracies, got none"
        )
    value = float(both.sum()) / scale
    estimate = Estimate(value, 2 * both / scale - value * (of_x / of_x.sum() + of_y / of_y.sum()))
    return value, _interval(estimate, _codes(families, len(codes)), _width(confidence))
