"""The numbers of the chapter on the ZenNets, as text."""

from __future__ import annotations

import json
import math
from itertools import combinations

import pandas as pd

from experiments.benchmarks import torchvision_zoo
from experiments.benchmarks.network_latency import LATENCY
from experiments.benchmarks.published_networks import PUBLISHED, TABLE7, TRAINED_ELSEWHERE
from experiments.chapters.zennets.published_counts import agreement, as_number
from experiments.chapters.zennets.speed import (
    DISTURBED,
    PRINTED,
    RESAMPLES,
    ZenNetRows,
    efficientnets,
    front,
    interpolated,
    measured_columns,
)
from experiments.chapters.zennets.training import training_network
from experiments.record.wording import Told, ends, signed

NOT_MEASURED = "not measured"
"""What a fact says where a run has no rows for it."""

COLUMNS = (
    *PRINTED,
    "cpu_float32_1",
    "cpu_float32_16",
    "cpu_bfloat16_1",
    "cpu_bfloat16_16",
    "cuda_float16_64",
)
"""Columns of latencies that the prose speaks of."""

LARGEST, GATED = "zennet-1.2ms", "zennet-900M-SE"
GOAL = 93.0
"""Percent of the test images that the training is to reach."""


def facts(rows: ZenNetRows) -> dict[str, str]:
    """Every number of the chapter's prose."""
    told = (
        _size_facts(rows.sizes) | _table7_facts() | _flops_facts(rows.networks) | _latency_facts(rows.latency)
    )
    for column in dict.fromkeys((*COLUMNS, *measured_columns(rows.networks))):
        told |= _speed_facts(rows, column) | _front_facts(rows.networks, column)
    return told | _rank_facts(rows.ranks) | _recipe_facts(rows) | _training_facts(rows.training)


def _size_facts(sizes: pd.DataFrame) -> dict[str, str]:
    found = pd.concat([sizes["params_agree"], sizes["flops_agree"]])
    printed = found[found != "nothing printed"]
    gated = sizes.set_index("network").loc[GATED]
    plain = sizes[~sizes["network"].str.endswith("SE") & (sizes["flops_agree"] != "nothing printed")]
    more = plain["operations"] / plain["flops"] - 1
    return {
        "networks": str(len(sizes)),
        "networks_printed": str(int((sizes["params_agree"] != "nothing printed").sum())),
        "digits": f"{int((printed != 'no').sum())} of {len(printed)}",
        "digits_cut": str(int((printed == "cut off").sum())),
        "rule_more": f"{100 * more.max():.1f} %",
        "gated_params": f"{gated['params'] / 1e6:.1f}M",
        "gated_operations": f"{gated['operations_with_gates'] / 1e6:.0f}M",
        "bare_params": f"{gated['params_without_gates'] / 1e6:.1f}M",
        "zen": f"{sizes['zen'].min():.0f} to {sizes['zen'].max():.0f}",
    }


def _table7_facts() -> dict[str, str]:
    """Table 7's rows about other networks against torchvision's own numbers."""
    zoo = torchvision_zoo.zoo().query("weights == 'IMAGENET1K_V1'").set_index("model")
    shared = [row for row in TABLE7 if row.torchvision]
    agreeing = sum(agreement(row.params, zoo.loc[row.torchvision, "params"]) is not None for row in shared)
    flops = max(abs(as_number(row.flops) / zoo.loc[row.torchvision, "flops"] - 1) for row in shared)
    top1 = {row.name: row.top1 - zoo.loc[row.torchvision, "top1"] for row in shared}
    farthest = max(top1, key=lambda name: abs(top1[name]))
    return {
        "table7_rows": str(len(TABLE7)),
        "table7_shared": str(len(shared)),
        "table7_params": f"{agreeing} of {len(shared)}",
        "table7_flops": f"{100 * flops:.0f} %",
        "table7_top1": f"{signed(top1[farthest])} points ({farthest})",
    }


def _flops_facts(networks: pd.DataFrame) -> dict[str, str]:
    """The FLOPs that a ZenNet saves against an EfficientNet of its accuracy."""
    family = efficientnets(networks)
    zen = PUBLISHED[GATED]
    at_accuracy = interpolated(family, "flops", zen.top1["imagenet"])
    b3 = family.set_index("network").loc["efficientnet_b3", "flops"]
    on_front = front(networks, "flops", ("paper",))
    return {
        "flops_saved": f"{100 * (1 - as_number(zen.flops) / at_accuracy):.1f} %",
        "flops_saved_nominal": f"{100 * (1 - 900e6 / at_accuracy):.1f} %",
        "flops_saved_b3": f"{100 * (1 - as_number(zen.flops) / b3):.1f} %",
        "flops_front": _list(on_front.loc[on_front["line"] == "ZenNets", "name"]),
    }


def _latency_facts(latency: pd.DataFrame) -> dict[str, str]:
    spread = latency["spread"] / latency["milliseconds"]
    about = json.loads(LATENCY.store.sidecar_path.read_text(encoding="utf-8"))
    return {
        "latency_rows": str(len(latency)),
        "latency_networks": str(latency["network"].nunique()),
        "latency_spread": f"{100 * spread.median():.1f} %",
        "latency_disturbed": str(int((spread > DISTURBED).sum())),
        "latency_limit": f"{100 * DISTURBED:.0f} %",
        "latency_threads": _list(sorted(latency["threads"].unique())),
        "latency_processor": _list(
            sorted({run["device"].replace("(R)", "") for run in about["runs"].values()})
        ),
        "latency_seconds": f"{latency['seconds'].sum() / 60:.0f} min",
    }


def _speed_facts(rows: ZenNetRows, column: str) -> dict[str, str]:
    """The largest ZenNet against EfficientNets, then all, and against ResNets that were trained alike."""
    gains = rows.speed_ups[rows.speed_ups["column"] == column]
    factors = gains["factor"]
    largest = gains.loc[gains["network"] == LARGEST, "factor"]
    against = resnet_factors(rows.networks, column)
    return {
        f"faster_{column}": _factor(largest.iloc[0]) if len(largest) else NOT_MEASURED,
        f"faster_b5_{column}": _factor(_ratio(rows.networks, "efficientnet_b5", LARGEST, column)),
        f"faster_range_{column}": ends(factors, 1, NOT_MEASURED),
        f"faster_resnets_{column}": ends(against, 1, NOT_MEASURED),
    }


def resnet_factors(networks: pd.DataFrame, column: str) -> pd.Series:
    """How many times as long the ResNets of Table 6 take as latency ZenNets of their accuracy.

    Both were trained by the paper's recipe. ResNets below the accuracy of the smallest ZenNet are left out.
    """
    latency_nets = networks[networks["network"].str.endswith("ms") & (networks["line"] == "ZenNets")]
    times = networks.drop_duplicates("network").set_index("network")
    found = {}
    for trained in TRAINED_ELSEWHERE:
        if trained.network.startswith("resnet") and column in networks:
            found[trained.network] = times.loc[trained.network, column] / interpolated(
                latency_nets, column, trained.top1
            )
    return pd.Series(found, dtype=float).dropna()


def _front_facts(networks: pd.DataFrame, column: str) -> dict[str, str]:
    """How many ZenNets no other network beats in both, and the fastest one as accurate as the largest."""
    told = {}
    for name, accuracies in (("paper", ("paper",)), ("v1", ("paper", "V1")), ("v2", ("paper", "V1", "V2"))):
        told[f"front_{name}_{column}"] = NOT_MEASURED
        if column in networks:
            members = front(networks, column, accuracies)
            of = int((networks[column].notna() & (networks["line"] == "ZenNets")).sum())
            told[f"front_{name}_{column}"] = f"{int((members['line'] == 'ZenNets').sum())} of {of}"
    return told | _rival_facts(networks, column)


def _rival_facts(networks: pd.DataFrame, column: str) -> dict[str, str]:
    keys = f"rival_{column}", f"rival_top1_{column}", f"rival_faster_{column}"
    if column not in networks:
        return dict.fromkeys(keys, NOT_MEASURED)
    zen = networks.set_index("network").loc[LARGEST]
    others = networks[
        (networks["line"] != "ZenNets") & (networks["top1"] >= zen["top1"]) & networks[column].notna()
    ]
    if others.empty or math.isnan(zen[column]):
        return dict.fromkeys(keys, NOT_MEASURED)
    best = others.loc[others[column].idxmin()]
    return dict(
        zip(keys, (best["name"], f"{best['top1']:.1f} %", _factor(zen[column] / best[column])), strict=True)
    )


def _ratio(networks: pd.DataFrame, above: str, below: str, column: str) -> float:
    times = networks.drop_duplicates("network").set_index("network")
    return float(times.loc[above, column] / times.loc[below, column]) if column in times else math.nan


def _rank_facts(ranks: pd.DataFrame) -> dict[str, str]:
    told = {"resamples": f"{RESAMPLES:,}"}
    found = Told(ranks, ["first", "second"], NOT_MEASURED)
    for first, second in combinations((*COLUMNS, "flops"), 2):
        at = (first, second)
        told |= {
            f"tau_{first}_{second}": found.interval(at, "kendall"),
            f"n_{first}_{second}": found.text(at, "{n}"),
        }
    return told


def _recipe_facts(rows: ZenNetRows) -> dict[str, str]:
    """What a change of the recipe does to the same network, from accuracies of others."""
    published = rows.networks.query("accuracy == 'paper'").set_index("network")["top1"]
    gains = {trained: trained.top1 - published[trained.network] for trained in TRAINED_ELSEWHERE}
    resnets = [gain for trained, gain in gains.items() if trained.network.startswith("resnet")]
    told = {
        "recipe_resnets": f"{min(resnets):.1f} to {max(resnets):.1f}",
        "table6_networks": str(len(resnets)),
    }
    for name in (
        "zennet-0.1ms",
        "zennet-0.8ms",
        "zennet-400M-SE",
        "zennet-600M-SE",
        "efficientnet_b0",
        "efficientnet_b1",
    ):
        trained, gain = next((trained, gain) for trained, gain in gains.items() if trained.network == name)
        slug = name.replace("zennet-", "").replace(".", "").replace("-", "_").replace("efficientnet_", "")
        told |= {f"elsewhere_{slug}": f"{trained.top1:g}", f"elsewhere_gain_{slug}": signed(gain)}
    short = {trained.network: trained.top1 for trained in TRAINED_ELSEWHERE if trained.recipe == "short"}
    for slug, zen, other in (
        ("400M_SE", "zennet-400M-SE", "efficientnet_b0"),
        ("600M_SE", "zennet-600M-SE", "efficientnet_b1"),
    ):
        told |= {
            f"lead_{slug}": signed(published[zen] - published[other]),
            f"lead_short_{slug}": signed(short[zen] - short[other]),
        }
    return told | _torchvision_recipe_facts() | _timm_facts(rows.recipes)


def evidence(networks: pd.DataFrame) -> pd.DataFrame:
    """Every network that was trained again: accuracy in Table 7 (`published`) and then (`top1`), and how."""
    about = networks.query("accuracy == 'paper'").set_index("network")
    rows = about.loc[[trained.network for trained in TRAINED_ELSEWHERE], ["name", "line", "top1"]]
    again = pd.DataFrame(map(vars, TRAINED_ELSEWHERE))[["top1", "recipe", "source"]]
    return rows.rename(columns={"top1": "published"}).reset_index(drop=True).join(again)


def _torchvision_recipe_facts() -> dict[str, str]:
    zoo = torchvision_zoo.zoo().pivot(index="model", columns="weights", values="top1")
    gains = (zoo["IMAGENET1K_V2"] - zoo["IMAGENET1K_V1"]).dropna()
    return {
        "v2_networks": str(len(gains)),
        "v2_gain": f"{gains.mean():.1f}",
        "v2_gain_most": f"{gains.max():.1f}",
    }


def _timm_facts(recipes: pd.DataFrame) -> dict[str, str]:
    found = Told(recipes, ["quantity"], NOT_MEASURED)
    told: dict[str, str] = {}
    for name in ("resnets", "efficientnets", "noisy"):
        told[f"timm_{name}"] = found.text((name,), "{mean:.1f}")
        for column in ("networks", "weights"):
            told[f"timm_{name}_{column}"] = found.text((name,), f"{{{column}}}")
    return told


def _training_facts(training: pd.DataFrame) -> dict[str, str]:
    from zenlib.train.datasets import data_set
    from zenlib.train.recipes import RECIPES

    first, last = training.iloc[0], training.iloc[-1]
    network, about = training_network(training), data_set(first["data"])
    reached = training[training["test_top1"] >= GOAL]
    flops = network.flops(RECIPES[first["recipe"]].resolution, about.classes)
    return {
        "training_data": first["data"],
        "training_epochs": str(len(training)),
        "training_top1": f"{last['test_top1']:.2f} %",
        "training_loss": f"{last['test_loss']:.3f}",
        "training_goal": f"{GOAL:.0f} %",
        "training_reached": f"first after epoch {reached['epoch'].iloc[0]}"
        if len(reached)
        else "not reached",
        "training_params": f"{network.params(about.classes):,}",
        "training_flops": f"{flops / 1e6:.1f} million",
        "training_minutes": f"{training['seconds'].sum() / 60:.0f} min",
        "training_dtype": first["dtype"],
        "training_seed": str(first["seed"]),
    }


def _factor(value: float) -> str:
    return NOT_MEASURED if math.isnan(value) else f"{value:.1f}"


def _list(values: object) -> str:
    return ", ".join(map(str, values)) or "none"  # type: ignore[call-overload]
