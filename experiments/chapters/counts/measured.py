"""The scores by Monte Carlo on the networks that the formulas are held against."""

from __future__ import annotations

import random
from functools import cache, partial

import pandas as pd
import torch

from experiments.benchmarks.network_scores import column, proxy_value
from experiments.record.agreement import OneDraw, Within
from experiments.record.score_tolerances import PROXY_AGREEMENT
from experiments.record.table import Table
from zenlib.networks.architecture import Architecture
from zenlib.proxies.query import Query
from zenlib.search import Budget
from zenlib.search.budget import Gate
from zenlib.search.sampling import sample_within
from zenlib.spaces import SPACES

STUDY = "counts"
RESOLUTION = 32
BATCH_SIZE = 16
DRAWN = (
    "naswot",
    "linear-regions",
    "az-expressivity",
    "az-trainability",
    "grad-norm",
    "snip",
    "fisher-channels",
    "synflow",
    "zico",
    "phi",
    "zen",
)
"""What is measured: every score that draws and has a formula, but the later one of `INTRAIN`."""
DRAWN_LATER = ("swap", "meco", "near", "epsinas", "wrcor")
"""Scores of 2023 to 2026 that take no more than some seconds of any of these networks, without a formula."""
FLOPS = 4e7
LIMITS = Budget(params=1e6, flops=FLOPS)
MUTATIONS = 8
"""Mutations between a network and its mutant of equal depth."""


@cache
def networks(group: str, count: int) -> list[str]:
    """Structure strings of random networks of a space within the limits, or of mutants of equal depth.

    Args:
        group: a name in `SPACES`, or "equal-depth".
        count: how many; the first ones do not depend on it.
    """
    if group == "equal-depth":
        return _mutants(count)
    gate, rng = Gate(LIMITS, RESOLUTION, 10), random.Random(group)
    return [sample_within(SPACES[group], gate, rng).to_string() for _ in range(count)]


def _mutants(count: int) -> list[str]:
    """Mutants of the first network of the ResNet-like space, with as many convolutions as it has."""
    space, rng = SPACES["resnet-like"], random.Random("equal-depth")
    parent = Architecture.from_string(networks("resnet-like", 1)[0])
    found: dict[str, None] = {}
    while len(found) < count:
        mutant = parent
        for _ in range(MUTATIONS):
            mutant = space.mutate(mutant, rng)
        alike = mutant.depth == parent.depth and _convs(mutant) == _convs(parent)
        if alike and mutant.flops(RESOLUTION, 10) <= 2 * FLOPS:
            found.setdefault(mutant.to_string())
    return list(found)


def _convs(network: Architecture) -> int:
    return sum(len(unit.convs) for unit in network.units)


def measured_row(
    drawn: tuple[str, ...], *, network: str, resolution: int, batch_size: int, seed: int
) -> dict[str, float]:
    """Scores of one network and draw; all of them see one module and one batch."""
    query = Query(Architecture.from_string(network), resolution, batch_size, seed, torch.device("cpu"))
    return {column(name): proxy_value(query, name) for name in drawn}


def _agreement(name: str) -> OneDraw | Within:
    found = PROXY_AGREEMENT[name]
    return OneDraw(found.rounding, alike=("batch_size",)) if isinstance(found, OneDraw) else Within(1e-3)


def _table(name: str, drawn: tuple[str, ...]) -> Table:
    return Table(
        study=STUDY,
        name=name,
        key=("network", "resolution", "batch_size", "seed"),
        compute=partial(measured_row, drawn),
        units={
            "network": "text: structure string",
            "resolution": "pixels: side of the images",
            "batch_size": "count: images",
            "seed": "1: seed of weights and images",
        }
        | {column(name): f"1, or nat: proxy {name}" for name in drawn},
        agreement={column(name): _agreement(name) for name in drawn},
    )


MEASURED = _table("measured", DRAWN)
INTRAIN = _table("intrain", ("intrain",))
LATER = _table("later", DRAWN_LATER)


def stored(score: str) -> pd.DataFrame:
    """The measured networks with a score."""
    return (MEASURED if score in DRAWN else INTRAIN).stored()
