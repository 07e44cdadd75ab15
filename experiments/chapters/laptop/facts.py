"""What the chapter on our own trainings reads, and what it says: spreads, correlations, how many it takes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, partial

import pandas as pd

from experiments.benchmarks.population_networks import GROUPS
from experiments.chapters.laptop.supernet import summary
from experiments.record.estimates import ENDS, kendall
from experiments.record.wording import interval, number, span
from zenlib.stats import FEWEST, compare, correlate

TOO_FEW = "too few"
"""What a fact says that needs more networks."""
_number, _interval = partial(number, unknown=TOO_FEW), partial(interval, unknown=TOO_FEW)
PAPER_N = 16
"""Networks of the paper's Figure 15."""
PAPER_TAU = 0.91
"""Its Kendall's tau for CIFAR-10."""
PASSES = 3
"""A step of training costs three passes: forward, and backward to the features and to the weights."""
TOLD = {
    "closed-form": "Zen, closed form",
    "zen-running": "Zen, released",
    "params": "parameters",
    "flops": "FLOPs",
    "layers": "layers",
    "naswot": "NASWOT",
    "synflow": "synflow",
}
"""Proxies that the chapter tells of."""
SEEN = (1.96 + 0.84) / 1.96
"""An effect of so many half intervals is told from zero four times in five."""
SOUGHT = {"tau": 0.2, "gain": 0.1}
"""A tau, and a difference of two taus, that a study should be able to see."""


@dataclass(frozen=True)
class LaptopRows:
    """What the chapter reads."""

    # one row per network of the groups: group, index, network, sizes, depth, `top1` (mean over seeds), and
    # one column per proxy (mean over seeds; NaN where undefined)
    members: pd.DataFrame
    trained: pd.DataFrame  # one row per training of the groups, of the usual kind: network, seed, `top1`
    longer: pd.DataFrame  # accuracies of some networks after more epochs: network, `top1`, `other`
    precise: pd.DataFrame  # the same for the other floating type
    searches: pd.DataFrame  # one row a search, with the `latency` of its winner in milliseconds an image
    further: pd.DataFrame  # Zen searches of more evaluations, one row a seed
    # one row per search and training of its winner: proxy, search_seed, network, seed, `top1`
    winners: pd.DataFrame
    # one row per network of the supernet's slice: its accuracy with shared weights, `top1` alone, what both
    # cost, and a column for each proxy that it is held against
    shared: pd.DataFrame
    trainings: int  # how many trainings there are in all
    core_hours: float  # what they took
    peak_share: float  # share of the speed of large matrix products that a training reaches, the median
    epochs: int  # of the usual kind of training

    @cached_property
    def correlations(self) -> pd.DataFrame:
        """`correlations` of the members."""
        return correlations(self.members)

    @cached_property
    def spread(self) -> dict[str, float]:
        """`spread` of the trainings."""
        return spread(self.trained)


def correlations(members: pd.DataFrame) -> pd.DataFrame:
    """Correlation of the proxies of `TOLD` with accuracy in every group, and that of the Zen-Score minus it.

    Returns:
        One line per group (and "all") and proxy: n, `kendall` and, for all but the Zen-Score, `gain`, its
        Kendall's tau minus that of the proxy, each with the ends `_low` and `_high` of a 95 % bootstrap
        interval.
    """
    lines = []
    for group in (*GROUPS, "all"):
        rows = members[members["group"].isin([group] if group != "all" else GROUPS)].drop_duplicates(
            "network"
        )
        for name in TOLD:
            if len(rows) >= FEWEST and name in rows and rows[name].notna().all() and rows[name].nunique() > 1:
                found = correlate(rows[name], rows["top1"])
                line = {"group": group, "proxy": name, "n": found.n} | kendall(found)
                if name != "closed-form" and "closed-form" in rows:
                    line |= kendall(compare(rows["closed-form"], rows[name], rows["top1"]), "gain")
                lines.append(line)
    return pd.DataFrame(
        lines, columns=[*_KEY, *(f"{name}{end}" for name in ("kendall", "gain") for end in ENDS)]
    )


_KEY = ("group", "proxy", "n")


def spread(trained: pd.DataFrame) -> dict[str, float]:
    """How far seeds of one network differ, and how far networks do.

    Returns:
        `networks` trained with both seeds; `seed_sd`, the pooled standard deviation over seeds, percent;
        `network_sd`, that of the networks' accuracies with the first one; `kendall`, the coefficient between
        the seeds, with the ends of its interval; what a perfect score would reach with one training, for
        normal accuracies: `ceiling` by these deviations, `ceiling_tau` by that coefficient. NaN for fewer
        than `FEWEST` networks.
    """
    wide = trained.drop_duplicates(["network", "seed"]).pivot(index="network", columns="seed", values="top1")
    both = wide.dropna()
    if wide.shape[1] < 2 or len(both) < FEWEST:
        names = ("seed_sd", "network_sd", "ceiling", "ceiling_tau", *(f"kendall{end}" for end in ENDS))
        return {"networks": 0.0} | dict.fromkeys(names, math.nan)
    seeds, networks = math.sqrt(float(both.var(axis=1).mean())), float(wide.iloc[:, 0].std())
    told = {"networks": float(len(both)), "seed_sd": seeds, "network_sd": networks}
    told |= kendall(correlate(both.iloc[:, 0], both.iloc[:, 1]))
    by_tau = math.sin(math.pi / 2 * told["kendall"])
    for name, reliability in (("ceiling", 1 - (seeds / networks) ** 2), ("ceiling_tau", by_tau)):
        told[name] = 2 / math.pi * math.asin(math.sqrt(max(0.0, reliability)))
    return told


def needed(line: pd.Series, column: str, effect: float) -> float:
    """Networks with which an interval excludes zero four times in five, for a true `effect`.

    Intervals shrink with the root of the number of networks, from the one that these have.
    """
    half = (line[f"{column}_high"] - line[f"{column}_low"]) / 2
    return float(line["n"] * (SEEN * half / effect) ** 2)


def found_by(rows: LaptopRows) -> pd.DataFrame:
    """One line per search: what its winners are, the best by mean accuracy first, and networks at random."""
    lines = []
    for name, own in rows.searches.groupby("proxy", sort=False):
        trained = rows.winners[rows.winners["proxy"] == name]
        line = _trained(trained["top1"]) | {"searches": len(own)}
        for text, column, scale, digits in _SIZES:
            line[text] = number(own[column].mean() / scale, digits)
        lines.append({"search by": TOLD.get(name, name), "mean": trained["top1"].mean()} | line)
    drawn = rows.members[rows.members["group"] == "uniform"]
    trained = rows.trained[rows.trained["network"].isin(drawn["network"])]
    line = _trained(trained["top1"]) | {"searches": 0}
    for text, column, scale, digits in _SIZES[:3]:
        column = column if column in drawn else "depth"
        line[text] = number(drawn[column].mean() / scale, digits)
    lines.append(
        {"search by": "none: drawn at random", "mean": trained["top1"].mean()} | line | {_SIZES[3][0]: ""}
    )
    table = pd.DataFrame(lines).sort_values("mean", ascending=False, kind="stable")
    return table.drop(columns="mean").set_index("search by")


_SIZES = (
    ("parameters", "network_params", 1, 0),
    ("FLOPs (M)", "network_flops", 1e6, 2),
    ("layers", "network_depth", 1, 1),
    ("latency (ms)", "latency", 1, 2),
)
"""What the table calls a size, its column in the searches, its unit, its digits."""


def _trained(top1: pd.Series) -> dict[str, str]:
    return {"accuracy (%)": number(top1.mean()), "lowest to highest": span(top1, "{:.2f}")}


def lead(winners: pd.DataFrame) -> tuple[str, float, float, str, float]:
    """The best of the other searches, the lead of Zen over it in points, and its standard error.

    The error is that of a mean over searches, from the spread between searches by one proxy, pooled. One
    proxy may rule that spread: so its name and the error without it come last.
    """
    searches = winners.groupby(["proxy", "search_seed"])["top1"].mean()
    means, counts = searches.groupby("proxy").mean(), searches.groupby("proxy").count()
    if "zen" not in means.index or len(means) < FEWEST:
        return TOO_FEW, math.nan, math.nan, TOO_FEW, math.nan
    best = str(means.drop("zen").idxmax())
    spreads = searches.groupby("proxy").var()[counts > 1]
    widest = str(spreads.idxmax())
    error, narrow = (
        math.sqrt(found.mean() * (1 / counts["zen"] + 1 / counts[best]))
        for found in (spreads, spreads.drop(widest))
    )
    return best, means["zen"] - means[best], error, widest, narrow


def peak_share(trained: pd.DataFrame, peak: float) -> float:
    """Share of the speed of large matrix products that trainings reach, the median.

    Args:
        trained: rows of the table `trained`, with `network_flops`.
        peak: of these products, 1e9 operations a second.
    """
    clock = "seconds" if (trained["device"] == "cuda").all() else "cpu_seconds"
    speed = trained["images"] * trained["epochs"] / trained[clock]
    return float((PASSES * 2 * trained["network_flops"] * speed / (peak * 1e9)).median())


def facts(rows: LaptopRows) -> dict[str, str]:
    """Every number of the chapter's prose. Correlations read "estimate [95 % interval]"."""
    members, spreads = rows.members.drop_duplicates("network"), rows.spread
    best, ahead, error, widest, narrow = lead(rows.winners)
    told = {
        "networks": str(len(members)),
        "per_group": str(rows.members.groupby("group").size().max()),
        "trainings": str(rows.trainings),
        "epochs": str(rows.epochs),
        "core_hours": _number(rows.core_hours, 1),
        "lowest": _number(members["top1"].min()),
        "highest": _number(members["top1"].max()),
        "peak_share": f"{100 * rows.peak_share:.1f} %",
        "paper_n": str(PAPER_N),
        "paper_tau": _number(PAPER_TAU),
        "seed_networks": f"{spreads['networks']:.0f}",
        "tau_seeds": _interval(spreads, "kendall"),
        "longer": _beside(rows.longer),
        "precise": _beside(rows.precise),
        "params_limit": f"{rows.searches['params'].iloc[0]:,.0f}",
        "flops_limit": f"{rows.searches['flops'].iloc[0] / 1e6:g}",
        "layers_limit": str(rows.searches["depth"].iloc[0]),
        "searches": str(len(rows.searches)),
        "searched": str(rows.searches["proxy"].nunique()),
        "evaluations": f"{rows.searches['evaluations'].iloc[0]:,}",
        "best_search": TOLD.get(best, best),
        "behind": _number(-ahead),
        "behind_error": _number(error),
        "widest_search": widest,
        "behind_error_without": _number(narrow),
        "tau_upper": upper_half(members),
        "zen_score": _number(rows.searches.query("proxy == 'zen'")["best_score"].mean(), 1),
        "further_score": _number(rows.further["best_score"].mean(), 1),
        "further_evaluations": f"{rows.further['evaluations'].max():,}" if len(rows.further) else TOO_FEW,
        "supernet": summary(rows.shared),
        "verdict": verdict(rows.correlations),
    }
    told |= {name: _number(spreads[name]) for name in ("seed_sd", "network_sd", "ceiling", "ceiling_tau")}
    told |= {f"sought_{name}": number(effect, 1) for name, effect in SOUGHT.items()}
    found = rows.correlations.set_index(["group", "proxy"])
    for group in (*GROUPS, "all"):
        for proxy in TOLD:
            slug = f"{group}_{proxy.replace('-', '_')}"
            there = (group, proxy) in found.index
            told[f"tau_{slug}"] = _interval(found.loc[(group, proxy)], "kendall") if there else TOO_FEW
            told[f"gain_{slug}"] = _interval(found.loc[(group, proxy)], "gain") if there else TOO_FEW
    for name, proxy, column in (("tau", "closed-form", "kendall"), ("gain", "params", "gain")):
        there = ("all", proxy) in found.index
        count = needed(found.loc[("all", proxy)], column, SOUGHT[name]) if there else math.nan
        told[f"needed_{name}"] = f"{count:,.0f}" if there else TOO_FEW
    for proxy in ("zen", "params", "random"):
        top1 = rows.winners.loc[rows.winners["proxy"] == proxy, "top1"]
        told[f"top1_{proxy}"] = _number(top1.mean())
        told[f"range_{proxy}"] = span(top1, "{:.2f}") if len(top1) else TOO_FEW
    return told


def upper_half(members: pd.DataFrame) -> str:
    """Kendall's tau of the closed form with accuracy among the half of the networks that it puts highest."""
    half = members.nlargest(len(members) // 2, "closed-form")
    if len(half) < FEWEST:
        return TOO_FEW
    return _interval(kendall(correlate(half["closed-form"], half["top1"])), "kendall")


def verdict(found: pd.DataFrame) -> str:
    """In how many groups the interval of the closed form's tau excludes zero."""
    rows = found[(found["proxy"] == "closed-form") & found["group"].isin(GROUPS)]
    above = int(((rows["kendall_low"] > 0) | (rows["kendall_high"] < 0)).sum())
    return f"{above or 'none'} of {len(rows)}" if len(rows) else TOO_FEW


def _beside(both: pd.DataFrame) -> str:
    """By how much another training differs, as a phrase."""
    if both.empty:
        return TOO_FEW
    gain = both["other"] - both["top1"]
    mean, low, high = (_number(value) for value in (gain.mean(), gain.min(), gain.max()))
    return f"{mean} points on average over {len(both)} networks ({low} to {high})"
