"""Uniform random sampling: the first network of an evolution, and a generator to compare with."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

from zenlib.search.budget import Gate
from zenlib.search.history import Candidate, History, Outcome
from zenlib.spaces.choices import Choices
from zenlib.spaces.mutation import Blocks
from zenlib.spaces.space import SHRINK, Space, narrowed

PATIENCE = 100_000
"""Proposals in a row that may be turned away before a search gives up."""


class RandomSampling:
    """Every candidate is a fresh draw, narrowed until it keeps the limits that width can meet.

    The other strategies inherit from it what they share.
    """

    def __init__(self, space: Space | Choices, gate: Gate, rng: random.Random) -> None:
        self.space = space
        self.gate = gate
        self.rng = rng

    def ask(self, count: int) -> list[Candidate]:
        """The next candidates; a ValueError where no new network within the budget can be found."""
        return [Candidate(sample_within(self.space, self.gate, self.rng)) for _ in range(count)]

    def tell(self, candidates: list[Candidate], outcomes: list[Outcome], first_id: int) -> list[str]:
        """Takes the scores in the order of asking; returns what became of each candidate.

        Without a population, whatever has a score is kept. `first_id` is the id of the first candidate.
        """
        return ["failed" if outcome.reason else "kept" for outcome in outcomes]

    def state(self) -> dict[str, Any]:
        """What the history does not hold, as JSON data."""
        return {"rng": self.rng.getstate()}

    def restore(self, state: dict[str, Any], history: History) -> None:
        """Goes on from a stored state."""
        version, internal, gauss = state["rng"]
        self.rng.setstate((version, tuple(internal), gauss))


def sample_within(space: Space | Choices, gate: Gate, rng: random.Random, *, shallow: bool = False) -> Blocks:
    """A new random network that keeps the budget, of a single layer a block where it is to be shallow."""
    rejected = gate.rejected.copy()
    for _ in range(PATIENCE):
        blocks: Any = space.sample(rng, gate.resolution).blocks
        if isinstance(space, Space):
            blocks = tuple(replace(block, layers=1) for block in blocks) if shallow else blocks
            blocks = narrowed_within(blocks, gate)
        if gate.admits(blocks):
            return blocks
    raise out_of_proposals(f"draws of {space.name}", gate, rejected)


def narrowed_within(blocks: Blocks, gate: Gate) -> Blocks:
    """The blocks with all widths times 0.75 until no limit but the depth is exceeded, or no width is left."""
    while gate.over(blocks) not in (None, "depth"):
        narrower = narrowed(blocks, SHRINK)
        if narrower == blocks:
            return blocks
        blocks = narrower
    return blocks


def out_of_proposals(what: str, gate: Gate, before: Counter[str]) -> ValueError:
    """The error of a search whose last `PATIENCE` proposals were all turned away."""
    told = ", ".join(f"{count:,} for {name}" for name, count in (gate.rejected - before).most_common())
    return ValueError(
        f"budget: needed one that new networks can meet, got {gate.budget}; of {PATIENCE:,} {what} at "
        f"{gate.resolution} pixels all were turned away ({told}); allow more, or ask for fewer evaluations"
    )
