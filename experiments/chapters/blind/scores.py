"""The scores of all networks of NAS-Bench-Macro, computed before anyone here has seen how they train.

Codes that differ only in where an identity stands are one network and get one score. The file of scores has
one row per network, in the order of the canonical codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

import numpy as np
import torch

from experiments.benchmarks import nasbench_macro_space as nasbench_macro
from experiments.benchmarks.chain_zen import chain_terms
from experiments.benchmarks.module_zen import module_terms
from experiments.benchmarks.network_scores import PEERS, column
from experiments.record.score_check import ScoreCheck, by_groups
from experiments.record.score_columns import Group, ScoreColumns, Values
from experiments.record.score_tolerances import LAYERS, NATS, PROXY_AGREEMENT
from zenlib.proxies import PROXIES
from zenlib.proxies.query import Query
from zenlib.scores.closed_form import closed_form_zen_score
from zenlib.scores.graph_form import repaired_score
from zenlib.scores.zen import BnVariance, Norm

STUDY = "blind"
BATCH_SIZE = 16

DEFINITIONS: dict[str, tuple[Norm, BnVariance]] = {
    "zen": ("l1", "minibatch"),
    "zen_frobenius": ("frobenius", "minibatch"),
    "zen_running": ("l1", "running"),
}
"""Column of each definition, with the arguments of `zen_score` that ask for it."""
BUILT = ("built", "built-running")
SHARED = (
    *("synflow", "naswot", "az-expressivity", "az-progressivity", "az-trainability"),
    *(*BUILT, "zico"),
)
"""Proxies of the module, and its Zen-Scores as it is built, computed from one module and its images."""
SAMPLED_SCORES = PEERS
"""Scores that were computed after the opening, for some networks."""

_HOW = f"{BATCH_SIZE} images of {nasbench_macro.RESOLUTION} pixels"


@cache
def networks() -> list[str]:
    """The canonical codes, sorted."""
    return sorted({nasbench_macro.canonical(code) for code in nasbench_macro.codes()})


SCORES = ScoreColumns(
    study=STUDY,
    rows=3969,
    units={
        name: f"nat: Zen-Score of the vanilla chain, {norm} norm, {variance} variance, {_HOW}"
        for name, (norm, variance) in DEFINITIONS.items()
    }
    | {
        "built": (
            "nat: Zen-Score of the module as it is built, shortcuts included, L1 norm, mini-batch variance, "
            f"{_HOW}"
        )
    }
    | {"built_running": "nat: the same with the running variance of the released code"}
    | {"closed_form": "nat: Zen-Score of the vanilla chain in closed form, L1 norm, mini-batch variance"}
    | {"repaired": "nat: repaired score of the module as it is built, shortcuts included"}
    | {
        name.replace("-", "_"): f"1: proxy {name} of the module, {_HOW}"
        for name in SHARED
        if name not in BUILT
    },
)
"""One row per network; columns of random scores end in _s and their seed."""


PEER_SCORES = ScoreColumns(
    STUDY, 3969, {name: f"1: proxy {name} of the module, {_HOW}" for name in SAMPLED_SCORES}, name="peers"
)
"""The same for the scores of 2023 to 2026."""


def sample(count: int) -> list[int]:
    """Rows of the networks that come first in a random order."""
    return sorted(np.random.default_rng(0).permutation(SCORES.rows)[:count].tolist())


def peers_are_there(count: int) -> bool:
    """Whether those of the first networks were all computed."""
    return all(PEER_SCORES.done(f"{name}_s0")[sample(count)].all() for name in SAMPLED_SCORES)


def groups(seed: int) -> dict[str, Group]:
    """What is computed together of a network, by index, with one draw."""
    return {
        "closed_form": (("closed_form",), _closed_form),
        "repaired": (("repaired",), _repaired),
        "zen": ([f"{name}_s{seed}" for name in DEFINITIONS], partial(_zen, seed)),
        "shared": ([column(name, seed) for name in SHARED], partial(_shared, seed)),
    }


def peers(seed: int) -> dict[str, Group]:
    """The same of `PEER_SCORES`."""
    return {"peers": ([f"{name}_s{seed}" for name in SAMPLED_SCORES], partial(_peers, seed))}


def _closed_form(index: int) -> Values:
    return {"closed_form": closed_form_zen_score(nasbench_macro.vanilla(networks()[index]))}


def _repaired(index: int) -> Values:
    return {"repaired": repaired_score(nasbench_macro.build(networks()[index]), nasbench_macro.RESOLUTION)}


def _zen(seed: int, index: int) -> Values:
    terms = chain_terms(nasbench_macro.vanilla(networks()[index]), seed, BATCH_SIZE)
    return {f"{name}_s{seed}": terms.score(*definition) for name, definition in DEFINITIONS.items()}


def _query(seed: int, index: int) -> Query:
    module = nasbench_macro.build(networks()[index])
    return Query(module, nasbench_macro.RESOLUTION, BATCH_SIZE, seed, torch.device("cpu"))


def _shared(seed: int, index: int) -> Values:
    query = _query(seed, index)
    built = query.once(module_terms)
    found = {"built": built.score(), "built-running": built.score("l1", "running")}
    found |= {name: PROXIES[name].value(query) for name in SHARED if name not in BUILT}
    return {column(name, seed): value for name, value in found.items()}


def _peers(seed: int, index: int) -> Values:
    query = _query(seed, index)
    return {f"{name}_s{seed}": PROXIES[name].value(query) for name in SAMPLED_SCORES}


def fill(names: Sequence[str], seed: int, indices: Sequence[int]) -> None:
    """Some of the groups, for networks by index."""
    for name in names:
        SCORES.fill(*groups(seed)[name], indices)


CHECKS = (
    ScoreCheck(PEER_SCORES, by_groups(peers), {name: PROXY_AGREEMENT[name] for name in SAMPLED_SCORES}),
    ScoreCheck(
        SCORES,
        by_groups(groups),
        dict.fromkeys((*DEFINITIONS, "built", "built_running"), NATS)
        | dict.fromkeys(("closed_form", "repaired"), LAYERS)
        | {name.replace("-", "_"): PROXY_AGREEMENT[name] for name in SHARED if name not in BUILT},
    ),
)
"""How a sample of the stored scores is computed again."""
