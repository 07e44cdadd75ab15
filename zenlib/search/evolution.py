"""The evolutionary search of Zen-NAS as ask and tell."""

from __future__ import annotations

import random
from bisect import insort
from dataclasses import dataclass
from typing import Any

import pandas as pd

from zenlib.search.budget import Gate
from zenlib.search.history import Candidate, Outcome
from zenlib.search.sampling import RandomSampling, sample_within
from zenlib.spaces.choices import Choices
from zenlib.spaces.space import MutationRule, Space

SMALL_POPULATION = 10
"""Up to this many members the released rule replaces one block, above it two."""


@dataclass(frozen=True, slots=True)
class Member:
    """A network of the population."""

    score: float
    id: int
    generation: int
    network: Any


class Evolution(RandomSampling):
    """A population of the best networks so far; parents are drawn from it uniformly.

    Source: Lin et al. 2021 (arXiv 2102.01063), Algorithms 2 and 3. Differs: the paper counts iterations,
    rejected ones included, and may score a network twice; here a round of candidates is asked from one
    population, and none is asked twice. Where no initial network is given, the first one has one layer a
    block: a search that starts from a deep one stays near it, since it has to give layers back before it can
    put them elsewhere.
    """

    def __init__(
        self,
        space: Space | Choices,
        gate: Gate,
        rng: random.Random,
        *,
        population: int = 256,
        mutation: MutationRule = "paper",
        initial: Any = None,
    ) -> None:
        super().__init__(space, gate, rng)
        self.population = population
        self.mutation: MutationRule = mutation
        self.initial = initial
        self.members: list[Member] = []

    def ask(self, count: int) -> list[Candidate]:
        """One first network while the population is empty, mutants after that."""
        if not self.members:
            return [Candidate(self._first())]
        return [self.gate.first_admitted(self._mutant, "mutants") for _ in range(count)]

    def tell(self, candidates: list[Candidate], outcomes: list[Outcome], first_id: int) -> list[str]:
        """Lets the best into the population."""
        numbered = enumerate(zip(candidates, outcomes, strict=True), start=first_id)
        return [self._meet(candidate, outcome, number) for number, (candidate, outcome) in numbered]

    def restore(self, state: dict[str, Any], history: pd.DataFrame) -> None:
        """Goes on from a stored state: the population is the best of the history."""
        super().restore(state, history)
        ranked = history.dropna(subset="score").sort_values(["score", "id"], ascending=[False, True])
        best = ranked.head(self.population)[::-1]
        self.members = [
            Member(row.score, row.id, row.generation, self.space.parse(row.architecture))
            for row in best.itertuples()
        ]

    def _first(self) -> Any:
        if self.initial is None:
            return sample_within(self.space, self.gate, self.rng, shallow=True)
        if not self.gate.admits(self.initial):
            raise ValueError(
                "initial: needed a network that the score can rank, got one that has no score; give another, "
                "or None to draw one"
            )
        return self.initial

    def _mutant(self) -> Candidate:
        parent = self.members[int(self.rng.random() * len(self.members))]
        replaced = 1 if len(self.members) <= SMALL_POPULATION else 2
        network = self.space.mutate(parent.network, self.rng, self.mutation, replaced)
        return Candidate(network, parent.id, parent.generation + 1)

    def _meet(self, candidate: Candidate, outcome: Outcome, number: int) -> str:
        if outcome.reason:
            return "failed"
        member = Member(outcome.score, number, candidate.generation, candidate.network)
        insort(self.members, member, key=lambda one: (one.score, -one.id))  # of equals the newest first
        worst = self.members.pop(0) if len(self.members) > self.population else None
        return "dropped" if worst is member else "kept"
