from __future__ import annotations

import random

import pytest

from experiments.benchmarks.random_baseline_space import random_network


def test_random_networks_keep_the_budget_and_differ():
    rng = random.Random(0)
    networks = [random_network(rng, max_params=1_000_000, max_depth=18) for _ in range(50)]
    assert len(set(networks)) == 50
    assert all(network.params(100) <= 1_000_000 and network.depth <= 18 for network in networks)
    # Narrowing stops at the first width that fits, so most networks use a good part of the budget.
    assert sum(network.params(100) > 500_000 for network in networks) > 25


def test_the_same_seed_gives_the_same_network():
    assert random_network(random.Random(3), max_params=500_000) == random_network(
        random.Random(3), max_params=500_000
    )


@pytest.mark.parametrize(
    ("budget", "name"),
    [
        ({"max_params": 1000}, "max_params"),
        ({"max_params": -1}, "max_params"),
        ({"max_params": 10**6, "max_depth": 3}, "max_depth"),
    ],
)
def test_a_budget_that_no_network_meets_is_refused(budget, name):
    with pytest.raises(ValueError, match=name):
        random_network(random.Random(0), **budget)
