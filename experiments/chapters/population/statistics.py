"""What a trained population says of the proxies: correlations, small samples, restricted range, noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from experiments.benchmarks.population_networks import GROUPS
from zenlib.proxies import PROXIES
from zenlib.stats import FEWEST, Correlation, compare, correlate

PAPER_N = 16
"""Networks of the paper's Figure 15."""
PAPER_TAU = 0.91
"""Its Kendall's tau for CIFAR-10."""
DRAWS = 1000
"""Random samples of 16 networks."""
COUNTS = ("params", "flops", "layers")
"""Proxies that count; they come first."""


def proxies_of(members: pd.DataFrame) -> list[str]:
    """Proxies that every network has a value of, those that count first."""
    have = [name for name in PROXIES if name in members.columns and members[name].notna().all()]
    return [*(name for name in COUNTS if name in have), *(name for name in have if name not in COUNTS)]


def groups_of(members: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and members of every group of at least five networks, and of all together."""
    for name in GROUPS:
        rows = members[members["group"] == name].drop_duplicates("network")
        if len(rows) >= FEWEST:
            yield name, rows
    yield "all", members.drop_duplicates("network")


def correlations(members: pd.DataFrame) -> pd.DataFrame:
    """Correlation of every proxy with accuracy in every group, and that of the Zen-Score minus it.

    Returns:
        One line per group and proxy: n, `kendall` and `spearman` with the ends `_low` and `_high` of their 95
        % bootstrap intervals, and `behind_zen` with its ends: Kendall's tau of the closed form minus that of
        the proxy, on the same resamples.
    """
    lines = []
    for group, rows in groups_of(members):
        for name in proxies_of(rows):
            if rows[name].nunique() > 1:
                lines.append({"group": group, "proxy": name} | _measured(rows, name))
    return pd.DataFrame(lines)


def _measured(rows: pd.DataFrame, name: str) -> dict[str, float]:
    found = correlate(rows[name], rows["top1"])
    line = {"n": found.n} | _ends(found, "kendall") | _ends(found, "spearman")
    if name != "closed-form" and "closed-form" in rows:
        difference = compare(rows["closed-form"], rows[name], rows["top1"])
        line |= {
            column.replace("kendall", "behind_zen"): value
            for column, value in _ends(difference, "kendall").items()
        }
    return line


def _ends(found: Correlation, name: str) -> dict[str, float]:
    low, high = getattr(found, f"{name}_interval")
    return {name: getattr(found, name), f"{name}_low": low, f"{name}_high": high}


def small_samples(members: pd.DataFrame, proxy: str = "closed-form", size: int = PAPER_N) -> pd.DataFrame:
    """Kendall's tau in random samples of as many networks as the paper's figure has, drawn with replacement.

    Returns:
        One line per group, and for all: the 2.5, 50 and 97.5 % points of tau and `reached`, the share of
        samples in which it is at least the paper's.
    """
    lines = []
    for group, rows in groups_of(members):
        values = np.array(
            [_tau(rows.sample(size, replace=True, random_state=draw), proxy) for draw in range(DRAWS)]
        )
        low, median, high = np.nanquantile(values, [0.025, 0.5, 0.975])
        lines.append(
            {
                "group": group,
                "n": len(rows),
                "low": low,
                "median": median,
                "high": high,
                "reached": float((values >= PAPER_TAU).mean()),
            }
        )
    return pd.DataFrame(lines)


def _tau(rows: pd.DataFrame, proxy: str) -> float:
    return float(rows[proxy].corr(rows["top1"], method="kendall"))


def restricted(
    members: pd.DataFrame, proxy: str = "closed-form", shares: Sequence[float] = (1.0, 0.75, 0.5, 0.25)
) -> pd.DataFrame:
    """The correlation among the networks of the highest scores.

    A search chooses between these, not between all.

    Returns:
        One line per share of all networks: `share`, n, `lowest` score, Spearman's and Kendall's coefficients
            with their ends.
    """
    rows = members.drop_duplicates("network").sort_values(proxy, ascending=False, kind="stable")
    lines = []
    for share in shares:
        best = rows.head(round(share * len(rows)))
        if len(best) >= FEWEST:
            found = correlate(best[proxy], best["top1"])
            lines.append(
                {"share": share, "n": found.n, "lowest": best[proxy].min()}
                | _ends(found, "kendall")
                | _ends(found, "spearman")
            )
    return pd.DataFrame(lines)


def noise(trained: pd.DataFrame) -> dict[str, float]:
    """How far seeds of one network differ, and how far networks do.

    Returns:
        `networks` trained more than once; `seed_sd`, the pooled standard deviation over seeds, percent;
        `network_sd`, that of the networks' accuracies with the first one; `kendall`, the coefficient between
        the first two seeds, with the ends of its interval. NaN for fewer than `FEWEST` networks.
    """
    wide = trained.pivot_table(index="network", columns="seed", values="top1")
    both = wide.dropna()
    count = float(len(both)) if wide.shape[1] > 1 else 0.0
    if count < FEWEST:
        return {"networks": count} | dict.fromkeys(
            ("seed_sd", "network_sd", "kendall", "kendall_low", "kendall_high"), math.nan
        )
    first, second = (both[column] for column in both.columns[:2])
    return {
        "networks": count,
        "seed_sd": math.sqrt(float(both.var(axis=1).mean())),
        "network_sd": float(wide.iloc[:, 0].std()),
    } | _ends(correlate(first, second), "kendall")
