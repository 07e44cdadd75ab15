"""The evolutionary search of Zen-NAS as ask and tell."""

from __future__ import annotations

import math
import random
from bisect import insort
from dataclasses import dataclass
from typing import Any

from zenlib.search.budget import Gate
from zenlib.search.history import Candidate, History, Outcome
from zenlib.search.sampling import PATIENCE, RandomSampling, out_of_proposals, sample_within
from zenlib.spaces.choices import Choices
from zenlib.spaces.mutation import Blocks
from zenlib.spaces.space import MutationRule, Space

SMALL_POPULATION = 10
"""Up to this many members the released rule replaces one block, above it two."""


@dataclass(frozen=True, slots=True)
class Member:
    """A network of the population."""

    score: float
    id: int
    generation: int
    blocks: Blocks


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
        initial: Blocks | None = None,
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
        return [self._mutant() for _ in range(count)]

    def tell(self, candidates: list[Candidate], outcomes: list[Outcome], first_id: int) -> list[str]:
        """Lets the best into the population."""
        numbered = enumerate(zip(candidates, outcomes, strict=True), start=first_id)
        return [self._meet(candidate, outcome, number) for number, (candidate, outcome) in numbered]

    def restore(self, state: dict[str, Any], history: History) -> None:
        """Goes on from a stored state: the population is the best of the history."""
        super().restore(state, history)
        scores = ((-history.value("score", i), i) for i in range(len(history)))
        ranked = sorted(pair for pair in scores if not math.isnan(pair[0]))
        self.members = [
            Member(-score, i, int(history.value("generation", i)), history.architecture(i).blocks)
            for score, i in reversed(ranked[: self.population])
        ]

    def _first(self) -> Blocks:
        if self.initial is None:
            return sample_within(self.space, self.gate, self.rng, shallow=True)
        if not self.gate.admits(self.initial):
            raise ValueError(
                "initial: needed a network that the score can rank, got one that has no score; give another, "
                "or None to draw one"
            )
        return self.initial

    def _mutant(self) -> Candidate:
        members, rng, before = self.members, self.rng, self.gate.rejected.copy()
        replaced = 1 if len(members) <= SMALL_POPULATION else 2
        for _ in range(PATIENCE):
            parent = members[int(rng.random() * len(members))]
            blocks: Any = self.space.mutate_blocks(parent.blocks, rng, self.mutation, replaced)
            if self.gate.admits(blocks):
                return Candidate(blocks, parent.id, parent.generation + 1)
        raise out_of_proposals("mutants", self.gate, before)

    def _meet(self, candidate: Candidate, outcome: Outcome, number: int) -> str:
        if outcome.reason:
            return "failed"
        if len(self.members) >= self.population:
            if outcome.score <= self.members[0].score:
                return "dropped"
            del self.members[0]
        insort(self.members, Member(outcome.score, number, candidate.generation, candidate.blocks), key=_rank)
        return "kept"


def _rank(member: Member) -> tuple[float, int]:
    """The worst first, and of equals the newest."""
    return member.score, -member.id
