"""The scores of the 5,138 networks of Accel-NASBench, computed before anyone here has seen how they train.

What is arithmetic is computed for all. What draws weights and images is computed for a sample, drawn
without looking at any network: the first `SAMPLE` of a random order. The Zen-Scores see the images of the
training; proxies of the built network see smaller ones, as in the chapter on benchmarks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from experiments.benchmarks import accel_nasbench_space as space
from experiments.benchmarks.map_terms import growth
from experiments.record.score_check import ScoreCheck, by_groups
from experiments.record.score_columns import Group, ScoreColumns, Values
from experiments.record.score_tolerances import LAYERS, NATS, PROXY_AGREEMENT
from zenlib.proxies import PROXIES
from zenlib.scores.closed_form import closed_form_zen_score
from zenlib.scores.formulas import arithmetic as formula
from zenlib.scores.graph_form import repaired_score
from zenlib.scores.zen import BnVariance, Norm, zen_terms

STUDY = "direct"
ROWS = 5138
SAMPLE = 500
BATCH_SIZE = 16
SEED = 0

DEFINITIONS: dict[str, tuple[Norm, BnVariance]] = {
    "zen": ("l1", "minibatch"),
    "zen_frobenius": ("frobenius", "minibatch"),
    "zen_running": ("l1", "running"),
}
"""Column of each definition of the Zen-Score of the vanilla chain, with the arguments that ask for it."""
MEASURED = (
    "synflow",
    "naswot",
    "az-expressivity",
    "az-progressivity",
    "az-trainability",
    "zico",
    "grad-norm",
    "snip",
    "swap",
    "wrcor",
)
"""Proxies of the built network, gates and shortcuts included.

The last two are newer scores: the cheapest, which together take less than a second a network.
"""
FORMULAS = (
    "naswot",
    "linear-regions",
    "synflow",
    "grad-norm",
    "snip",
    "fisher-channels",
    "zico",
    "az-expressivity",
    "phi",
)
"""Scores by arithmetic, of the network with its shortcuts and without gates; Phi is that of the chain."""

PROXY_SIDE = 64
"""Side of the images that the proxies of `MEASURED` see, pixels."""

_HOW = f"{BATCH_SIZE} images of {space.RESOLUTION} pixels, one draw"
_PROXY = f"{BATCH_SIZE} images of {PROXY_SIDE} pixels, one draw"

SCORES = ScoreColumns(
    study=STUDY,
    rows=ROWS,
    units={
        "closed_form": "nat: Zen-Score of the vanilla chain in closed form, L1 norm, mini-batch variance",
        "derivative": "nat: the same with the exact derivative in the place of the small perturbation",
        "closed_form_frobenius": "nat: the same in closed form, Frobenius norm, "
        "as Algorithm 1 of the paper has it",
        "repaired": "nat: repaired score of the network as it is built, shortcuts and gates included",
        "growth": "nat: log of the squared gradient behind the first convolution over that behind the last",
        "relu_units": "count: values that meet a ReLU in one forward pass",
        "activations": "count: values behind convolutions of the vanilla chain",
        "log_width": "1: sum over the convolutions of the vanilla chain of the log of their width",
        "log_fan_in": "1: sum over these convolutions of the log of the number of weights that a value reads",
    }
    | {
        name: f"nat: Zen-Score of the vanilla chain, {norm} norm, {variance} variance, {_HOW}"
        for name, (norm, variance) in DEFINITIONS.items()
    }
    | {name.replace("-", "_"): f"1: proxy {name} of the built network, {_PROXY}" for name in MEASURED}
    | {
        f"formula_{name.replace('-', '_')}": f"1: expected {name} by arithmetic, {space.RESOLUTION} pixels"
        for name in FORMULAS
    },
)
"""One row per network, in the order of the published list; columns of draws end in _s and the seed."""


def sample() -> list[int]:
    """The rows that get the dear scores."""
    return sorted(np.random.default_rng(0).permutation(ROWS)[:SAMPLE].tolist())


def arithmetic(index: int) -> Values:
    """What needs no draw."""
    network = space.networks()[index]
    chain = space.vanilla(network)
    return {
        "closed_form": closed_form_zen_score(chain),
        "derivative": closed_form_zen_score(chain, perturbation=0.0),
        "closed_form_frobenius": closed_form_zen_score(chain, norm="frobenius"),
        "relu_units": float(space.relu_units(network)),
        "activations": float(sum(conv.out_channels * math.prod(conv.out_resolution) for conv in chain.convs)),
        "log_width": sum(math.log(conv.out_channels) for conv in chain.convs),
        "log_fan_in": sum(math.log(math.prod(conv.weight_shape[1:])) for conv in chain.convs),
    }


def repaired(index: int) -> Values:
    """The repaired score, of the network as it is built."""
    return {"repaired": repaired_score(space.graph(space.networks()[index]))}


def formulas(index: int) -> Values:
    """The expected values of scores that draw, and how much gradients grow on their way back."""
    network = space.networks()[index]
    graph = space.graph(network)
    read = {name: space.vanilla(network) if name == "phi" else graph for name in FORMULAS}
    found = {f"formula_{name.replace('-', '_')}": formula(name, read[name]) for name in FORMULAS}
    return found | {"growth": growth(graph)}


def zen(index: int) -> Values:
    """All definitions of the Zen-Score from the same forward passes."""
    chain = space.vanilla(space.networks()[index])
    terms = zen_terms(chain, batch_size=BATCH_SIZE, repeats=1, seed=SEED, device="cpu")
    return {_drawn(name): float(terms.score(*how)[0]) for name, how in DEFINITIONS.items()}


def measured(name: str, index: int) -> Values:
    """One proxy of the built network."""
    network = space.build(space.networks()[index])
    value = PROXIES[name](network, PROXY_SIDE, batch_size=BATCH_SIZE, seed=SEED, device="cpu")
    return {_drawn(name): value}


def _drawn(name: str) -> str:
    return f"{name.replace('-', '_')}_s{SEED}"


ARITHMETIC = (
    "closed_form",
    "derivative",
    "closed_form_frobenius",
    "relu_units",
    "activations",
    "log_width",
    "log_fan_in",
)
BY_FORMULA = (*(f"formula_{name.replace('-', '_')}" for name in FORMULAS), "growth")
GROUPS: dict[str, Group] = {
    "arithmetic": (ARITHMETIC, arithmetic),
    "repaired": (("repaired",), repaired),
    "formulas": (BY_FORMULA, formulas),
    "zen": ([_drawn(name) for name in DEFINITIONS], zen),
    **{name: ((_drawn(name),), partial(measured, name)) for name in MEASURED},
}
"""What is computed together of a row."""


def fill(indices: Sequence[int], dear: Sequence[int], proxies: Sequence[str] = MEASURED) -> None:
    """Computes what is missing.

    Args:
        indices: rows that get what is arithmetic.
        dear: rows that get what draws weights and images.
        proxies: which dear proxies.
    """
    for names, rows in ((("arithmetic", "repaired", "formulas"), indices), (("zen", *proxies), dear)):
        for name in names:
            SCORES.fill(*GROUPS[name], rows)


CHECKS = (
    ScoreCheck(
        SCORES,
        by_groups(lambda _: GROUPS),
        dict.fromkeys(DEFINITIONS, NATS)
        | dict.fromkeys((*ARITHMETIC, *BY_FORMULA, "repaired"), LAYERS)
        | {name.replace("-", "_"): PROXY_AGREEMENT[name] for name in MEASURED},
    ),
)
"""How a sample of the stored scores is computed again."""
