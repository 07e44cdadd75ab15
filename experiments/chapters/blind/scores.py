"""The scores of all networks of NAS-Bench-Macro, computed before anyone here has seen how they train.

Codes that differ only in where an identity stands are one network and get one score. The file of scores has
one row per network, in the order of the canonical codes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial

import numpy as np
import torch

from experiments.benchmarks import nasbench_macro_space as nasbench_macro
from experiments.benchmarks.chain_zen import chain_terms
from experiments.benchmarks.module_zen import module_terms
from experiments.benchmarks.network_scores import PEERS
from experiments.record.score_check import ScoreCheck, seed_of, without_seed
from experiments.record.score_columns import ScoreColumns, Values
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
SHARED = (
    "synflow",
    "naswot",
    "az-expressivity",
    "az-progressivity",
    "az-trainability",
    "built",
    "built-running",
)
"""Proxies of the module, and its Zen-Scores as it is built, computed from one module and its images."""
MEASURED = ("zico",)
"""Proxies that are computed each for itself."""
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
    | {name.replace("-", "_"): f"1: proxy {name} of the module, {_HOW}" for name in (*SHARED[:5], *MEASURED)},
)
"""One row per network; columns of random scores end in _s and their seed."""


PEER_SCORES = ScoreColumns(
    STUDY, 3969, {name: f"1: proxy {name} of the module, {_HOW}" for name in SAMPLED_SCORES}, name="peers"
)
"""The same for the scores of 2023 to 2026."""


def sample(count: int) -> list[int]:
    """Rows of the networks that come first in a random order."""
    return sorted(np.random.default_rng(0).permutation(SCORES.rows)[:count].tolist())


def fill_peers(seed: int, indices: Sequence[int]) -> None:
    """The scores of `SAMPLED_SCORES` of some networks, with one draw."""
    PEER_SCORES.fill([f"{name}_s{seed}" for name in SAMPLED_SCORES], partial(_peers, seed), indices)


def peers_are_there(count: int) -> bool:
    """Whether those of the first networks were all computed."""
    return all(PEER_SCORES.done(f"{name}_s0")[sample(count)].all() for name in SAMPLED_SCORES)


def _peers(seed: int, index: int) -> Values:
    module = nasbench_macro.build(networks()[index])
    query = Query(module, nasbench_macro.RESOLUTION, BATCH_SIZE, seed, torch.device("cpu"))
    return {f"{name}_s{seed}": PROXIES[name].value(query) for name in SAMPLED_SCORES}


def fill_zen(seed: int, indices: Sequence[int] | None = None, progress: bool = True) -> None:
    """Every definition of the Zen-Score of all networks (or some, by index), with one draw."""
    _fill([f"{name}_s{seed}" for name in DEFINITIONS], _zen(seed), indices, progress)


def _zen(seed: int) -> Callable[[str], Values]:
    def compute(code: str) -> Values:
        terms = chain_terms(nasbench_macro.vanilla(code), seed, BATCH_SIZE)
        return {f"{name}_s{seed}": terms.score(*definition) for name, definition in DEFINITIONS.items()}

    return compute


def fill_shared(seed: int, indices: Sequence[int] | None = None, progress: bool = True) -> None:
    """The columns of `SHARED` of all networks, or some, with one draw."""
    _fill([_column(name, seed) for name in SHARED], _shared(seed), indices, progress)


def _shared(seed: int) -> Callable[[str], Values]:
    def compute(code: str) -> Values:
        module = nasbench_macro.build(code)
        query = Query(module, nasbench_macro.RESOLUTION, BATCH_SIZE, seed, torch.device("cpu"))
        built = query.once(module_terms)
        found = {"built": built.score(), "built-running": built.score("l1", "running")}
        found |= {name: PROXIES[name].value(query) for name in SHARED if name in PROXIES}
        return {_column(name, seed): value for name, value in found.items()}

    return compute


def fill_closed_form(indices: Sequence[int] | None = None, progress: bool = True) -> None:
    """The closed form of all networks, or some."""
    _fill(["closed_form"], _closed_form, indices, progress)


def _closed_form(code: str) -> Values:
    return {"closed_form": closed_form_zen_score(nasbench_macro.vanilla(code))}


def fill_repaired(indices: Sequence[int] | None = None, progress: bool = True) -> None:
    """The repaired score of all networks, or some."""
    _fill(["repaired"], _repaired, indices, progress)


def _repaired(code: str) -> Values:
    return {"repaired": repaired_score(nasbench_macro.build(code), nasbench_macro.RESOLUTION)}


def fill_measured(seed: int, indices: Sequence[int] | None = None, progress: bool = True) -> None:
    """The proxies of `MEASURED` of all networks, or some, with one draw."""
    for name in MEASURED:
        _fill([_column(name, seed)], _measured(name, seed), indices, progress)


def _measured(name: str, seed: int) -> Callable[[str], Values]:
    def compute(code: str) -> Values:
        module = nasbench_macro.build(code)
        return {
            _column(name, seed): PROXIES[name](
                module, nasbench_macro.RESOLUTION, batch_size=BATCH_SIZE, seed=seed, device="cpu"
            )
        }

    return compute


def _column(name: str, seed: int) -> str:
    return f"{name.replace('-', '_')}_s{seed}"


def _fill(
    columns: Sequence[str], compute: Callable[[str], Values], indices: Sequence[int] | None, progress: bool
) -> None:
    codes = networks()
    SCORES.fill(columns, lambda index: compute(codes[index]), indices, progress)


def recomputed(column: str, index: int) -> float:
    """The value of a column for one network, computed again."""
    name, seed = without_seed(column), seed_of(column)
    makers = dict.fromkeys(DEFINITIONS, _zen) | {shared.replace("-", "_"): _shared for shared in SHARED}
    makers |= {measured.replace("-", "_"): partial(_measured, measured) for measured in MEASURED}
    compute = {"closed_form": _closed_form, "repaired": _repaired}.get(name) or makers[name](seed)
    return compute(networks()[index])[column]


CHECKS = (
    ScoreCheck(
        PEER_SCORES,
        lambda column, index: _peers(seed_of(column), index)[column],
        {name: PROXY_AGREEMENT[name] for name in SAMPLED_SCORES},
    ),
    ScoreCheck(
        SCORES,
        recomputed,
        dict.fromkeys((*DEFINITIONS, "built", "built_running"), NATS)
        | dict.fromkeys(("closed_form", "repaired"), LAYERS)
        | {name.replace("-", "_"): PROXY_AGREEMENT[name] for name in (*SHARED[:5], *MEASURED)},
    ),
)
"""How a sample of the stored scores is computed again."""
