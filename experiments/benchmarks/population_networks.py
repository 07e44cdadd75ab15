"""Three groups of small networks to train: drawn at random, along an evolution, and of equal size.

Every network depends on the settings, its group and its place alone, so that a study may begin with some of
them.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

from experiments.record.agreement import EXACT
from experiments.record.table import Table
from zenlib.networks.architecture import Architecture
from zenlib.search import Budget, search
from zenlib.search.budget import Gate
from zenlib.search.sampling import sample_within
from zenlib.spaces import SPACES

STUDY = "laptop"
GROUPS = {
    "uniform": "drawn at random within the budget",
    "evolution": "along one search, early to late",
    "equal": "of equal parameters and FLOPs",
}
SPACE = "resnet-like"
EVALUATIONS = 4096
"""Networks that the search scores."""
POPULATION = 128
PLACES = 16
"""Places along the search at which a network is taken."""
FILL = 0.9
"""Share of each limit that networks of equal size come to."""
TOLERANCE = 0.025
"""Networks of equal size are within this of common parameters and FLOPs: two are within 5 % of each other."""
STEPS = 20_000
"""Mutations after which the way to the common size is given up for another start."""


@dataclass(frozen=True)
class Limits:
    """What a network may cost, and on which images."""

    params: float
    flops: float
    resolution: int
    classes: int

    @property
    def budget(self) -> Budget:
        """The limits of a search."""
        return Budget(params=self.params, flops=self.flops)


def network(
    group: str, index: int, *, params: float, flops: float, resolution: int, classes: int, seed: int
) -> Architecture:
    """One network of a group; the first of "evolution" are spread over the search whatever their number.

    Args:
        group: one of `GROUPS`.
        index: place in the group, from 0; below `PLACES` of "evolution".
        params: most parameters of a network, with its classifier.
        flops: most multiply-adds of a network for one image.
        resolution: side of the image in pixels.
        classes: width of the classifier.
        seed: of all draws.
    """
    if group not in GROUPS:
        raise ValueError(f"group: needed one of {', '.join(GROUPS)}, got {group!r}")
    limits = Limits(params, flops, resolution, classes)
    if group == "evolution":
        if not 0 <= index < PLACES:
            raise ValueError(f"index: needed 0 to {PLACES - 1} along the search, got {index}")
        return _along_search(limits, seed)[_spread(PLACES)[index]]
    draw = _random if group == "uniform" else _of_equal_size
    return draw(limits, random.Random(f"{group} {seed} {index}"))


def _random(limits: Limits, rng: random.Random) -> Architecture:
    gate = Gate(limits.budget, limits.resolution, limits.classes)
    return sample_within(SPACES[SPACE], gate, rng)


def _of_equal_size(limits: Limits, rng: random.Random) -> Architecture:
    """A random network, mutated towards the common size for as long as it comes no further from it."""
    while True:
        network = _random(limits, rng)
        distance = _distance(network, limits)
        for _ in range(STEPS):
            if distance <= math.log1p(TOLERANCE):
                return network
            mutant = SPACES[SPACE].mutate(network, rng)
            if (found := _distance(mutant, limits)) <= distance:
                network, distance = mutant, found


def _distance(network: Architecture, limits: Limits) -> float:
    """Larger of the two log ratios to the common size."""
    params, flops = network.params(limits.classes), network.flops(limits.resolution, limits.classes)
    return max(abs(math.log(size / FILL)) for size in (params / limits.params, flops / limits.flops))


@cache
def _along_search(limits: Limits, seed: int) -> list[Architecture]:
    """Candidates of one evolution at equal distances, the last being its best."""
    settings = {
        "evaluations": EVALUATIONS,
        "population": POPULATION,
        "seed": seed,
        "resolution": limits.resolution,
        "num_classes": limits.classes,
    }
    found = search(SPACE, "closed-form", limits.budget, progress=False, **settings)  # type: ignore[arg-type]
    every = [round(place * (len(found.history) - 1) / (PLACES - 1)) for place in range(PLACES - 1)]
    return [Architecture.from_string(found.history["architecture"][index]) for index in every] + [found.best]


def _spread(places: int) -> list[int]:
    """Places in an order of which every beginning is spread out: ends first, then middles."""
    order = [0, places - 1]
    while len(order) < places:
        taken = sorted(order)
        gaps = [
            (after - before, -before, (before + after) // 2)
            for before, after in pairwise(taken)
            if after - before > 1
        ]
        order.append(max(gaps)[2])
    return order


def network_row(
    *, group: str, index: int, params: float, flops: float, resolution: int, classes: int, seed: int
) -> dict[str, Any]:
    """One network of a group, by its place in it."""
    found = network(
        group, index, params=params, flops=flops, resolution=resolution, classes=classes, seed=seed
    )
    return {
        "network": found.to_string(),
        "network_params": found.params(classes),
        "network_flops": found.flops(resolution, classes),
        "depth": found.depth,
    }


NETWORKS = Table(
    study=STUDY,
    name="networks",
    compute=network_row,
    units={
        "group": f"name: {', '.join(GROUPS)}",
        "index": "1: place in its group",
        "params": "count: most parameters allowed",
        "flops": "count: most multiply-adds of one image allowed",
        "resolution": "pixels: side of the image",
        "classes": "count: width of the classifier",
        "seed": "1: seed of all draws",
        "network": "text: structure string",
        "network_params": "count: parameters, classifier included",
        "network_flops": "count: multiply-adds of one image",
        "depth": "count: the paper's number of layers",
    },
    otherwise=EXACT,
)
