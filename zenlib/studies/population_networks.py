"""Three groups of small networks to train: drawn at random, along an evolution, and of equal size.

Every network depends on the settings, its group and its place alone, so that a study may begin with some of them.
"""

from __future__ import annotations

import math
import random
from functools import cache

from zenlib.architecture import Architecture
from zenlib.search import Budget, search
from zenlib.search.budget import Gate
from zenlib.search.sampling import sample_within
from zenlib.spaces import SPACES

GROUPS = {
    "uniform": "drawn at random within the budget",
    "evolution": "along one search, early to late",
    "equal": "of equal parameters and FLOPs",
}
SPACE = "resnet-like"
CLASSES = 10
RESOLUTION = 28
EVALUATIONS = 4096
"""Networks that the search scores."""
POPULATION = 128
PLACES = 16
"""Places along the search at which a network is taken."""
FILL = 0.9
"""Share of each limit that networks of equal size come to."""
TOLERANCE = 0.025
"""Networks of equal size are within this of their common parameters and FLOPs, so that two are within 5 % of each other."""
STEPS = 20_000
"""Mutations after which the way to the common size is given up for another start."""


def networks(group: str, count: int, *, params: float, flops: float, seed: int) -> list[Architecture]:
    """The first networks of a group; those of "evolution" are spread over the search whatever their number.

    Args:
        group: one of `GROUPS`.
        count: how many; at most `PLACES` of "evolution".
        params: most parameters of a network, with its classifier.
        flops: most multiply-adds of a network for one image.
        seed: of all draws.
    """
    if group not in GROUPS:
        raise ValueError(f"group: needed one of {', '.join(GROUPS)}, got {group!r}")
    if group == "evolution":
        if count > PLACES:
            raise ValueError(f"count: needed at most {PLACES} networks along the search, got {count}")
        return [_along_search(params, flops, seed)[place] for place in _spread(PLACES)[:count]]
    draw = _random if group == "uniform" else _of_equal_size
    return [draw(params, flops, random.Random(f"{group} {seed} {index}")) for index in range(count)]


def _random(params: float, flops: float, rng: random.Random) -> Architecture:
    return Architecture(sample_within(SPACES[SPACE], Gate(Budget(params=params, flops=flops), RESOLUTION, CLASSES), rng))


def _of_equal_size(params: float, flops: float, rng: random.Random) -> Architecture:
    """A random network, mutated towards the common size for as long as it comes no further from it."""
    while True:
        network = _random(params, flops, rng)
        distance = _distance(network, params, flops)
        for _ in range(STEPS):
            if distance <= math.log1p(TOLERANCE):
                return network
            mutant = SPACES[SPACE].mutate(network, rng)
            if (found := _distance(mutant, params, flops)) <= distance:
                network, distance = mutant, found


def _distance(network: Architecture, params: float, flops: float) -> float:
    """Larger of the two log ratios to the common size."""
    sizes = (network.params(CLASSES) / (FILL * params), network.flops(RESOLUTION, CLASSES) / (FILL * flops))
    return max(abs(math.log(size)) for size in sizes)


@cache
def _along_search(params: float, flops: float, seed: int) -> list[Architecture]:
    """Candidates of one evolution at equal distances, the last being its best."""
    budget = Budget(params=params, flops=flops)
    settings = {"evaluations": EVALUATIONS, "population": POPULATION, "seed": seed, "resolution": RESOLUTION, "num_classes": CLASSES}
    found = search(SPACE, "closed-form", budget, progress=False, **settings)  # type: ignore[arg-type]  # a dict of keyword arguments
    every = [round(place * (len(found.history) - 1) / (PLACES - 1)) for place in range(PLACES - 1)]
    return [Architecture.from_string(found.history["architecture"][index]) for index in every] + [found.best]


def _spread(places: int) -> list[int]:
    """Places in an order of which every beginning is spread out: ends first, then middles."""
    order = [0, places - 1]
    while len(order) < places:
        taken = sorted(order)
        gaps = [(after - before, -before, (before + after) // 2) for before, after in zip(taken, taken[1:], strict=False) if after - before > 1]
        order.append(max(gaps)[2])
    return order
