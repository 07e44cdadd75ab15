"""The proxies of networks from five benchmarks: which are drawn, how each is computed, where it is kept.

Networks are drawn at random without looking at any score or accuracy. All proxies of one network and seed
share the module, its weights and the images. The counts are those of the whole network; what is measured on
images uses the resolution and the batch of `Benchmark`, small enough for one processor core.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from experiments.benchmarks import dds as dds_table
from experiments.benchmarks import dds_space as dds
from experiments.benchmarks import nasbench101 as nasbench101_table
from experiments.benchmarks import nasbench101_space as nasbench101
from experiments.benchmarks import nasbench201 as nasbench201_table
from experiments.benchmarks import nasbench201_scores, torchvision_zoo
from experiments.benchmarks import nasbench201_space as nasbench201
from experiments.benchmarks import nats_sizes as nats_sizes_table
from experiments.benchmarks import nats_sizes_space as nats_sizes
from experiments.benchmarks.module_zen import module_terms
from experiments.benchmarks.nasbench201_scores import DEFINITIONS
from experiments.record.agreement import EXACT
from experiments.record.score_check import ScoreCheck, seed_of, without_seed
from experiments.record.score_columns import ScoreColumns, Values
from experiments.record.score_tolerances import PROXY_AGREEMENT
from experiments.record.table import Table
from zenlib.errors import ScoreUndefined
from zenlib.proxies import PROXIES
from zenlib.proxies.query import Query

STUDY = "benchmarks"

COUNTS = ("params", "flops", "layers")
FORWARD = ("naswot", "linear-regions", "az-expressivity", "az-progressivity")
GRADIENTS = (
    "grad-norm",
    "snip",
    "fisher-channels",
    "jacob-cov",
    "zico",
    "synflow",
    "grasp",
    "az-trainability",
)
KERNEL = ("ntk", "te-nas")
PEERS = ("fisher", "swap", "meco", "near", "intrain", "epsinas", "wrcor", "vkdnw")
"""Scores of 2023 to 2026, and Fisher as its authors compute it: measured on fewer networks."""
VANILLA = ("phi", "zen", "zen-frobenius", "zen-running")
"""Measured on the vanilla form, which `to_vcnn` makes of the module."""
AS_BUILT = tuple(f"zen-as-built-{name.replace('_', '-')}" for name in DEFINITIONS)
DRAWN = (*FORWARD, *GRADIENTS, *KERNEL, *PEERS, *VANILLA, *AS_BUILT, "random")
"""Scores that depend on the seed."""
FIXED = (*COUNTS, "closed-form")
"""Scores that do not."""

_MEANINGS = (
    "L1 norm, mini-batch variance",
    "Frobenius norm, mini-batch variance",
    "L1 norm, running variance",
)


@dataclass(frozen=True)
class Benchmark:
    """Networks with accuracies that somebody trained them to."""

    name: str  # key in `BENCHMARKS`
    rows: int  # how many networks the file of scores has room for
    networks: Callable[[], list[str]]  # names of all networks in the order that is drawn from
    build: Callable[[str], nn.Module]  # an untrained module by the name of a network
    # table with the column `network` and one column of accuracies per data set; raises `BenchmarkMissing`
    accuracies: Callable[[], pd.DataFrame]
    datasets: tuple[str, ...]  # columns of accuracies
    resolution: int  # side of the images that proxies see, pixels
    batch_size: int  # images in the mini-batch
    counted_at: int  # side of the images for which FLOPs are counted, pixels

    @property
    def scores(self) -> ScoreColumns:
        """The file of scores, one row per drawn network."""
        how = f"{self.batch_size} images of {self.resolution} pixels"
        units = {
            column(name): f"1: proxy {name} of the module, {how}"
            for name in (*FORWARD, *GRADIENTS, *KERNEL, *PEERS, "random")
        }
        units |= {
            column(name): f"nat: proxy {name}, on the vanilla form, {how}"
            for name in (*VANILLA, "closed-form")
        }
        units |= {
            column(name): f"nat: Zen-Score of the network as it is built, {meaning}, {how}"
            for name, meaning in zip(AS_BUILT, _MEANINGS, strict=True)
        }
        units |= {"params": "count: parameters", "flops": f"count: multiply-adds at {self.counted_at} pixels"}
        return ScoreColumns(
            STUDY, self.rows, units | {"layers": "count: convolutions and linear layers"}, name=self.name
        )

    def sample(self, count: int) -> list[str]:
        """Names of the drawn networks, row by row; a smaller sample is the beginning of a larger one."""
        keys = [{"benchmark": self.name, "row": row} for row in range(min(count, self.rows))]
        return NETWORKS.fill(keys, progress=False)["network"].tolist()

    def drawn(self, count: int) -> list[int]:
        """Rows of the networks that are drawn first."""
        return list(range(min(count, self.rows)))


def column(name: str, seed: int | None = None) -> str:
    """The column of a proxy, with its seed where it has one."""
    return name.replace("-", "_") + ("" if seed is None else f"_s{seed}")


def measure(benchmark: Benchmark, network: str, names: Sequence[str], seed: int) -> dict[str, float]:
    """Proxies of one network, NaN where undefined; all of them see one module and one batch."""
    query = Query(
        benchmark.build(network), benchmark.resolution, benchmark.batch_size, seed, torch.device("cpu")
    )
    counted = Query(query.network, benchmark.counted_at, benchmark.batch_size, seed, torch.device("cpu"))
    return {name: proxy_value(counted if name in COUNTS else query, name) for name in names}


def proxy_value(query: Query, name: str) -> float:
    """The value of a proxy, or of a Zen-Score as built; NaN where it is undefined."""
    try:
        if name in AS_BUILT:
            return query.once(module_terms).score(*DEFINITIONS[column(name.removeprefix("zen-as-built-"))])
        return PROXIES[name].value(query)
    except ScoreUndefined:
        return math.nan


def fill(benchmark: Benchmark, names: Sequence[str], seed: int, rows: Sequence[int]) -> None:
    """Computes the missing scores of some rows; proxies without a seed are kept without it."""
    networks = benchmark.sample(max(rows, default=-1) + 1)
    columns = {name: column(name, None if name in FIXED else seed) for name in names}

    def compute(row: int) -> Values:
        found = measure(benchmark, networks[row], names, seed)
        return {columns[name]: value for name, value in found.items()}

    benchmark.scores.fill(tuple(columns.values()), compute, rows)


def recomputed(benchmark: Benchmark, of: str, row: int) -> float:
    """The value of the column `of` for the network of one row, computed again."""
    names = {column(name): name for name in (*DRAWN, *FIXED)}
    name = names[without_seed(of)]
    return measure(benchmark, benchmark.sample(row + 1)[row], (name,), seed_of(of))[name]


@cache
def drawing_order(name: str) -> list[str]:
    """All networks of a benchmark in the order in which they are drawn."""
    networks = BENCHMARKS[name].networks()
    return [networks[index] for index in np.random.default_rng(0).permutation(len(networks))]


def _network_row(*, benchmark: str, row: int) -> dict[str, str]:
    return {"network": drawing_order(benchmark)[row]}


NETWORKS = Table(
    study=STUDY,
    name="networks",
    compute=_network_row,
    units={
        "benchmark": "name: which benchmark",
        "row": "1: row of the benchmark's file of scores",
        "network": "name: the benchmark's own name of the network",
    },
    otherwise=EXACT,
)
"""Which network stands in which row. NAS-Bench-201 needs none: its row is the official index."""


class Cells201(Benchmark):
    """NAS-Bench-201, whose rows are all cells in the official order."""

    def sample(self, count: int) -> list[str]:
        """Text of the cells, by official index."""
        return self.networks()[:count]

    def drawn(self, count: int) -> list[int]:
        """Official indices of a random sample."""
        return nasbench201_scores.sample(count)


@cache
def _table101() -> pd.DataFrame:
    return nasbench101_table.table().sort_values("hash", kind="stable").set_index("hash")


def _build101(network: str) -> nn.Module:
    spec = _table101().loc[network]
    return nasbench101.build(nasbench101.Cell101.from_strings(spec["ops"], spec["adj_upper"]))


def _zoo() -> pd.DataFrame:
    rows = torchvision_zoo.zoo()
    return rows[rows["chain"] & (rows["weights"] == "IMAGENET1K_V1") & (rows["params"] <= LARGEST)].rename(
        columns={"model": "network"}
    )


LARGEST = 60_000_000
"""Networks of torchvision with more parameters are left out: one of them takes minutes."""
TORCHVISION = 34
"""Chains of torchvision with first weights and no more parameters than that."""

SMALL_IMAGES: dict[str, Any] = {"resolution": 32, "batch_size": 16, "counted_at": 32}
IMAGENET: dict[str, Any] = {"datasets": ("imagenet",), "resolution": 64, "batch_size": 8, "counted_at": 224}
BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        Cells201(
            name="nasbench201",
            rows=nasbench201_table.CELLS,
            networks=lambda: nasbench201_table.table()["arch"].tolist(),
            build=lambda text: nasbench201.build(nasbench201.Cell.from_string(text)),
            accuracies=lambda: nasbench201_table.table().rename(columns={"arch": "network"}),
            datasets=tuple(nasbench201_table.ACCURACIES),
            **SMALL_IMAGES,
        ),
        Benchmark(
            name="nasbench101",
            rows=500,
            networks=lambda: _table101().index.tolist(),
            build=_build101,
            accuracies=lambda: nasbench101_table.table().rename(columns={"hash": "network"}),
            datasets=("cifar10",),
            resolution=16,
            batch_size=8,
            counted_at=32,
        ),
        Benchmark(
            name="nats_sizes",
            rows=500,
            networks=lambda: [":".join(map(str, widths)) for widths in nats_sizes.sizes()],
            build=lambda text: nats_sizes.build(nats_sizes.from_string(text)),
            accuracies=lambda: nats_sizes_table.table().rename(columns={"channels": "network"}),
            datasets=("cifar10",),
            **SMALL_IMAGES,
        ),
        Benchmark(
            name="pycls",
            rows=len(dds.MODELS),
            networks=lambda: list(dds.MODELS),
            build=dds.build,
            accuracies=lambda: dds_table.table().rename(columns={"model": "network", "top1": "imagenet"}),
            **IMAGENET,
        ),
        Benchmark(
            name="torchvision",
            rows=TORCHVISION,
            networks=lambda: _zoo()["network"].tolist(),
            build=torchvision_zoo.build,
            accuracies=lambda: _zoo().rename(columns={"top1": "imagenet"}),
            **IMAGENET,
        ),
    )
}
"""Every benchmark of the study by name."""

CHECKS = tuple(
    ScoreCheck(
        benchmark.scores,
        partial(recomputed, benchmark),
        {column(name): PROXY_AGREEMENT[name] for name in (*DRAWN, *FIXED)},
    )
    for benchmark in BENCHMARKS.values()
)
"""How a sample of the stored scores is computed again."""
