"""A training whose log is a table: one row per epoch, of one run that goes on from its checkpoint."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import pandas as pd

from experiments.benchmarks.network_latency import STUDY
from experiments.record.agreement import AFTER_TRAINING, ARITHMETIC
from experiments.record.results import training_folder
from experiments.record.table import Table
from zenlib.networks.architecture import Architecture


def training_row(
    *, architecture: str, data: str, recipe: str, seed: int, dtype: str, device: str, epoch: int
) -> dict[str, float]:
    """One epoch of a training, which is run up to it unless the folder of its settings holds it already."""
    from zenlib.train.loop import train
    from zenlib.train.recipes import RECIPES

    how: dict[str, Any] = {"seed": seed, "dtype": dtype, "device": device}
    settings = {"architecture": architecture, "recipe": dataclasses.asdict(RECIPES[recipe])} | how
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    out = training_folder(f"{data}-{digest}")
    log = train(Architecture.from_string(architecture), data, RECIPES[recipe], out, until=epoch, **how)
    return {name: log[epoch - 1][name] for name in (*TRAINING.values, "seconds")}


TRAINING = Table(
    study=STUDY,
    name="training",
    compute=training_row,
    units={
        "architecture": "text: structure string of the network",
        "data": "name: data set",
        "recipe": "name: recipe of zenlib.train",
        "seed": "1: seed of weights, order and augmentation",
        "dtype": "name: floating type of the training",
        "device": "name: cpu or cuda",
        "epoch": "count: epochs so far",
        "learning_rate": "1: at the end of the epoch",
        "loss": "nat: mean training loss of the epoch, with label smoothing",
        "test_loss": "nat: mean cross entropy on the test images, averaged weights",
        "test_top1": "percent: test images whose class is first, averaged weights",
        "test_top5": "percent: test images whose class is among the first five, averaged weights",
    },
    # Another processor rounds otherwise: the loss of an epoch is then the same within some percent, the
    # accuracy of an early one is not.
    agreement={"learning_rate": ARITHMETIC},
    otherwise=AFTER_TRAINING,
)


def training_network(training: pd.DataFrame) -> Architecture:
    """The network that the rows of a training are about."""
    return Architecture.from_string(training["architecture"].iloc[0])
