"""The parts of the gap between a correlation and 1, and the tests of the formula that gives them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from experiments.chapters.noise.rows import NoiseRows

RESAMPLES = 4000
WIDTH = 1.96
"""Half of a 95 % interval in standard errors."""
PARTS = ("measured", "draw", "training", "ranking")
"""What tau is; what the score's draw takes; what the training runs take; what is left to 1."""

Floats = NDArray[np.float64]


def to_correlation(tau: ArrayLike) -> Floats:
    """The correlation of two normal variables with this tau."""
    return np.sin(np.pi / 2 * np.asarray(tau, dtype=np.float64))


def to_tau(correlation: ArrayLike) -> Floats:
    """Kendall's tau of two normal variables with this correlation; what lies beyond 1 counts as 1."""
    return 2 / np.pi * np.arcsin(np.clip(np.asarray(correlation, dtype=np.float64), -1, 1))


def ceiling(tau_of_repetitions: ArrayLike) -> Floats:
    """The highest tau with something seen through noise, given the tau between two such sights of it."""
    return to_tau(np.sqrt(np.clip(to_correlation(tau_of_repetitions), 0, None)))


def repetitions(tau: ArrayLike, count: int) -> Floats:
    """The correlation of means of `count` draws, given the tau of two single draws (Spearman and Brown)."""
    single = to_correlation(tau)
    return count * single / (1 + (count - 1) * single)


def parts(rows: NoiseRows, repeated: str = "isomorphic") -> pd.DataFrame:
    """Tau of every score with accuracy, and what its gap to 1 consists of.

    First the noise of the score is taken away, then that of the accuracies; in the other order the two share
    what they take a little differently. Scores that count have no noise.

    Args:
        rows: what `study.run` gives.
        repeated: the repetition of the accuracies that is used; see `experiments.chapters.noise.study`.

    Returns:
        One line per data set, population and score: `n`; the four `PARTS`, which sum to 1, each with the ends
        of its 95 % interval; and `truth`, tau without both noises. Intervals come from normal draws of the
        three correlations, as if they were independent.
    """
    at = ["dataset", "population", "score"]
    single = rows.correlations[~rows.correlations["seeds"].str.contains("+", regex=False)]
    measured = single.groupby(at, sort=False).agg(
        n=("n", "max"), tau=("kendall", "mean"), low=("kendall_low", "mean"), high=("kendall_high", "mean")
    )
    own = rows.draws.groupby(at, sort=False).agg(
        own=("kendall", "mean"), own_low=("kendall_low", "mean"), own_high=("kendall_high", "mean")
    )
    again = rows.accuracies[rows.accuracies["repeated"] == repeated].set_index(at[:2])[
        ["kendall", "kendall_low", "kendall_high"]
    ]
    again = again.set_axis(["again", "again_low", "again_high"], axis=1)
    joined = (
        measured.join(own)
        .join(again, on=at[:2])
        .dropna(subset="again")
        .fillna({"own": 1.0, "own_low": 1.0, "own_high": 1.0})
    )
    names = [f"{part}{end}" for part in (*PARTS, "truth") for end in ("", "_low", "_high")]
    return pd.DataFrame(
        [_parted(row) for row in joined.reset_index().to_dict("records")], columns=[*at, "n", *names]
    )


def _parted(row: dict[str, float]) -> dict[str, float]:
    rng = np.random.default_rng(0)
    drawn = (
        _draws(rng, *(row[f"{name}{end}"] for end in ("", "_low", "_high"))) for name in ("own", "again")
    )
    estimate = _gap(*(np.array([row[name]]) for name in ("tau", "own", "again")))
    resampled = _gap(_draws(rng, row["tau"], row["low"], row["high"]), *drawn)
    line: dict[str, float] = {name: row[name] for name in ("dataset", "population", "score", "n")}
    for name, value in estimate.items():
        low, high = np.quantile(resampled[name], (0.025, 0.975))
        line |= {name: float(value[0]), f"{name}_low": float(low), f"{name}_high": float(high)}
    return line


def _draws(rng: np.random.Generator, estimate: float, low: float, high: float) -> Floats:
    return np.clip(estimate + (high - low) / (2 * WIDTH) * rng.standard_normal(RESAMPLES), -1, 1)


def _gap(tau: Floats, own: Floats, again: Floats) -> dict[str, Floats]:
    seen = to_correlation(tau)
    without_own = to_tau(seen / np.sqrt(np.clip(to_correlation(own), 1e-9, None)))
    truth = to_tau(to_correlation(without_own) / np.sqrt(np.clip(to_correlation(again), 1e-9, None)))
    return {
        "measured": tau,
        "draw": without_own - tau,
        "training": truth - without_own,
        "ranking": 1 - truth,
        "truth": truth,
    }


def averaged(rows: NoiseRows) -> pd.DataFrame:
    """A test of the formula: tau of the mean of all draws as measured, and as foretold from single draws.

    Returns:
        One line per data set, population and score: `draws`, `single` (mean tau of one draw), `measured` and
            its interval, `foretold`.
    """
    at = ["dataset", "population", "score"]
    several = rows.correlations["seeds"].str.contains("+", regex=False)
    single = (
        rows.correlations[~several & (rows.correlations["seeds"] != "none")]
        .groupby(at, sort=False)["kendall"]
        .mean()
    )
    own = rows.draws.groupby(at, sort=False)["kendall"].mean()
    lines = []
    for row in rows.correlations[several].to_dict("records"):
        place, draws = tuple(row[name] for name in at), row["seeds"].count("+") + 1
        gain = repetitions(own[place], draws) / to_correlation(own[place])
        foretold = float(to_tau(to_correlation(single[place]) * np.sqrt(gain)))
        told = {
            "draws": draws,
            "single": single[place],
            "measured": row["kendall"],
            "low": row["kendall_low"],
            "high": row["kendall_high"],
        }
        lines.append(dict(zip(at, place, strict=True)) | told | {"foretold": foretold})
    return pd.DataFrame(lines, columns=[*at, "draws", "single", "measured", "low", "high", "foretold"])
