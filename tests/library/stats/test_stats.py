from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from zenlib.stats import compare, correlate, ndcg

FEW = 200
"""Resamples where the interval is not what is tested."""


def sample(n: int, tau: float, seed: int, decimals: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Pairs from a bivariate normal whose Kendall tau is `tau` = 2/pi arcsin(r); rounding makes ties."""
    rng = np.random.default_rng(seed)
    r = math.sin(math.pi / 2 * tau)
    x, noise = rng.normal(size=(2, n))
    y = r * x + math.sqrt(1 - r * r) * noise
    return (x, y) if decimals is None else (x.round(decimals), y.round(decimals))


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("n", [5, 24, 56])
def test_both_coefficients_agree_with_scipy_with_and_without_ties(n: int, decimals: int | None) -> None:
    for seed in range(10):
        x, y = sample(n, 0.4, seed, decimals)
        found = correlate(x, y, resamples=FEW)
        assert found.kendall == pytest.approx(scipy.stats.kendalltau(x, y).statistic, abs=1e-12)
        assert found.spearman == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-12)
        assert found.n == n


def test_a_case_counted_by_hand() -> None:
    # Pairs of (1, 2, 3, 4, 5) with (1, 3, 2, 4, 5): one of ten is reversed; the squared rank differences sum
    # to 2.
    found = correlate([1, 2, 3, 4, 5], [1, 3, 2, 4, 5], resamples=FEW)
    assert found.kendall == pytest.approx(8 / 10)
    assert found.spearman == pytest.approx(1 - 6 * 2 / (5 * 24))


def test_a_tie_counted_by_hand() -> None:
    # The tie removes one of ten pairs from one side of the denominator only (tau-b).
    assert correlate([1, 2, 3, 4, 5], [1, 2, 2, 4, 5], resamples=FEW).kendall == pytest.approx(
        9 / math.sqrt(10 * 9)
    )


def test_each_resample_has_the_coefficients_of_the_drawn_sample() -> None:
    """The interval is rebuilt the slow way: draw the same networks, call scipy on them."""
    x, y = sample(12, 0.5, seed=3, decimals=1)
    counts = np.random.default_rng(7).multinomial(12, np.full(12, 1 / 12), size=150)
    drawn = [np.repeat(np.arange(12), row) for row in counts]
    taus = [scipy.stats.kendalltau(x[i], y[i]).statistic for i in drawn]
    rhos = [scipy.stats.spearmanr(x[i], y[i]).statistic for i in drawn]
    found = correlate(x, y, resamples=150, seed=7)
    assert found.kendall_interval == pytest.approx(tuple(np.quantile(taus, [0.025, 0.975])), abs=1e-12)
    assert found.spearman_interval == pytest.approx(tuple(np.quantile(rhos, [0.025, 0.975])), abs=1e-12)


@pytest.mark.parametrize(("n", "tau"), [(15, 0.0), (15, 0.6), (50, 0.6)])
def test_the_interval_covers_the_true_tau_about_as_often_as_it_says(n: int, tau: float) -> None:
    trials = 400
    hits = 0
    for seed in range(trials):
        low, high = correlate(*sample(n, tau, seed), resamples=400, seed=seed).kendall_interval
        hits += low <= tau <= high
    # 0.92 is three binomial standard errors below 0.95; above 0.995 the interval would be uselessly wide.
    assert 0.92 <= hits / trials <= 0.995


def test_the_interval_of_more_networks_is_narrower() -> None:
    widths = [np.subtract(*correlate(*sample(n, 0.5, seed=1)).kendall_interval[::-1]) for n in (10, 40, 160)]
    assert widths[0] > 1.4 * widths[1] > 1.4 * 1.4 * widths[2]


def test_the_order_of_the_networks_does_not_matter() -> None:
    x, y = sample(30, 0.5, seed=0)
    shuffled = np.random.default_rng(5).permutation(30)
    one, other = correlate(x, y), correlate(x[shuffled], y[shuffled])
    assert (one.kendall, one.spearman) == pytest.approx((other.kendall, other.spearman), abs=1e-12)
    # Other networks are drawn by the same seed, so the ends move by the noise of 10,000 resamples.
    assert one.kendall_interval == pytest.approx(other.kendall_interval, abs=0.02)


def test_only_the_order_of_the_values_matters() -> None:
    x, y = sample(20, 0.5, seed=2)
    assert correlate(x, y, resamples=FEW) == correlate(np.exp(3 * x), y**3, resamples=FEW)


def test_the_seed_alone_determines_the_interval() -> None:
    x, y = sample(20, 0.5, seed=2)
    np.random.seed(1)
    assert correlate(x, y, resamples=FEW, seed=4) == correlate(x, y, resamples=FEW, seed=4)
    assert correlate(x, y, resamples=FEW, seed=4) != correlate(x, y, resamples=FEW, seed=5)


def test_a_perfect_order_has_an_interval_without_width() -> None:
    found = correlate(range(8), range(8), resamples=FEW)
    assert (found.kendall, found.kendall_interval) == (1.0, (1.0, 1.0))


def test_resampling_families_widens_the_interval_where_families_move_together() -> None:
    rng = np.random.default_rng(0)
    families = np.repeat(np.arange(10), 6)
    x, y = (
        rng.normal(size=10)[families] + 0.05 * rng.normal(size=60),
        rng.normal(size=10)[families] + 0.05 * rng.normal(size=60),
    )
    alone, grouped = (
        correlate(x, y),
        correlate(x, y, families=[f"family {i}" for i in families], resample="families"),
    )
    assert alone.kendall == grouped.kendall
    assert np.subtract(*grouped.kendall_interval[::-1]) > 1.5 * np.subtract(*alone.kendall_interval[::-1])


def test_families_of_one_network_are_the_plain_bootstrap() -> None:
    x, y = sample(20, 0.5, seed=2)
    assert correlate(x, y, families=range(20), resample="families", resamples=FEW) == correlate(
        x, y, resamples=FEW
    )


def test_pairs_within_and_across_families_are_counted_apart() -> None:
    # Two families, each reversed inside, one above the other: every pair within is wrong, every pair across
    # is right.
    scores, accuracies, families = [1, 2, 3, 11, 12, 13], [3, 2, 1, 13, 12, 11], ["a"] * 3 + ["b"] * 3

    def tau(pairs: str) -> float:
        return correlate(scores, accuracies, families=families, pairs=pairs, resamples=FEW).kendall

    assert (tau("within"), tau("across")) == (-1.0, 1.0)
    assert tau("all") == pytest.approx((9 - 6) / 15)


def test_the_two_kinds_of_pairs_make_up_all_of_them() -> None:
    x, y = sample(30, 0.4, seed=0)
    families = np.random.default_rng(0).integers(0, 5, size=30).tolist()
    within = sum(a == b for i, a in enumerate(families) for b in families[:i])
    tau = {
        pairs: correlate(x, y, families=families, pairs=pairs, resamples=FEW).kendall
        for pairs in ("all", "within", "across")
    }
    assert tau["within"] * within + tau["across"] * (435 - within) == pytest.approx(435 * tau["all"])


def test_the_difference_is_the_difference_of_the_two_correlations() -> None:
    x, y = sample(30, 0.7, seed=0)
    z = np.random.default_rng(9).normal(size=30)
    found = compare(x, z, y, resamples=FEW)
    assert found.kendall == pytest.approx(
        correlate(x, y, resamples=FEW).kendall - correlate(z, y, resamples=FEW).kendall
    )
    assert found.spearman == pytest.approx(
        correlate(x, y, resamples=FEW).spearman - correlate(z, y, resamples=FEW).spearman
    )


def test_a_paired_difference_can_be_certain_where_the_two_intervals_overlap() -> None:
    x, y = sample(50, 0.6, seed=0)
    worse = x + 0.4 * np.random.default_rng(1).normal(size=50)
    one, other = correlate(x, y), correlate(worse, y)
    assert one.kendall_interval[0] < other.kendall_interval[1]
    difference = compare(x, worse, y)
    joint = math.hypot(np.ptp(one.kendall_interval), np.ptp(other.kendall_interval))
    assert np.ptp(difference.kendall_interval) < 0.7 * joint


def test_a_score_does_not_differ_from_itself() -> None:
    x, y = sample(30, 0.4, seed=0)
    assert compare(x, x, y, resamples=FEW).kendall_interval == (0.0, 0.0)


@pytest.mark.parametrize(
    ("scores", "accuracies", "message"),
    [
        ([1, 2, 3, 4, 5], [1, 2, 3, 4], r"accuracies: needed as many values as scores \(5\), got 4"),
        ([1, 2, 3, 4], [1, 2, 3, 4], r"scores: needed at least 5 networks, got 4"),
        (
            [1, 2, 3, math.nan, 5],
            [1, 2, 3, 4, 5],
            r"scores: needed finite numbers, got nan at index 3; leave out",
        ),
        ([1, 2, 3, 4, 5], [1, 2, math.inf, 4, 5], r"accuracies: needed finite numbers, got inf at index 2"),
        (
            [7, 7, 7, 7, 7],
            [1, 2, 3, 4, 5],
            r"scores: needed at least two different values, got 7\.0 for every network",
        ),
        (
            [[1, 2, 3, 4, 5]],
            [1, 2, 3, 4, 5],
            r"scores: needed one number per network, got an array of shape \(1, 5\)",
        ),
    ],
)
def test_bad_values_are_named(scores: list, accuracies: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        correlate(scores, accuracies)


def test_bad_settings_are_named() -> None:
    x, y = sample(10, 0.5, seed=0)
    with pytest.raises(ValueError, match=r"families: needed one per network \(10\), got 3"):
        correlate(x, y, families=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"families: needed at least 3 to resample, got 1"):
        correlate(x, y, families=["a"] * 10, resample="families")
    with pytest.raises(ValueError, match=r"families: needed the family of each network"):
        correlate(x, y, pairs="within")
    with pytest.raises(ValueError, match=r"pairs: needed 'all', 'within' or 'across', got 'inside'"):
        correlate(x, y, families=range(10), pairs="inside")
    with pytest.raises(ValueError, match=r"pairs: needed different values in some pair within families"):
        correlate(x, y, families=range(10), pairs="within")
    with pytest.raises(ValueError, match=r"resample: needed 'networks' or 'families', got 'pairs'"):
        correlate(x, y, families=range(10), resample="pairs")
    with pytest.raises(ValueError, match=r"confidence: needed a share between 0 and 1, got 95"):
        correlate(x, y, confidence=95)
    with pytest.raises(ValueError, match=r"resamples: needed at least 100"):
        correlate(x, y, resamples=10)


def test_ndcg_of_the_published_example_and_its_limits():
    accuracies = np.array([80, 70, 100, 90, 60, 50, 40, 30, 20, 10.0])
    order = -np.arange(10.0)
    assert ndcg(order, accuracies, 10) == pytest.approx(0.50, abs=0.005)
    assert ndcg(accuracies, accuracies, 3) == 1
    assert ndcg(-accuracies, accuracies, 3) < 1e-15
    swapped, tied = order.copy(), order.copy()
    swapped[[1, 2]] = order[[2, 1]]
    tied[2] = tied[1]
    either = [ndcg(one, accuracies, 10) for one in (order, swapped)]
    assert ndcg(tied, accuracies, 10) == pytest.approx(np.mean(either))
    with pytest.raises(ValueError, match="top: needed at least 1 network, got 0"):
        ndcg(order, accuracies, 0)
