"""A score of cells from parts by arithmetic: expressivity, trainability and size, without a fitted weight.

The variants are compared on CIFAR-10 accuracies of one half of the isomorphism classes of NAS-Bench-201,
the half that the repaired score was chosen on, and reported on the other half and on everything.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks import nasbench201
from experiments.benchmarks.map_terms import growth
from experiments.benchmarks.nasbench201_proxies import proxy_scores
from experiments.benchmarks.nasbench201_space import Cell
from experiments.benchmarks.nasbench201_terms import by_live_part, live_part
from experiments.benchmarks.nasbench201_variants import DATASETS, cells
from experiments.chapters.counts.measured import STUDY
from experiments.record.agreement import ARITHMETIC
from experiments.record.correlations import compare_many
from experiments.record.estimates import ENDS, kendall
from experiments.record.score_check import ScoreCheck, by_groups
from experiments.record.score_columns import Group, ScoreColumns, Values
from experiments.record.score_tolerances import LAYERS
from experiments.record.table import Table
from zenlib.scores.formulas.by_name import az_expressivity, naswot
from zenlib.scores.graph_form import graph_of
from zenlib.stats.influence import correlate_many

UNITS = {
    "naswot": "nat: NASWOT of the live part of the cell, by arithmetic",
    "expressivity": "nat: expressivity of AZ-NAS of the live part, by arithmetic",
    "growth": "nat: log of the squared gradient behind the first convolution over that behind the last",
}
FORMULAS = ScoreColumns(STUDY, nasbench201.CELLS, UNITS, name="formulas")
"""One row per cell, by official index."""


def formulas_of(cell: Cell) -> Values:
    """Every column for one cell.

    Raises:
        ScoreUndefined: no path leads through it.
    """
    graph = graph_of(live_part(cell))
    return {"naswot": naswot(graph), "expressivity": az_expressivity(graph), "growth": growth(graph)}


def groups(_: int) -> dict[str, Group]:
    """Every column of a cell by its index."""
    return {"formulas": (list(UNITS), by_live_part(formulas_of))}


CHECKS = (ScoreCheck(FORMULAS, by_groups(groups), dict.fromkeys(UNITS, LAYERS)),)


def _ranks(*names: str) -> Callable[[pd.DataFrame], pd.Series]:
    """The sum of the logs of the ranks of some parts, as AZ-NAS joins its own."""
    return lambda rows: sum(np.log(rows[name].rank() / rows[name].notna().sum()) for name in names)  # type: ignore[return-value]


VARIANTS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "repaired": lambda rows: rows["repaired"],
    "naswot": lambda rows: rows["naswot"],
    "expressivity": lambda rows: rows["expressivity"],
    "repaired, size": _ranks("repaired", "flops"),
    "repaired, trainability": _ranks("repaired", "trainability"),
    "repaired, trainability, size": _ranks("repaired", "trainability", "flops"),
    "naswot, trainability, size": _ranks("naswot", "trainability", "flops"),
    "expressivity, trainability, size": _ranks("expressivity", "trainability", "flops"),
    "all four": _ranks("repaired", "expressivity", "trainability", "flops"),
    "repaired minus growth": lambda rows: rows["repaired"] + 0.5 * rows["trainability"],
}
"""Everything that was compared on the choice half: three parts alone, six joins by ranks, one sum in nats."""
ALONE = ("repaired", "naswot", "expressivity")
POPULATIONS = {"all": "all cells", "no idle": "cells without an idle operation"}
BAR = {"cifar10": 0.750, "cifar100": 0.753, "imagenet16": 0.743}
"""Kendall's tau of VKDNW's aggregate on the cells without an idle operation, from its Table 1."""
WITHOUT_SCORE = -1e30


@cache
def table() -> pd.DataFrame:
    """One row per cell: accuracies, half, class, the parts and every variant.

    Raises:
        BenchmarkMissing: the benchmark's file is not there.
    """
    rows = cells().merge(FORMULAS.read(), on="index").rename(columns={"effective_gain": "repaired"})
    rows["trainability"] = -rows["growth"].abs()
    idle = [
        any(op != "none" and not live for op, live in zip(cell.ops, cell.live, strict=True))
        for cell in rows["cell"]
    ]
    kept = ~np.array(idle) | (rows["none"] == 6)
    found = {f"variant {name}": variant(rows) for name, variant in VARIANTS.items()}
    return rows.assign(**{"no idle": kept}, **found)


def part_row(*, variant: str, dataset: str, population: str, half: str) -> dict[str, Any]:
    """Kendall's tau of one variant, and by how much it exceeds that of the repaired score."""
    rows = table()
    rows = rows[rows["no idle"]] if population == "no idle" else rows
    rows = rows if half == "all" else rows[rows["half"] == half]
    scores, known = (
        rows[f"variant {name}"].fillna(WITHOUT_SCORE).to_numpy() for name in (variant, "repaired")
    )
    accuracies, classes = rows[dataset].to_numpy(float), rows["class"].tolist()
    found = correlate_many(scores, accuracies, families=classes)
    told = {"n": len(rows)} | kendall(found) | dict.fromkeys((f"over{end}" for end in ENDS), math.nan)
    if variant != "repaired":
        told |= kendall(compare_many(scores, known, accuracies, families=classes), "over")
    return told


PARTS = Table(
    study=STUDY,
    name="parts",
    compute=part_row,
    units={
        "variant": "name: a part or a join of parts",
        "dataset": "name: cifar10, cifar100 or imagenet16, test accuracy after 200 epochs",
        "population": "name: all cells, or those without an idle operation",
        "half": "name: half of the isomorphism classes, choice or report, or all",
        "n": "count: cells",
        "kendall": "1: Kendall's tau with accuracy",
        "kendall_low": "1: lower end of its 95 % interval over isomorphism classes",
        "kendall_high": "1: upper end",
        "over": "1: tau minus that of the repaired score",
        "over_low": "1: lower end of its 95 % interval",
        "over_high": "1: upper end",
    },
    otherwise=ARITHMETIC,
)


MEASURED_AS = {"naswot": "naswot_s0", "expressivity": "az_expressivity_s0"}
"""Column of `FORMULAS` -> the draw of every cell that it is held against."""


def within_row(*, score: str) -> dict[str, float]:
    """A formula against one draw of all cells without an idle operation, also at equal convolutions."""
    rows = table()
    drawn = proxy_scores(0)[MEASURED_AS[score]].reindex(rows["index"]).to_numpy()
    rows = rows.assign(drawn=drawn)[rows["no idle"]].dropna(subset=["drawn", score])
    pair = rows[["drawn", score]]
    rest = pair - pair.groupby(rows["convs"]).transform("mean")
    both, within = (one["drawn"].corr(one[score], method="spearman") for one in (pair, rest))
    return {"n": len(rows), "spearman": both, "within": within}


WITHIN = Table(
    study=STUDY,
    name="within",
    compute=within_row,
    units={
        "score": "name: a score with a formula",
        "n": "count: cells without an idle operation",
        "spearman": "1: Spearman's rho of the formula and one draw",
        "within": "1: the same of both less their mean over the cells with equally many convolutions",
    },
    otherwise=ARITHMETIC,
)


def choice(rows: pd.DataFrame) -> str:
    """The variant with the highest tau on the choice half, on all its cells."""
    rows = rows[(rows["half"] == "choice") & (rows["population"] == "all")]
    return str(rows.loc[rows["kendall"].idxmax(), "variant"])


def best_join(rows: pd.DataFrame) -> str:
    """The same among the variants that join parts."""
    return choice(rows[~rows["variant"].isin(ALONE)])


def run() -> pd.DataFrame:
    """All variants on the choice half, and the chosen one and the best join on everything else."""
    if not nasbench201.is_there():
        return PARTS.stored()
    FORMULAS.fill(*groups(0)["formulas"])
    tried = PARTS.fill(
        [{"variant": name, "dataset": "cifar10", "population": "all", "half": "choice"} for name in VARIANTS]
    )
    reported = [
        {"variant": name, "dataset": dataset, "population": population, "half": half}
        for name in dict.fromkeys((choice(tried), best_join(tried), "repaired"))
        for dataset in DATASETS
        for population in POPULATIONS
        for half in ("report", "all")
    ]
    return pd.concat([tried, PARTS.fill(reported)], ignore_index=True)
