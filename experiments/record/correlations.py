"""What studies ask of correlations beyond `zenlib.stats`; of many networks with intervals by influence."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Unpack

import numpy as np
from numpy.typing import ArrayLike

from zenlib.stats.correlation import (
    Coefficient,
    Correlation,
    Interval,
    Options,
    bootstrap,
    check,
    codes_of,
    divide,
)
from zenlib.stats.influence import Estimate, Floats, coefficients, concordance, intervals, tau_of, untied

Families = Sequence[Hashable] | None
CONFIDENCE = 0.95


def compare_many(
    scores: ArrayLike, baseline: ArrayLike, accuracies: ArrayLike, *, families: Families = None
) -> Correlation:
    """The correlation of `scores` with accuracy minus that of `baseline` on the same networks."""
    pairs = zip(coefficients(scores, accuracies), coefficients(baseline, accuracies), strict=True)
    gaps = [Estimate(a.value - b.value, a.influence - b.influence) for a, b in pairs]
    reach = [gap.reach(families, CONFIDENCE) for gap in gaps]
    ends = [(gap.value - half, gap.value + half) for gap, half in zip(gaps, reach, strict=True)]
    return Correlation(gaps[0].value, gaps[1].value, ends[0], ends[1], len(gaps[0].influence))


def partial_correlation(
    scores: ArrayLike, accuracies: ArrayLike, given: ArrayLike, **options: Unpack[Options]
) -> Correlation:
    """What scores still say about accuracy once `given`, such as the number of convolutions, is known.

    Both coefficients use Kendall's formula (r_xy - r_xz r_yz) / sqrt((1 - r_xz^2)(1 - r_yz^2)). For
    Spearman's rho it is the correlation of the residuals of the ranks of scores and accuracies after a linear
    fit on the ranks of `given`. For Kendall's tau it is an index of the pairs, and need not be zero where the
    two are independent given the third (Korn 1984), so read the two together.

    Raises:
        ValueError: as in `correlate`, or `given` orders the networks just as the scores or accuracies do.
    """
    variables = check(scores=scores, accuracies=accuracies, given=given)

    def partial(of: Coefficient, weights: Floats, x: Floats, y: Floats, z: Floats) -> Floats:
        xy, xz, yz = of(weights, x, y), of(weights, x, z), of(weights, y, z)
        return divide(xy - xz * yz, (1 - xz**2) * (1 - yz**2))

    return bootstrap(partial, variables, **options)


def partial_many(
    scores: ArrayLike, accuracies: ArrayLike, given: ArrayLike, *, families: Families = None
) -> Correlation:
    """As `partial_correlation`, for many networks.

    Raises:
        ValueError: `given` orders the networks exactly as the scores or the accuracies do.
    """
    pairs = [coefficients(scores, accuracies), coefficients(scores, given), coefficients(accuracies, given)]
    return intervals([_partial(*(pair[which] for pair in pairs)) for which in (0, 1)], families, CONFIDENCE)


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
    families: Families = None,
) -> tuple[float, Interval, int]:
    """Kendall's tau-b over the pairs of networks of nearly equal cost, its interval, and the number of pairs.

    Costs are positive, such as parameters; the larger of a pair over the smaller is at most `ratio`, 1 means
    equal. NaN where all such pairs are tied in scores or in accuracies.
    """
    x, y, cost = check(scores=scores, accuracies=accuracies, costs=costs)
    order = np.argsort(cost, kind="stable")
    x, y, cost = x[order], y[order], cost[order]
    low = np.searchsorted(cost, cost / ratio * (1 - 1e-12), side="left")
    high = np.searchsorted(cost, cost * ratio * (1 + 1e-12), side="right")
    sums = np.array([_signs(x, y, place, low[place], high[place]) for place in range(len(x))]).T
    pairs = int((high - low - 1).sum() // 2)
    if not (sums[1].any() and sums[2].any()):
        return math.nan, (math.nan, math.nan), pairs
    ordered = tau_of(*sums)
    estimate = Estimate(ordered.value, ordered.influence[np.argsort(order)])
    return estimate.value, estimate.interval(families, CONFIDENCE), pairs


def _signs(x: Floats, y: Floats, place: int, low: int, high: int) -> tuple[float, float, float]:
    """Of one network with those from `low` to `high`.

    Concordant minus discordant pairs, pairs untied in x, and in y.
    """
    a, b = np.sign(x[low:high] - x[place]), np.sign(y[low:high] - y[place])
    return a @ b, a @ a, b @ b


def correlate_within(
    scores: ArrayLike, accuracies: ArrayLike, groups: Sequence[Hashable], *, families: Families = None
) -> tuple[float, Interval]:
    """Kendall's tau-b over the pairs of networks of one group, such as those of equal size.

    Raises:
        ValueError: no pair of one group differs in both.
    """
    values = check(scores=scores, accuracies=accuracies)
    codes = codes_of(groups, len(values[0]))
    both, of_x, of_y = (np.zeros(len(codes)) for _ in range(3))
    for group in range(int(codes.max()) + 1):
        members = np.flatnonzero(codes == group)
        x, y = (np.unique(column[members], return_inverse=True)[1] for column in values)
        both[members], of_x[members], of_y[members] = concordance(x, y), untied(x), untied(y)
    if not (of_x.any() and of_y.any()):
        raise ValueError(
            "groups: needed a pair of networks of one group with different scores and accuracies, got none"
        )
    estimate = tau_of(both, of_x, of_y)
    return estimate.value, estimate.interval(families, CONFIDENCE)
