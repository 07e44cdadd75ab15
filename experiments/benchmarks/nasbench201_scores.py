"""The scores of NAS-Bench-201 cells that the study reads: how each is computed, and where it is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from experiments.benchmarks import nasbench201
from experiments.benchmarks.cell_zen import CellScorer, cell_vcnn
from experiments.benchmarks.nasbench201_space import Cell
from experiments.benchmarks.zen_rows import DEFINITIONS
from experiments.record.score_check import ScoreCheck, by_groups
from experiments.record.score_columns import Group, ScoreColumns, Values
from experiments.record.score_tolerances import NATS
from zenlib.scores.forward import BN_EPS
from zenlib.scores.zen import zen_terms

STUDY = "nasbench201"
BATCH_SIZE = 16
RESOLUTION = 32

_NAMES = {
    "l1_minibatch": "L1 norm, mini-batch variance",
    "frobenius_minibatch": "Frobenius norm, mini-batch variance (Algorithm 1)",
    "l1_running": "L1 norm, running variance (released code)",
}
SCORES = ScoreColumns(
    study=STUDY,
    rows=nasbench201.CELLS,
    units={
        f"zen_{column}": f"nat: Zen-Score of the network as the benchmark builds it, {name}"
        for column, name in _NAMES.items()
    }
    | {"log_delta_l1": "nat: log of the L1 difference of the two outputs, the first term of zen_l1_minibatch"}
    | {
        f"vanilla_{column}": f"nat: Zen-Score after skip edges and shortcuts are cut, {name}"
        for column, name in _NAMES.items()
    }
    | {
        "gain": (
            "nat: sum over the BatchNorms that read something of log(sigma / sqrt(q)), q the variance of "
            "what their convolution reads"
        )
    },
)
"""One row per cell, by official index; every column ends in _s and its seed."""


def sample(count: int) -> list[int]:
    """Official indices of a random sample of cells; a smaller sample is the beginning of a larger one."""
    return np.random.default_rng(0).permutation(nasbench201.CELLS)[:count].tolist()


def as_built(seed: int) -> tuple[tuple[str, ...], Callable[[Cell], Values]]:
    """Columns, and what computes them for a cell as it is."""
    scorer = CellScorer(seed, batch_size=BATCH_SIZE, resolution=RESOLUTION)

    def compute(cell: Cell) -> Values:
        terms = scorer.terms(cell)
        scores = {
            f"zen_{column}_s{seed}": terms.score(*definition) for column, definition in DEFINITIONS.items()
        }
        return scores | {f"log_delta_l1_s{seed}": terms.log_delta_l1}

    return (*(f"zen_{column}_s{seed}" for column in DEFINITIONS), f"log_delta_l1_s{seed}"), compute


def vanilla(seed: int) -> tuple[tuple[str, ...], Callable[[Cell], Values]]:
    """Columns, and what computes them for the vanilla form of a cell, each form once."""

    @cache
    def of_vanilla(cut: Cell) -> Values:
        terms = zen_terms(
            cell_vcnn(cut, RESOLUTION), batch_size=BATCH_SIZE, repeats=1, seed=seed, device="cpu"
        )
        return {
            f"vanilla_{column}_s{seed}": float(terms.score(*definition)[0])
            for column, definition in DEFINITIONS.items()
        }

    return tuple(f"vanilla_{column}_s{seed}" for column in DEFINITIONS), lambda cell: of_vanilla(
        cell.without_skips()
    )


def gains(seed: int) -> tuple[tuple[str, ...], Callable[[Cell], Values]]:
    """The column, and what computes it for a cell."""
    scorer, column = CellScorer(seed, batch_size=BATCH_SIZE, resolution=RESOLUTION), f"gain_s{seed}"

    def compute(cell: Cell) -> Values:
        terms = scorer.terms(cell, scales=True)
        return {column: terms.log_sigma_minibatch - terms.silent * math.log(BN_EPS) / 2 - terms.log_scale}

    return (column,), compute


def groups(seed: int) -> dict[str, Group]:
    """What is computed together of a cell by its index, with one draw."""
    texts = nasbench201.table()["arch"]

    def by_index(columns: Sequence[str], compute: Callable[[Cell], Values]) -> Group:
        return columns, lambda index: compute(Cell.from_string(texts[index]))

    made = {"built": as_built(seed), "vanilla": vanilla(seed), "gains": gains(seed)}
    return {name: by_index(*group) for name, group in made.items()}


def fill_zen(seed: int, indices: Sequence[int]) -> None:
    """Every definition for cells by index, as they are and in vanilla form, with one draw."""
    for name in ("built", "vanilla"):
        SCORES.fill(*groups(seed)[name], indices)


def fill_gains(seed: int, indices: Sequence[int]) -> None:
    """What the convolutions themselves gain, without the scale of what they read, for cells by index."""
    SCORES.fill(*groups(seed)["gains"], indices)


CHECKS = (ScoreCheck(SCORES, by_groups(groups), dict.fromkeys(SCORES.units, NATS)),)
"""How a sample of the stored scores is computed again."""
