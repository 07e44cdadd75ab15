from __future__ import annotations

import math
import random

import pytest

from tests.library.search.scores import BUDGET, log_widths
from zenlib.networks.zennets import zennet_architecture
from zenlib.search import Evolution, Gate, Outcome
from zenlib.search.sampling import sample_within
from zenlib.spaces import SPACES

SPACE = SPACES["resnet-like"]


def evolution(seed=0, **options):
    return Evolution(SPACE, Gate(BUDGET, 32, 100), random.Random(seed), **options)


def told(run, rounds, score=lambda candidate: log_widths(candidate.network), first_id=0):
    """Runs rounds of ten, numbered from `first_id`; returns all candidates with their outcomes and fates."""
    rows = []
    for _ in range(rounds):
        candidates = run.ask(10)
        outcomes = [score(candidate) for candidate in candidates]
        outcomes = [found if isinstance(found, Outcome) else Outcome(found) for found in outcomes]
        rows += list(
            zip(candidates, outcomes, run.tell(candidates, outcomes, first_id + len(rows)), strict=True)
        )
    return rows


def test_the_population_is_the_best_of_all_that_was_told():
    run = evolution(population=15)
    rows = told(run, 20)
    best = sorted((outcome.score for _, outcome, _ in rows), reverse=True)[:15]
    assert sorted((member.score for member in run.members), reverse=True) == best


def test_a_candidate_is_dropped_only_when_the_population_is_full_of_better_ones():
    run = evolution(population=15)
    rows = told(run, 20)
    members = []
    for _, outcome, fate in rows:
        assert (fate == "kept") == (len(members) < 15 or outcome.score > min(members))
        members = sorted([*members, outcome.score], reverse=True)[:15]


def test_parents_were_members_and_generations_count_mutations():
    rows = told(evolution(population=15), 20)
    for number, (candidate, _, _) in enumerate(rows):
        if number == 0:
            assert (candidate.parent, candidate.generation) == (-1, 0)
        else:
            parent, _, fate = rows[candidate.parent]
            assert candidate.parent < number and fate == "kept"
            assert candidate.generation == parent.generation + 1


def test_nothing_is_asked_twice_and_everything_keeps_the_budget():
    rows = told(evolution(), 30)
    networks = [candidate.network for candidate, _, _ in rows]
    assert len(set(networks)) == len(networks)
    assert all(network.params(100) <= 300_000 and network.depth <= 12 for network in networks)


def test_failures_never_enter_the_population():
    rng = random.Random(0)

    def flaky(candidate):
        return (
            Outcome(math.nan, "lost")
            if rng.random() < 0.5 and candidate.parent >= 0
            else log_widths(candidate.network)
        )

    run = evolution(population=10)
    rows = told(run, 20, flaky)
    failed = {number for number, (_, outcome, fate) in enumerate(rows) if outcome.reason}
    assert len(failed) > 30
    assert all(rows[number][2] == "failed" for number in failed)
    assert not failed & {member.id for member in run.members}
    assert not failed & {candidate.parent for candidate, _, _ in rows}


def test_a_first_network_without_a_score_is_replaced_when_it_was_drawn_and_refused_when_it_was_given():
    drawn = evolution()
    first = drawn.ask(10)
    drawn.tell(first, [Outcome(math.nan, "undefined")], 0)
    (second,) = drawn.ask(10)
    assert second.network != first[0].network

    given = evolution(initial=sample_within(SPACE, Gate(BUDGET, 32, 100), random.Random(1)))
    given.tell(given.ask(10), [Outcome(math.nan, "undefined")], 0)
    with pytest.raises(ValueError, match="initial: needed a network that the score can rank"):
        given.ask(10)


def test_of_equal_scores_the_older_network_stays():
    run = evolution(population=5)
    told(run, 4, lambda candidate: 1.0)
    assert [member.id for member in run.members] == [4, 3, 2, 1, 0]


def test_the_released_rule_replaces_one_block_until_the_population_has_grown():
    run = evolution(mutation="released", initial=zennet_architecture("zennet-0.5M"))
    run.gate = Gate(type(BUDGET)(), 32, 100)
    told(run, 1)
    few = run.ask(200)
    told(run, 3, first_id=1)
    many = run.ask(200)

    def changes(candidates):
        parents = {member.id: member.network.blocks for member in run.members}
        pairs = [
            (parents[c.parent], c.network.blocks)
            for c in candidates
            if c.parent in parents and len(parents[c.parent]) == len(c.network.blocks)
        ]
        return max(
            sum(old.out_channels != new.out_channels for old, new in zip(*pair, strict=True))
            for pair in pairs
        )

    assert changes(few) == 1
    assert changes(many) == 2
