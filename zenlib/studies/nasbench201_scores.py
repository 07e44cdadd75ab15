"""The scores of NAS-Bench-201 cells that the study reads: how each column is computed, and in which file it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from zenlib.benchmarks import nasbench201
from zenlib.cell_zen import CellScorer, cell_vcnn
from zenlib.score_columns import ScoreColumns, Values
from zenlib.spaces.nasbench201 import Cell
from zenlib.zen import BnVariance, Norm, zen_terms

STUDY = "nasbench201"
BATCH_SIZE = 16
RESOLUTION = 32

DEFINITIONS: dict[str, tuple[Norm, BnVariance]] = {
    "l1_minibatch": ("l1", "minibatch"),
    "frobenius_minibatch": ("frobenius", "minibatch"),
    "l1_running": ("l1", "running"),
}
"""Part of a column's name -> the arguments of `zen_score` that ask for this definition."""

_NAMES = {
    "l1_minibatch": "L1 norm, mini-batch variance",
    "frobenius_minibatch": "Frobenius norm, mini-batch variance (Algorithm 1)",
    "l1_running": "L1 norm, running variance (released code)",
}
SCORES = ScoreColumns(
    study=STUDY,
    rows=nasbench201.CELLS,
    units={f"zen_{column}": f"nat: Zen-Score of the network as the benchmark builds it, {name}" for column, name in _NAMES.items()}
    | {"log_delta_l1": "nat: log of the L1 difference of the two outputs, the first term of zen_l1_minibatch"}
    | {f"vanilla_{column}": f"nat: Zen-Score after skip edges and shortcuts are cut, {name}" for column, name in _NAMES.items()},
)
"""One row per cell, by official index; every column ends in _s and its seed."""


def fill_zen(seed: int, progress: bool = True) -> None:
    """Every definition for all cells, as they are and in vanilla form, with one draw of weights and images."""
    cells = [Cell.from_string(text) for text in nasbench201.table()["arch"]]
    for columns, compute in (as_built(seed), vanilla(seed)):
        SCORES.fill(columns, _by_index(cells, compute), progress=progress)


def _by_index(cells: Sequence[Cell], compute: Callable[[Cell], Values]) -> Callable[[int], Values]:
    return lambda index: compute(cells[index])


def as_built(seed: int) -> tuple[tuple[str, ...], Callable[[Cell], Values]]:
    """Columns, and what computes them for a cell as it is."""
    scorer = CellScorer(seed, batch_size=BATCH_SIZE, resolution=RESOLUTION)

    def compute(cell: Cell) -> Values:
        terms = scorer.terms(cell)
        scores = {f"zen_{column}_s{seed}": terms.score(*definition) for column, definition in DEFINITIONS.items()}
        return scores | {f"log_delta_l1_s{seed}": terms.log_delta_l1}

    return (*(f"zen_{column}_s{seed}" for column in DEFINITIONS), f"log_delta_l1_s{seed}"), compute


def vanilla(seed: int) -> tuple[tuple[str, ...], Callable[[Cell], Values]]:
    """Columns, and what computes them for the vanilla form of a cell; cells with one vanilla form are computed once."""

    @cache
    def of_vanilla(cut: Cell) -> Values:
        terms = zen_terms(cell_vcnn(cut, RESOLUTION), batch_size=BATCH_SIZE, repeats=1, seed=seed, device="cpu")
        return {f"vanilla_{column}_s{seed}": float(terms.score(*definition)[0]) for column, definition in DEFINITIONS.items()}

    return tuple(f"vanilla_{column}_s{seed}" for column in DEFINITIONS), lambda cell: of_vanilla(cell.without_skips())
