"""A policy-gradient controller (REINFORCE), the generator of the first architecture searches, for comparison.

Every decision about a network (type, width, inner width, layers of each block; whether a stage has a second
block) has its own categorical distribution. After each round their logits follow the gradient of the expected
score, rate * mean over the round of advantage * (chosen - probabilities), where the advantage is the score
minus a running mean, in running standard deviations. Networks too wide for the budget are narrowed as in
random sampling and count for the decisions that were drawn; networks too deep are drawn again.

Source: Williams 1992; independent decisions, as in Ying et al. 2019, instead of a recurrent controller.
"""

from __future__ import annotations

import random
from bisect import bisect
from typing import Any

import numpy as np
import pandas as pd

from zenlib.networks.architecture import Architecture, Block
from zenlib.search.budget import Gate
from zenlib.search.history import Candidate, Outcome
from zenlib.search.sampling import RandomSampling, narrowed_within
from zenlib.spaces.space import LAYERS, SMALL_IMAGE, Space

RATE = 1.0
"""Step of the logits for one unit of mean advantage."""
MEMORY = 0.9
"""Weight of the past in the running mean and variance of the score, per round."""
WIDTHS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
HEAD_WIDTHS = (128, 256, 512, 1024, 2048)


class Reinforce(RandomSampling):
    """Independent categorical decisions, trained by REINFORCE."""

    def __init__(self, space: Space, gate: Gate, rng: random.Random) -> None:
        super().__init__(space, gate, rng)
        self.stages = 3 if gate.resolution < SMALL_IMAGE else 4
        layers = range(LAYERS[0], LAYERS[1] + 1)
        block = {"type": space.types, "width": WIDTHS, "inner": WIDTHS, "layers": layers}
        self.options: dict[str, Any] = {"stem": WIDTHS, "head": HEAD_WIDTHS}
        for stage in range(self.stages):
            self.options[f"{stage} second"] = (0, 1)
            self.options |= {f"{stage} {slot} {name}": block[name] for slot in range(2) for name in block}
        self.logits = {name: np.zeros(len(values)) for name, values in self.options.items()}
        self.mean, self.variance = 0.0, 0.0

    def ask(self, count: int) -> list[Candidate]:
        """Draws candidates from the policy."""
        cumulative = {name: np.cumsum(_softmax(logits)).tolist() for name, logits in self.logits.items()}

        def draw() -> Candidate:
            drawn = {name: bisect(shares[:-1], self.rng.random()) for name, shares in cumulative.items()}
            return Candidate(narrowed_within(self._network(drawn), self.gate), decisions=drawn)

        return [self.gate.first_admitted(draw, "draws of the policy") for _ in range(count)]

    def tell(self, candidates: list[Candidate], outcomes: list[Outcome], first_id: int) -> list[str]:
        """Moves the policy towards what scored better than before; failures teach nothing."""
        told = zip(candidates, outcomes, strict=True)
        scored = [(one.decisions, outcome.score) for one, outcome in told if not outcome.reason]
        if scored:
            drawn, scores = zip(*scored, strict=True)
            self._learn(list(drawn), np.array(scores))
        return super().tell(candidates, outcomes, first_id)

    def state(self) -> dict[str, Any]:
        """Generator and policy, as JSON data."""
        return super().state() | {
            "logits": {name: logits.tolist() for name, logits in self.logits.items()},
            "mean": self.mean,
            "variance": self.variance,
        }

    def restore(self, state: dict[str, Any], history: pd.DataFrame) -> None:
        """Goes on from a stored state."""
        super().restore(state, history)
        self.logits = {name: np.array(logits) for name, logits in state["logits"].items()}
        self.mean, self.variance = state["mean"], state["variance"]

    def _network(self, drawn: dict[str, int]) -> Architecture:
        chosen = {name: self.options[name][index] for name, index in drawn.items()}
        blocks = [Block("conv", 3, 3, chosen["stem"], 1 if self.stages == 3 else 2)]
        for stage in range(self.stages):
            for slot in range(1 + chosen[f"{stage} second"]):
                kind, kernel, expansion = chosen[f"{stage} {slot} type"]
                width, inner, layers = (
                    chosen[f"{stage} {slot} {one}"] for one in ("width", "inner", "layers")
                )
                shape = blocks[-1].out_channels, width, 2 - slot
                blocks.append(Block(kind, kernel, *shape, layers, inner, expansion))
        return Architecture((*blocks, Block("conv", 1, blocks[-1].out_channels, chosen["head"])))

    def _learn(self, drawn: list[dict[str, int]], scores: np.ndarray) -> None:
        memory = MEMORY if self.variance else 0.0
        self.mean = memory * self.mean + (1 - memory) * float(scores.mean())
        self.variance = memory * self.variance + (1 - memory) * float(((scores - self.mean) ** 2).mean())
        advantage = (scores - self.mean) / np.sqrt(self.variance or 1.0)
        for name, logits in self.logits.items():
            chosen = np.eye(len(logits))[[choices[name] for choices in drawn]]
            effect = (advantage * _had_effect(name, drawn))[:, None]
            self.logits[name] = logits + RATE * (effect * (chosen - _softmax(logits))).mean(axis=0)


def _had_effect(decision: str, drawn: list[dict[str, int]]) -> np.ndarray:
    """1 where a decision shaped the network, 0 where it was about a second block that is not there."""
    stage, *slot = decision.split()
    return np.array([choices[f"{stage} second"] if slot[:1] == ["1"] else 1 for choices in drawn])


def _softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()
