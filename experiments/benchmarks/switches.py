"""One choice of a score switched at a time: which of them explains a stored or a published value?

The Jacobian covariance and GraSP are held against scores that NAS-Bench-Suite-Zero stores (see `fidelity`),
the Zen-Score as built against the accuracies for which papers print different values of its tau.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from experiments.benchmarks import fidelity, nasbench201
from experiments.benchmarks.fidelity import Setting, asked, default_initialisation
from experiments.benchmarks.module_zen import module_terms
from experiments.benchmarks.nasbench201_space import Cell
from experiments.benchmarks.network_scores import BENCHMARKS
from experiments.record.agreement import EXACT, NotCompared
from experiments.record.estimates import both_coefficients, ends_units
from experiments.record.table import Table
from zenlib.errors import ScoreUndefined
from zenlib.proxies import PROXIES
from zenlib.proxies.correlations import K, jacobian_spectrum
from zenlib.proxies.query import Query, weighted_layers
from zenlib.stats import correlate

AGAIN = NotCompared("a rank correlation over some dozens of draws, which rounding may put in another order")

AUTHORS = Setting("photo", 32, "default")
SEEDS = (0, 1)
"""Stored draws whose ranks are averaged."""
TEMPERATURE = 200
FRESH, TWO, AVERAGED = "BatchNorm as fresh", "2 images", f"mean rank of {len(SEEDS)} draws"
SUITE = {
    "jacob-cov": ("none", AVERAGED, FRESH, "64 crops", "logarithms alone", "reciprocals alone"),
    "grasp": ("none", AVERAGED, f"temperature {TEMPERATURE}"),
}
"""Proxy -> what is switched, each alone."""
ZEN = {
    "nasbench101": ("none", TWO, "32 pixels", FRESH, "PyTorch's weights", "no BatchNorm term"),
    "nats_sizes": ("none", TWO, FRESH, "PyTorch's weights", "no BatchNorm term"),
}
"""Benchmark -> what is switched in its Zen-Score as built, released variance."""


def keep_fresh(module: nn.Module) -> None:
    """BatchNorm with its fresh statistics, mean 0 and variance 1, so that it does nothing."""
    for layer in module.modules():
        if isinstance(layer, _BatchNorm):
            layer.eval()


def suite_score(proxy: str, switch: str, index: int) -> float:
    """A proxy of one cell, asked as its authors do but for the switch; NaN where undefined."""
    setting = replace(AUTHORS, batch_size=64) if switch == "64 crops" else AUTHORS
    query = asked(Cell.from_string(nasbench201.table()["arch"].iloc[index]), setting, SEEDS[0])
    if switch == FRESH:
        keep_fresh(query.module)
    if switch.startswith("temperature"):
        query.__dict__["module"] = nn.Sequential(query.module, Cooled())
    try:
        if switch.endswith(" alone"):
            values = jacobian_spectrum(query) + K
            return -float((values.log() if switch.startswith("log") else 1 / values).sum())
        return PROXIES[proxy].value(query)
    except ScoreUndefined:
        return float("nan")


class Cooled(nn.Module):
    """Divides the outputs by the temperature."""

    def forward(self, outputs: torch.Tensor) -> torch.Tensor:
        """(N, classes) to the same."""
        return outputs / TEMPERATURE


def suite_row(*, proxy: str, switch: str, cells: int) -> dict[str, float]:
    """Spearman's rho with the stored scores of the suite."""
    drawn = fidelity.drawn(cells)
    if switch in ("none", AVERAGED):
        seeds = SEEDS if switch == AVERAGED else SEEDS[:1]
        stored = fidelity.VALUES.read().set_index("index").loc[drawn]
        draws = stored[[fidelity.column(proxy, AUTHORS, seed) for seed in seeds]]
    else:
        draws = pd.DataFrame([suite_score(proxy, switch, index) for index in drawn], index=drawn)
    theirs = fidelity.official()[fidelity.OFFICIAL[proxy]]
    pairs = pd.concat([draws.rank().mean(axis=1, skipna=False), theirs.loc[drawn]], axis=1).dropna()
    found = correlate(*pairs.to_numpy(float).T, resamples=2000)
    return {"n": len(pairs)} | {
        name: value for name, value in both_coefficients(found).items() if name.startswith("spearman")
    }


SUITE_SWITCHES = Table(
    study=fidelity.STUDY,
    name="suite_switches",
    key=("proxy", "switch", "cells"),
    compute=suite_row,
    units={
        "proxy": "name: in zenlib.PROXIES, asked with 32 crops of photographs and PyTorch's initialisation",
        "switch": "text: what is done otherwise; none for nothing",
        "cells": "count: cells that were drawn from the suite's 725",
        "n": "count: cells with both values",
    }
    | ends_units("spearman", "1: Spearman's rho with the stored scores of NAS-Bench-Suite-Zero"),
    agreement={"n": EXACT},
    otherwise=AGAIN,
)


def zen_score(benchmark: str, switch: str, network: str) -> float:
    """The released Zen-Score as built of one network, but for the switch; NaN where undefined."""
    found = BENCHMARKS[benchmark]
    side = 32 if switch == "32 pixels" else found.resolution
    images = 2 if switch == TWO else found.batch_size
    query = Query(found.build(network), side, images, 0, torch.device("cpu"))
    if switch == FRESH:
        keep_fresh(query.module)
    if switch == "PyTorch's weights":
        default_initialisation(query.module, query.generator(0))
        with torch.no_grad():
            for layer in weighted_layers(query.module):  # `module_terms` takes the opposite factor
                layer.weight.mul_((2 / layer.weight[0].numel()) ** 0.5)
    try:
        terms = query.once(module_terms)
    except ScoreUndefined:
        return float("nan")
    alone = switch in (FRESH, "no BatchNorm term")
    return terms.log_delta_l1 if alone else terms.score("l1", "running")


def zen_row(*, benchmark: str, switch: str, networks: int) -> dict[str, Any]:
    """Both coefficients with accuracy; networks without a score rank last."""
    found = BENCHMARKS[benchmark]
    drawn = found.sample(networks)
    accuracies = found.accuracies().set_index("network").loc[drawn, found.datasets[0]]
    scores = pd.Series([zen_score(benchmark, switch, name) for name in drawn], drawn)
    told = {"n": len(scores), "undefined": int(scores.isna().sum())}
    return told | both_coefficients(correlate(scores.fillna(-1e30), accuracies, resamples=2000))


ZEN_SWITCHES = Table(
    study=fidelity.STUDY,
    name="zen_switches",
    key=("benchmark", "switch", "networks"),
    compute=zen_row,
    units={
        "benchmark": "name: which benchmark",
        "switch": "text: what is done otherwise; none for nothing",
        "networks": "count: networks, the first that are drawn",
        "n": "count: networks",
        "undefined": "count: networks among them without a score; they rank last",
    }
    | ends_units("kendall", "1: Kendall's tau-b with CIFAR-10 accuracy")
    | ends_units("spearman", "1: Spearman's rho with CIFAR-10 accuracy"),
    agreement={"n": EXACT, "undefined": AGAIN},
    otherwise=AGAIN,
)


def suite_switches(cells: int = 40) -> pd.DataFrame:
    """Every switch of the Jacobian covariance and of GraSP; without the user's files the stored rows."""
    if not fidelity.is_there():
        return SUITE_SWITCHES.stored()
    return SUITE_SWITCHES.fill(
        [
            {"proxy": proxy, "switch": switch, "cells": cells}
            for proxy, switches in SUITE.items()
            for switch in switches
        ]
    )


def zen_switches(is_there: Callable[[str], bool], networks: int = 60) -> pd.DataFrame:
    """Every switch of the Zen-Score as built; without a benchmark's file its stored rows."""
    stored = ZEN_SWITCHES.stored()
    found = [stored[~stored["benchmark"].map(is_there).astype(bool)]]
    for benchmark, switches in ZEN.items():
        if is_there(benchmark):
            keys = [{"benchmark": benchmark, "switch": switch, "networks": networks} for switch in switches]
            found.append(ZEN_SWITCHES.fill(keys))
    return pd.concat(found, ignore_index=True)
