"""The rows of the study: how predictors and scores order held-out cells, and what searches end with.

Everything is asked of the cells of NAS-Bench-201 with a path from input to output. A predictor trains on n of
them, no two of one isomorphism class, and is judged on the cells that share neither class nor function with
any of these; a score is judged on the same cells. Rows are means over draws, so no accuracy of a cell can be
read from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, spearmanr
from sklearn.preprocessing import StandardScaler

from experiments.benchmarks import nasbench201
from experiments.benchmarks.nasbench201_cells import COUNTS, ZEN, cells
from experiments.benchmarks.nasbench201_proxies import computed, proxy_scores
from experiments.benchmarks.nasbench201_scores import SCORES, sample
from experiments.chapters.worth.encodings import ENCODINGS, Floats, features
from experiments.chapters.worth.predictors import predict
from experiments.record.agreement import EXACT, NotCompared
from experiments.record.estimates import by_error, mean_and_error
from experiments.record.table import Table
from zenlib.errors import ResultsError, ScoreUndefined

STUDY = "worth"
GROUPS = {"counts": COUNTS, "zen": (*ZEN, "log_delta_l1")}
"""Scores that a predictor gets together."""
NO_PREDICTOR = "none"
"""In the place of a predictor where cells are ordered by one score."""
VALIDATION = "cifar10_valid"
"""Accuracy on CIFAR-10's validation half, of networks trained on the other half: what a search sees."""
PROXY_CELLS = 500
"""Proxies of the benchmark study are judged on this random sample, so that a stored row stays true.

Those that were measured for fewer cells are left out.
"""


@cache
def pool(cells_scored: int) -> pd.DataFrame:
    """The cells with a path among a random sample, with accuracies, scores and validation accuracies."""
    rows, published = cells(), nasbench201.table()
    if VALIDATION in published:
        rows = rows.assign(validation=published[VALIDATION])
    chosen = rows.iloc[sorted(sample(cells_scored))]
    return chosen[chosen["connected"]].reset_index(drop=True)


@cache
def scores_known(cells_scored: int, seed: int) -> dict[str, np.ndarray]:
    """For each score by name the cells that have it, of proxies the sample of `PROXY_CELLS`."""
    index = pool(cells_scored)["index"]
    asked = np.isin(index, sample(PROXY_CELLS))
    own = {name: SCORES.done(f"{name}_s{seed}")[index] for name in (*GROUPS["zen"], "gain")}
    others = {name: asked for name, mask in computed(seed).items() if mask[index][asked].all()}
    return (
        dict.fromkeys(COUNTS, np.ones(len(index), dtype=bool))
        | {name: mask for name, mask in own.items() if mask.any()}
        | others
    )


@cache
def inputs(features_named: str, seed: int, cells_scored: int) -> Floats:
    """Features, each of mean 0 and variance 1, (cells, features), of encodings and scores joined by "+"."""
    parts = features_named.split("+")
    scores = [score for part in parts if part not in ENCODINGS for score in GROUPS.get(part, (part,))]
    rows = pool(cells_scored)
    rows = rows.join(proxy_scores(seed), on="index")
    told = features(
        rows, [part for part in parts if part in ENCODINGS], [_column(score, seed) for score in scores]
    )
    return StandardScaler().fit_transform(told)


def _column(score: str, seed: int) -> str:
    return score if score in COUNTS else f"{score}_s{seed}"


def labels_of(cells_scored: int, dataset: str, labels: str) -> Floats:
    """The accuracies that a predictor is told: "test" or "validation".

    Raises:
        ResultsError: the file lacks the column.
    """
    rows = pool(cells_scored)
    if labels == "validation" and labels not in rows:
        raise ResultsError(
            f"{nasbench201.FILE}: needed the column {VALIDATION}, got none; write the file anew with "
            "experiments.benchmarks.nasbench201"
        )
    return rows[dataset if labels == "test" else labels].to_numpy(float)


def split(n: int, draw: int, cells_scored: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of n random cells of n classes, and of all that share neither class nor function with them."""
    rows = pool(cells_scored)
    order = np.random.default_rng([n, draw]).permutation(len(rows))
    first = np.sort(np.unique(rows["class"].to_numpy()[order], return_index=True)[1])
    if n + 2 > len(first):
        raise ScoreUndefined(f"{len(first)} classes of cells for {n} to train on")
    trained = order[first[:n]]
    seen = rows[["class", "function"]].iloc[trained]
    held_out = np.flatnonzero(~(rows["class"].isin(seen["class"]) | rows["function"].isin(seen["function"])))
    return trained, held_out


def curve_row(
    *,
    dataset: str,
    predictor: str,
    features: str,
    labels: str,
    seed: int,
    n: int,
    draws: int,
    cells_scored: int,
) -> dict[str, Any]:
    """Both coefficients on held-out cells: mean over draws, standard error, middle 80 % of draws."""
    accuracies, told = pool(cells_scored)[dataset].to_numpy(float), labels_of(cells_scored, dataset, labels)
    found = []
    for draw in range(draws):
        trained, held_out = split(n, draw, cells_scored)
        if predictor == NO_PREDICTOR:
            held_out = held_out[scores_known(cells_scored, seed)[features][held_out]]
            order = inputs(features, seed, cells_scored)[held_out, 0]
        else:
            order = predict(
                predictor, inputs(features, seed, cells_scored), trained, told[trained], held_out, draw
            )
        pair = order, accuracies[held_out]
        found.append((len(held_out), kendalltau(*pair).statistic, spearmanr(*pair).statistic))
    numbers, kendall, spearman = np.array(found, dtype=float).T
    if not np.isfinite(kendall).all():
        raise ScoreUndefined("one order for all held-out cells")
    return {"held_out": float(numbers.mean())} | _spread("kendall", kendall) | _spread("spearman", spearman)


def _spread(name: str, values: Floats) -> dict[str, float]:
    low, high = np.quantile(values, (0.1, 0.9))
    return mean_and_error(name, values) | {f"{name}_low": float(low), f"{name}_high": float(high)}


def _spread_units(name: str, unit: str) -> dict[str, str]:
    return {
        name: f"{unit}, mean over draws",
        f"{name}_stderr": f"{unit}, standard error of the mean over draws",
        f"{name}_low": f"{unit}, exceeded by 9 of 10 draws",
        f"{name}_high": f"{unit}, exceeded by 1 of 10 draws",
    }


_SETTINGS = {
    "dataset": "name: cifar10, cifar100 or imagenet16, test accuracy after 200 epochs",
    "predictor": "name: what learns from trained cells; none where cells are ordered by one score",
    "features": "name: encodings, groups of scores and scores that it sees, joined by +",
    "seed": "1: seed of the scores",
    "n": "count: trained cells",
    "draws": "count: random choices of trained cells",
    "cells_scored": "count: random sample of cells; 15,625 are all",
}

CURVES = Table(
    study=STUDY,
    name="curves",
    compute=curve_row,
    units=_SETTINGS
    | {
        "labels": "name: accuracy that the predictor is told, test or validation",
        "held_out": "count: cells that it is judged on, mean over draws",
    }
    | _spread_units("kendall", "1: Kendall's tau with test accuracy on held-out cells")
    | _spread_units("spearman", "1: Spearman's rho with test accuracy on held-out cells"),
    agreement=by_error("kendall", "spearman", held_out=EXACT),
    otherwise=NotCompared("an end of an interval, which moves with its estimate"),
)


def pick_row(
    *,
    strategy: str,
    predictor: str,
    features: str,
    seed: int,
    n: int,
    draws: int,
    candidates: int,
    cells_scored: int,
) -> dict[str, Any]:
    """How far the cell that a search ends with is below the best of its candidates, after n trained cells.

    Every draw takes other candidates; ties of a score fall at random. The cell of the best validation
    accuracy is kept, and its test accuracy is what counts.
    """
    test, seen = labels_of(cells_scored, "cifar10", "test"), labels_of(cells_scored, "cifar10", "validation")
    if n > min(candidates, len(test)):
        raise ScoreUndefined(f"{min(candidates, len(test))} candidates for {n} to train")
    known = np.empty(0) if strategy == "random" else inputs(features, seed, cells_scored)
    regrets = []
    for draw in range(draws):
        chosen = np.random.default_rng([n, draw]).permutation(len(test))[:candidates]  # in random order
        trained = _trained(strategy, chosen, n, predictor, known, draw, seen)
        regrets.append(test[chosen].max() - test[trained[np.argmax(seen[trained])]])
    return _spread("regret", np.array(regrets))


def _trained(
    strategy: str, chosen: np.ndarray, n: int, predictor: str, seen: Floats, draw: int, told: Floats
) -> np.ndarray:
    """The cells that a search trains, of candidates in random order.

    At random, those of the highest score, or half at random and then those that a predictor trained on them
    puts first among the rest.
    """
    if strategy == "random":
        return chosen[:n]
    if strategy == "score":
        return chosen[_best(seen[chosen, 0], n)]
    first, rest = chosen[: n // 2], chosen[n // 2 :]
    order = predict(predictor, seen, first, told[first], rest, draw)
    return np.concatenate([first, rest[_best(order, n - len(first))]])


def _best(order: Floats, n: int) -> np.ndarray:
    return np.argsort(-order, kind="stable")[:n]


PICKS = Table(
    study=STUDY,
    name="picks",
    compute=pick_row,
    units={name: unit for name, unit in _SETTINGS.items() if name != "dataset"}
    | {
        "strategy": (
            "name: what is trained: cells at random; those of the highest score; half at random and half by "
            "a predictor"
        ),
        "candidates": "count: random cells among which a draw searches",
    }
    | _spread_units(
        "regret", "percent: best CIFAR-10 test accuracy of the candidates minus that of the cell kept"
    ),
    agreement=by_error("regret"),
    otherwise=NotCompared("an end of an interval, which moves with its estimate"),
)


def forget() -> None:
    """Reads the scores anew."""
    cells.cache_clear()
    for cached in (pool, scores_known, inputs):
        cached.cache_clear()


def sizes(n: int, candidates: int) -> Iterator[int]:
    """Budgets of a search: 1, 2, 4, ... up to n or the number of candidates."""
    size = 1
    while size < min(n, candidates):
        yield size
        size *= 2
    yield min(n, candidates)
