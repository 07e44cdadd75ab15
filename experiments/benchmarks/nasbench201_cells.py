"""The cells of NAS-Bench-201 with accuracies, counts and stored scores, and the populations compared."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd

from experiments.benchmarks import nasbench201
from experiments.benchmarks.nasbench201_scores import DEFINITIONS, SCORES, sample
from experiments.benchmarks.nasbench201_space import Cell, costs

DATASETS = tuple(nasbench201.ACCURACIES)
FOR_DATA = {"cifar10": "", "cifar100": "_c100", "imagenet16": "_in16"}
"""What the names of facts about a data set end in."""
ZEN = tuple(f"{form}_{column}" for form in ("zen", "vanilla") for column in DEFINITIONS)
"""Zen columns: "zen" as the cell is, "vanilla" after cutting skips."""
COUNTS = ("params", "flops", "convs", "live_convs", "wired")
"""What costs nothing; `wired` is six minus the number of `none` edges."""
EDGE_COUNTS = ("convs", "none", "skip", "pool")
FEWEST = 20
"""Smaller populations are not correlated."""
TOP_SHARE = 0.1
WITHOUT_SCORE = -1e30
"""What an undefined score counts as: below all others, all such cells tied."""


@cache
def cells() -> pd.DataFrame:
    """One row per cell, by official index: accuracies, scores computed so far, counts, class and function.

    Raises:
        BenchmarkMissing: the benchmark's file is not there.
    """
    rows = nasbench201.table()
    found = [Cell.from_string(text) for text in rows["arch"]]
    described = pd.DataFrame(
        {
            "cell": found,
            "connected": [cell.is_connected for cell in found],
            "all_live": [cell.live == tuple(op != "none" for op in cell.ops) for cell in found],
            "class": pd.factorize(np.array([cell.isomorphism_class for cell in found]))[0],
            "function": pd.factorize(np.array(["+".join(cell.function) for cell in found]))[0],
            "convs": [cell.convs for cell in found],
            "live_convs": [
                sum(live and op.startswith("nor_conv") for op, live in zip(cell.ops, cell.live, strict=True))
                for cell in found
            ],
            "none": [cell.count("none") for cell in found],
            "skip": [cell.count("skip_connect") for cell in found],
            "pool": [cell.count("avg_pool_3x3") for cell in found],
        }
    )
    counted = pd.DataFrame([costs(cell) for cell in found], columns=["params", "flops"])
    wired = (6 - described["none"]).rename("wired")
    return pd.concat(
        [rows[["index", *DATASETS]], described, wired, counted, SCORES.read().drop(columns="index")], axis=1
    )


def populations() -> dict[str, Callable[[pd.DataFrame, str], pd.Series]]:
    """Which cells belong to a population, given the cells and the data set."""
    fixed: dict[str, Callable[[pd.DataFrame, str], pd.Series]] = {
        "all": lambda rows, _: pd.Series(True, rows.index),
        "valid": lambda rows, _: rows["connected"],
        "one per class": lambda rows, _: rows["connected"] & ~rows["class"].duplicated(),
        "one per function": lambda rows, _: rows["connected"] & ~rows["function"].duplicated(),
        "no dead edges": lambda rows, _: rows["all_live"],
        "no none": lambda rows, _: rows["none"] == 0,
        "no skip, no pool": lambda rows, _: rows["connected"] & (rows["skip"] + rows["pool"] == 0),
        "vanilla path": lambda rows, _: pd.Series(
            [cell.without_skips().is_connected for cell in rows["cell"]], rows.index
        ),
        "top 10 %": lambda rows, dataset: rows[dataset] >= rows[dataset].quantile(1 - TOP_SHARE),
    }

    def counted(kind: str, count: int) -> Callable[[pd.DataFrame, str], pd.Series]:
        return lambda rows, _: rows["connected"] & (rows[kind] == count)

    return fixed | {f"{kind} = {count}": counted(kind, count) for kind in EDGE_COUNTS for count in range(7)}


POPULATIONS = populations()


@cache
def population_of(dataset: str, population: str, cells_scored: int) -> pd.DataFrame:
    """The cells of one population, taken from all or from a sample."""
    rows = cells().iloc[sorted(sample(cells_scored))]
    return rows[POPULATIONS[population](rows, dataset)]
