"""The repaired score against counts and every proxy of the benchmark study, on the same networks.

Proxies are those that the benchmark study has stored, seed 0, for the networks that it drew; counts are known
for all networks that have a repaired score. A network for which a proxy is undefined ranks last in it, and so
does a cell without a path in the repaired score; a network with an operation that the arithmetic has no rule
for is left out of every comparison.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import pandas as pd

from experiments.benchmarks import stored_scores as proxy_study
from experiments.benchmarks.nasbench201_scores import sample
from experiments.benchmarks.nasbench201_variants import CHOSEN, cells
from experiments.benchmarks.network_scores import BENCHMARKS, drawing_order
from experiments.chapters.repaired import other_scores as cells_other_scores
from experiments.chapters.repaired.other_scores import STUDY
from experiments.record.agreement import ARITHMETIC
from experiments.record.correlations import kendall_near
from experiments.record.estimates import ENDS, explained_units, kendall, with_ends
from experiments.record.keys import crossed
from experiments.record.table import Table
from zenlib.errors import ScoreUndefined
from zenlib.stats import ndcg

SEED = 0
COUNTS = ("params", "flops", "convs")
OWN = ("repaired", *COUNTS, "gain", "repaired_vanilla", "gain_vanilla")
"""Known for every network that has a repaired score, the vanilla forms of chains alone."""
PROXIES = tuple(
    name
    for name in proxy_study.PREDICTORS
    if name not in (*proxy_study.COUNTS, *proxy_study.SUMS, *proxy_study.PEERS, "vkdnw-aggregate")
)
DRAWN = {"nasbench201": 500, "nasbench101": 500, "nats_sizes": 500, "pycls": 36, "torchvision": 34}
"""Networks for which the benchmark study has proxies."""
POPULATIONS = ("all", "top 20 %", "equal params")
CELL_POPULATIONS = (*POPULATIONS, "valid", "one per class", "no none")
"""Populations of NAS-Bench-201; of the others the first three."""
HALVES = {"nasbench201": ("all", "report")}
"""Halves of the isomorphism classes, see `cells`; other benchmarks have none, which is called "all"."""
TOP_SHARE = 0.2
FEWEST_PAIRS = 100
"""Fewer pairs of nearly equal parameters are not correlated."""


@cache
def networks(benchmark: str, dataset: str) -> pd.DataFrame:
    """Accuracy, own scores, counts, family and half of every network with a repaired score, in drawing order.

    Raises:
        BenchmarkMissing: the benchmark's file is not there.
    """
    if benchmark == "nasbench201":
        rows = cells()
        told = {
            "accuracy": rows[dataset],
            "repaired": rows[CHOSEN].fillna(proxy_study.WITHOUT_SCORE),
            "family": rows["class"],
        }
        told |= {
            "convs": rows["live_convs"],
            "gain": rows["gain"].fillna(proxy_study.WITHOUT_SCORE),
            "half": rows["half"],
        }
        return pd.DataFrame(told).assign(
            **{name: rows[name] for name in ("params", "flops", "connected", "none")}
        )
    names, file = drawing_order(benchmark), cells_other_scores.SCORES[benchmark]
    accuracies = BENCHMARKS[benchmark].accuracies().set_index("network")[dataset]
    found = file.read().drop(columns="index").dropna(subset="repaired")
    chosen = [names[row] for row in found.index]
    return found.assign(accuracy=accuracies.loc[chosen].to_numpy(), family=found.index, half="all")


def members(benchmark: str, dataset: str, half: str, networks_used: int, contestant: str) -> pd.DataFrame:
    """The networks that have both the repaired score and another one, here called `other`."""
    rows = networks(benchmark, dataset)
    rows = rows if half == "all" else rows[rows["half"] == half]
    if contestant in OWN:
        if contestant not in rows:
            raise ScoreUndefined(f"{contestant}: not computed for {benchmark}")
        rows = rows.assign(other=rows[contestant])
    else:
        drawn = min(DRAWN[benchmark], networks_used) if networks_used else DRAWN[benchmark]
        rows = rows.join(proxy_study.scores(benchmark, contestant, SEED, drawn).rename("other"), how="inner")
    if networks_used:
        rows = rows[
            rows.index.isin(sample(networks_used) if benchmark == "nasbench201" else range(networks_used))
        ]
    return rows.dropna(subset=["other", "accuracy"])


def stratum(rows: pd.DataFrame, population: str) -> pd.DataFrame:
    """The networks of a population; for pairs of equal parameters all."""
    match population:
        case "top 20 %":
            return rows[rows["accuracy"] >= rows["accuracy"].quantile(1 - TOP_SHARE)]
        case "valid":
            return rows[rows["connected"]]
        case "one per class":
            return rows[rows["connected"] & ~rows["family"].where(rows["connected"]).duplicated()]
        case "no none":
            return rows[rows["none"] == 0]
    return rows


def comparison_row(
    *, benchmark: str, dataset: str, population: str, half: str, networks_used: int, contestant: str
) -> dict[str, Any]:
    """Kendall's tau of the repaired score and of another one on the same networks, and their difference."""
    rows = stratum(members(benchmark, dataset, half, networks_used, contestant), population)
    if len(rows) < proxy_study.FEWEST or rows["other"].nunique() < 2:
        raise ScoreUndefined(f"{len(rows)} networks with both scores, or all of one score")
    told: dict[str, Any] = {"n": len(rows)} | dict.fromkeys((f"over{end}" for end in ENDS), math.nan)
    if population == "equal params":
        return told | _near(rows, "repaired") | _near(rows, "other")
    accuracy, families = rows["accuracy"], rows["family"]
    for name in ("repaired", "other"):
        told |= kendall(proxy_study.rank_correlation(rows[name], accuracy, families), name)
    if contestant != "repaired":
        over = proxy_study.rank_difference(rows["repaired"], rows["other"], accuracy, families)
        told |= kendall(over, "over")
    return told


def _near(rows: pd.DataFrame, score: str) -> dict[str, float]:
    """Kendall's tau over pairs of nearly equal parameters."""
    families = rows["family"].tolist()
    value, ends, pairs = kendall_near(
        rows[score], rows["accuracy"], rows["params"], proxy_study.RATIO, families=families
    )
    if pairs < FEWEST_PAIRS or math.isnan(value):
        raise ScoreUndefined(f"{pairs} pairs of nearly equal parameters, or all of them tied")
    return with_ends(score, value, ends)


COMPARISONS = Table(
    study=STUDY,
    name="comparisons",
    compute=comparison_row,
    units={
        "benchmark": "name: which benchmark",
        "dataset": "name: data set of the accuracies",
        "population": (
            "name: all networks, the best fifth by accuracy, pairs whose parameters differ by 5 % at most, "
            "or a stratum of cells"
        ),
        "half": "name: half of the isomorphism classes of NAS-Bench-201, report or all; all elsewhere",
        "networks_used": "count: networks that were drawn; 0 for all that have a repaired score",
        "contestant": "name: the score or proxy that the repaired score is compared with",
        "n": "count: networks of the population that have both scores",
    }
    | explained_units("repaired", "1: Kendall's tau-b of the repaired score")
    | explained_units("other", "1: Kendall's tau-b of the other score on the same networks")
    | explained_units("over", "1: the first minus the second"),
    otherwise=ARITHMETIC,
)


def best_row(*, benchmark: str, dataset: str, networks_used: int, contestant: str) -> dict[str, Any]:
    """nDCG@P of the repaired score and of another one on the same networks, P a tenth of them."""
    rows = members(benchmark, dataset, "all", networks_used, contestant)
    top = max(10, min(1000, len(rows) // 10))
    told = {name: ndcg(rows[name], rows["accuracy"], top) for name in ("repaired", "other")}
    return {"n": len(rows), "top": top} | told


BEST = Table(
    study=STUDY,
    name="best",
    compute=best_row,
    units={
        "benchmark": "name: which benchmark",
        "dataset": "name: data set of the accuracies",
        "networks_used": "count: networks that were drawn; 0 for all that have a repaired score",
        "contestant": "name: the count that the repaired score is compared with",
        "n": "count: networks that have both",
        "top": "count: networks ranked first whose gain counts",
        "repaired": "1: nDCG@P of the repaired score, see zenlib.stats.ndcg",
        "other": "1: nDCG@P of the other score",
    },
    otherwise=ARITHMETIC,
)


def compared(benchmarks: Sequence[str], networks101: int) -> list[dict[str, Any]]:
    """Everything that is compared: counts on all networks, proxies and counts on the drawn ones."""
    found: list[dict[str, Any]] = []
    for benchmark in benchmarks:
        everything = {"nasbench201": 0, "nasbench101": networks101}.get(benchmark, DRAWN[benchmark])
        sizes = (
            {everything: OWN} if everything == DRAWN[benchmark] else {everything: OWN, DRAWN[benchmark]: OWN}
        )
        contestants = [(size, name) for size, names in sizes.items() for name in names]
        contestants += [(DRAWN[benchmark], name) for name in PROXIES]
        populations = CELL_POPULATIONS if benchmark == "nasbench201" else POPULATIONS
        where = crossed(
            {"benchmark": benchmark},
            dataset=BENCHMARKS[benchmark].datasets,
            half=HALVES.get(benchmark, ("all",)),
            population=populations,
        )
        pairs = [{"networks_used": size, "contestant": name} for size, name in contestants]
        found += [key | pair for key in where for pair in pairs]
    return found
