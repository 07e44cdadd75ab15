"""Uniform random sampling: the first network of an evolution, and a generator to compare with."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pandas as pd

from zenlib.networks.architecture import Architecture
from zenlib.search.budget import Gate
from zenlib.search.history import Candidate, Outcome
from zenlib.spaces.choices import Choices
from zenlib.spaces.space import SHRINK, Space, narrowed


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

    def restore(self, state: dict[str, Any], history: pd.DataFrame) -> None:
        """Goes on from a stored state."""
        version, internal, gauss = state["rng"]
        self.rng.setstate((version, tuple(internal), gauss))


def sample_within(space: Space | Choices, gate: Gate, rng: random.Random, *, shallow: bool = False) -> Any:
    """A new random network that keeps the budget, of a single layer a block where it is to be shallow."""

    def draw() -> Candidate:
        network = space.sample(rng, gate.resolution)
        if isinstance(network, Architecture):
            if shallow:
                network = Architecture(tuple(replace(block, layers=1) for block in network.blocks))
            network = narrowed_within(network, gate)
        return Candidate(network)

    return gate.first_admitted(draw, f"draws of {space.name}").network


def narrowed_within(network: Architecture, gate: Gate) -> Architecture:
    """The network with all widths times 0.75 until it exceeds no limit but the depth, or no width is left."""
    while gate.over(network) not in (None, "depth"):
        narrower = Architecture(narrowed(network.blocks, SHRINK))
        if narrower == network:
            break
        network = narrower
    return network
