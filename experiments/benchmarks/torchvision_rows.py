"""One row per scored classifier of torchvision: three Zen-Scores, and what the vanilla network costs."""

from __future__ import annotations

import torch

from experiments.benchmarks import torchvision_zoo
from experiments.benchmarks.zen_rows import DEFINITIONS
from experiments.benchmarks.zen_rows import TABLE as ZEN_TABLE
from experiments.record.agreement import EXACT
from experiments.record.estimates import by_error, means_and_errors
from experiments.record.table import Table
from zenlib.scores.zen import zen_terms
from zenlib.vanilla.convert import to_vcnn

STUDY = "imagenet_zoo"


def score_row(
    *, model: str, resolution: int, batch_size: int, repeats: int, perturbation: float, seed: int, dtype: str
) -> dict[str, float]:
    """All definitions of the score from the same forward passes, and what the vanilla network costs."""
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
    return {
        "convs": len(vcnn.convs),
        "vcnn_weights": vcnn.weights,
        "vcnn_flops": vcnn.flops,
    } | means_and_errors(samples)


_ESTIMATES = (*DEFINITIONS, "log_delta")
TABLE = Table(
    study=STUDY,
    name="scores",
    compute=score_row,
    units={"model": "name: torchvision's name of the network"}
    | {name: ZEN_TABLE.units[name] for name in ("resolution", "batch_size", "repeats")}
    | {
        "perturbation": "1: alpha, size of the perturbation of the images",
        "seed": ZEN_TABLE.units["seed"],
        "dtype": "name: floating type of weights and feature maps",
        "convs": ZEN_TABLE.units["convs"],
        "vcnn_weights": ZEN_TABLE.units["weights"],
        "vcnn_flops": ZEN_TABLE.units["multiply_adds"],
    }
    | {name: ZEN_TABLE.units[name] for name in DEFINITIONS}
    | {"log_delta": "nat: log of the mean L1 difference of the two outputs, mean over repeats"}
    | {f"{name}_stderr": ZEN_TABLE.units[f"{name}_stderr"] for name in _ESTIMATES},
    agreement=by_error(*_ESTIMATES),
    otherwise=EXACT,
)
