"""Comparisons, partial correlations and pairs of one group, of many networks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from experiments.record.correlations import (
    compare_many,
    correlate_within,
    kendall_near,
    partial_correlation,
    partial_many,
)
from tests.library.stats.test_influence import require_alike, sample
from tests.library.stats.test_stats import FEW
from tests.library.stats.test_stats import sample as normal_sample
from zenlib.stats import compare, correlate
from zenlib.stats.influence import coefficients


@pytest.mark.parametrize("options", [{}, {"families": [i // 5 for i in range(300)]}])
def test_the_interval_of_a_difference_is_that_of_the_bootstrap(options):
    x, y, z = sample(300, levels=4)
    resample = {"resample": "families"} if options else {}
    quick, slow = compare_many(x, z, y, **options), compare(x, z, y, resamples=2000, **options, **resample)
    assert quick.n == 300
    require_alike(quick, slow)


@pytest.mark.parametrize("levels", [None, 4])
def test_partial_correlations_and_their_intervals_are_those_of_the_bootstrap(levels):
    x, y, z = sample(300, levels, seed=3)
    quick, slow = partial_many(x, y, z), partial_correlation(x, y, z, resamples=2000)
    require_alike(quick, slow, atol=0.02)
    with pytest.raises(ValueError, match="given: needed an order of the networks unlike"):
        partial_many(x, y, np.exp(y))


def test_kendall_near_counts_the_pairs_of_nearly_equal_cost():
    x, y, z = sample(60, levels=4)
    cost = np.exp(z / 20)
    near = np.maximum(cost[:, None] / cost, cost / cost[:, None]) <= 1.05
    a, b = (np.sign(values[:, None] - values) * near for values in (x, y))
    value, (low, high), pairs = kendall_near(x, y, cost)
    assert value == pytest.approx((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
    assert pairs == (near.sum() - 60) // 2 and low < value < high
    everything, _, _ = kendall_near(x, y, cost, ratio=1e9)
    assert everything == pytest.approx(coefficients(x, y)[0].value)


def test_the_interval_at_equal_cost_covers_the_spread_of_samples():
    found = [
        kendall_near(*sample(200, seed=seed)[:2], np.arange(200) % 5 + 1.0, ratio=1.0) for seed in range(60)
    ]
    values, widths = [value for value, _, _ in found], [high - low for _, (low, high), _ in found]
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(values), rel=0.3)


def test_pairs_that_are_all_tied_have_no_tau():
    value, _, pairs = kendall_near([1.0, 1, 2, 2, 3], [1.0, 2, 3, 4, 5], [1.0, 1, 2, 2, 3], ratio=1.0)
    assert np.isnan(value) and pairs == 2


def test_tau_within_groups_counts_only_their_pairs():
    rng = np.random.default_rng(5)
    groups = rng.integers(0, 6, 150)
    accuracies = rng.normal(size=150).round(1)
    scores = accuracies + rng.normal(size=150) - 10 * groups
    tau, (low, high) = correlate_within(scores, accuracies, groups.tolist())
    same = np.triu(groups[:, None] == groups[None, :], 1)
    a, b = (np.sign(values[:, None] - values[None, :]) * same for values in (scores, accuracies))
    assert tau == pytest.approx((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))
    assert low < tau < high
    with pytest.raises(ValueError, match="groups"):
        correlate_within([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], list("abcde"))


def test_partial_spearman_is_the_correlation_of_rank_residuals() -> None:
    x, y = normal_sample(40, 0.5, seed=0, decimals=1)
    z = x + np.random.default_rng(3).normal(size=40)
    ranks = [scipy.stats.rankdata(values) for values in (x, y, z)]
    residuals = [values - np.polyval(np.polyfit(ranks[2], values, 1), ranks[2]) for values in ranks[:2]]
    assert partial_correlation(x, y, z, resamples=FEW).spearman == pytest.approx(
        np.corrcoef(*residuals)[0, 1], abs=1e-9
    )


def test_partial_kendall_follows_its_formula() -> None:
    x, y = normal_sample(40, 0.5, seed=0)
    z = x + np.random.default_rng(3).normal(size=40)
    xy, xz, yz = (scipy.stats.kendalltau(*pair).statistic for pair in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_correlation(x, y, z, resamples=FEW).kendall == pytest.approx(expected, abs=1e-12)


def test_a_common_cause_is_partialled_out() -> None:
    rng = np.random.default_rng(0)
    cause = rng.normal(size=150)
    x, y = cause + 0.3 * rng.normal(size=150), cause + 0.3 * rng.normal(size=150)
    assert correlate(x, y, resamples=FEW).spearman > 0.85
    found = partial_correlation(x, y, cause, resamples=1000)
    assert found.spearman_interval[0] < 0 < found.spearman_interval[1]


def test_a_partial_correlation_given_the_same_order_is_refused() -> None:
    x, y = normal_sample(10, 0.5, seed=0)
    with pytest.raises(ValueError, match=r"given: needed an order of the networks unlike"):
        partial_correlation(x, y, 2 * x + 1)
