"""The repaired score elsewhere: other benchmarks, all proxies, searches, and what its conventions change.

Nothing was chosen with these networks but those of the choice half of NAS-Bench-201; see `cells`. The
accuracies are the user's to bring; what is stored are scores of our own and aggregates, which are shown
without the files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks import stored_scores as proxy_study
from experiments.benchmarks.nasbench201_variants import DATASETS
from experiments.benchmarks.stored_scores import NAMES as PROXY_NAMES
from experiments.benchmarks.tables import filled
from experiments.chapters.repaired import conventions as changes
from experiments.chapters.repaired import other_scores, others, search
from experiments.chapters.repaired.conventions import CONVENTIONS
from experiments.chapters.repaired.other_scores import STUDY
from experiments.chapters.repaired.others import COMPARISONS
from experiments.chapters.repaired.search import SEARCHES
from experiments.record.agreement import ARITHMETIC
from experiments.record.table import Table
from experiments.record.wording import Told, interval, number

BENCHMARKS = tuple(others.DRAWN)
NAMES = PROXY_NAMES | {
    "repaired": "repaired",
    "convs": "live convolutions",
    "gain": "gain, copies not seen",
    "repaired_vanilla": "repaired, skips cut",
    "gain_vanilla": "chain formula, skips cut",
}
"""Score -> how the chapter calls it."""
PLACES = {
    ("nasbench201", "cifar10"): "NAS-Bench-201, CIFAR-10",
    ("nasbench201", "cifar100"): "NAS-Bench-201, CIFAR-100",
    ("nasbench201", "imagenet16"): "NAS-Bench-201, ImageNet-16",
    ("nasbench101", "cifar10"): "NAS-Bench-101",
    ("nats_sizes", "cifar10"): "NATS sizes",
    ("pycls", "imagenet"): "pycls",
    ("torchvision", "imagenet"): "torchvision",
}
"""Benchmark and data set -> its title."""


def chain_row(*, benchmark: str, networks: int) -> dict[str, float]:
    """How the repaired score of vanilla forms is to the sum of log sigma; needs no accuracy."""
    rows = other_scores.SCORES[benchmark].read().iloc[:networks].dropna(subset="gain_vanilla")
    finite, wide, formula = (
        rows[name].astype(float) for name in ("repaired_vanilla", "wide_vanilla", "gain_vanilla")
    )
    told = {
        "n": float(len(rows)),
        "wide": float((wide - formula).abs().max()),
        "exact": float(np.isclose(wide, formula, rtol=1e-6).sum()),
    }
    return told | {
        "lower": float((formula - finite).mean()),
        "kendall": float(finite.corr(formula, method="kendall")),
    }


CHAINS = Table(
    study=STUDY,
    name="chains",
    compute=chain_row,
    units={
        "benchmark": "name: which benchmark",
        "networks": "count: networks that were drawn",
        "n": "count: vanilla forms among them that have a score",
        "wide": (
            "nat: largest difference of the repaired score in infinite width from the sum of log sigma of "
            "the vanilla form"
        ),
        "exact": "count: vanilla forms in which there is none but rounding",
        "lower": (
            "nat: mean of the sum of log sigma minus the repaired score at the widths that the networks have"
        ),
        "kendall": "1: Kendall's tau between these two scores",
    },
    otherwise=ARITHMETIC,
)

TABLES = (CHAINS, COMPARISONS, others.BEST, SEARCHES, CONVENTIONS)
SCORE_CHECKS = (*changes.CHECKS, *other_scores.CHECKS)


@dataclass(frozen=True)
class RepairedRows:
    """What the chapter reads, undefined rows left out."""

    comparisons: pd.DataFrame  # one line per benchmark, data set, population, half and other score
    chains: pd.DataFrame  # one line per benchmark of chains
    searches: pd.DataFrame  # one line per data set, space, strategy, score and number of evaluations
    conventions: pd.DataFrame  # one line per change and half
    best: pd.DataFrame  # nDCG@P, one line per benchmark, data set and count
    missing: tuple[str, ...]  # benchmarks whose file the user has not brought


def run(
    *,
    benchmarks: Sequence[str] = BENCHMARKS,
    networks101: int = 1400,
    datasets: Sequence[str] = DATASETS,
    seeds: int = 20,
    whole: bool = True,
) -> RepairedRows:
    """Computes what is missing.

    Of benchmarks whose file is not there, or unless `whole`, what is stored is read.

    Args:
        benchmarks: which ones are compared.
        networks101: cells of NAS-Bench-101, a random sample of its table.
        datasets: accuracies of NAS-Bench-201 by which searches are judged.
        seeds: searches of each kind.
        whole: whether anything is computed.
    """
    there = [name for name in benchmarks if whole and proxy_study.is_there(name)]
    for name in there:
        if name in other_scores.SCORES:
            other_scores.fill(name, _count(name, networks101))
    if "nasbench201" in there:
        changes.fill()
    others.networks.cache_clear()  # they hold the scores of before
    search.forget()
    chains = [
        {"benchmark": name, "networks": others.DRAWN[name]}
        for name in other_scores.CHAINS
        if name in benchmarks
    ]

    best = [
        {"networks_used": 0 if name == "nasbench201" else _count(name, networks101), "contestant": count}
        | {"benchmark": name, "dataset": dataset}
        for name in benchmarks
        for dataset in proxy_study.BENCHMARKS[name].datasets
        for count in others.COUNTS
    ]

    def has(key: dict[str, Any]) -> bool:
        return key.get("benchmark", "nasbench201") in there

    return RepairedRows(
        filled(COMPARISONS, others.compared(benchmarks, networks101), has).dropna(subset="repaired"),
        filled(CHAINS, chains, has),
        filled(SEARCHES, search.asked(datasets, seeds), has),
        filled(CONVENTIONS, changes.asked(), has),
        filled(others.BEST, best, has),
        tuple(name for name in benchmarks if not proxy_study.is_there(name)),
    )


def _count(benchmark: str, networks101: int) -> int:
    return networks101 if benchmark == "nasbench101" else others.DRAWN[benchmark]


def widest(rows: pd.DataFrame, population: str = "all", half: str = "all") -> pd.DataFrame:
    """Of every place and score the comparison on most networks."""
    found = rows[(rows["population"] == population) & (rows["half"] == half)].sort_values(
        "n", ascending=False, kind="stable"
    )
    return found.drop_duplicates(["benchmark", "dataset", "contestant"]).reset_index(drop=True)


def overview(rows: RepairedRows, population: str = "all") -> pd.DataFrame:
    """Other scores by places.

    The repaired score's Kendall's tau minus theirs on the same networks, with its interval.

    For pairs of equal parameters, where the difference has no interval, "repaired / other". On NAS-Bench-201
    and NAS-Bench-101 counts are on more networks than proxies. Empty where undefined.

    Args:
        rows: of the study.
        population: which networks.
    """
    found = widest(rows.comparisons, population).query("contestant != 'repaired'")
    texts: dict[str, dict[str, str]] = {}
    for place, title in PLACES.items():
        here = found[(found["benchmark"] == place[0]) & (found["dataset"] == place[1])]
        texts[title] = {NAMES[row["contestant"]]: _cell(row) for row in here.to_dict("records")}
    order = [NAMES[name] for name in dict.fromkeys((*others.OWN[1:], *others.PROXIES))]
    return pd.DataFrame(texts, index=order).dropna(how="all").astype(object).fillna("").rename_axis("against")


def _cell(row: dict[Any, Any]) -> str:
    if math.isnan(row["over"]):
        return f"{number(row['repaired'])} / {number(row['other'])} (n = {row['n']:.0f})"
    return f"{interval(row, 'over')} (n = {row['n']:.0f})"


def conventions_table(rows: RepairedRows) -> pd.DataFrame:
    """Kendall's tau with one convention changed, on either half, and minus that of the defined score."""
    by_half = {half: found.set_index("change") for half, found in rows.conventions.groupby("half")}
    lines = {
        CHANGES[change]: {
            f"{half} half": interval(found.loc[change], "kendall") for half, found in by_half.items()
        }
        | {"minus the defined, report half": interval(by_half["report"].loc[change], "over")}
        for change in (changes.UNITS if len(rows.conventions) else ())
    }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("changed")


CHANGES = {
    "no_share": "c = 1: the share a ReLU leaves is not counted",
    "uncentred": "c = 1/2: the mean behind a ReLU is kept",
    "all_inputs": "number of inputs for their participation ratio",
    "taps": "participation ratio of taps, channels independent",
    "channels": "participation ratio of channels, taps independent",
    "cells_only": "stem and reductions not counted",
    "normed": "convolutions without BatchNorm not counted",
    "mean": "mean over convolutions for the sum",
    "borders": "zeros outside the map for periodic maps",
    "pool_as_skip": "pooling read as a skip",
    "dead": "dead convolutions counted",
}
"""Change -> what is different then."""

MISSING = "not measured"
"""What a fact says in a run without a benchmark's file and stored aggregates."""
_POPULATIONS = {"all": "all", "top 20 %": "top", "equal params": "equal"}
TOLD = ("params", "flops", "convs", "az-nas", "zen-as-built-l1-running", "zen", "synflow", "zico", "naswot")
"""Scores that the prose names."""
BUDGETS = {"all cells": {"draws": 1000, "evolution": 1000}, "drawn cells": {"draws": 100}}
"""Evaluations at which the prose tells the regret."""


def facts(rows: RepairedRows) -> dict[str, str]:
    """Every number of the chapter's prose. Correlations and regrets read "estimate [95 % interval]"."""
    return (
        _comparison_facts(rows.comparisons)
        | _chain_facts(rows.chains)
        | _search_facts(rows.searches)
        | _convention_facts(rows.conventions)
        | _best_facts(rows.best)
    )


def _comparison_facts(comparisons: pd.DataFrame) -> dict[str, str]:
    told: dict[str, str] = {}
    for population, slug in _POPULATIONS.items():
        for half in ("all", "report"):
            found = widest(comparisons, population, half)
            for place in PLACES:
                if half == "all" or place[0] == "nasbench201":
                    told |= _place_facts(found, place, f"{slug}_{half}_{'_'.join(place)}")
    return told


def _place_facts(rows: pd.DataFrame, place: tuple[str, str], slug: str) -> dict[str, str]:
    """The repaired score, those of `TOLD`, and how many proxies are surely behind or ahead of it."""
    told: dict[str, str] = {}
    here = rows[(rows["benchmark"] == place[0]) & (rows["dataset"] == place[1])]
    found = Told(here, ["contestant"], MISSING)
    for name in ("repaired", *TOLD):
        key, at = f"{name.replace('-', '_')}_{slug}", (name,)
        told |= {f"tau_{key}": found.interval(at, "other"), f"same_{key}": found.interval(at, "repaired")}
        told |= {f"over_{key}": found.interval(at, "over"), f"n_{key}": found.text(at, "{n:,.0f}")}
    proxies = here[here["contestant"].isin(others.PROXIES) & (here["contestant"] != "random")]
    if proxies.empty:
        return told | {f"{name}_{slug}": MISSING for name in ("proxies", "ahead", "behind", "best")}
    best = proxies.loc[proxies["other"].idxmax()]
    return told | {
        f"proxies_{slug}": str(len(proxies)),
        f"ahead_{slug}": str(int((proxies["over_low"] > 0).sum())),
        f"behind_{slug}": str(int((proxies["over_high"] < 0).sum())),
        f"best_{slug}": f"{NAMES[best['contestant']]} ({number(best['other'])}, n = {best['n']:.0f})",
    }


def _best_facts(best: pd.DataFrame) -> dict[str, str]:
    found = Told(best, ["benchmark", "dataset", "contestant"], MISSING)
    told: dict[str, str] = {}
    for place in PLACES:
        name = "_".join(place)
        told[f"best_repaired_{name}"] = found.number((*place, "params"), "repaired", 3)
        told[f"best_top_{name}"] = found.text((*place, "params"), "{top:.0f} of {n:,.0f}")
        told |= {f"best_{count}_{name}": found.number((*place, count), "other", 3) for count in others.COUNTS}
    return told


def _chain_facts(chains: pd.DataFrame) -> dict[str, str]:
    told: dict[str, str] = {}
    found = Told(chains, ["benchmark"], MISSING)
    for name in other_scores.CHAINS:
        told |= {f"chain_{count}_{name}": found.text((name,), f"{{{count}:.0f}}") for count in ("n", "exact")}
        told[f"chain_wide_{name}"] = found.number((name,), "wide")
        told[f"chain_lower_{name}"] = found.number((name,), "lower", 1)
        told[f"chain_tau_{name}"] = found.number((name,), "kendall", 3)
    return told


def _search_facts(searches: pd.DataFrame) -> dict[str, str]:
    told = {"search_seeds": str(searches["seeds"].max()) if len(searches) else MISSING}
    found = Told(searches, ["dataset", "space", "strategy", "score", "evaluations"], MISSING)
    for space, strategies in search.STRATEGIES.items():
        for strategy in strategies:
            last = {"evolution": search.EVOLVED}.get(
                strategy, search.POOL if space == "drawn cells" else max(search.STEPS)
            )
            for when, evaluations in (("early", BUDGETS[space][strategy]), ("late", last)):
                for dataset in DATASETS:
                    for score in search.SPACES[space]:
                        at = (dataset, space, strategy, score, evaluations)
                        key = "_".join((score.replace("-", "_"), space.split()[0], strategy, when, dataset))
                        for name in ("regret", "accuracy", "over_params", "over_zen"):
                            told[f"{name}_{key}"] = found.interval(at, name)
    return told


def _convention_facts(conventions: pd.DataFrame) -> dict[str, str]:
    told: dict[str, str] = {}
    found = Told(conventions, ["change", "half"], MISSING)
    for change in changes.UNITS:
        for half in ("choice", "report"):
            for name in ("kendall", "over"):
                told[f"{name}_{change}_{half}"] = found.interval((change, half), name)
    return told
