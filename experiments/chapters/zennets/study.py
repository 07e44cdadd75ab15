"""The published ZenNets: what of their numbers can be verified here, and what else bears on them.

Sizes are counted, latencies measured on this machine, speeds compared at equal accuracy; recipes are told
from architectures by accuracies that others published; and one small network of the same space is trained to
show that the training works.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pandas as pd

from experiments.benchmarks import timm_results
from experiments.benchmarks.network_latency import LATENCY, STUDY, latency_keys
from experiments.benchmarks.published_networks import PUBLISHED
from experiments.chapters.zennets.facts import facts
from experiments.chapters.zennets.published_counts import agreement, operations, without_gates
from experiments.chapters.zennets.speed import ZenNetRows, latency_names
from experiments.chapters.zennets.training import TRAINING
from experiments.record.agreement import ARITHMETIC, EXACT
from experiments.record.table import Table
from zenlib.errors import BenchmarkMissing
from zenlib.networks.zennets import ZENNETS, zennet_architecture, zennet_resolution
from zenlib.scores.closed_form import closed_form_zen_score


def size_row(*, network: str, resolution: int, num_classes: int) -> dict[str, float | int]:
    """Sizes of a published network by our count and by the rule of the published digits."""
    architecture = zennet_architecture(network)
    bare = without_gates(architecture)
    return {
        "depth": architecture.depth,
        "params": architecture.params(num_classes),
        "flops": architecture.flops(resolution, num_classes),
        "params_without_gates": bare.params(num_classes),
        "operations": operations(bare, resolution, num_classes),
        "operations_with_gates": operations(architecture, resolution, num_classes),
        "zen": closed_form_zen_score(architecture, resolution),
    }


SIZES = Table(
    study=STUDY,
    name="sizes",
    compute=size_row,
    units={
        "network": "name: a ZenNet",
        "resolution": "pixels: side of the square image",
        "num_classes": "count: width of the classifier",
        "depth": "count: the paper's layers",
        "params": "count: parameters, gates included where it has them",
        "flops": "count: multiply-adds of kernels, gates and classifier",
        "params_without_gates": "count: parameters of the network without gates",
        "operations": "count: multiply-adds by the rule of the published digits, without gates",
        "operations_with_gates": "count: the same with gates",
        "zen": "nat: closed-form Zen-Score, L1 norm, mini-batch variance",
    },
    agreement={"zen": ARITHMETIC},
    otherwise=EXACT,
)

_RESNETS = tuple(f"resnet{depth}" for depth in (18, 34, 50, 101, 152))
_EFFICIENTNETS = tuple(f"tf_efficientnet_b{number}" for number in range(8))
_NOISY = "ns_jft_in1k"


def recipe_row(*, quantity: str) -> dict[str, float | int]:
    """How far recipes move the accuracy of one network, over a set of networks; aggregates of timm's table.

    Raises:
        BenchmarkMissing: the table is not there.
    """
    rows = timm_results.table()
    if quantity == "resnets":
        rows = rows[rows["model"].isin(_RESNETS) & (rows["resolution"] == 224) & ~rows["more_data"]]
        gains = rows.groupby("model")["top1"].agg(lambda top1: top1.max() - top1.min())
    else:
        rows = rows[rows["model"].isin(_EFFICIENTNETS)]
        noisy, plain = (
            rows[rows["tag"] == _NOISY].set_index("model")["top1"],
            rows[~rows["more_data"]].groupby("model")["top1"],
        )
        if quantity == "efficientnets":
            rows, gains = rows[~rows["more_data"]], plain.max() - plain.min()
        else:
            gains = noisy - plain.max()
    return {
        "networks": len(gains),
        "weights": len(rows),
        "mean": round(gains.mean(), 2),
        "largest": round(gains.max(), 2),
    }


RECIPES = Table(
    study=STUDY,
    name="recipes",
    compute=recipe_row,
    units={
        "quantity": (
            "name: resnets or efficientnets (best minus worst recipe on ImageNet-1k alone), or noisy (Noisy "
            "Student minus the best of those)"
        ),
        "networks": "count: networks",
        "weights": "count: sets of weights",
        "mean": "points: of top-1, mean over networks",
        "largest": "points: of top-1, largest of a network",
    },
    agreement={"mean": ARITHMETIC, "largest": ARITHMETIC},
    otherwise=EXACT,
)

TABLES = (SIZES, LATENCY, RECIPES, TRAINING)


def run(
    *,
    latency_networks: Sequence[str] | None,
    latency_dtypes: Sequence[str],
    latency_batches: Sequence[int],
    latency_device: str,
    training_architecture: str,
    training_data: str,
    training_recipe: str,
    training_epochs: int,
    training_dtype: str,
    training_device: str,
    seed: int,
) -> ZenNetRows:
    """Counts, measures and trains what is not in the store yet.

    Args:
        latency_networks: names of networks; None means all of the study.
        latency_dtypes: floating types that latency is measured in.
        latency_batches: images per pass.
        latency_device: "cpu" or "cuda".
        training_architecture: structure string of the network that is trained.
        training_data: data set that it is trained on.
        training_recipe: name of the recipe.
        training_epochs: epochs to show; the schedule is that of the recipe.
        training_dtype: floating type of the training.
        training_device: "cpu" or "cuda".
        seed: of the training.
    """
    classes = {32: 100, 224: 1000}
    sizes = SIZES.fill(
        [
            {"network": name, "resolution": resolution, "num_classes": classes[resolution]}
            for name, resolution in ((name, zennet_resolution(name)) for name in ZENNETS)
        ]
    )
    LATENCY.fill(latency_keys(latency_networks, latency_dtypes, latency_batches, latency_device))
    settings = {
        "architecture": training_architecture,
        "data": training_data,
        "recipe": training_recipe,
        "seed": seed,
    }
    settings |= {"dtype": training_dtype, "device": training_device}
    training = TRAINING.fill([settings | {"epoch": epoch + 1} for epoch in range(training_epochs)])
    return ZenNetRows(_with_printed(sizes), LATENCY.stored(), _recipes(), training)


def _with_printed(sizes: pd.DataFrame) -> pd.DataFrame:
    """Sizes with the paper's digits beside them."""
    printed = [PUBLISHED[name] for name in sizes["network"]]
    return sizes.assign(
        printed_params=[row.params for row in printed],
        printed_flops=[row.flops for row in printed],
        params_agree=[
            _agree(row.params, count)
            for row, count in zip(printed, sizes["params_without_gates"], strict=True)
        ],
        flops_agree=[
            _agree(row.flops, count) for row, count in zip(printed, sizes["operations"], strict=True)
        ],
    )


def _agree(digits: str, count: float) -> str:
    return (agreement(digits, count) or "no") if digits else "nothing printed"


def _recipes() -> pd.DataFrame:
    """The rows about recipes; without timm's table those that are stored."""
    try:
        return RECIPES.fill([{"quantity": name} for name in ("resnets", "efficientnets", "noisy")])
    except BenchmarkMissing:
        return RECIPES.stored()


def size_table(rows: ZenNetRows) -> pd.DataFrame:
    """The ZenNets with printed and counted sizes, for the page."""
    sizes = rows.sizes
    return pd.DataFrame(
        {
            "depth": sizes["depth"],
            "params, paper": sizes["printed_params"].replace("", "–"),
            "params, without gates": sizes["params_without_gates"].map("{:,}".format),
            "digits of params": sizes["params_agree"],
            "params": sizes["params"].map("{:,}".format),
            "FLOPs, paper": sizes["printed_flops"].replace("", "–"),
            "FLOPs, paper's rule": sizes["operations"].map("{:,}".format),
            "digits of FLOPs": sizes["flops_agree"],
            "FLOPs (multiply-adds)": sizes["flops"].map("{:,}".format),
            "peak of 8-bit maps (KiB)": [
                f"{zennet_architecture(name).peak_memory(side) / 1024:,.0f}"
                for name, side in zip(sizes["network"], sizes["resolution"], strict=True)
            ],
            "Zen-Score, closed form": sizes["zen"].map("{:.1f}".format),
        }
    ).set_axis(sizes["network"].str.replace("zennet", "ZenNet").to_list())


def speed_table(rows: ZenNetRows) -> pd.DataFrame:
    """The ZenNets with published accuracies and all latencies, for the page."""
    zennets = rows.networks[rows.networks["line"] == "ZenNets"]
    columns: dict[str, Any] = {"top-1 (%), paper": zennets["top1"].map("{:.1f}".format)}
    for column, name in latency_names(zennets).items():
        columns[f"{name} (ms)"] = zennets[column].map(_milliseconds)
    return pd.DataFrame(columns).set_axis(zennets["name"].to_list())


def _milliseconds(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:,.{0 if value >= 100 else 2}f}"


def factor_table(rows: ZenNetRows) -> pd.DataFrame:
    """Speed at equal accuracy and places on the Pareto front, one line per column, for the page."""
    told = facts(rows)
    quantities = {
        "faster": "1.2ms, at its accuracy",
        "faster_b5": "1.2ms, against B5",
        "faster_range": "all, at their accuracy",
        "faster_resnets": "against ResNets",
        "front_paper": "front: Table 7",
        "front_v1": "with later ones",
        "front_v2": "with second weights",
    }
    columns = latency_names(rows.networks)
    lines = {text: [told[f"{name}_{column}"] for column in columns] for name, text in quantities.items()}
    return pd.DataFrame(lines, index=list(columns.values()))


def recipe_table() -> pd.DataFrame:
    """Every attribute of the two recipes of the paper and of the one that is run here, for the page."""
    from zenlib.train.recipes import RECIPES

    names = ("cifar", "imagenet", "fashion-mnist")
    return pd.DataFrame({name: dataclasses.asdict(RECIPES[name]) for name in names}).map(
        lambda value: str(value) or "–"
    )
