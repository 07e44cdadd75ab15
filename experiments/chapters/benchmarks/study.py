"""Every proxy on every benchmark: rank correlations with accuracy, alone, given the cost, at equal cost.

The accuracies are the user's to bring; what is stored are scores of our own and aggregates. A proxy that is
undefined for a network ranks it below all others. Isomorphic cells of NAS-Bench-201 are one unit of its
intervals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks import fidelity, switches
from experiments.benchmarks.network_scores import (
    AS_BUILT,
    BENCHMARKS,
    CHECKS,
    COUNTS,
    FIXED,
    FORWARD,
    GRADIENTS,
    KERNEL,
    PEERS,
    STUDY,
    VANILLA,
    fill,
)
from experiments.benchmarks.stored_scores import (
    FEWEST,
    RATIO,
    WITHOUT_SCORE,
    is_there,
    layer_sums,
    networks,
    rank_correlation,
    rank_difference,
    rank_partial,
    scores,
    stored_values,
)
from experiments.benchmarks.tables import filled
from experiments.record.agreement import ARITHMETIC, EXACT
from experiments.record.correlations import kendall_near
from experiments.record.estimates import both_coefficients, ends_units, explained_units, with_ends
from experiments.record.table import Table
from zenlib.errors import ScoreUndefined
from zenlib.proxies.counts import SUMS
from zenlib.stats import ndcg

GROUPS: dict[str, tuple[str, ...]] = {
    "counts": (*COUNTS, *SUMS),
    "forward": FORWARD,
    "gradients": (*GRADIENTS, "random"),
    "kernel": KERNEL,
    "fisher": PEERS[:1],
    "recent": tuple(name for name in PEERS[1:-1] if name != "meco"),
    "meco": ("meco",),
    "vkdnw": PEERS[-1:],
    "zen": VANILLA[1:],
    "as-built": AS_BUILT,
    "closed-form": ("closed-form",),
    "phi": ("phi",),
}
"""Proxies that are measured on the same networks, with one module for all of a group."""
ISOMORPHIC_GROUPS = ("forward",)
COSTS = COUNTS
"""What a proxy has to beat, and what is held fixed."""
VANILLA_LIKE = ("nats_sizes", "pycls", "torchvision")
CELLS = ("nasbench201", "nasbench101")
POPULATIONS = {"nasbench201": ("all", "valid", "one per class", "top 10 %", "no dead edges")}
"""Populations of a benchmark; of the others, all drawn networks and their best tenth."""


def population(benchmark: str, dataset: str, name: str) -> pd.Series:
    """Which networks belong to a population."""
    rows = networks(benchmark)
    members: dict[str, Callable[[], pd.Series]] = {
        "all": lambda: pd.Series(True, rows.index),
        "valid": lambda: rows["valid"],
        "one per class": lambda: rows["valid"] & ~rows["family"].duplicated(),
        "no dead edges": lambda: rows["no dead edges"],
        "top 10 %": lambda: rows[dataset] >= rows[dataset].quantile(0.9),
    }
    return members[name]()


def _members(
    benchmark: str, dataset: str, proxy: str, seed: int, drawn: int, name: str = "all"
) -> pd.DataFrame:
    """Score, accuracy, costs and family of the drawn networks of a population that have the proxy."""
    rows = networks(benchmark)
    known = {"accuracy": rows[dataset], "family": rows["family"]} | {
        cost: stored_values(benchmark, cost, seed) for cost in COSTS
    }
    table = (
        pd.DataFrame(known)[population(benchmark, dataset, name)]
        .join(scores(benchmark, proxy, seed, drawn).rename("score"), how="inner")
        .dropna()
    )
    if len(table) < FEWEST or table["score"].nunique() < 2 or table["accuracy"].nunique() < 2:
        raise ScoreUndefined(f"{len(table)} networks with a score, or all of one score")
    return table


def _coefficient_units(prefix: str = "", of: str = "") -> dict[str, str]:
    tau, rho = f"1: Kendall's tau-b{of}", f"1: Spearman's rho{of}"
    return explained_units(f"{prefix}kendall", tau) | explained_units(f"{prefix}spearman", rho)


_KEY_UNITS = {
    "benchmark": "name: which benchmark",
    "dataset": "name: data set of the accuracies",
    "proxy": "name: which proxy",
    "seed": "1: seed of the proxy's draw; the first for proxies that draw nothing",
    "drawn": "count: networks that were drawn at random for it",
}


def correlation_row(
    *, benchmark: str, dataset: str, population: str, proxy: str, seed: int, drawn: int
) -> dict[str, Any]:
    """Both coefficients of a proxy in a population, and over all networks by how much it beats each cost."""
    table = _members(benchmark, dataset, proxy, seed, drawn, population)
    score, accuracy, families = table["score"], table["accuracy"], table["family"]
    told: dict[str, Any] = {"n": len(table), "undefined": int((score == WITHOUT_SCORE).sum())}
    told |= both_coefficients(rank_correlation(score, accuracy, families))
    for cost in COSTS:
        over = f"over_{cost}_"
        told |= dict.fromkeys(_coefficient_units(over), math.nan)
        if population == "all" and cost != proxy and table[cost].nunique() > 1:
            told |= both_coefficients(rank_difference(score, table[cost], accuracy, families), over)
    return told


CORRELATIONS = Table(
    study=STUDY,
    name="correlations",
    compute=correlation_row,
    units=_KEY_UNITS
    | {
        "population": "name: which networks",
        "n": "count: networks of the population for which the proxy was computed",
        "undefined": "count: networks among them for which it has no value; they rank last",
    }
    | _coefficient_units()
    | {
        name: unit
        for cost in COSTS
        for name, unit in _coefficient_units(
            f"over_{cost}_", f", minus that of {cost} on the same networks"
        ).items()
    },
    otherwise=ARITHMETIC,
)


def top_row(
    *, benchmark: str, dataset: str, population: str, proxy: str, seed: int, drawn: int, top: int
) -> dict[str, Any]:
    """Whether a proxy finds the best networks of a population."""
    table = _members(benchmark, dataset, proxy, seed, drawn, population)
    return {"n": len(table), "ndcg": ndcg(table["score"], table["accuracy"], top)}


TOP = Table(
    study=STUDY,
    name="top",
    compute=top_row,
    units=_KEY_UNITS
    | {
        "population": "name: which networks",
        "top": "count: networks that the proxy ranks first and whose gain counts",
        "n": "count: networks of the population for which the proxy was computed",
        "ndcg": "1: nDCG@P, see zenlib.stats.ndcg",
    },
    otherwise=ARITHMETIC,
)


def partial_row(
    *, benchmark: str, dataset: str, proxy: str, given: str, seed: int, drawn: int
) -> dict[str, Any]:
    """Partial coefficients of a proxy with one cost held fixed."""
    table = _members(benchmark, dataset, proxy, seed, drawn)
    found = rank_partial(table["score"], table["accuracy"], table[given], table["family"])
    return {"n": len(table)} | both_coefficients(found)


PARTIALS = Table(
    study=STUDY,
    name="partials",
    compute=partial_row,
    units=_KEY_UNITS
    | {"given": "name: the cost that is held fixed", "n": "count: networks"}
    | _coefficient_units(of=", partial"),
    otherwise=ARITHMETIC,
)


def equal_cost_row(
    *, benchmark: str, dataset: str, proxy: str, cost: str, seed: int, drawn: int
) -> dict[str, Any]:
    """Kendall's tau over the pairs of networks of nearly equal cost."""
    table = _members(benchmark, dataset, proxy, seed, drawn)
    if table[cost].nunique() < 2:
        raise ScoreUndefined(f"all networks have the same {cost}")
    ratio, families = 1.0 if cost == "layers" else RATIO, table["family"].tolist()
    value, ends, pairs = kendall_near(
        table["score"], table["accuracy"], table[cost], ratio, families=families
    )
    if math.isnan(value):
        raise ScoreUndefined(f"all {pairs} pairs of equal {cost} are tied")
    return {"n": len(table), "pairs": pairs} | with_ends("kendall", value, ends)


EQUAL_COST = Table(
    study=STUDY,
    name="equal_cost",
    compute=equal_cost_row,
    units=_KEY_UNITS
    | {
        "cost": "name: parameters and FLOPs within 5 %, layers equal",
        "n": "count: networks",
        "pairs": "count: pairs of nearly equal cost",
    }
    | ends_units("kendall", "1: Kendall's tau-b over these pairs"),
    agreement={"n": EXACT, "pairs": EXACT},
    otherwise=ARITHMETIC,
)


@cache
def isomorphic_pairs(count: int) -> list[tuple[int, int]]:
    """Official indices of the first two cells of randomly drawn isomorphism classes of connected cells."""
    rows = networks("nasbench201")
    members = rows.index[rows["valid"]].to_series().groupby(rows["family"]).apply(list)
    shared = [found for found in members if len(found) > 1]
    chosen = np.random.default_rng(0).permutation(len(shared))[:count]
    return [(shared[index][0], shared[index][1]) for index in chosen]


def isomorphic_row(*, proxy: str, seed: int, pairs: int) -> dict[str, Any]:
    """How far a proxy differs between two isomorphic cells, which train to nearly the same accuracy."""
    values = stored_values("nasbench201", proxy, seed)
    both = np.array([(values[a], values[b]) for a, b in isomorphic_pairs(pairs)])
    both = both[np.isfinite(both).all(1) & (both != WITHOUT_SCORE).all(1)]
    known = values[values.notna() & (values != WITHOUT_SCORE)]
    if len(both) < FEWEST:
        raise ScoreUndefined(f"{len(both)} pairs with a score")
    spread = (known.quantile(0.75) - known.quantile(0.25)) / 1.349
    return {
        "known": len(both),
        "equal": int((both[:, 0] == both[:, 1]).sum()),
        "difference": float(np.median(np.abs(both[:, 0] - both[:, 1])) / spread) if spread > 0 else math.nan,
    }


ISOMORPHIC = Table(
    study=STUDY,
    name="isomorphic",
    compute=isomorphic_row,
    units={
        "proxy": "name: which proxy",
        "seed": "1: seed of its draw",
        "pairs": "count: drawn pairs of isomorphic cells",
        "known": "count: pairs of which both cells have a score",
        "equal": "count: pairs with equal scores",
        "difference": (
            "1: median absolute difference within a pair, in units of the interquartile range over 1.349 "
            "between cells"
        ),
    },
    otherwise=ARITHMETIC,
)

TABLES = (
    *(CORRELATIONS, TOP, PARTIALS, EQUAL_COST, ISOMORPHIC, fidelity.AGREEMENT),
    *(switches.SUITE_SWITCHES, switches.CEILINGS, switches.ZEN_SWITCHES),
)
SCORE_CHECKS = (*CHECKS, fidelity.CHECK)
"""How a sample of the stored scores is computed again."""


@dataclass(frozen=True)
class BenchmarkRows:
    """What the chapter reads, undefined rows left out."""

    correlations: pd.DataFrame  # first draw, one line per benchmark, data set, population and proxy
    # all draws on the networks that were scored more than once, one line per benchmark, data set, proxy,
    # sample and seed
    redrawn: pd.DataFrame
    partials: pd.DataFrame  # first draw, one line per benchmark, data set, proxy and fixed cost
    equal_cost: pd.DataFrame  # the same with pairs of nearly equal cost
    isomorphic: pd.DataFrame  # one line per proxy
    top: pd.DataFrame  # first draw, one line per benchmark, data set, population and proxy
    fidelity: pd.DataFrame  # `experiments.benchmarks.fidelity.agreements`
    # suite_switches, ceilings, zen_switches: those of `experiments.benchmarks.switches`
    suite_switches: pd.DataFrame
    ceilings: pd.DataFrame
    zen_switches: pd.DataFrame
    missing: tuple[str, ...]  # benchmarks whose file the user has not brought


Samples = Mapping[str, Mapping[str, int]]
"""Benchmark -> group of proxies (see `GROUPS`) -> how many networks are drawn for it."""


def run(
    *,
    samples: Samples,
    seed: int,
    repeated: Sequence[Samples],
    pairs: int,
    beside: Samples | None = None,
    whole: bool = False,
) -> BenchmarkRows:
    """Scores the networks, or reads their scores from the store, and correlates them.

    Nothing new is computed for a benchmark whose file is not there; its stored aggregates are read.

    Args:
        samples: networks that are scored with the first seed.
        seed: of the first draw.
        repeated: for each further draw, whose seeds follow the first, the networks that are scored once more;
            at most as many.
        pairs: pairs of isomorphic cells of NAS-Bench-201; 0 for none.
        beside: further groups of these benchmarks, which are not scored again.
        whole: also compute what is missing where single choices are switched.
    """
    _require_drawn(samples, repeated)
    samples = {name: {**sizes, **(beside or {}).get(name, {})} for name, sizes in samples.items()}
    there = [name for name in samples if is_there(name)]

    def rows(table: Table, keys: Sequence[dict[str, Any]], defined: str = "kendall") -> pd.DataFrame:
        able = filled(table, keys, lambda key: key.get("benchmark", "nasbench201") in there)
        return able.dropna(subset=defined)

    draws = dict(enumerate((samples, *repeated), seed))
    for name in there:
        for drawn_with, sizes in draws.items():
            fill_groups(name, sizes.get(name, {}), drawn_with)
    isomorphic = ISOMORPHIC_GROUPS if pairs and "nasbench201" in samples else ()
    if isomorphic and "nasbench201" in there:
        cells = [index for pair in isomorphic_pairs(pairs) for index in pair]
        for group in isomorphic:
            fill(BENCHMARKS["nasbench201"], GROUPS[group], seed, cells)
    forget()
    keys = _keys(samples, seed)
    wide = [
        key | {"population": people}
        for key in keys
        for people in POPULATIONS.get(key["benchmark"], ("all", "top 10 %"))
    ]
    again = [
        key
        for drawn_with, sizes in draws.items()
        if drawn_with != seed
        for key in _keys(sizes, drawn_with)
        if key["proxy"] not in (*FIXED, *SUMS)
    ]
    both = {
        tuple(key.values()): key | {"population": "all"}
        for one in again
        for key in (one | {"seed": seed}, one)
    }
    given = [key | {"given": cost} for key in keys for cost in COSTS if cost != key["proxy"]]
    near = [
        key | {"cost": cost} for key in keys for cost in COSTS if key["dataset"] in ("cifar10", "imagenet")
    ]
    same = [{"proxy": name, "seed": seed, "pairs": pairs} for group in isomorphic for name in GROUPS[group]]
    best = [
        key | {"top": max(10, min(1000, key["drawn"] // 10))}
        for key in wide
        if key["population"] in ("all", "no dead edges")
    ]
    missing = tuple(name for name in samples if name not in there)
    return BenchmarkRows(
        rows(CORRELATIONS, wide),
        rows(CORRELATIONS, list(both.values())),
        rows(PARTIALS, given),
        rows(EQUAL_COST, near),
        rows(ISOMORPHIC, same, "equal"),
        rows(TOP, best, "ndcg"),
        fidelity.agreements(),
        switches.suite_switches() if whole else switches.SUITE_SWITCHES.stored(),
        switches.ceilings() if whole else switches.CEILINGS.stored(),
        switches.zen_switches(is_there) if whole else switches.ZEN_SWITCHES.stored(),
        missing,
    )


def _require_drawn(samples: Samples, repeated: Sequence[Samples]) -> None:
    """Refuses to score a network again that was not scored before."""
    for sizes in repeated:
        for benchmark, groups in sizes.items():
            for group, count in groups.items():
                if count > (first := samples.get(benchmark, {}).get(group, 0)):
                    raise ValueError(
                        f"repeated: needed at most the {first} networks of {benchmark} that `samples` has "
                        f"for {group!r}, got {count}"
                    )


def fill_groups(benchmark: str, sizes: Mapping[str, int], seed: int) -> None:
    """Scores the networks drawn for each group; the Zen-Scores of cells come from their own chapter."""
    found = BENCHMARKS[benchmark]
    for group, count in sizes.items():
        if benchmark != "nasbench201" or group not in ("counts", "zen", "as-built"):
            fill(found, [name for name in GROUPS[group] if name not in SUMS], seed, found.drawn(count))


def _keys(samples: Samples, seed: int) -> list[dict[str, Any]]:
    return [
        {"benchmark": benchmark, "dataset": dataset, "proxy": proxy, "seed": seed, "drawn": count}
        for benchmark, sizes in samples.items()
        for dataset in BENCHMARKS[benchmark].datasets
        for group, count in sizes.items()
        for proxy in (*GROUPS[group], *(_joined(group) if "forward" in sizes else ()))
    ]


def _joined(group: str) -> tuple[str, ...]:
    """Scores that join ranks, beside the last of their parts to be measured."""
    return {"gradients": ("az-nas",), "vkdnw": ("vkdnw-aggregate",)}.get(group, ())


def forget() -> None:
    """Drops what was read, since scores have been added."""
    for cached in (networks, scores, layer_sums, stored_values, isomorphic_pairs):
        cached.cache_clear()
