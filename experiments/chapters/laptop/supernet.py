"""One-shot comparison: networks of a slice of the space, judged with shared weights and trained alone."""

from __future__ import annotations

import hashlib
import json
import random
import time
from functools import lru_cache
from typing import Any

import pandas as pd

from experiments.chapters.laptop.searches import STUDY
from experiments.record.agreement import AFTER_TRAINING, TIME
from experiments.record.results import training_folder
from experiments.record.table import Table
from experiments.record.training_rows import shortened
from experiments.record.wording import bracketed
from zenlib.durable import held
from zenlib.errors import CheckpointError
from zenlib.networks.architecture import Architecture
from zenlib.stats import correlate

SKELETON = (
    "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,2,8,1)SuperResK3K3(16,24,2,8,1)"
    "SuperResK3K3(24,32,1,8,1)SuperConvK1BNRELU(32,64,1,1)"
)
"""Three inner blocks, each of kernel 3 or 5, inner width 8 or 16, and one layer or two: 512 networks."""
WITHOUT_TRAINING = {"closed-form": "the closed form of the Zen-Score", "params": "parameters"}
"""Proxies that the shared weights are held against, with their names in the sentence."""
FEWEST = 8
"""Networks that a rank correlation with stand-alone training needs at least."""


def members(count: int, seed: int) -> list[str]:
    """Different networks of the slice, drawn at random."""
    from experiments.chapters.laptop.supernet_training import Slice

    networks = Slice(Architecture.from_string(SKELETON))
    if not 0 <= count <= networks.size:
        raise ValueError(
            f"supernet_networks: needed 0 to {networks.size}, the networks of the slice, got {count}"
        )
    rng, found = random.Random(seed), dict[str, None]()
    while len(found) < count:
        found[networks.sample(rng).to_string()] = None
    return list(found)


def shared_row(
    *, network: str, data: str, recipe: str, epochs: int, dtype: str, device: str, seed: int
) -> dict[str, float]:
    """Accuracy of one network with the shared weights, which are trained unless the cache holds them."""
    from experiments.chapters.laptop.supernet_training import judge

    how: dict[str, Any] = {"dtype": dtype, "device": device, "seed": seed}
    supernet, spent = _trained(data=data, recipe=recipe, epochs=epochs, **how)
    start, begun = time.perf_counter(), time.process_time()
    found = judge(supernet, Architecture.from_string(network), data, shortened(recipe, epochs), **how)
    values = {
        "shared_top1": found.top1,
        "supernet_cpu_seconds": spent,
        "judging_cpu_seconds": time.process_time() - begun,
    }
    # Whoever recomputes one row from nothing has to train the supernet for it.
    return values | {"seconds": round(spent + time.perf_counter() - start, 4)}


@lru_cache(maxsize=1)
def _trained(**settings: Any) -> tuple[Any, float]:
    from experiments.chapters.laptop.supernet_training import Slice, train_supernet

    told = json.dumps({"skeleton": SKELETON} | settings)
    folder = training_folder(f"supernet-{hashlib.sha256(told.encode()).hexdigest()[:16]}")
    data, recipe = settings.pop("data"), shortened(settings.pop("recipe"), settings.pop("epochs"))
    with held(folder / ".lock", "training", CheckpointError):
        return train_supernet(Slice(Architecture.from_string(SKELETON)), data, recipe, folder, **settings)


SHARED = Table(
    study=STUDY,
    name="shared",
    compute=shared_row,
    units={
        "network": "text: structure string, of the slice",
        "data": "name: data set",
        "recipe": "name: recipe, shortened to `epochs`, without its averaging of weights",
        "epochs": "count: passes of the supernet over the training images",
        "dtype": "name: floating type of autocast",
        "device": "name: cpu, or cuda",
        "seed": "1: seed of weights, order, augmentation and drawn networks",
        "shared_top1": "percent: test accuracy with the shared weights, BatchNorm statistics computed anew",
        "supernet_cpu_seconds": "s: processor time of training the supernet, once for all networks",
        "judging_cpu_seconds": "s: processor time of statistics and test of this network",
    },
    # Another processor rounds otherwise, and ten epochs of small networks carry that far.
    agreement={"shared_top1": AFTER_TRAINING},
    otherwise=TIME,
)


def summary(shared: pd.DataFrame) -> str:
    """What sharing weights is worth and costs, beside proxies that need no training, in a sentence.

    Args:
        shared: one row per network: `shared_top1`, `top1` alone, `cpu_seconds` of that training, the costs of
            `SHARED`, and a column for each of `WITHOUT_TRAINING`.
    """
    if len(shared) < FEWEST:
        return (
            f"It is not measured here yet: {len(shared)} of at least {FEWEST} networks of the slice are "
            "trained alone"
        )
    found = {
        column: correlate(shared[column], shared["top1"]) for column in ("shared_top1", *WITHOUT_TRAINING)
    }
    tau = {column: bracketed(order.kendall, *order.kendall_interval) for column, order in found.items()}
    others = " and ".join(f"{text} {tau[name]}" for name, text in WITHOUT_TRAINING.items())
    once, alone = shared["supernet_cpu_seconds"].iloc[0] / 60, shared["cpu_seconds"].mean() / 60
    return (
        f"Over {len(shared)} networks of the slice the accuracies with shared weights have a Kendall's tau "
        f"of {tau['shared_top1']} with those of "
        f"stand-alone trainings, {others}; the supernet cost {once:.0f} core minutes and "
        f"{shared['judging_cpu_seconds'].mean():.0f} seconds for "
        f"each network, a stand-alone training {alone:.1f} minutes"
    )
