"""Properties of random networks and of whatever the search makes of them."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from zenlib import to_vcnn
from zenlib.networks.architecture import Architecture
from zenlib.search.budget import Budget, Gate
from zenlib.spaces import SPACES

SEEDS = st.integers(0, 2**32 - 1)


@given(
    SEEDS, st.sampled_from(sorted(SPACES)), st.sampled_from(["paper", "released"]), st.sampled_from([32, 224])
)
def test_a_line_of_mutants_stays_in_its_space_reads_back_and_fits_the_images(seed, name, rule, resolution):
    rng, space = random.Random(seed), SPACES[name]
    network = space.sample(rng, resolution)
    for _ in range(4):
        network = space.mutate(network, rng, rule)
        assert space.contains(network)
        assert Architecture.from_string(network.to_string()) == network
        assert network.minimum_resolution <= resolution
        assert len(to_vcnn(network, resolution).convs) == sum(len(unit.convs) for unit in network.units)


@given(SEEDS, st.sampled_from(sorted(SPACES)), st.floats(0.2, 5), st.floats(0.2, 5), st.floats(0.2, 5))
@settings(max_examples=50)
def test_a_budget_lets_in_what_keeps_every_limit_once_and_says_what_was_wrong_with_the_rest(
    seed, name, params, flops, depth
):
    rng, space = random.Random(seed), SPACES[name]
    networks = [space.sample(rng, 32) for _ in range(12)]
    middle = networks[0]
    budget = Budget(
        params=params * middle.params(10),
        flops=flops * middle.flops(32, 10),
        depth=max(1, round(depth * middle.depth)),
    )
    gate = Gate(budget, 32, 10)
    for network in networks:
        keeps = (
            network.params(10) <= budget.params
            and network.flops(32, 10) <= budget.flops
            and network.depth <= budget.depth
        )
        assert gate.admits(network) == keeps
        assert not gate.admits(network), "a second time it is a duplicate, or as dear as before"
        assert (gate.over(network) is None) == keeps
    assert gate.proposed == 24 and sum(gate.rejected.values()) >= 12
