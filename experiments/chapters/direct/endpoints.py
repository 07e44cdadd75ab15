"""How the direct test on ImageNet is judged, fixed before anyone here has seen an accuracy.

`endpoints` gives every number that the registration names, `verdict` the answer of a comparison, and
`lookups` the searches of the paper's Table 1 replayed by looking up. Networks that are equal are one unit of
all intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from experiments.record.correlations import compare_many, kendall_near
from zenlib.stats.influence import correlate_many

SCORE = "closed_form"
"""The Zen-Score of the paper's claim.

Its expectation, L1 norm, mini-batch variance, gates and shortcuts cut.
"""
PRIMARY = (SCORE, "multiply_adds")
"""The comparison that decides.

Kendall's tau of the first with accuracy minus that of the second, all networks.
"""
SECOND = (SCORE, "params")
"""The same against parameters."""
COUNTS = ("multiply_adds", "params", "convs", "relu_units", "activations", "log_width", "log_fan_in")
BASELINES = (*COUNTS, SCORE)
"""What every score is compared with."""
BEST = 0.1
"""Share of networks, by accuracy, in which the order is asked again."""
NEAR = 1.02
"""Largest ratio of the costs of two networks of nearly equal cost."""
QUANTILES = (0.25, 0.5, 0.75)
"""Budgets of the lookups, as quantiles of a cost over all networks."""
RANDOM = "random"
"""Stands for the score of a choice at random."""
COSTS = ("multiply_adds", "params", "seconds")
"""What budgets limit; `seconds` is the published time of an image on an A100."""
ALONE = "none"
"""Stands for the baseline where a score is reported alone."""
POPULATIONS = {
    "all": "all networks",
    "no gates": "networks without gates",
    "best": "best tenth by accuracy",
    "equal multiply_adds": "pairs of equal multiply-adds",
    "equal params": "pairs of equal parameters",
}
GUESSES: dict[tuple[str, str, str], tuple[float, float]] = {
    ("all", SCORE, ALONE): (0.40, 0.65),
    ("all", "repaired", ALONE): (0.40, 0.70),
    ("all", "parts", ALONE): (0.35, 0.70),
    ("all", "multiply_adds", ALONE): (0.50, 0.75),
    ("all", "params", ALONE): (0.25, 0.55),
    ("all", "convs", ALONE): (0.30, 0.55),
    ("all", "relu_units", ALONE): (0.35, 0.65),
    ("all", "formula_naswot", ALONE): (0.35, 0.65),
    ("all", "formula_synflow", ALONE): (0.30, 0.65),
    ("all", *PRIMARY): (-0.20, 0.00),
    ("all", *SECOND): (0.00, 0.25),
    ("no gates", SCORE, ALONE): (0.45, 0.75),
    ("no gates", *PRIMARY): (-0.20, 0.02),
    ("best", SCORE, ALONE): (0.00, 0.35),
    ("equal multiply_adds", SCORE, ALONE): (-0.05, 0.30),
    ("equal params", SCORE, ALONE): (0.20, 0.60),
}
"""Population, score, baseline -> our guess of Kendall's tau, or of the difference.

A range that we would bet on four times in five. The networks have had 16 epochs, which is short for the deep
ones; early stages cost most operations and late ones most parameters, and gates, which the score does not
see, raise accuracy at no cost.
"""
GUESSED_REGRETS: dict[str, tuple[float, float]] = {
    SCORE: (0.2, 3.0),
    "params": (0.5, 5.0),
    RANDOM: (3.0, 8.0),
}
"""The same of the regret under the middle budget of multiply-adds, in points."""


def endpoints(predictions: pd.DataFrame, accuracies: pd.Series, scores: Sequence[str]) -> pd.DataFrame:
    """Every number of the registration but the lookups.

    Args:
        predictions: the file of predictions: `id`, `network`, `gates`, and one column per score; a score of
            the sample is missing in other rows.
        accuracies: ImageNet top-1 in percent by id.
        scores: columns of the predictions.

    Returns:
        One line per population (of `POPULATIONS`), score and baseline: `kendall`, `low`, `high` (95 %) and
        `n`, networks or pairs. A score of the sample is compared within it.

    Raises:
        ValueError: an accuracy is missing, or given for a network that the predictions lack.
    """
    if set(accuracies.index) != set(predictions["id"]) or accuracies.isna().any():
        raise ValueError(
            f"accuracies: needed one for each of the {len(predictions)} networks of the predictions, got "
            f"{accuracies.notna().sum()}, {len(set(accuracies.index) - set(predictions['id']))} of them for "
            "others"
        )
    rows = predictions.assign(accuracy=predictions["id"].map(accuracies))
    best = rows[rows["accuracy"] >= rows["accuracy"].quantile(1 - BEST)]
    lines: list[dict[str, Any]] = []
    for population, members in (("all", rows), ("no gates", rows[~rows["gates"]]), ("best", best)):
        for score in scores:
            for baseline in (ALONE, *(name for name in BASELINES if name != score)):
                there = members.dropna(subset=[score])
                found = _found(there, score, baseline)
                lines.append({"population": population, "score": score, "baseline": baseline} | found)
    for cost in ("multiply_adds", "params"):
        for score in (name for name in scores if name != cost):
            there = rows.dropna(subset=[score])
            value, (low, high), pairs = kendall_near(
                there[score], there["accuracy"], there[cost], NEAR, families=there["network"].tolist()
            )
            found = {"kendall": value, "low": low, "high": high, "n": pairs}
            lines.append({"population": f"equal {cost}", "score": score, "baseline": ALONE} | found)
    return pd.DataFrame(lines)


def _found(rows: pd.DataFrame, score: str, baseline: str) -> dict[str, Any]:
    families = rows["network"].tolist()
    if baseline == ALONE:
        found: Any = correlate_many(rows[score], rows["accuracy"], families=families)
    else:
        found = compare_many(rows[score], rows[baseline], rows["accuracy"], families=families)
    low, high = found.kendall_interval
    return {"kendall": found.kendall, "low": low, "high": high, "n": found.n}


def verdict(found: pd.DataFrame, comparison: tuple[str, str] = PRIMARY) -> str:
    """Whether the interval over all networks lies above zero ("confirmed"), below ("refuted") or neither."""
    score, baseline = comparison
    chosen = (found["population"] == "all") & (found["score"] == score) & (found["baseline"] == baseline)
    line = found[chosen].iloc[0]
    return "confirmed" if line["low"] > 0 else "refuted" if line["high"] < 0 else "undecided"


def lookups(predictions: pd.DataFrame, accuracies: pd.Series, scores: Sequence[str]) -> pd.DataFrame:
    """The searches of Table 1 by looking up: what each score puts first under each budget.

    Args:
        predictions: the file of predictions, with the columns of `COSTS`.
        accuracies: as in `endpoints`.
        scores: columns that all rows have.

    Returns:
        One line per cost, budget and score, and for `RANDOM`, which puts all first alike: `regret`, by how
        many points what is put first (the mean over ties) lies below the best under the budget; `ndcg`, the
        normalised gain of the hundred that are put first (0 to 1); `n` under the budget.
    """
    rows = predictions.assign(accuracy=predictions["id"].map(accuracies), **{RANDOM: 0.0})
    lines = []
    for cost in COSTS:
        for quantile in QUANTILES:
            under = rows[rows[cost] <= rows[cost].quantile(quantile)]
            told = {"cost": cost, "quantile": quantile, "n": len(under)}
            top = under["accuracy"].max()
            for score in (*scores, RANDOM):
                first = under.loc[under[score] == under[score].max(), "accuracy"].mean()
                gain = ndcg(under[score].to_numpy(), under["accuracy"].to_numpy())
                lines.append(told | {"score": score, "regret": top - first, "ndcg": gain})
    return pd.DataFrame(lines)


def ndcg(scores: np.ndarray, accuracies: np.ndarray, first: int = 100) -> float:
    """Normalised discounted cumulative gain of the `first` networks, gain 2^accuracy in percent minus 1.

    Networks of one score share their mean gain. One point of accuracy doubles the gain, so the very best
    count.
    """
    gains = np.exp2(accuracies) - 1
    shared = pd.Series(gains).groupby(scores).transform("mean").to_numpy()
    discount = 1 / np.log2(np.arange(2, min(first, len(gains)) + 2))
    reached = shared[np.argsort(-scores, kind="stable")][: len(discount)] @ discount
    return float(reached / (np.sort(gains)[::-1][: len(discount)] @ discount))


def half_width(predictions: pd.DataFrame, seed: int = 0) -> float:
    """How exact the primary comparison will be: half its interval, for accuracies made up by us.

    The made-up accuracy of a network is the mean of its ranks by the two scores plus noise of their spread.
    """
    first, second = (predictions[name].rank().to_numpy() for name in PRIMARY)
    made_up = (first + second) / 2
    made_up = made_up + np.random.default_rng(seed).normal(scale=made_up.std(), size=len(made_up))
    found = _found(predictions.assign(accuracy=made_up), *PRIMARY)
    return float(found["high"] - found["low"]) / 2
