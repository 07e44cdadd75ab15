"""One row per measured Zen-Score of a network: what studies of the score store, and their networks."""

from __future__ import annotations

import numpy as np
import torch

from experiments.record.agreement import EXACT
from experiments.record.estimates import by_error, means_and_errors
from experiments.record.table import Table
from zenlib.networks.architecture import Architecture, Block
from zenlib.networks.zennets import ZENNETS, zennet_architecture
from zenlib.scores.zen import BnVariance, Norm, zen_terms
from zenlib.vanilla.convert import to_vcnn
from zenlib.vanilla.vcnn import VCNN

STUDY = "zen_score"


DEFINITIONS: dict[str, tuple[Norm, BnVariance]] = {
    "l1_minibatch": ("l1", "minibatch"),
    "frobenius_minibatch": ("frobenius", "minibatch"),
    "l1_running": ("l1", "running"),
}
"""Column name of each definition, with the arguments of `zen_score` that ask for it."""
PAPER_TABLE_5 = {
    "resnet18": 59.53,
    "resnet34": 112.32,
    "resnet50": 140.3,
    "resnet101": 287.87,
    "resnet152": 433.57,
}
"""Zen-Scores printed in Lin et al. 2021, Table 5."""


def load_network(name: str, resolution: int) -> VCNN:
    """The vanilla network of a published ZenNet, a torchvision classifier or a structure string."""
    if name in ZENNETS:
        return to_vcnn(zennet_architecture(name), resolution)
    if name.startswith("Super"):
        return to_vcnn(Architecture.from_string(name), resolution)
    from torchvision.models import get_model  # only some rows need it

    with torch.device("meta"):
        return to_vcnn(get_model(name, weights=None), resolution)


def score_row(
    *, network: str, resolution: int, batch_size: int, repeats: int, perturbation: float, seed: int
) -> dict[str, float]:
    """All definitions of the score from the same forward passes, with standard errors."""
    vcnn = load_network(network, resolution)
    terms = zen_terms(vcnn, batch_size=batch_size, repeats=repeats, perturbation=perturbation, seed=seed)
    samples = {column: terms.score(*definition) for column, definition in DEFINITIONS.items()}
    samples["log_delta"] = terms.log_delta_l1
    samples["log_sigma"] = np.asarray(terms.log_sigma_minibatch).sum(axis=1)
    return {
        "convs": len(vcnn.convs),
        "weights": vcnn.weights,
        "multiply_adds": vcnn.flops,
    } | means_and_errors(samples)


_VALUES = (*DEFINITIONS, "log_delta", "log_sigma")
TABLE = Table(
    study=STUDY,
    name="scores",
    compute=score_row,
    units={
        "network": "name: a torchvision model, a published ZenNet or a structure string",
        "resolution": "pixels: side of the square images",
        "batch_size": "images: mini-batch of one repeat",
        "repeats": "count: independent draws of weights and images",
        "perturbation": "1: alpha, size of the perturbation of the images; 0 is the exact derivative",
        "seed": "1: seed of all draws",
        "convs": "count: convolutions of the vanilla network",
        "weights": "count: kernel entries of the vanilla network",
        "multiply_adds": "count: multiply-adds of the vanilla network for one image",
        "l1_minibatch": "nat: Zen-Score, L1 norm, mini-batch variance, mean over repeats",
        "frobenius_minibatch": "nat: Zen-Score, Frobenius norm, mini-batch variance, mean over repeats",
        "l1_running": "nat: Zen-Score, L1 norm, running variance, mean over repeats",
        "log_delta": "nat: log of the mean L1 difference of the two outputs",
        "log_sigma": "nat: sum over BatchNorms of the log of the mini-batch standard deviation",
    }
    | {f"{column}_stderr": f"nat: standard error of {column} over repeats" for column in _VALUES},
    agreement=by_error(*_VALUES),
    otherwise=EXACT,
)


def score_key(
    network: str,
    resolution: int,
    repeats: int,
    seed: int,
    *,
    batch_size: int = 16,
    perturbation: float = 0.01,
) -> dict[str, object]:
    """The key of a row."""
    values = (network, resolution, batch_size, repeats, perturbation, seed)
    return dict(zip(TABLE.key, values, strict=True))


def plain_network(width: int, depth: int, kernel: int = 3) -> Architecture:
    """`depth` equal convolutions of stride 1."""
    stem = Block("conv", kernel, 3, width)
    rest = (Block("conv", kernel, width, width, layers=depth - 1),) if depth > 1 else ()
    return Architecture((stem, *rest))
