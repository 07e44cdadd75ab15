"""The tables of the study on search: what one finds, how it gets there, whether latency can be predicted."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from experiments.record.agreement import ARITHMETIC, FOLLOWS, ON_THE_WAY, TIME, OneDraw, Within
from experiments.record.estimates import by_error, ends_units, with_ends
from experiments.record.table import Table
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import ZENNETS, zennet_architecture
from zenlib.scores.zen import zen_score
from zenlib.search.budget import Budget
from zenlib.search.driver import SearchResult, search
from zenlib.search.latency import LatencyPredictor, calibration_networks, measure_latencies, measure_latency
from zenlib.spaces import SPACES
from zenlib.spaces.space import narrowed
from zenlib.stats import correlate

STUDY = "search"
CURVE_POINTS = 60
"""Points of a stored convergence curve, even in the logarithm of the number of scored candidates."""
NARROWINGS = (2, 8)
"""How often the networks whose latency is predicted are narrowed by 0.75, at least and at most."""

RANDOM = "random"
"""The first network of an evolution that draws it."""

_SETTINGS = {
    "space": "text: search space",
    "max_params": "count: limit of the parameters, 0 for none",
    "max_flops": "count: limit of the multiply-adds of one image, 0 for none",
    "max_latency": "ms: limit of the predicted time per image, 0 for none",
    "max_depth": "count: limit of the layers, 0 for none",
    "resolution": "pixel: side of the images",
    "num_classes": "count: width of the classifier",
    "initial": "text: first network of the evolution: random, or a structure string",
    "strategy": "text: what proposes candidates",
    "mutation": "text: mutation rule of the evolution",
    "population": "count: networks that the evolution keeps",
    "evaluations": "count: scored candidates",
    "seed": "1: seed of all draws",
}
_REASONS = ("depth", "params", "flops", "latency", "duplicate")


@lru_cache(maxsize=1)
def run_search(**settings: Any) -> SearchResult:
    """One search by the closed form, by the columns of its key; 0 stands for no limit."""
    limits = {name: settings[f"max_{name}"] or None for name in ("params", "flops", "depth")}
    latency = {"latency_ms": settings["max_latency"], "latency": LatencyPredictor(device="cpu")}
    budget = Budget(**limits, **(latency if settings["max_latency"] else {}))
    others = ("evaluations", "population", "seed", "resolution", "num_classes", "mutation", "strategy")
    initial = None if settings["initial"] == RANDOM else Architecture.from_string(settings["initial"])
    passed = {name: settings[name] for name in others}
    return search(settings["space"], "closed-form", budget, initial=initial, progress=False, **passed)


def search_row(**settings: object) -> dict[str, float | str]:
    """What one search found, what it turned away, and its curve."""
    found = run_search(**settings)
    row = found.history.loc[found.history["score"].idxmax()]
    best = np.fmax.accumulate(found.history["score"].to_numpy(float))
    counts = np.unique(np.geomspace(1, len(best), CURVE_POINTS).round().astype(int))
    values: dict[str, float | str] = {
        "best": found.best.to_string(),
        "best_score": found.best_score,
        "params": int(row["params"]),
        "flops": int(row["flops"]),
        "depth": int(row["depth"]),
        "found_at": int(row["id"]) + 1,
        "generation": int(row["generation"]),
        "proposals": found.proposed,
        "failed": int((found.history["fate"] == "failed").sum()),
        "search_seconds": round(found.seconds, 3),
        "curve": json.dumps([[int(count), round(float(best[count - 1]), 4)] for count in counts]),
    }
    return values | {f"rejected_{reason}": found.rejected.get(reason, 0) for reason in _REASONS}


SEARCHES = Table(
    study=STUDY,
    name="searches",
    key=tuple(_SETTINGS),
    compute=search_row,
    units=_SETTINGS
    | {
        "best": "text: structure of the best network",
        "best_score": "nat: its closed-form Zen-Score",
        "params": "count: its parameters",
        "flops": "count: its multiply-adds for one image",
        "depth": "count: its layers",
        "found_at": "count: candidates scored when it was found",
        "generation": "count: mutations between the first network and it",
        "proposals": "count: all proposals, scored or turned away",
        "failed": "count: candidates without a score",
        "search_seconds": "s: wall time of the search",
        "curve": "text: JSON list of [scored candidates, best score so far in nats]",
    }
    | {f"rejected_{reason}": f"count: proposals turned away for {reason}" for reason in _REASONS},
    # A search is deterministic, but its path turns on the last digits of the score.
    agreement={"best_score": OneDraw(ARITHMETIC)},
    otherwise=ON_THE_WAY,
)


LATENCY_SEARCHES = replace(SEARCHES, name="latency_searches", agreement={}, otherwise=FOLLOWS)
"""Searches under a limit of the latency; other machines have other latencies, so they find others."""


def limit_row(*, network: str, resolution: int, batch_size: int) -> dict[str, float]:
    """Latency of a published network on this machine's processor."""
    architecture = zennet_architecture(network)
    predicted = LatencyPredictor(batch_size=batch_size, device="cpu").predict(architecture, resolution)
    measured = measure_latency(architecture, resolution, batch_size=batch_size, device="cpu").undisturbed
    return {"measured": measured, "predicted": round(predicted, 3)}


LIMITS = Table(
    study=STUDY,
    name="limits",
    compute=limit_row,
    units={
        "network": "text: published network",
        "resolution": "pixel: side of the images",
        "batch_size": "count: images per pass",
        "measured": "ms: time per image, one thread, lower quartile of the repeats",
        "predicted": "ms: predicted time per image, the limit of a search",
    },
    # Other machines are faster or slower, but not by orders of magnitude.
    otherwise=TIME,
)


def population_row(step: int, **settings: object) -> dict[str, float | str]:
    """The population after `step` scored candidates."""
    history = run_search(**settings).history.iloc[:step]
    members = history.nlargest(int(str(settings["population"])), "score")
    rows = [[int(row.params), int(row.depth), round(float(row.score), 4)] for row in members.itertuples()]
    return {"members": json.dumps(rows), "mean_score": float(members["score"].mean())}


POPULATIONS = Table(
    study=STUDY,
    name="populations",
    key=(*_SETTINGS, "step"),
    compute=population_row,
    units=_SETTINGS
    | {
        "step": "count: scored candidates before the picture was taken",
        "members": "text: JSON list of [parameters, layers, closed-form score in nats], the best first",
        "mean_score": "nat: mean closed-form score of the members",
    },
    agreement={"mean_score": OneDraw(Within(1e-3), alike=("step",))},
    otherwise=ON_THE_WAY,
)


def rescored_row(
    *, network: str, resolution: int, batch_size: int, repeats: int, seed: int
) -> dict[str, float]:
    """The Monte-Carlo score of a found or published network."""
    architecture = zennet_architecture(network) if network in ZENNETS else Architecture.from_string(network)
    estimate = zen_score(architecture, resolution, batch_size=batch_size, repeats=repeats, seed=seed)
    return {"zen": estimate.mean, "zen_stderr": estimate.stderr}


RESCORED = Table(
    study=STUDY,
    name="rescored",
    compute=rescored_row,
    units={
        "network": "text: published name, or structure string",
        "resolution": "pixel: side of the images",
        "batch_size": "count: images per repeat",
        "repeats": "count: independent draws",
        "seed": "1: seed of the draws",
        "zen": "nat: Zen-Score by Monte Carlo, L1 norm, mini-batch variance, mean over repeats",
        "zen_stderr": "nat: standard error of zen over repeats",
    },
    agreement=by_error("zen"),
)


def latency_row(
    *, space: str, resolution: int, batch_size: int, networks: int, repeats: int, seed: int
) -> dict[str, float | str]:
    """Measured and predicted latency of random networks of a space on this machine's processor.

    The factor of the prediction is fitted on the calibration networks in the same minutes, since how busy the
    machine is changes it; the error with the factor that was stored earlier is kept beside it.
    """
    rng = random.Random(seed)
    drawn = [_narrow_network(space, resolution, rng) for _ in range(networks)]
    predictor = LatencyPredictor(batch_size=batch_size, device="cpu")
    stored = np.array([predictor.predict(network, resolution) for network in drawn])
    others = calibration_networks(space, resolution)
    sums = np.array([predictor.sum_of_pieces(network, resolution) for network in [*others, *drawn]])
    latencies = measure_latencies(
        [*others, *drawn], resolution, batch_size=batch_size, repeats=repeats, device="cpu"
    )
    times = np.array([found.undisturbed for found in latencies])
    factor = np.median(times[: len(others)] / sums[: len(others)])
    predicted, measured = factor * sums[len(others) :], times[len(others) :]
    flops = np.array([network.flops(resolution) for network in drawn], dtype=float)
    ranks = correlate(predicted, measured)
    return {
        **with_ends("spearman", ranks.spearman, ranks.spearman_interval),
        "error": float(np.median(np.abs(predicted / measured - 1))),
        "stored_error": float(np.median(np.abs(stored / measured - 1))),
        "shape_error": float(np.median(np.abs(predicted / measured / np.median(predicted / measured) - 1))),
        "spearman_flops": correlate(flops, measured).spearman,
        "predicted": json.dumps(np.round(predicted, 5).tolist()),
        "measured": json.dumps(np.round(measured, 5).tolist()),
    }


def _narrow_network(space: str, resolution: int, rng: random.Random) -> Architecture:
    blocks = SPACES[space].sample(rng, resolution).blocks
    for _ in range(rng.randint(*NARROWINGS)):
        blocks = narrowed(blocks, 0.75)
    return Architecture(blocks)


LATENCIES = Table(
    study=STUDY,
    name="latencies",
    compute=latency_row,
    units={
        "space": "text: search space",
        "resolution": "pixel: side of the images",
        "batch_size": "count: images per pass",
        "networks": "count: random networks",
        "repeats": "count: timed passes over all networks",
        "seed": "1: seed of the networks",
        **ends_units(
            "spearman",
            "1: rank correlation of predicted and measured latency",
            "1: {} end of its 95 % bootstrap interval",
        ),
        "error": "1: median over networks of |predicted / measured - 1|",
        "stored_error": "1: the same with the factor that was fitted when the table was made",
        "shape_error": "1: the same with the factor that fits these networks best",
        "spearman_flops": "1: rank correlation of multiply-adds and measured latency",
        "predicted": "text: JSON list of predicted milliseconds per image",
        "measured": "text: JSON list of measured milliseconds per image, lower quartile of the repeats",
    },
    otherwise=TIME,
)
TABLES = (SEARCHES, LATENCY_SEARCHES, LIMITS, POPULATIONS, RESCORED, LATENCIES)
