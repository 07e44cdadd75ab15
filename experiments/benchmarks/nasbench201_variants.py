"""The cells of NAS-Bench-201 with every variant of the Zen-Score that was tried on them, and their halves."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd

from experiments.benchmarks import nasbench201_cells as zen_study
from experiments.benchmarks.nasbench201_terms import SCORES

DATASETS = zen_study.DATASETS
VARIANTS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "zen": lambda terms: terms["zen"],
    "gain": lambda terms: terms["gain"],
    "tap_gain": lambda terms: terms["tap_gain"],
    "effective_gain": lambda terms: terms["effective_gain"],
    "effective_last": lambda terms: terms["effective_gain"] + terms["last_values"],
    "effective_cells_quarter": lambda terms: terms["effective_gain"] + 0.25 * terms["cell_values"],
    "effective_cells_half": lambda terms: terms["effective_gain"] + 0.5 * terms["cell_values"],
    "effective_cells": lambda terms: terms["effective_gain"] + terms["cell_values"],
    "effective_cells_double": lambda terms: terms["effective_gain"] + 2 * terms["cell_values"],
}
"""Every combination of the terms of `nasbench201_terms.UNITS` that was compared on the choice half."""
CHOSEN = "effective_gain"
"""The one that is reported: not the highest, but the one without a weight to choose."""
MEASURED = ("zen_l1_minibatch", "zen_l1_running")
"""Monte Carlo, seed 0, of the network with its dead edges, as `nasbench201` stores it."""
COUNTS = ("params", "flops", "live_convs")


@cache
def cells() -> pd.DataFrame:
    """One row per cell of NAS-Bench-201: accuracies, counts, class, every score, and the half of its class.

    Raises:
        BenchmarkMissing: the benchmark's file is not there.
    """
    rows = zen_study.cells()
    found = SCORES.read().drop(columns="index").rename(columns=lambda name: name.removesuffix("_s0"))
    scores = pd.DataFrame({name: variant(found) for name, variant in VARIANTS.items()})
    scores = scores.assign(cancelled=found["cancelled"], zen_rest=found["zen"] - found["cancelled"])
    scores = scores.assign(**{name: rows[f"{name}_s0"] for name in MEASURED})
    order = np.random.default_rng(0).permutation(rows["class"].max() + 1)
    half = pd.Series(np.where(order[rows["class"]] % 2 == 0, "choice", "report"), name="half")
    return pd.concat(
        [
            rows[["index", *DATASETS, "cell", "connected", "class", "none", *EDGE_KINDS, *COUNTS]],
            scores,
            half,
        ],
        axis=1,
    )


EDGE_KINDS = ("skip", "pool", "convs")
