"""For every score and space the count that agrees best with it, and what the score says beyond that count.

Scores are those that other chapters have stored. The accuracies are the user's to bring; what is stored here
are aggregates.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks import nasbench_macro_space as macro
from experiments.benchmarks import stored_scores as stored
from experiments.benchmarks.layer_sums import SIZES, cell_sums
from experiments.benchmarks.nasbench201_space import Cell
from experiments.benchmarks.network_scores import BENCHMARKS, PEERS, column, fill
from experiments.benchmarks.stored_scores import az_nas
from experiments.benchmarks.tables import read_table
from experiments.chapters.counts.measured import INTRAIN, LATER, MEASURED, RESOLUTION, STUDY
from experiments.chapters.counts.measured import networks as drawn_networks
from experiments.record.agreement import ARITHMETIC
from experiments.record.estimates import ENDS, kendall
from experiments.record.results import export_path
from experiments.record.table import Table
from zenlib.errors import BenchmarkMissing, ScoreUndefined
from zenlib.networks.architecture import Architecture
from zenlib.scores.formulas.counts import Counts, counts_of
from zenlib.scores.graph_form import graph_of

RECENT = PEERS[1:]
"""Scores of 2023 to 2026."""
COUNTS = ("params", "flops", "layers", *Counts._fields)
"""What a score may be in disguise."""
SCORES = (
    "naswot",
    "linear-regions",
    "az-expressivity",
    "az-progressivity",
    "az-trainability",
    "az-nas",
    "grad-norm",
    "snip",
    "fisher-channels",
    "grasp",
    "jacob-cov",
    "synflow",
    "zico",
    "phi",
    *RECENT,
    "zen",
    "zen-as-built-l1-minibatch",
)
CHEAP = ("swap", "near", "intrain", "epsinas", "wrcor")
SAMPLED = {
    "nasbench101": (200, (*CHEAP, "meco")),
    "nats_sizes": (200, (*CHEAP, "meco")),
    "pycls": (36, CHEAP),
    "torchvision": (34, CHEAP),
}
"""Benchmark -> how many networks, the first that are drawn, and which recent scores of them are cheap."""
FROM_MODULES = ("nasbench101", "nats_sizes", "pycls", "torchvision")
MACRO_SCORES = {"built": "zen_as_built_l1_minibatch"}
"""Column of the registered predictions that has another name here."""
SPACES = {
    "nasbench201": "NAS-Bench-201",
    "nasbench101": "NAS-Bench-101",
    "nats_sizes": "NATS sizes",
    "macro": "Macro",
    "pycls": "pycls",
    "torchvision": "torchvision",
    "accel_nasbench": "Accel-NASBench",
    "population": "trained here",
    "resnet-like": "ResNet-like",
    "mobilenet-like": "MobileNet-like",
}
DATASETS = {
    "nasbench201": ("cifar10", "cifar100", "imagenet16"),
    "nasbench101": ("cifar10",),
    "nats_sizes": ("cifar10",),
    "macro": ("cifar10",),
    "pycls": ("imagenet",),
    "torchvision": ("imagenet",),
    "accel_nasbench": ("not opened",),
    "population": ("fashion-mnist",),
}
UNTRAINED = "none"
"""Stands for the data set of a space whose networks nobody trained."""
UNKNOWN = (UNTRAINED, "not opened")
"""Stand for accuracies that are not there."""
LEAST = 20
RESAMPLES = 1000


def size_keys() -> list[dict[str, str]]:
    """The networks whose scores are stored."""
    return [
        {"space": space, "network": network}
        for space in FROM_MODULES
        if stored.is_there(space)
        for network in stored.networks(space)["network"]
    ]


def fill_recent() -> None:
    """Measures the recent scores of the networks of `SAMPLED`, where the benchmark's file is there."""
    for space, (count, names) in SAMPLED.items():
        if stored.is_there(space):
            fill(BENCHMARKS[space], names, 0, range(count))


@cache
def networks(space: str) -> pd.DataFrame:
    """One row per network: `family`, accuracies, every count and every score, NaN where there is none.

    Raises:
        BenchmarkMissing: the benchmark's file is not there.
    """
    if space == "macro":
        return _macro()
    if space == "population":
        return _population()
    if space == "accel_nasbench":
        return _accel()
    if space in ("resnet-like", "mobilenet-like"):
        return _measured(space)
    rows = stored.networks(space).copy()
    for name in (*COUNTS[:3], *SCORES):
        if name != "az-nas":
            values = stored.stored_values(space, name, 0) if _has(space, name) else np.nan
            rows[column(name)] = values
            rows[column(name)] = rows[column(name)].replace(stored.WITHOUT_SCORE, np.nan)
    measured = rows[[column(name) for name in stored.JOINED["az-nas"]]].dropna()
    if len(measured) > 0:
        rows["az_nas"] = pd.Series(az_nas(measured), measured.index)
    if space == "nasbench201":
        texts = [Cell.from_string(text) for text in rows["network"]]
        return pd.concat([rows, cell_sums(texts)], axis=1)[rows["valid"]]
    sizes = SIZES.stored()
    return rows.merge(sizes.loc[sizes["space"] == space, ["network", *Counts._fields]], on="network")


def _has(space: str, name: str) -> bool:
    """Whether a score was computed for any network of a benchmark."""
    return bool(stored.stored_values(space, name, 0).notna().any())


def _macro() -> pd.DataFrame:
    columns = {"arch": "text: the code", "test_acc_mean": "percent: mean of the trainings"}
    known = read_table("nasbench_macro_cifar10.csv", columns, "the benchmark's published results")[
        list(columns)
    ]
    rows = pd.read_csv(export_path("blind", "nasbench_macro.csv"), dtype={"arch": str})
    rows = rows.merge(known.rename(columns={"test_acc_mean": "cifar10"}), on="arch")
    counts = pd.DataFrame([macro.layer_sums(code) for code in rows["arch"]])
    rows = pd.concat([rows.rename(columns={"depth": "layers"} | MACRO_SCORES), counts], axis=1)
    rows = rows.assign(network=rows["arch"], family=rows["arch"].map(macro.canonical))
    recent = pd.read_parquet(export_path("blind", "peers.parquet")).drop(columns=["index", "fisher_s0"])
    recent["family"] = sorted(set(rows["family"]))  # a row a network there, in the order of canonical codes
    return rows.merge(recent.rename(columns=lambda name: name.removesuffix("_s0")), on="family")


def _accel() -> pd.DataFrame:
    """The registered predictions, equal networks once; their accuracies are not looked at."""
    rows = pd.read_csv(export_path("direct", "accel_nasbench.csv"))
    rows = rows[rows["id"] == rows["network"]].rename(columns={"multiply_adds": "flops", "convs": "layers"})
    return rows.assign(family=rows["network"].astype(str))


def _architectures(texts: list[str], resolution: int) -> pd.DataFrame:
    rows = []
    for text in texts:
        network = Architecture.from_string(text)
        convs = sum(len(unit.convs) + (unit.projection is not None) for unit in network.units)
        costs = {"params": network.params(10), "flops": network.flops(resolution, 10), "layers": convs + 1}
        rows.append(
            {"network": text, "family": text} | costs | counts_of(graph_of(network, resolution))._asdict()
        )
    return pd.DataFrame(rows)


def _population() -> pd.DataFrame:
    scores = pd.read_csv(export_path("laptop", "scores.csv"))
    resolution = int(scores["resolution"].iloc[0])
    wide = scores[scores["seed"] == 0].pivot(index="network", columns="proxy", values="score")
    wide.columns = [column(name) for name in wide]
    trained = pd.read_csv(export_path("laptop", "trained.csv"))
    trained = trained[trained["network"].isin(scores["network"])]
    accuracy = trained.groupby("network")["top1"].mean().rename("fashion-mnist")
    found = _architectures(accuracy.index.tolist(), resolution).set_index("network").join(accuracy)
    return found.join(wide.drop(columns=[name for name in wide if name in found])).reset_index()


def _measured(space: str) -> pd.DataFrame:
    scores, *later = (table.stored().query("seed == 0") for table in (MEASURED, INTRAIN, LATER))
    scores = scores[scores["network"].isin(drawn_networks(space, LARGEST))]
    for table in later:
        scores = scores.merge(table[["network", *table.columns.intersection(RECENT)]], "left", "network")
    return _architectures(scores["network"].tolist(), RESOLUTION).merge(scores, on="network")


LARGEST = 200
"""Networks of a space of which the first are measured."""


def counted_row(*, space: str, dataset: str, score: str) -> dict[str, Any]:
    """The count that agrees best with a score, and tau with accuracy of both and given that count."""
    rows = networks(space)
    name = column(score)
    if name not in rows or rows[name].notna().sum() < LEAST:
        raise ScoreUndefined("not measured on enough networks of this space")
    rows = rows[rows[name].notna()]
    if rows[name].nunique() < 2:
        raise ScoreUndefined("equal for all networks")
    taus = {one: rows[name].corr(rows[one], method="kendall") for one in COUNTS if rows[one].nunique() > 1}
    best = max(taus, key=lambda one: abs(taus[one]))
    told: dict[str, Any] = {"n": len(rows), "count": best, "agreement": taus[best]} | dict.fromkeys(
        _TOLD, math.nan
    )
    if dataset in UNKNOWN:
        return told
    accuracies, families = rows[dataset], rows["family"]
    alone = [stored.rank_correlation(rows[one], accuracies, families, RESAMPLES) for one in (name, best)]
    given = stored.rank_partial(rows[name], accuracies, rows[best], families, RESAMPLES)
    for prefix, found in zip(("alone", "of_count", "given"), (*alone, given), strict=True):
        told |= kendall(found, prefix)
    return told


_TOLD = [f"{prefix}{end}" for prefix in ("alone", "of_count", "given") for end in ENDS]
_MEANING = {
    "alone": "Kendall's tau of the score with accuracy",
    "of_count": "Kendall's tau of that count with accuracy",
    "given": "partial tau of the score with accuracy, that count held fixed",
}
COUNTED = Table(
    study=STUDY,
    name="counted",
    compute=counted_row,
    units={
        "space": "name: which networks",
        "dataset": "name: data set of the accuracies, none where nobody trained the networks",
        "score": "name: a proxy",
        "n": "count: networks with that score",
        "count": "name: the count with the largest absolute tau with the score",
        "agreement": "1: that tau",
    }
    | {
        f"{prefix}{end}": f"1: {text}{more}"
        for prefix, text in _MEANING.items()
        for end, more in (("", ""), ("_low", ", lower end of its 95 % interval"), ("_high", ", upper end"))
    },
    otherwise=ARITHMETIC,
)


def is_there(space: str) -> bool:
    """Whether the networks of a space are known here, with their scores."""
    try:
        networks(space)
    except (BenchmarkMissing, FileNotFoundError):
        return False
    return True


def counted_keys() -> list[dict[str, str]]:
    """Every space, data set and score."""
    return [
        {"space": space, "dataset": dataset, "score": score}
        for space in SPACES
        for dataset in DATASETS.get(space, (UNTRAINED,))
        for score in SCORES
    ]
