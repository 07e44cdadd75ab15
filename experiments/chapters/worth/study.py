"""How many trained networks is a zero-shot score worth? Scores against predictors that learn from n cells.

Both order cells that are neither isomorphic nor equal in function to a trained one. Training pays for a score
from the n on at which a predictor orders these cells better than the score; and it pays for a search from the
n on at which the cell that it ends with is better.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks import nasbench201
from experiments.benchmarks.nasbench201_cells import DATASETS, FOR_DATA
from experiments.benchmarks.nasbench201_scores import fill_zen, sample
from experiments.chapters.worth.predictors import PREDICTORS
from experiments.chapters.worth.rows import CURVES, NO_PREDICTOR, PICKS, forget, scores_known, sizes
from experiments.record.table import Table
from experiments.record.wording import Told

TABLES = (CURVES, PICKS)

ENCODED = ("operations", "paths")
SCORED = ("counts", "zen", "operations+counts", "operations+zen", "operations+counts+zen")
"""What predictors see: encodings of the cell, scores, or both."""
BOTH = "operations+counts+zen"
"""Of these what gradient boosting sees; ridge regression sees each."""
ELSEWHERE = ("ridge", "paths")
"""Learned on the other data sets and from validation accuracies too, and used in a search."""
NAMED = (("gaussian process", "operations"), ("gradient boosting", "paths"), ELSEWHERE)
"""Predictors whose crossings the prose gives."""
SEARCHED = ("zen_l1_minibatch", "zen_l1_running", "log_delta_l1", "params", "live_convs")
"""Scores whose highest cells are trained in a search."""
RESAMPLES = 2000


@dataclass(frozen=True)
class WorthRows:
    """What the chapter reads."""

    curves: pd.DataFrame  # one line per data set, predictor, features and n; undefined ones left out
    picks: pd.DataFrame  # one line per strategy and n; undefined ones left out


def run(
    *,
    datasets: Sequence[str] = DATASETS,
    seed: int = 0,
    cells_scored: int = nasbench201.CELLS,
    n: Sequence[int] = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2000),
    draws: int = 30,
    draws_from_500: int = 10,
    candidates: int = 5000,
    searches: int = 100,
    searches_predicted: int = 20,
) -> WorthRows:
    """Trains the predictors, or reads the stored rows; without the benchmark's file, those that are stored.

    Args:
        datasets: which accuracies; the first gets every predictor, CIFAR-10 alone has validation accuracies
            and searches.
        seed: of the scores.
        cells_scored: how many cells, all or a random sample.
        n: numbers of trained cells.
        draws: random choices of trained cells below 500 of them.
        draws_from_500: the same from 500 on.
        candidates: cells among which a search chooses.
        searches: searches per strategy and budget.
        searches_predicted: the same where a predictor is trained.
    """
    settings: dict[str, Any] = {"seed": seed, "cells_scored": cells_scored}
    if not nasbench201.is_there():
        return WorthRows(_stored(CURVES, settings), _stored(PICKS, settings))
    fill_zen(seed, sample(cells_scored))
    forget()
    known = tuple(scores_known(cells_scored, seed))
    repeated = [{"n": size, "draws": draws if size < 500 else draws_from_500} for size in n]
    curves = [told | size | settings for told in _learners(datasets, known) for size in repeated]
    often = {"random": searches, "score": searches, "predictor": searches_predicted}
    budgets = [{"n": size, "candidates": candidates} for size in sizes(max(n), candidates)]
    searched = [
        how | budget | {"draws": often[how["strategy"]]} | settings
        for how in _searches()
        for budget in budgets
    ]
    picks = [key for key in searched if key["strategy"] != "predictor" or key["n"] >= 2 * min(n)]
    return WorthRows(CURVES.fill(curves).dropna(subset="kendall"), PICKS.fill(picks).dropna(subset="regret"))


def _learners(datasets: Sequence[str], known: Sequence[str]) -> Iterator[dict[str, Any]]:
    """What is asked for at every n, the columns of the key without n and settings."""
    first, *others = datasets
    for score in known:
        yield from (
            {"dataset": dataset, "predictor": NO_PREDICTOR, "features": score, "labels": "test"}
            for dataset in datasets
        )
    for features in (*ENCODED, *SCORED):
        few = ("ridge", "gradient boosting") if features == BOTH else ("ridge",)
        asked = PREDICTORS if features in ENCODED else few
        yield from (
            {"dataset": first, "predictor": predictor, "features": features, "labels": "test"}
            for predictor in asked
        )
    again = {"predictor": ELSEWHERE[0], "features": ELSEWHERE[1]}
    yield from ({"dataset": dataset, "labels": "test"} | again for dataset in others)
    if first == "cifar10":
        yield {"dataset": first, "labels": "validation"} | again


def _searches() -> Iterator[dict[str, Any]]:
    yield {"strategy": "random", "predictor": NO_PREDICTOR, "features": NO_PREDICTOR}
    yield from ({"strategy": "score", "predictor": NO_PREDICTOR, "features": score} for score in SEARCHED)
    yield {"strategy": "predictor", "predictor": ELSEWHERE[0], "features": ELSEWHERE[1]}


def _stored(table: Table, settings: dict[str, Any]) -> pd.DataFrame:
    rows = table.stored()
    rows = rows[(rows[list(settings)] == pd.Series(settings)).all(axis=1)]
    return rows.dropna(subset="kendall" if table is CURVES else "regret")


def pays(curves: pd.DataFrame, dataset: str = "cifar10") -> pd.DataFrame:
    """For every score and predictor, the number of trained cells at which they order held-out cells alike.

    Returns:
        One line per score and predictor: `score`, `score_value` (its tau at the smallest n),
        `predictor`, `features`, `n` and its 95 % interval `low`, `high` over draws (infinite: above all n
        that were tried; the smallest n: at or below it), and `surely`, from which on 9 of 10 draws are better
        than the score.
    """
    rows = _on_test(curves, dataset)
    alone = rows["predictor"] == NO_PREDICTOR
    lines = []
    for score, of_score in rows[alone].groupby("features", sort=False):
        for (predictor, features), learned in rows[~alone].groupby(["predictor", "features"], sort=False):
            both = learned.merge(of_score, on="n", suffixes=("", "_score"))
            told = {"score": score, "score_value": of_score["kendall"].iloc[0]}
            lines.append(told | {"predictor": predictor, "features": features} | _crossing(both))
    return pd.DataFrame(
        lines, columns=["score", "score_value", "predictor", "features", "n", "low", "high", "surely"]
    )


def _on_test(curves: pd.DataFrame, dataset: str) -> pd.DataFrame:
    rows = curves[(curves["dataset"] == dataset) & (curves["labels"] == "test")]
    return rows.sort_values("n", kind="stable")


def _crossing(both: pd.DataFrame) -> dict[str, float]:
    n, other = np.log(both["n"].to_numpy(float)), both["kendall_score"].to_numpy(float)
    gap = both["kendall"].to_numpy(float) - other
    error = np.hypot(both["kendall_stderr"], both["kendall_stderr_score"]).to_numpy(float)
    drawn = gap + error * np.random.default_rng(0).standard_normal((RESAMPLES, len(n)))
    # Quantiles that are one of the values, since some of them may be infinite.
    low, high = np.quantile([_first_above(n, line) for line in drawn], (0.025, 0.975), method="inverted_cdf")
    surely = _first_above(n, both["kendall_low"].to_numpy(float) - other)
    return {"n": _first_above(n, gap), "low": float(low), "high": float(high), "surely": surely}


def _first_above(log_n: np.ndarray, gap: np.ndarray) -> float:
    """Where a line through the gaps first comes above zero, on a logarithmic scale of n."""
    above = np.flatnonzero(gap > 0)
    if not above.size:
        return math.inf
    at = int(above[0])
    if at == 0:
        return float(np.exp(log_n[0]))
    share = -gap[at - 1] / (gap[at] - gap[at - 1])
    return float(np.exp(log_n[at - 1] + share * (log_n[at] - log_n[at - 1])))


def best(curves: pd.DataFrame, features: Sequence[str]) -> tuple[str, str] | None:
    """The best predictor and features, of these, by mean tau over all n on CIFAR-10; None without rows."""
    rows = _on_test(curves, "cifar10")
    rows = rows[(rows["predictor"] != NO_PREDICTOR) & rows["features"].isin(features)]
    if rows.empty:
        return None
    found: tuple[str, str] = rows.groupby(["predictor", "features"])["kendall"].mean().idxmax()
    return found


def saves(curves: pd.DataFrame) -> pd.DataFrame:
    """For every n with scores as features, the n that the best predictor without them needs for the same tau.

    Returns:
        Columns `n`, `predictor`, `features`, `kendall`, `without` (infinite: more than was tried) for the
        best predictor of each set of features, on CIFAR-10.
    """
    columns = ["n", "predictor", "features", "kendall", "without"]
    alone = best(curves, ENCODED)
    if alone is None:
        return pd.DataFrame(columns=columns)
    rows = _on_test(curves, "cifar10")
    plain = rows[(rows[["predictor", "features"]] == list(alone)).all(axis=1)]
    log_n, tau = np.log(plain["n"].to_numpy(float)), plain["kendall"].to_numpy(float)
    lines = []
    for features in SCORED:
        found = best(curves, [features]) or ("", features)
        for row in rows[(rows[["predictor", "features"]] == list(found)).all(axis=1)].itertuples():
            without = _first_above(log_n, tau - row.kendall)
            lines.append((row.n, row.predictor, features, row.kendall, without))
    return pd.DataFrame(lines, columns=columns)


UNKNOWN = "not measured"
"""What a fact says in a run without these rows."""
_SHORT = {"gaussian process": "gp", "gradient boosting": "gb", "ridge": "ridge"}
_SCORES = (
    "zen_l1_minibatch",
    "zen_l1_running",
    "vanilla_l1_minibatch",
    "vanilla_l1_running",
    "log_delta_l1",
    "params",
    "flops",
    "convs",
    "live_convs",
    "wired",
)
_SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024, 2000)
_BUDGETS = (1, 4, 16, 64, 256, 1024)


def facts(rows: WorthRows) -> dict[str, str]:
    """The prose's numbers: curves as "mean (middle 80 % of draws)", crossings as "n [95 % interval]"."""
    return (
        _setting_facts(rows)
        | _pays_facts(rows.curves)
        | _curve_facts(rows.curves)
        | _saved_facts(rows.curves)
        | _pick_facts(rows.picks)
    )


def _setting_facts(rows: WorthRows) -> dict[str, str]:
    curves, picks = rows.curves, rows.picks
    names = ("held_out_most", "held_out_least", "draws", "draws_large", "n_least", "n_most")
    told = dict.fromkeys((*names, "searches", "candidates", "best_alone"), UNKNOWN)
    if len(curves):
        least = curves.loc[curves["features"] == "params", "held_out"].min()
        told |= {"held_out_most": f"{curves['held_out'].max():,.0f}", "held_out_least": f"{least:,.0f}"}
        told |= {"draws": f"{curves['draws'].max():.0f}", "draws_large": f"{curves['draws'].min():.0f}"}
        told |= {"n_least": f"{curves['n'].min():,.0f}", "n_most": f"{curves['n'].max():,.0f}"}
    if len(picks):
        told |= {"searches": f"{picks['draws'].max():.0f}", "candidates": f"{picks['candidates'].max():,.0f}"}
    if alone := best(curves, ENCODED):
        told["best_alone"] = f"{alone[0]} on {alone[1]}".replace("gaussian", "a Gaussian")
    return told


def _pays_facts(curves: pd.DataFrame) -> dict[str, str]:
    told: dict[str, str] = {}
    for dataset, data in FOR_DATA.items():
        found = pays(curves, dataset)
        found = found[found["features"].isin(ENCODED)]
        learned = curves[curves["predictor"] != NO_PREDICTOR]
        ends = (learned["n"].min(), learned["n"].max())
        for score in _SCORES:
            members = found[found["score"] == score]
            name = f"{score}{data}"
            told |= {f"tau_{name}": UNKNOWN, f"pays_{name}": UNKNOWN}
            if len(members):
                told[f"tau_{name}"] = f"{members['score_value'].iloc[0]:.2f}"
                told[f"pays_{name}"] = f"{_n(members['n'].min(), *ends)} to {_n(members['n'].max(), *ends)}"
            for how in NAMED:
                row = members[(members[["predictor", "features"]] == list(how)).all(axis=1)]
                at = f"{score}_{_SHORT[how[0]]}{data}"
                told |= {f"pays_{at}": UNKNOWN, f"surely_{at}": UNKNOWN}
                if len(row):
                    n, low, high, surely = (
                        _n(row[end].iloc[0], *ends) for end in ("n", "low", "high", "surely")
                    )
                    told |= {f"pays_{at}": f"{n} [{low}, {high}]", f"surely_{at}": surely}
    return told


def _n(value: float, least: float, most: float) -> str:
    if math.isinf(value):
        return f"over {most:,.0f}"
    return f"{least:.0f} or fewer" if value <= least else f"{value:,.0f}"


def _curve_facts(curves: pd.DataFrame) -> dict[str, str]:
    told: dict[str, str] = {}
    found = Told(curves, ["dataset", "predictor", "features", "labels", "n"], UNKNOWN)
    for predictor, short in _SHORT.items():
        for features in (*ENCODED, *SCORED):
            for labels, mark in (("test", ""), ("validation", "_valid")):
                for size in _SIZES:
                    at = ("cifar10", predictor, features, labels, size)
                    name = f"curve_{short}_{features.replace('+', '_')}{mark}_{size}"
                    told[name] = found.text(at, "{kendall:.2f} ({kendall_low:.2f} to {kendall_high:.2f})")
    return told


def _saved_facts(curves: pd.DataFrame) -> dict[str, str]:
    told: dict[str, str] = {}
    found = Told(saves(curves), ["features", "n"], UNKNOWN)
    ends = (curves["n"].min(), curves["n"].max())
    for features in SCORED:
        for size in _SIZES:
            at, name = (features, size), f"{features.replace('+', '_')}_{size}"
            told[f"with_{name}"] = found.text(at, "{kendall:.2f}")
            told[f"without_{name}"] = _n(found.rows[at]["without"], *ends) if at in found.rows else UNKNOWN
    return told


def _pick_facts(picks: pd.DataFrame) -> dict[str, str]:
    told: dict[str, str] = {}
    found = Told(picks, ["strategy", "predictor", "features", "n"], UNKNOWN)
    for how in _searches():
        strategy, predictor, features = how.values()
        parts = (strategy, _SHORT.get(predictor, ""), features.replace("+", "_"))
        name = "_".join(part for part in parts if part not in ("", NO_PREDICTOR))
        for size in _BUDGETS:
            at = (strategy, predictor, features, size)
            told[f"regret_{name}_{size}"] = found.text(at, "{regret:.2f} ± {regret_stderr:.2f}")
    return told
