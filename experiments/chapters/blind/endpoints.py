"""How the blind test is judged, fixed before anyone here has seen an accuracy.

Once accuracies are known, `endpoints` gives every number that the pre-registration names, and `verdict` the
answer of the one comparison that decides. Codes of one network are one unit of all intervals: they differ by
the noise of training alone. Since the registration nothing but comments and breaks of lines has changed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks.nasbench_macro_space import canonical
from experiments.record.correlations import compare_many, kendall_near
from zenlib.stats import Interval
from zenlib.stats.influence import correlate_many

PRIMARY = ("repaired", "params")
"""The comparison that decides.

Kendall's tau of the first with accuracy minus that of the second, over all codes.
"""
SECOND = ("repaired", "built_running")
"""Whether the repair is one.

What public copies of the score compute on a network with shortcuts, against the repaired score.
"""
BASELINES = ("params", "flops", "depth", "zen", "zen_running", "built_running")
"""What the repaired score is compared with."""
TOP_SHARE = 0.2
"""Share of codes, by accuracy, in which the order is asked again."""
NEAR = 1.02
"""Largest ratio of the FLOPs of two codes of nearly equal cost."""
GUESSES: dict[str, tuple[float, float]] = {
    "params": (0.35, 0.60),
    "flops": (0.50, 0.75),
    "depth": (0.45, 0.70),
    "zen_running": (0.45, 0.75),
    "built_running": (0.40, 0.75),
    "zen": (0.45, 0.75),
    "repaired": (0.50, 0.75),
}
"""Our guess of Kendall's tau over all codes, as a range that we would bet on four times in five.

It is a guess: in the other benchmarks a count of convolutions and the repaired score lie between 0.5 and 0.75
and parameters below them; here the last stage holds most parameters, so they should be the worst of these.
"""
GUESSED_GAIN = (0.0, 0.2)
"""Our guess of the primary difference, in the same sense."""


def endpoints(predictions: pd.DataFrame, accuracies: pd.Series, scores: Sequence[str]) -> pd.DataFrame:
    """Every number of the pre-registration.

    Args:
        predictions: the file of predictions: `arch` and one column per score.
        accuracies: test accuracy in percent by code; codes without one are left out.
        scores: columns of the predictions.

    Returns:
        One line per population, score and baseline (None for the score alone): `kendall`, `low`, `high` (95
            %) and `n`, codes or
        pairs. Populations: all codes, one line per network (mean accuracy), the best fifth of the codes,
            pairs of nearly equal FLOPs.

    Raises:
        ValueError: an accuracy is given for a code that the predictions lack.
    """
    unknown = sorted(set(accuracies.index) - set(predictions["arch"]))
    if unknown:
        raise ValueError(
            f"accuracies: needed codes of the predictions, got {len(unknown)} others, the first "
            f"{unknown[0]!r}"
        )
    rows = predictions.assign(
        accuracy=predictions["arch"].map(accuracies), network=predictions["arch"].map(canonical)
    ).dropna(subset="accuracy")
    networks = rows.groupby("network", as_index=False).agg(
        {"accuracy": "mean"} | dict.fromkeys(scores, "first")
    )
    best = rows[rows["accuracy"] >= rows["accuracy"].quantile(1 - TOP_SHARE)]
    lines = []
    for population, members in (("all", rows), ("networks", networks), ("top", best)):
        for score in scores:
            lines.append(
                {"population": population, "score": score, "baseline": None} | _alone(members, score)
            )
        for baseline in (name for name in BASELINES if name in scores):
            lines.append(
                {"population": population, "score": PRIMARY[0], "baseline": baseline}
                | _gain(members, PRIMARY[0], baseline)
            )
    for score in (name for name in scores if name != "flops"):
        found, interval, pairs = kendall_near(
            rows[score], rows["accuracy"], rows["flops"], NEAR, families=rows["network"].tolist()
        )
        lines.append(
            {"population": "equal FLOPs", "score": score, "baseline": None} | _told(found, interval, pairs)
        )
    return pd.DataFrame(lines)


def verdict(found: pd.DataFrame, comparison: tuple[str, str] = PRIMARY) -> str:
    """Whether the interval over all codes lies above zero ("confirmed"), below ("refuted") or around it."""
    score, baseline = comparison
    line = found[
        (found["population"] == "all") & (found["score"] == score) & (found["baseline"] == baseline)
    ].iloc[0]
    return "confirmed" if line["low"] > 0 else "refuted" if line["high"] < 0 else "undecided"


def regret(predictions: pd.DataFrame, accuracies: pd.Series, score: str) -> float:
    """Percent by which the code that a score puts first (the mean over ties) lies below the best of all."""
    first = predictions.loc[predictions[score] == predictions[score].max(), "arch"]
    return float(accuracies.max() - accuracies.reindex(first).mean())


def half_width(unique: pd.DataFrame, seed: int = 0) -> float:
    """How exact the primary comparison will be: half its interval, for accuracies made up by us.

    The made-up accuracy of a network is the mean of its ranks by the two scores plus noise of the size of
    their spread.
    """
    first, second = (unique[name].rank().to_numpy() for name in PRIMARY)
    made_up = (first + second) / 2
    made_up = made_up + np.random.default_rng(seed).normal(scale=made_up.std(), size=len(made_up))
    low, high = compare_many(unique[PRIMARY[0]], unique[PRIMARY[1]], made_up).kendall_interval
    return (high - low) / 2


def _alone(rows: pd.DataFrame, score: str) -> dict[str, Any]:
    found = correlate_many(rows[score], rows["accuracy"], families=rows["network"].tolist())
    return _told(found.kendall, found.kendall_interval, found.n)


def _gain(rows: pd.DataFrame, score: str, baseline: str) -> dict[str, Any]:
    found = compare_many(rows[score], rows[baseline], rows["accuracy"], families=rows["network"].tolist())
    return _told(found.kendall, found.kendall_interval, found.n)


def _told(value: float, interval: Interval, n: int) -> dict[str, Any]:
    return {"kendall": value, "low": interval[0], "high": interval[1], "n": n}
