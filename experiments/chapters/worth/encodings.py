"""What a predictor of accuracy is told about a cell: the two standard encodings, and zero-shot scores.

Sources: White et al. 2020 (encodings of cells), White et al. 2021 (paths).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from experiments.benchmarks.cell_layers_space import EDGES, NODES
from experiments.benchmarks.nasbench201_space import OPS, Cell

Floats = NDArray[np.float64]

_CARRYING = tuple(op for op in OPS if op != "none")
_ROUTES = tuple(
    route
    for length in range(1, NODES)
    for route in product(EDGES, repeat=length)
    if route[0][0] == 0 and route[-1][1] == NODES - 1 and all(a[1] == b[0] for a, b in pairwise(route))
)
"""The ways along edges from the input to the output."""
PATHS = tuple(ops for length in range(1, NODES) for ops in product(_CARRYING, repeat=length))
"""The operations that a way can meet, in order: 84 of them."""


def operations(cell: Cell) -> Floats:
    """One indicator for every edge and operation, (30,): the adjacency encoding of fixed edges."""
    return np.array([op == given for op in cell.ops for given in OPS], dtype=np.float64)


def paths(cell: Cell) -> Floats:
    """For every sequence of operations whether some way from the input to the output meets it, (84,)."""
    met = {tuple(cell.ops[EDGES.index(edge)] for edge in route) for route in _ROUTES}
    return np.array([ops in met for ops in PATHS], dtype=np.float64)


ENCODINGS = {"operations": operations, "paths": paths}


def normal_scores(values: NDArray[np.float64]) -> Floats:
    """Ranks as quantiles of the normal distribution, ties in the middle, undefined values lowest, (n,)."""
    ranks = rankdata(np.nan_to_num(values, nan=-np.inf))
    return ndtri((ranks - 0.5) / len(ranks))


def features(cells: pd.DataFrame, encodings: Sequence[str], columns: Sequence[str]) -> Floats:
    """One row per cell.

    Args:
        cells: the column `cell`, and the columns of scores.
        encodings: names in `ENCODINGS`.
        columns: scores, of which a predictor sees the order alone.
    """
    parts = [np.array([ENCODINGS[name](cell) for cell in cells["cell"]]) for name in encodings]
    return np.column_stack([*parts, *(normal_scores(cells[column].to_numpy(float)) for column in columns)])
