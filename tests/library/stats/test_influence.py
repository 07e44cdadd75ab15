"""Rank correlations by influence: coefficients, sums over pairs, and errors like those of the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from zenlib.stats import correlate
from zenlib.stats.influence import coefficients, concordance, correlate_many


def sample(n, levels=None, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = x + rng.normal(size=n)
    z = x + 2 * rng.normal(size=n)
    return tuple(np.round(values * levels) if levels else values for values in (x, y, z))


def require_alike(quick, slow, atol=0.012):
    """Equal coefficients of as many networks, with intervals as near as resampling lets them be."""
    assert quick.n == slow.n
    assert (quick.kendall, quick.spearman) == pytest.approx((slow.kendall, slow.spearman))
    np.testing.assert_allclose(quick.kendall_interval, slow.kendall_interval, atol=atol)
    np.testing.assert_allclose(quick.spearman_interval, slow.spearman_interval, atol=atol)


@pytest.mark.parametrize("levels", [None, 1, 3])
def test_concordance_counts_pairs(levels):
    x, y = (np.unique(values, return_inverse=True)[1] for values in sample(60, levels)[:2])
    pairs = np.sign(x[:, None] - x) * np.sign(y[:, None] - y)
    np.testing.assert_array_equal(concordance(x, y), pairs.sum(1))


@pytest.mark.parametrize("levels", [None, 1, 3])
def test_the_coefficients_are_those_of_scipy(levels):
    x, y, _ = sample(500, levels)
    kendall, spearman = coefficients(x, y)
    assert kendall.value == pytest.approx(scipy_stats.kendalltau(x, y).statistic, abs=1e-12)
    assert spearman.value == pytest.approx(scipy_stats.spearmanr(x, y).statistic, abs=1e-12)


@pytest.mark.parametrize("levels", [None, 2])
def test_an_influence_is_the_effect_of_counting_a_network_twice(levels):
    x, y, _ = sample(400, levels)
    now = coefficients(x, y)
    for network in (0, 7, 200):
        twice = coefficients(np.append(x, x[network]), np.append(y, y[network]))
        for before, after in zip(now, twice, strict=True):
            assert after.value - before.value == pytest.approx(before.influence[network], abs=2e-5)
    for estimate in now:
        assert abs(estimate.influence.sum()) < 1e-9


@pytest.mark.parametrize("options", [{}, {"families": [i // 5 for i in range(300)]}])
def test_intervals_are_those_of_the_bootstrap(options):
    x, y, _ = sample(300, levels=4)
    resample = {"resample": "families"} if options else {}
    quick, slow = correlate_many(x, y, **options), correlate(x, y, resamples=2000, **options, **resample)
    assert quick.n == 300
    require_alike(quick, slow)


def test_copies_of_a_network_make_no_interval_shorter_when_they_are_one_family():
    x, y, _ = sample(200)
    once = correlate_many(x, y)
    families = list(range(200)) * 3
    copied = correlate_many(np.tile(x, 3), np.tile(y, 3), families=families)
    np.testing.assert_allclose(copied.kendall_interval, once.kendall_interval, atol=1e-3)
    assert np.diff(correlate_many(np.tile(x, 3), np.tile(y, 3)).kendall_interval) < 0.7 * np.diff(
        once.kendall_interval
    )


def test_a_perfect_order_has_an_interval_without_width():
    x = np.arange(50.0)
    assert correlate_many(x, x**3).kendall_interval == (1.0, 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"families": [1, 2]}, r"families: needed one per network \(200\), got 2"),
        ({"confidence": 1.0}, "confidence: needed a share"),
    ],
)
def test_bad_input_is_one_clear_error(options, message):
    x, y, _ = sample(200)
    with pytest.raises(ValueError, match=message):
        correlate_many(x, y, **options)
