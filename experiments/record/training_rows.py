"""One row per finished training: what studies that train networks of their own store."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from typing import Any

import torch

from experiments.record.agreement import AFTER_TRAINING, EXACT, TIME
from experiments.record.results import training_folder
from experiments.record.table import Table
from zenlib.networks.architecture import Architecture
from zenlib.train.recipes import RECIPES, Recipe

MOST_WARMUP = 0.2
"""The rate rises over at most this share of a training that is shortened."""


def shortened(recipe: str, epochs: int) -> Recipe:
    """A recipe of `RECIPES` with so many epochs.

    Raises:
        ValueError: there is no such recipe, or no epoch.
    """
    if recipe not in RECIPES:
        raise ValueError(f"recipe: needed one of {', '.join(RECIPES)}, got {recipe!r}")
    warmup = min(RECIPES[recipe].warmup_epochs, MOST_WARMUP * epochs) if epochs > 0 else 0.0
    return dataclasses.replace(RECIPES[recipe], epochs=epochs, warmup_epochs=warmup)


def train_row(
    *, network: str, data: str, recipe: str, epochs: int, dtype: str, device: str, seed: int
) -> dict[str, Any]:
    """Trains a network, or goes on with its training in the cache folder, and says how it ended."""
    from zenlib.train import train
    from zenlib.train.datasets import load_data

    how: dict[str, Any] = {"dtype": dtype, "device": device, "seed": seed}
    settings = {"network": network, "data": data, "recipe": recipe, "epochs": epochs} | how
    folder = training_folder(hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16])
    log = train(Architecture.from_string(network), data, shortened(recipe, epochs), folder, **how)
    return {
        "top1": log[-1]["test_top1"],
        "test_loss": log[-1]["test_loss"],
        "loss": log[-1]["loss"],
        "images": len(load_data(data, None, training=True)),
        "cpu_seconds": sum(row["cpu_seconds"] for row in log),
        "seconds": sum(row["seconds"] for row in log),
    }


def training_table(study: str) -> Table:
    """The table `trained` of a study."""
    return Table(
        study=study,
        name="trained",
        compute=train_row,
        units={
            "network": "text: structure string",
            "data": "name: data set",
            "recipe": "name: recipe, shortened to `epochs`",
            "epochs": "count: passes over the training images",
            "dtype": "name: floating type of autocast",
            "device": "name: cpu, or cuda",
            "seed": "1: seed of weights, order and augmentation",
            "top1": "percent: test accuracy after the last epoch",
            "test_loss": "nat: cross entropy on the test images after the last epoch",
            "loss": "nat: mean training loss of the last epoch, label smoothing included",
            "images": "count: training images of an epoch",
            "cpu_seconds": "s: processor time of all epochs, tests included",
        },
        agreement=dict.fromkeys(("top1", "test_loss", "loss"), AFTER_TRAINING)
        | {"images": EXACT, "cpu_seconds": TIME},
    )


MATRIX = 1024
"""Side of the matrices whose product is timed."""
PRODUCTS = 20


def peak_row(*, dtype: str, device: str) -> dict[str, float]:
    """How fast large matrices are multiplied: what a training can be held against."""
    left, right = torch.randn(2, MATRIX, MATRIX, device=device).to(getattr(torch, dtype))
    return {"gflops": 2 * MATRIX**3 / 1e9 / min(_seconds(left, right, device) for _ in range(PRODUCTS))}


def _seconds(left: torch.Tensor, right: torch.Tensor, device: str) -> float:
    """Of one product: processor time where the processor does it, over all threads, else wall time."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    left @ right
    if device != "cpu":
        torch.cuda.synchronize()
    return clock() - start


def peak_table(study: str) -> Table:
    """The table `peak` of a study."""
    return Table(
        study=study,
        name="peak",
        compute=peak_row,
        units={
            "dtype": "name: floating type of the matrices",
            "device": "name: cpu, or cuda",
            "gflops": (
                f"1e9 operations per second: product of two matrices of side {MATRIX}, fastest of "
                f"{PRODUCTS}; of one core on a CPU"
            ),
        },
        otherwise=TIME,
    )
