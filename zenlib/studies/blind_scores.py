"""The scores of all networks of NAS-Bench-Macro, computed before anyone here has seen how they train.

Codes that differ only in where an identity stands are one network and get one score. The file of scores has one row per
network, in the order of the canonical codes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import torch

from zenlib.closed_form import closed_form_zen_score
from zenlib.graph_form import repaired_score
from zenlib.prefix_zen import PrefixScorer
from zenlib.proxies import PROXIES
from zenlib.proxies.query import Query
from zenlib.score_columns import ScoreColumns, Values
from zenlib.spaces import nasbench_macro
from zenlib.zen import BnVariance, Norm

STUDY = "blind"
BATCH_SIZE = 16

DEFINITIONS: dict[str, tuple[Norm, BnVariance]] = {
    "zen": ("l1", "minibatch"),
    "zen_frobenius": ("frobenius", "minibatch"),
    "zen_running": ("l1", "running"),
}
"""Column of each definition, with the arguments of `zen_score` that ask for it."""
MEASURED = (("synflow", "naswot"), ("az-expressivity", "az-progressivity", "az-trainability"), ("zico",))
"""Proxies of the module, in groups that share their passes."""

_HOW = f"{BATCH_SIZE} images of {nasbench_macro.RESOLUTION} pixels"


@cache
def networks() -> list[str]:
    """The canonical codes, sorted."""
    return sorted({nasbench_macro.canonical(code) for code in nasbench_macro.codes()})


SCORES = ScoreColumns(
    study=STUDY,
    rows=3969,
    units={name: f"nat: Zen-Score of the vanilla chain, {norm} norm, {variance} variance, {_HOW}" for name, (norm, variance) in DEFINITIONS.items()}
    | {"closed_form": "nat: Zen-Score of the vanilla chain in closed form, L1 norm, mini-batch variance"}
    | {"repaired": "nat: repaired score of the module as it is built, shortcuts included"}
    | {name.replace("-", "_"): f"1: proxy {name} of the module, {_HOW}" for group in MEASURED for name in group},
)
"""One row per network; columns of random scores end in _s and their seed."""


def fill_zen(seed: int, indices: Sequence[int] | None = None, progress: bool = True) -> None:
    """Every definition of the Zen-Score of all networks (or some, by index), with one draw of weights and images."""
    scorer = PrefixScorer(seed, batch_size=BATCH_SIZE, resolution=nasbench_macro.RESOLUTION)

    def compute(code: str) -> Values:
        terms = scorer.terms(nasbench_macro.vanilla(code))
        return {f"{name}_s{seed}": terms.score(*definition) for name, definition in DEFINITIONS.items()}

    _fill([f"{name}_s{seed}" for name in DEFINITIONS], compute, indices, progress)


def fill_closed_form(indices: Sequence[int] | None = None, progress: bool = True) -> None:
    """The closed form of all networks, or some."""
    _fill(["closed_form"], lambda code: {"closed_form": closed_form_zen_score(nasbench_macro.vanilla(code))}, indices, progress)


def fill_repaired(indices: Sequence[int] | None = None, progress: bool = True) -> None:
    """The repaired score of all networks, or some."""
    _fill(["repaired"], lambda code: {"repaired": repaired_score(nasbench_macro.build(code), nasbench_macro.RESOLUTION)}, indices, progress)


def fill_proxies(names: Sequence[str], seed: int, indices: Sequence[int] | None = None, progress: bool = True) -> None:
    """Proxies of `MEASURED` of all networks, or some; they see one module and one batch."""
    columns = {name: f"{name.replace('-', '_')}_s{seed}" for name in names}

    def compute(code: str) -> Values:
        query = Query(nasbench_macro.build(code), nasbench_macro.RESOLUTION, BATCH_SIZE, seed, torch.device("cpu"))
        return {column: PROXIES[name].value(query) for name, column in columns.items()}

    _fill(list(columns.values()), compute, indices, progress)


def _fill(columns: Sequence[str], compute: Callable[[str], Values], indices: Sequence[int] | None, progress: bool) -> None:
    codes = networks()
    SCORES.fill(columns, lambda index: compute(codes[index]), indices, progress)
