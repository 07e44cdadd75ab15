"""One choice of a score switched at a time: which of them explains a stored or a published value?

The Jacobian covariance and GraSP are held against scores that NAS-Bench-Suite-Zero stores (see `fidelity`),
the Zen-Score as built against the accuracies for which papers print different values of its tau. `CEILINGS`
says how near anyone can come to one stored draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from experiments.benchmarks import fidelity, nasbench201
from experiments.benchmarks.fidelity import Setting, asked, default_initialisation
from experiments.benchmarks.module_zen import module_terms
from experiments.benchmarks.nasbench201_space import Cell
from experiments.benchmarks.network_scores import BENCHMARKS
from experiments.record.agreement import ARITHMETIC, EXACT, NotCompared
from experiments.record.estimates import both_coefficients, ends_units, with_ends
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
ONE_PHOTO, SHIFTED = "crops of one photograph", "crops shifted, black borders"
SUITE = {
    "jacob-cov": (
        *("none", AVERAGED, FRESH, "64 crops", ONE_PHOTO, SHIFTED),
        *("logarithms alone", "reciprocals alone"),
    ),
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
    if switch == ONE_PHOTO:
        query.__dict__["images"] = fidelity.photographs(query.batch_size, query.seed, only=0)
    if switch == SHIFTED:
        query.__dict__["images"] = shifted(query.images, query.seed)
    try:
        if switch.endswith(" alone"):
            values = jacobian_spectrum(query) + K
            return -float((values.log() if switch.startswith("log") else 1 / values).sum())
        return PROXIES[proxy].value(query)
    except ScoreUndefined:
        return float("nan")


def shifted(images: Tensor, seed: int) -> Tensor:
    """(N, C, H, W) to the same, each image moved by up to 4 pixels both ways, black where it is left."""
    side, rng = images.shape[-1], np.random.default_rng(seed)
    black = (-torch.tensor(fidelity.MEAN) / torch.tensor(fidelity.DEVIATION)).view(1, 3, 1, 1)
    wide = black.expand(len(images), -1, side + 8, side + 8).clone()
    wide[..., 4:-4, 4:-4] = images
    places = rng.integers(0, 9, (len(images), 2))
    return torch.stack([one[:, y : y + side, x : x + side] for one, (y, x) in zip(wide, places, strict=True)])


class Cooled(nn.Module):
    """Divides the outputs by the temperature."""

    def forward(self, outputs: Tensor) -> Tensor:
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


CEILING_COLUMNS = {
    "one": "1: mean Spearman's rho of two draws of ours, the draws of a cell in random order",
    "suite": "1: Spearman's rho of the suite's scores for CIFAR-10 and for CIFAR-100",
    "ceiling": "1: largest Spearman's rho of our mean rank with one draw as noisy as ours",
    "ceiling_suite": "1: the same with one draw as noisy as those of the suite",
    "found": "1: Spearman's rho of our mean rank with the stored scores",
    "gap": "1: found minus ceiling",
    "gap_suite": "1: found minus ceiling_suite",
    "flips": "1: share of the cells for which two draws of ours differ in sign",
    "flips_suite": "1: share for which the suite's scores for CIFAR-10 and CIFAR-100 do",
    "flips_found": "1: share for which a draw of ours and the stored score do",
}
VALUE, SIZE = "value", "size"


def ceiling_row(*, proxy: str, of: str, draws: int, cells: int) -> dict[str, float]:
    """How near our draws come to the stored one, and how near they could come.

    A draw is what all draws share plus noise, on ranks. With r the correlation of two draws, the mean of k
    has the reliability R = k r / (1 + (k - 1) r) and correlates with one draw of reliability s by (s R)^1/2.
    """
    places = fidelity.drawn(cells)
    ours = fidelity.VALUES.read().set_index("index").loc[places]
    columns = [ours[fidelity.column(proxy, AUTHORS, seed)] for seed in range(draws)]
    name = fidelity.OFFICIAL[proxy]
    columns += [fidelity.official(dataset)[name].loc[places] for dataset in ("cifar10", "cifar100")]
    table, rng = pd.concat(columns, axis=1).dropna().to_numpy(), np.random.default_rng(0)
    pairs = np.triu_indices(draws, 1)

    def measured(rows: np.ndarray) -> list[float]:
        mixed = rng.permuted(rows[:, :draws], axis=1)  # cells of one seed share weights, the suite's do not
        rows = np.hstack([mixed, rows[:, draws:]])
        ranks = rankdata(np.abs(rows) if of == SIZE else rows, axis=0)
        rho, flips = np.corrcoef(ranks.T), (np.sign(rows)[:, :, None] != np.sign(rows)[:, None]).mean(0)
        one, suite = rho[:draws, :draws][pairs].mean(), rho[-2, -1]
        mean = draws * one / (1 + (draws - 1) * one)
        ceilings = [max(one * mean, 0) ** 0.5, max(suite * mean, 0) ** 0.5]
        found = np.corrcoef(rankdata(ranks[:, :draws].mean(1)), ranks[:, -2])[0, 1]
        signs = [flips[:draws, :draws][pairs].mean(), flips[-2, -1], flips[:draws, -2].mean()]
        return [one, suite, *ceilings, found, *(found - ceiling for ceiling in ceilings), *signs]

    values = np.mean([measured(table) for _ in range(200)], axis=0)
    again = [measured(table[rng.integers(0, len(table), len(table))]) for _ in range(2000)]
    ends = np.quantile(again, (0.025, 0.975), axis=0).T
    told = {"n": float(len(table))}
    for column, value, interval in zip(CEILING_COLUMNS, values, ends, strict=True):
        told |= with_ends(column, float(value), map(float, interval))
    return told


CEILINGS = Table(
    study=fidelity.STUDY,
    name="suite_ceilings",
    compute=ceiling_row,
    units={
        "proxy": "name: in zenlib.PROXIES, asked with 32 crops of photographs and PyTorch's initialisation",
        "of": "name: which ranks, those of the value or of its size without the sign",
        "draws": "count: draws of ours, of weights, images and labels",
        "cells": "count: cells that were drawn from the suite's 725",
        "n": "count: cells with all values",
    }
    | dict(item for column, unit in CEILING_COLUMNS.items() for item in ends_units(column, unit).items()),
    otherwise=ARITHMETIC,
)
DRAWS = 3
MOST = {("jacob-cov", VALUE): 120, ("grasp", VALUE): 80, ("grasp", SIZE): 80}
"""Proxy and what of it is ranked -> cells that were scored `DRAWS` times."""


def ceilings(few: int = 40) -> pd.DataFrame:
    """How near our draws come to the stored ones, on the cells of the switches and on all that were drawn.

    Without the user's files the stored rows.
    """
    if not fidelity.is_there():
        return CEILINGS.stored()
    keys = []
    for (proxy, of), most in MOST.items():
        for seed in range(DRAWS):
            fidelity.fill((proxy,), AUTHORS, seed, most)
        keys += [{"proxy": proxy, "of": of, "draws": DRAWS, "cells": cells} for cells in (few, most)]
    return CEILINGS.fill(keys)


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
