"""How well the formulas meet Monte Carlo: one line per group of networks and score."""

from __future__ import annotations

import math
import time
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
from scipy.stats import rankdata

from experiments.benchmarks import nasbench201
from experiments.benchmarks.nasbench201_proxies import proxy_scores
from experiments.benchmarks.nasbench201_space import Cell
from experiments.benchmarks.network_scores import column
from experiments.chapters.counts import measured
from experiments.chapters.counts.measured import RESOLUTION, STUDY, networks
from experiments.record.agreement import ARITHMETIC, TIME
from experiments.record.estimates import with_ends
from experiments.record.table import Table
from zenlib import ARITHMETIC as FORMULAS
from zenlib import arithmetic
from zenlib.errors import ScoreUndefined
from zenlib.networks.architecture import Architecture
from zenlib.stats import correlate

GROUPS = {
    "resnet-like": "ResNet-like",
    "mobilenet-like": "MobileNet-like",
    "equal-depth": "mutants of equal depth",
    "cells": "NAS-Bench-201 cells",
}
SCORES = (
    "synflow",
    "phi",
    "naswot",
    "linear-regions",
    "az-expressivity",
    "intrain",
    "az-trainability",
    "zico",
    "grad-norm",
    "snip",
    "fisher-channels",
)
LOGARITHMIC = ("grad-norm", "snip", "fisher-channels", "linear-regions")
"""Scores that are products over layers: what is compared are their logarithms."""
CHAINS = ("phi", "az-trainability")
"""Phi of a cell is that of another network, its vanilla form; trainability's formula is for units."""
CELLS = 100
SEED = 0
LARGEST = 200
RESAMPLES = 1000
PASSES = 3
"""How often the formulas are computed; the fastest pass is told, for another process may slow one down."""


@cache
def _measured(group: str, score: str, seed: int) -> list[tuple[Architecture | Cell, float]]:
    """The networks of a group with their measured score."""
    if group == "cells":
        name = f"{column(score)}_s{seed}"
        scores = proxy_scores(seed)
        if name not in scores:
            return []
        texts = nasbench201.table()["arch"]
        known = scores[name].notna()
        both = known & scores[f"snip_s{seed}"].notna()  # the same cells for all scores of that chapter
        whole = scores[both if both.any() else known].index
        chosen = np.random.default_rng(SEED).permutation(whole)
        cells = [(Cell.from_string(texts[index]), float(scores[name][index])) for index in chosen]
        return list(islice(((cell, value) for cell, value in cells if cell.is_connected), CELLS))
    rows = measured.stored(score)
    rows = rows[(rows["seed"] == seed) & rows["network"].isin(networks(group, LARGEST))]
    return [
        (Architecture.from_string(text), value)
        for text, value in zip(rows["network"], rows[column(score)], strict=True)
        if math.isfinite(value)
    ]


def agreement_row(*, group: str, score: str) -> dict[str, Any]:
    """Formula and one draw on the networks of a group, and how well two draws agree."""
    pairs = _measured(group, score, 0)
    if len(pairs) < 10:
        raise ScoreUndefined("measured on fewer than ten networks")
    costs = []
    for _ in range(PASSES):
        start = time.process_time()
        formula = np.array([arithmetic(score, network, RESOLUTION) for network, _ in pairs])
        costs.append((time.process_time() - start) / len(pairs))
    drawn = np.array([value for _, value in pairs])
    again = dict(_measured(group, score, 1))
    both = [(value, again[network]) for network, value in pairs if network in again]
    if score in LOGARITHMIC:
        formula, drawn = np.log(formula), np.log(drawn)
    found = correlate(formula, drawn, resamples=RESAMPLES)
    told = {"n": len(pairs)} | with_ends("spearman", found.spearman, found.spearman_interval)
    told |= {
        "difference": float(np.mean(formula - drawn)),
        "difference_spread": float(np.std(formula - drawn)),
    }
    told |= {"spread": float(np.std(drawn)), "milliseconds": 1e3 * min(costs)}
    ranks = [rankdata(values) for values in zip(*both, strict=True)] if len(both) > 9 else []
    return told | {"redrawn": float(np.corrcoef(*ranks)[0, 1]) if ranks else math.nan, "redrawn_n": len(both)}


AGREEMENT = Table(
    study=STUDY,
    name="agreement",
    compute=agreement_row,
    units={
        "group": "name: which networks",
        "score": "name: a score that has a formula",
        "n": "count: networks",
        "spearman": "1: Spearman's rho of the formula and one draw",
        "spearman_low": "1: lower end of its 95 % interval over networks",
        "spearman_high": "1: upper end",
        "difference": "nat, or as the score: mean of formula minus draw, of logarithms for products",
        "difference_spread": "the same: standard deviation of that",
        "spread": "the same: standard deviation of the draws over the networks",
        "milliseconds": "ms: processor time of one formula and of reading the network, "
        "fastest of three passes",
        "redrawn": "1: Spearman's rho of two draws",
        "redrawn_n": "count: networks that were drawn twice",
    },
    agreement={"milliseconds": TIME},
    otherwise=ARITHMETIC,
)


def keys() -> list[dict[str, str]]:
    """What is compared."""
    return [
        {"group": group, "score": score}
        for group in GROUPS
        for score in SCORES
        if score in FORMULAS and (group != "cells" or score not in CHAINS)
    ]
