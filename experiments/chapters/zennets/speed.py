"""Speed at equal accuracy, Pareto fronts, rank agreement of devices, by published and measured latencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks import torchvision_zoo
from experiments.benchmarks.network_latency import IMAGENET_ZENNETS, REFERENCES
from experiments.benchmarks.published_networks import PUBLISHED, TABLE7, listed
from experiments.chapters.zennets.published_counts import as_number
from experiments.record.estimates import kendall
from zenlib.stats import FEWEST, correlate

PRINTED = {"v100": "V100", "t4": "T4", "pixel2": "Pixel 2"}
"""Columns of latencies that the paper prints, with the name of the device."""

RESAMPLES = 2000

DISTURBED = 0.1
"""A measured latency whose spread is a larger share of it is left out: another job ran at the same time."""

_SHORT_TYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}

_NAMES = {
    "resnext50_32x4d": "ResNeXt-50",
    "resnext101_32x8d": "ResNeXt-101",
    "regnet_y_1_6gf": "RegNetY-1.6GF",
    "regnet_y_3_2gf": "RegNetY-3.2GF",
    "regnet_y_8gf": "RegNetY-8GF",
    "regnet_y_16gf": "RegNetY-16GF",
    "efficientnet_v2_s": "EfficientNetV2-S",
    "efficientnet_v2_m": "EfficientNetV2-M",
    "mobilenet_v3_small": "MobileNetV3-S",
    "mobilenet_v3_large": "MobileNetV3-L",
    "convnext_tiny": "ConvNeXt-T",
    "convnext_small": "ConvNeXt-S",
    "convnext_base": "ConvNeXt-B",
}
"""Names of the measured networks that are not in Table 7, as their papers write them."""


def column_label(column: str) -> str:
    """How a figure names a column of latencies: "V100", or "CPU fp32, batch 16" for "cpu_float32_16"."""
    if column in PRINTED:
        return PRINTED[column]
    device, dtype, batch_size = column.split("_")
    return f"{'GPU' if device == 'cuda' else 'CPU'} {_SHORT_TYPES.get(dtype, dtype)}, batch {batch_size}"


def measured_columns(rows: pd.DataFrame) -> list[str]:
    """The columns of `compared` that were measured here."""
    return [column for column in rows if column.startswith(("cpu_", "cuda_"))]


def latency_columns(rows: pd.DataFrame) -> list[str]:
    """All columns of latencies of `compared`, printed ones first."""
    return [*PRINTED, *measured_columns(rows)]


def compared(latency: pd.DataFrame) -> pd.DataFrame:
    """Every network of Table 7 and every measured one, with accuracies and latencies.

    Returns:
        One row per network and accuracy. Columns: `network` (a ZenNet, torchvision's name, or the paper's),
        `name` to show, `line` of families, `accuracy` ("paper" for Table 7, else "V1" or "V2", torchvision's
        weights), `top1` in percent, `params`, `flops` (as the source prints them), the columns of `PRINTED`,
        and one per device, dtype and batch size that was measured; all latencies in milliseconds per image.
    """
    rows = pd.DataFrame([*_zennet_rows(), *_table7_rows(), *_torchvision_rows()])
    calm = latency[latency["spread"] <= DISTURBED * latency["milliseconds"]]
    columns = calm["device"] + "_" + calm["dtype"] + "_" + calm["batch_size"].astype(str)
    wide = calm.assign(column=columns).pivot(index="network", columns="column", values="undisturbed")
    order = sorted(wide, key=lambda column: (column.split("_")[1] != "float32", int(column.split("_")[2])))
    return rows.merge(wide[order], left_on="network", right_index=True, how="left", validate="many_to_one")


def _zennet_rows() -> list[dict[str, Any]]:
    about = {name: {"network": name, "name": name.replace("zennet", "ZenNet")} for name in IMAGENET_ZENNETS}
    return [
        about[name] | {"line": "ZenNets"} | _printed(PUBLISHED[name], PUBLISHED[name].top1["imagenet"])
        for name in IMAGENET_ZENNETS
    ]


def _table7_rows() -> list[dict[str, Any]]:
    return [
        {"network": row.torchvision or row.name, "name": row.name, "line": row.family}
        | _printed(row, row.top1)
        for row in TABLE7
    ]


def _printed(row: Any, top1: float) -> dict[str, Any]:
    """What the paper prints of a network."""
    sizes = {"params": as_number(row.params), "flops": as_number(row.flops)}
    return {"accuracy": "paper", "top1": top1} | sizes | {column: getattr(row, column) for column in PRINTED}


def _torchvision_rows() -> list[dict[str, Any]]:
    """Measured networks outside Table 7, and all measured ones that torchvision trained a second time."""
    zoo = torchvision_zoo.zoo()
    rows = []
    for row in zoo[
        zoo["model"].isin(REFERENCES) & zoo["weights"].isin(("IMAGENET1K_V1", "IMAGENET1K_V2"))
    ].itertuples():
        second, printed = row.weights.endswith("V2"), listed(row.model)
        if printed and not second:
            continue
        name = printed.name if printed else _NAMES[row.model]
        line = printed.family if printed else row.line
        about = {
            "network": row.model,
            "name": name + " V2" * second,
            "line": line,
            "accuracy": "V2" if second else "V1",
        }
        rows.append(about | {"top1": row.top1, "params": row.params, "flops": row.flops})
    return rows


def interpolated(members: pd.DataFrame, column: str, top1: float) -> float:
    """A cost at a given accuracy, on the line between the two networks of a family that enclose it.

    Args:
        members: rows of one family.
        column: of latencies, or "flops".
        top1: accuracy in percent.

    Returns:
        NaN where no two networks enclose the accuracy, or one of them has no value.
    """
    family = members.sort_values("top1", kind="stable")
    below, above = family[family["top1"] <= top1].tail(1), family[family["top1"] > top1].head(1)
    if column not in family or below.empty or above.empty:
        return float("nan")
    (low, start), (high, end) = (frame[["top1", column]].iloc[0].astype(float) for frame in (below, above))
    return float(start + (top1 - low) / (high - low) * (end - start))


def efficientnets(rows: pd.DataFrame) -> pd.DataFrame:
    """The EfficientNets of Table 7."""
    return rows[(rows["line"] == "EfficientNets") & (rows["accuracy"] == "paper")]


def speed_ups(rows: pd.DataFrame) -> pd.DataFrame:
    """How many times as long as each ZenNet an EfficientNet of its accuracy takes, per column of latencies.

    Returns:
        Columns: `network`, `name`, `top1`, `column`, `milliseconds` (of the ZenNet), `efficientnet`
        (milliseconds on the line between two EfficientNets of Table 7), `factor`. Pairs without a value are
        left out.
    """
    zennets = rows[rows["line"] == "ZenNets"]
    lines = []
    for column in latency_columns(rows):
        for zen in zennets.itertuples():
            own, other = getattr(zen, column), interpolated(efficientnets(rows), column, zen.top1)
            lines.append((zen.network, zen.name, zen.top1, column, own, other, other / own))
    columns = ["network", "name", "top1", "column", "milliseconds", "efficientnet", "factor"]
    return pd.DataFrame(lines, columns=columns).dropna(subset="factor").reset_index(drop=True)


def front(rows: pd.DataFrame, column: str, accuracies: Sequence[str]) -> pd.DataFrame:
    """The Pareto front.

    Networks that no other one beats both in accuracy and in a cost, from the cheapest to the dearest.

    Args:
        rows: `compared`.
        column: the cost, smaller is better.
        accuracies: which values of `accuracy` take part.
    """
    members = rows[rows["accuracy"].isin(accuracies) & rows[column].notna()].sort_values(
        [column, "top1"], ascending=[True, False], kind="stable"
    )
    best_before = members["top1"].cummax().shift(fill_value=-np.inf)
    return members[members["top1"] > best_before]


def rank_agreement(rows: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau of every two columns of latencies, and of FLOPs with each, over networks with both.

    Returns:
        Columns: `first`, `second`, `n`, `kendall`, `kendall_low`, `kendall_high` (95 % bootstrap interval
        over networks). Pairs with fewer than five networks are left out.
    """
    networks = rows.drop_duplicates("network")
    columns = [*latency_columns(rows), "flops"]
    lines = []
    for first, second in combinations(columns, 2):
        members = networks[[first, second]].dropna()
        if len(members) >= FEWEST:
            found = correlate(members[first], members[second], resamples=RESAMPLES)
            lines.append({"first": first, "second": second, "n": found.n} | kendall(found))
    return pd.DataFrame(lines, columns=["first", "second", "n", "kendall", "kendall_low", "kendall_high"])


@dataclass(frozen=True)
class ZenNetRows:
    """What the chapter reads."""

    sizes: pd.DataFrame  # one row per ZenNet, with the printed numbers beside ours and how they agree
    # one row per network, device, dtype and batch size: all that are stored, so that a GPU's stand beside the
    # CPU's
    latency: pd.DataFrame
    recipes: pd.DataFrame  # aggregates over recipes; empty where neither the rows nor timm's table are there
    training: pd.DataFrame  # one row per epoch

    @cached_property
    def networks(self) -> pd.DataFrame:
        """`compared` of the latencies."""
        return compared(self.latency)

    @cached_property
    def speed_ups(self) -> pd.DataFrame:
        """`speed_ups` of the networks."""
        return speed_ups(self.networks)

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """`rank_agreement` of the networks."""
        return rank_agreement(self.networks)


def printed_panels(rows: pd.DataFrame) -> dict[str, Any]:
    """What the figure of Table 7 shows: its `rows`, titles of the `panels` by column, and the `fronts`."""
    return _panels(rows[rows["accuracy"] == "paper"], {**PRINTED, "flops": "FLOPs"}, ("paper",))


def measured_panels(rows: pd.DataFrame) -> dict[str, Any]:
    """The same for the measured columns; the fronts leave out the weights that were trained a second time."""
    return _panels(rows, {column: column_label(column) for column in measured_columns(rows)}, ("paper", "V1"))


def _panels(rows: pd.DataFrame, panels: dict[str, str], accuracies: Sequence[str]) -> dict[str, Any]:
    return {
        "rows": rows,
        "panels": panels,
        "fronts": {column: front(rows, column, accuracies) for column in panels},
    }


def latency_names(rows: pd.DataFrame) -> dict[str, str]:
    """Names of all columns of latencies."""
    return {column: column_label(column) for column in latency_columns(rows)}


def cost_names(rows: pd.DataFrame) -> dict[str, str]:
    """Names of all costs with their units, measured ones first."""
    latencies = [*measured_columns(rows), *PRINTED]
    return {column: f"{column_label(column)} (ms per image)" for column in latencies} | {
        "flops": "FLOPs (multiply-adds)"
    }
