"""The V100 by table: latencies summed over measured convolutions, their errors, and searches within them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from experiments.benchmarks import device_tables
from experiments.benchmarks.published_networks import PUBLISHED, SIDES, TABLE7
from experiments.record.agreement import ARITHMETIC, EXACT, ON_THE_WAY, OneDraw, Within
from experiments.record.table import Table
from zenlib.errors import ScoreUndefined
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import ZENNETS, zennet_architecture, zennet_resolution
from zenlib.scores.closed_form import closed_form_zen_score
from zenlib.search.budget import Budget
from zenlib.search.driver import search
from zenlib.search.latency_table import KEY, SIZES, Convolution, LatencyTable, OutsideTable, convolutions

STUDY = "devices"
PRECISIONS = ("fp16", "fp32", "int8")
BATCH = 64
"""Images per pass of the paper's V100 column."""
HELD_OUT = ("a tenth", "one side", "widest ratios")
WIDEST = 2560
"""Most output channels of the table; a wider convolution is predicted as equal parts of at most so many."""
_SAMPLE = 1000
WHOLE = ("ResNets", "Mobile nets", "ZenNets")
"""Families that are convolutions throughout, but for pooling and the classifier.

Gates and concatenations are not in the table: of other networks, and of ZenNets with gates, the
convolutions alone are predicted, which is a lower bound.
"""


@cache
def table7() -> dict[str, tuple[str, float, int]]:
    """Networks of Table 7 that can be built here: family, published V100 ms, side of the images."""
    shown = {
        row.name: (row.family, row.v100, SIDES[int(row.name[-1])] if row.family == "EfficientNets" else 224)
        for row in TABLE7
        if row.torchvision or row.name.startswith("MobileNetV2")
    }
    return shown | {
        name: ("ZenNets", latency, 224)
        for name in ZENNETS
        if (latency := getattr(PUBLISHED[name], "v100", None))
    }


def _module(name: str) -> nn.Module:
    import torchvision

    row = next(row for row in TABLE7 if row.name == name)
    if name.startswith("MobileNetV2"):
        return torchvision.models.mobilenet_v2(width_mult=float(name.rpartition("-")[2]))
    return torchvision.models.get_model(row.torchvision, weights=None)


@cache
def convolutions_of(name: str) -> tuple[Convolution, ...]:
    """The convolutions of a network of Table 7 in the order in which they run, gates' among them left out."""
    side = table7()[name][2]
    if name in ZENNETS:
        return tuple(_of_blocks(Architecture(zennet_architecture(name).blocks), side))
    module = _module(name).eval().to("meta")
    found: list[Convolution] = []
    summed = _before_a_sum(module)

    def note(layer: nn.Module, inputs: tuple[torch.Tensor, ...], _: Any) -> None:
        assert isinstance(layer, nn.Conv2d)
        size = inputs[0].shape[-1]
        if size > 1:  # a gate works on maps of one position
            kernel, stride = layer.kernel_size[0], layer.stride[0]
            widths = layer.in_channels, layer.out_channels
            found.append(Convolution(*widths, size, kernel, stride, layer.groups, layer in summed))

    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(note)
    module(torch.zeros(1, 3, side, side, device="meta"))
    return tuple(found)


def _of_blocks(architecture: Architecture, side: int) -> Iterator[Convolution]:
    for block in architecture.blocks:
        yield from convolutions(block, side)
        side = -(-side // block.stride)


def _before_a_sum(module: nn.Module) -> set[nn.Module]:
    """The last convolution of every residual block of torchvision, behind which the sum is fused."""
    found: set[nn.Module] = set()
    for block in module.modules():
        kind = type(block).__name__
        residual = kind in ("BasicBlock", "Bottleneck", "ResBottleneckBlock") or any(
            getattr(block, name, False) for name in ("use_res_connect", "apply_residual")
        )
        if residual:
            main = [
                layer
                for name, layer in block.named_modules()
                if isinstance(layer, nn.Conv2d) and "downsample" not in name and "proj" not in name
            ]
            found.add(main[-1])
    return found


def _parts(conv: Convolution) -> Iterator[Convolution]:
    """The convolution, or equal parts of its output channels where they are more than the table has."""
    count = -(-conv.out_channels // WIDEST)
    for part in range(count):
        width = conv.out_channels // count + (part < conv.out_channels % count)
        if conv.groups == 1:
            yield conv._replace(out_channels=width)
        else:
            groups = width if conv.groups == conv.in_channels else conv.groups
            yield conv._replace(in_channels=width, out_channels=width, groups=groups)


@cache
def _table(precision: str, batch_size: int) -> LatencyTable:
    return LatencyTable(device_tables.convolutions(), precision, batch_size)


def prediction_row(*, network: str, precision: str, batch_size: int) -> dict[str, Any]:
    """The sum over a network's convolutions."""
    table = _table(precision, batch_size)
    convs = convolutions_of(network)
    try:
        total = sum(table.milliseconds(part) for conv in convs for part in _parts(conv))
    except (OutsideTable, ValueError) as outside:
        raise ScoreUndefined(str(outside)) from outside
    family, published, side = table7()[network]
    return {
        "family": family,
        "whole": family in WHOLE and not network.endswith("SE"),
        "resolution": side,
        "convolutions": len(convs),
        "split": sum(len(list(_parts(conv))) > 1 for conv in convs),
        "multiply_adds": sum(_work(conv) for conv in convs),
        "milliseconds": total,
        "published": published,
    }


def _work(conv: Convolution) -> int:
    positions = (-(-conv.side // conv.stride)) ** 2
    return conv.kernel**2 * conv.in_channels // conv.groups * conv.out_channels * positions


PREDICTIONS = Table(
    study=STUDY,
    name="predictions",
    compute=prediction_row,
    units={
        "network": "name: as Table 7 of the paper writes it, or a ZenNet",
        "precision": "name: fp32, fp16 or int8, of the table of convolutions",
        "batch_size": "images: of one pass",
        "family": "name: of the network",
        "whole": "flag: whether it has neither gates nor concatenations, which the table lacks",
        "resolution": "pixels: side of the images",
        "convolutions": "count: convolutions of the network on maps of more than one position",
        "split": "count: those wider than the table, predicted in equal parts",
        "multiply_adds": "count: of these convolutions, one image",
        "milliseconds": "ms: predicted per image, sum over the convolutions",
        "published": "ms: V100 column of Table 7, fp16, batch 64, per image",
    },
    agreement={
        name: EXACT for name in ("family", "whole", "resolution", "convolutions", "split", "multiply_adds")
    },
    otherwise=Within(1e-6, 1e-9),
)


def interpolation_row(*, precision: str, batch_size: int, left_out: str, kind: str) -> dict[str, float]:
    """How well rows that are left out of the table are predicted from the rest."""
    rows = pd.read_csv(device_tables.convolutions()).query("batch == @batch_size")
    rows = rows[rows[f"{precision}_ms"].notna()]
    gone = _left_out(rows, left_out)
    asked = rows[gone & (rows["kind"] == kind)]
    asked = asked.sample(min(_SAMPLE, len(asked)), random_state=0)
    with tempfile.TemporaryDirectory() as folder:
        rest = Path(folder) / "rest.csv"
        rows[~gone].to_csv(rest, index=False)
        table = LatencyTable(rest, precision, batch_size)
        errors, refused = [], 0
        for row in asked[[*KEY, *SIZES, f"{precision}_ms"]].to_dict("records"):
            widths = row["in_channels"], row["out_channels"]
            groups = row["in_channels"] if kind == "Depthwise" else 1
            conv = Convolution(
                *widths, row["in_height"], row["kernel"], row["stride"], groups, bool(row["fused_add"])
            )
            try:
                errors.append(np.log(batch_size * table.milliseconds(conv) / row[f"{precision}_ms"]))
            except ValueError:
                refused += 1
    if not errors:
        raise ScoreUndefined("nothing of this kind is left out")
    off = np.abs(np.expm1(errors))
    return {
        "n": len(errors),
        "refused": refused,
        "median_error": float(np.median(off)),
        "error_90": float(np.quantile(off, 0.9)),
        "bias": float(np.expm1(np.mean(errors))),
    }


def _left_out(rows: pd.DataFrame, left_out: str) -> pd.Series:
    if left_out == "a tenth":
        return pd.Series(np.random.default_rng(0).random(len(rows)) < 0.1, rows.index)
    if left_out == "one side":
        sides = np.sort(rows["in_height"].unique())
        return rows["in_height"] == sides[len(sides) // 2]
    ratio = rows["out_channels"] / rows["in_channels"]
    return (rows["in_channels"] > 3) & ((ratio >= 3.9) | (ratio <= 0.26))


INTERPOLATION = Table(
    study=STUDY,
    name="interpolation",
    compute=interpolation_row,
    units={
        "precision": "name: fp32, fp16 or int8",
        "batch_size": "images: of one pass",
        "left_out": "name: which rows of the table the prediction did not see",
        "kind": "name: Regular or Depthwise convolutions",
        "n": "count: rows left out that were predicted, a sample of at most 1,000",
        "refused": "count: those refused as too far from the rest",
        "median_error": "1: median of |predicted / measured - 1|",
        "error_90": "1: its 90 % quantile",
        "bias": "1: geometric mean of predicted / measured, minus 1",
    },
    otherwise=ARITHMETIC,
)


def search_row(
    *,
    space: str,
    max_latency: float,
    precision: str,
    max_memory: int,
    max_depth: int,
    resolution: int,
    evaluations: int,
    seed: int,
) -> dict[str, Any]:
    """One search by the closed form; 0 stands for no limit."""
    table = LatencyTable(device_tables.convolutions(), precision, BATCH) if max_latency else None
    budget = Budget(
        latency_ms=max_latency or None, latency=table, memory=max_memory or None, depth=max_depth or None
    )
    found = search(
        space,
        "closed-form",
        budget,
        evaluations=evaluations,
        seed=seed,
        resolution=resolution,
        num_classes=1000,
        progress=False,
    )
    return {
        "best": found.best.to_string(),
        "best_score": found.best_score,
        "milliseconds": table.predict(found.best, resolution) if table else float("nan"),
        "memory": found.best.peak_memory(resolution, 1000),
        "params": found.best.params(1000),
        "flops": found.best.flops(resolution, 1000),
        "depth": found.best.depth,
        "narrowest": min(block.out_channels for block in found.best.blocks),
        "proposals": found.proposed,
    }


_LIMITS = {
    "space": "name: search space",
    "max_latency": "ms: limit of the latency predicted from the table, per image; 0 for none",
    "precision": "name: fp32, fp16 or int8",
    "max_memory": "bytes: limit of the peak of 8-bit feature maps; 0 for none",
    "max_depth": "count: limit of the layers; 0 for none",
    "resolution": "pixels: side of the images",
    "evaluations": "count: scored candidates",
    "seed": "1: of all draws",
}
SEARCHES = Table(
    study=STUDY,
    name="searches",
    key=tuple(_LIMITS),
    compute=search_row,
    units=_LIMITS
    | {
        "best": "text: structure of the best network",
        "best_score": "nat: its closed-form Zen-Score",
        "milliseconds": "ms: its predicted latency per image, where the table limits it",
        "memory": "bytes: its peak of 8-bit feature maps",
        "params": "count: its parameters",
        "flops": "count: its multiply-adds for one image",
        "depth": "count: its layers",
        "narrowest": "count: channels of its narrowest block",
        "proposals": "count: all proposals, scored or turned away",
    },
    agreement={"best_score": OneDraw(ARITHMETIC)},
    otherwise=ON_THE_WAY,
)


def published_row(*, network: str, precision: str) -> dict[str, float]:
    """A ZenNet by our own counts, to set what a search finds beside it."""
    architecture = Architecture(zennet_architecture(network).blocks)
    side = zennet_resolution(network)
    classes = 100 if side == 32 else 1000
    return {
        "resolution": side,
        "score": closed_form_zen_score(architecture, side),
        "memory": architecture.peak_memory(side, classes),
        "params": architecture.params(classes),
        "depth": architecture.depth,
    }


ZENNET_ROWS = Table(
    study=STUDY,
    name="zennets",
    compute=published_row,
    units={
        "network": "name: a ZenNet, without gates",
        "precision": "name: of its feature maps; int8 is one byte a value",
        "resolution": "pixels: side of the images",
        "score": "nat: closed-form Zen-Score",
        "memory": "bytes: peak of the feature maps of one image",
        "params": "count: its parameters",
        "depth": "count: its layers",
    },
    agreement={"resolution": EXACT, "memory": EXACT, "params": EXACT, "depth": EXACT},
    otherwise=ARITHMETIC,
)
