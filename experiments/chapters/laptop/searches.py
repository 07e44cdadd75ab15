"""One search for each proxy of the paper's Table 1: one evolution and one budget for all."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np

from experiments.record.agreement import ON_THE_WAY, OneDraw, Within
from experiments.record.table import Table
from zenlib.networks.architecture import Architecture
from zenlib.proxies import PROXIES
from zenlib.search import Budget, search
from zenlib.search.scores import ZEN_BATCH, Score

STUDY = "laptop"
SPACE = "resnet-like"
CLASSES = 10
MINIMISED = "synflow, minimised"
SEARCHED = {
    "zen": "closed-form",
    "flops": "flops",
    "params": "params",
    "grad-norm": "grad-norm",
    MINIMISED: "synflow",
    "synflow, maximised": "synflow",
    "ntk": "ntk",
    "naswot": "naswot",
    "random": "random",
}
"""What a search of this chapter ranks by -> the proxy in `PROXIES`."""
CURVE_POINTS = 60
"""Most points of a stored curve, spread evenly over the logarithm of the number of scored candidates."""


def score_by(name: str, resolution: int, seed: int) -> str | Score:
    """The score that a search of this name maximises: a name that `search` knows, or a function."""
    if name not in SEARCHED:
        raise ValueError(f"proxies: needed names among {', '.join(SEARCHED)}, got {name!r}")
    return partial(minus_synflow, resolution=resolution, seed=seed) if name == MINIMISED else SEARCHED[name]


def minus_synflow(architecture: Architecture, resolution: int, seed: int) -> float:
    """Synflow with the sign of the paper, which minimises it."""
    return -PROXIES["synflow"](architecture, resolution, batch_size=ZEN_BATCH, seed=seed, device="cpu")


def search_row(
    *,
    proxy: str,
    params: float,
    flops: float,
    depth: int,
    resolution: int,
    evaluations: int,
    population: int,
    round_size: int,
    seed: int,
) -> dict[str, Any]:
    """What one search found, and its curve."""
    found = search(
        SPACE,
        score_by(proxy, resolution, seed),
        Budget(params=params, flops=flops, depth=depth),
        evaluations=evaluations,
        population=population,
        round_size=round_size,
        seed=seed,
        resolution=resolution,
        num_classes=CLASSES,
        progress=False,
    )
    scores = found.history["score"].to_numpy(float)
    best = np.fmax.accumulate(scores)
    counts = np.unique(np.geomspace(1, len(best), CURVE_POINTS).round().astype(int))
    known = [int(count) for count in counts if np.isfinite(best[count - 1])]
    return {
        "network": found.best.to_string(),
        "best_score": found.best_score,
        "network_params": found.best.params(CLASSES),
        "network_flops": found.best.flops(resolution, CLASSES),
        "network_depth": found.best.depth,
        "found_at": int(np.nanargmax(scores)) + 1,
        "failed": int(np.isnan(scores).sum()),
        "search_seconds": round(found.seconds, 3),
        "curve": json.dumps([[count, float(f"{best[count - 1]:.6g}")] for count in known]),
    }


SEARCHES = Table(
    study=STUDY,
    name="searches",
    compute=search_row,
    units={
        "proxy": f"name: {'; '.join(SEARCHED)}",
        "params": "count: most parameters allowed, classifier included",
        "flops": "count: most multiply-adds of one image allowed",
        "depth": "count: most layers allowed",
        "resolution": "pixel: side of the images",
        "evaluations": "count: scored candidates",
        "population": "count: networks that the evolution keeps",
        "round_size": "count: candidates between two updates of the population",
        "seed": "1: seed of all draws, those of the proxy included",
        "network": "text: structure string of the best network",
        "best_score": "1: its score; higher is better, so minimised ones are negated",
        "network_params": "count: its parameters, classifier included",
        "network_flops": "count: its multiply-adds for one image",
        "network_depth": "count: the paper's number of layers",
        "found_at": "count: candidates scored when it was found",
        "failed": "count: candidates without a score",
        "search_seconds": "s: wall time of the search on one thread of a busy machine",
        "curve": "text: JSON list of [scored candidates, best score so far]",
    },
    # A search is deterministic, but its path turns on the last digits of the score, which another processor
    # rounds otherwise.
    agreement={"best_score": OneDraw(Within(0.25), alike=("proxy",))},
    otherwise=ON_THE_WAY,
)
