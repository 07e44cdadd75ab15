"""One row per scored classifier of torchvision: three definitions of the Zen-Score, and what the vanilla network costs."""

from __future__ import annotations

import torch

from experiments.benchmarks import torchvision_zoo
from experiments.benchmarks.zen_rows import DEFINITIONS, estimates
from experiments.record.agreement import EXACT, StandardError
from experiments.record.table import Table
from zenlib.scores.zen import zen_terms
from zenlib.vanilla.convert import to_vcnn

STUDY = "imagenet_zoo"


def score_row(
    *, model: str, resolution: int, batch_size: int, repeats: int, perturbation: float, seed: int, dtype: str
) -> dict[str, float]:
    """All definitions of the score from the same forward passes, with standard errors, and what the vanilla network costs."""
    vcnn = to_vcnn(torchvision_zoo.build(model), resolution)
    terms = zen_terms(
        vcnn,
        batch_size=batch_size,
        repeats=repeats,
        perturbation=perturbation,
        seed=seed,
        dtype=getattr(torch, dtype),
    )
    samples = {column: terms.score(*definition) for column, definition in DEFINITIONS.items()} | {
        "log_delta": terms.log_delta_l1
    }
    return {"convs": len(vcnn.convs), "vcnn_weights": vcnn.weights, "vcnn_flops": vcnn.flops} | estimates(
        samples
    )


_ESTIMATES = (*DEFINITIONS, "log_delta")
TABLE = Table(
    study=STUDY,
    name="scores",
    key=("model", "resolution", "batch_size", "repeats", "perturbation", "seed", "dtype"),
    compute=score_row,
    units={
        "model": "name: torchvision's name of the network",
        "resolution": "pixels: side of the square images",
        "batch_size": "images: mini-batch of one repeat",
        "repeats": "count: independent draws of weights and images",
        "perturbation": "1: alpha, size of the perturbation of the images",
        "seed": "1: seed of all draws",
        "dtype": "name: floating type of weights and feature maps",
        "convs": "count: convolutions of the vanilla network",
        "vcnn_weights": "count: kernel entries of the vanilla network",
        "vcnn_flops": "count: multiply-adds of the vanilla network for one image",
        "l1_minibatch": "nat: Zen-Score, L1 norm, mini-batch variance, mean over repeats",
        "frobenius_minibatch": "nat: Zen-Score, Frobenius norm, mini-batch variance, mean over repeats",
        "l1_running": "nat: Zen-Score, L1 norm, running variance, mean over repeats",
        "log_delta": "nat: log of the mean L1 difference of the two outputs, mean over repeats",
    }
    | {f"{column}_stderr": f"nat: standard error of {column} over repeats" for column in _ESTIMATES},
    agreement={column: StandardError(f"{column}_stderr") for column in _ESTIMATES},
    otherwise=EXACT,
)
