"""The rows of the study of noise: scores against accuracies, and both against repetitions of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks import nasbench201
from experiments.benchmarks.nasbench201_cells import COUNTS, FEWEST, ZEN, population_of
from experiments.benchmarks.nasbench201_proxies import proxy_scores
from experiments.record.agreement import ARITHMETIC
from experiments.record.estimates import both_coefficients, ends_units
from experiments.record.table import Table
from zenlib.errors import ResultsError, ScoreUndefined
from zenlib.stats.influence import correlate_many

STUDY = "noise"
DRAWN = (*ZEN, "log_delta_l1")
"""Scores of this project that depend on a seed, by the name of their column."""
POPULATIONS = ("valid", "one per class", "no none", "no skip, no pool", "top 10 %")
REPEATED = ("releases", "isomorphic", "validation")
_OTHER = {"releases": "cifar10_test_nb201", "validation": "cifar10_valid"}


def _members(dataset: str, population: str, cells_scored: int) -> pd.DataFrame:
    rows = population_of(dataset, population, cells_scored)
    return rows[rows["connected"]]


def _correlated(x: np.ndarray, y: np.ndarray, families: list[int]) -> dict[str, Any]:
    if len(x) < FEWEST or len(np.unique(x)) < 2 or len(np.unique(y)) < 2:
        raise ScoreUndefined(f"{len(x)} cells, or all of one value")
    found = correlate_many(x, y, families=families)
    return {"n": found.n} | both_coefficients(found)


def score_row(*, dataset: str, population: str, score: str, seeds: str, cells_scored: int) -> dict[str, Any]:
    """The correlation of a score, its draws averaged, with accuracy; cells without a draw are left out."""
    rows = _members(dataset, population, cells_scored)
    values = (
        rows[score] if score in COUNTS else _draws(rows, score, seeds.split("+")).mean(axis=1, skipna=False)
    )
    known = values.notna()
    return _correlated(
        values[known].to_numpy(float),
        rows.loc[known, dataset].to_numpy(float),
        rows.loc[known, "class"].tolist(),
    )


def _draws(rows: pd.DataFrame, score: str, seeds: Sequence[int | str]) -> pd.DataFrame:
    """The values of a score for some seeds, (cells, seeds)."""
    columns = [
        rows
        if f"{score}_s{seed}" in rows
        else proxy_scores(int(seed)).loc[rows["index"]].set_index(rows.index)
        for seed in seeds
    ]
    return pd.concat(
        [column[f"{score}_s{seed}"] for column, seed in zip(columns, seeds, strict=True)], axis=1
    )


def repeat_row(
    *, dataset: str, population: str, score: str, seed: int, other: int, cells_scored: int
) -> dict[str, Any]:
    """The correlation of two draws of one score."""
    rows = _members(dataset, population, cells_scored)
    pair = _draws(rows, score, (seed, other)).dropna()
    first, second = pair.to_numpy(float).T
    return _correlated(first, second, rows.loc[pair.index, "class"].tolist())


def accuracy_row(*, dataset: str, population: str, repeated: str, cells_scored: int) -> dict[str, Any]:
    """The correlation of test accuracy with a repetition of itself."""
    rows = _members(dataset, population, cells_scored)
    if repeated == "isomorphic":
        return _isomorphic(rows, _members(dataset, "valid", cells_scored), dataset)
    if dataset != "cifar10":
        raise ScoreUndefined(f"{dataset} has no second accuracy")
    published = nasbench201.table()
    if _OTHER[repeated] not in published:
        raise ResultsError(
            f"{nasbench201.FILE}: needed the column {_OTHER[repeated]}, got none; leave {repeated!r} out of "
            "`repeated`"
        )
    return _correlated(
        rows[dataset].to_numpy(float),
        published[_OTHER[repeated]].to_numpy(float)[rows.index],
        rows["class"].tolist(),
    )


def _isomorphic(members: pd.DataFrame, everyone: pd.DataFrame, dataset: str) -> dict[str, Any]:
    """For every class one random cell of the population, and another one, which need not belong to it."""
    first = members.sample(frac=1.0, random_state=0).drop_duplicates("class")
    others = everyone.drop(index=first.index).sample(frac=1.0, random_state=1).drop_duplicates("class")
    pairs = first[["class", dataset]].merge(others[["class", dataset]], on="class", suffixes=("", "_again"))
    return _correlated(
        pairs[dataset].to_numpy(float), pairs[f"{dataset}_again"].to_numpy(float), pairs["class"].tolist()
    )


_COEFFICIENTS = (
    {"n": "count: cells, or pairs of them"}
    | ends_units("kendall", "1: Kendall's tau")
    | ends_units("spearman", "1: Spearman's rho")
)
_POPULATION = {
    "dataset": "name: cifar10, cifar100 or imagenet16, test accuracy after 200 epochs",
    "population": "name: which cells with a path",
    "cells_scored": "count: random sample of cells from which the population is taken; 15,625 are all",
}
CORRELATIONS = Table(
    study=STUDY,
    name="correlations",
    compute=score_row,
    units=_POPULATION
    | {
        "score": "name: column of scores.parquet without its seed",
        "seeds": "text: the draws whose mean is taken",
    }
    | _COEFFICIENTS,
    otherwise=ARITHMETIC,
)
DRAWS = Table(
    study=STUDY,
    name="draws",
    compute=repeat_row,
    units=_POPULATION
    | {
        "score": "name: column of scores.parquet without its seed",
        "seed": "1: seed of one draw",
        "other": "1: seed of the other draw",
    }
    | _COEFFICIENTS,
    otherwise=ARITHMETIC,
)
ACCURACIES = Table(
    study=STUDY,
    name="accuracies",
    compute=accuracy_row,
    units=_POPULATION
    | {"repeated": "name: what test accuracy is compared with: releases, isomorphic or validation"}
    | _COEFFICIENTS,
    otherwise=ARITHMETIC,
)


@dataclass(frozen=True)
class NoiseRows:
    """What the chapter reads; rows that are undefined are left out."""

    correlations: pd.DataFrame  # one line per data set, population, score and choice of draws
    draws: pd.DataFrame  # one line per score and pair of draws
    accuracies: pd.DataFrame  # one line per repetition of the accuracies
