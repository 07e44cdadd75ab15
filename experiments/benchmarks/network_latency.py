"""Latency of the published ZenNets and of torchvision's classifiers on the machine that runs it.

Every network is run at the resolution its accuracy was measured at, with channels last, in evaluation mode,
without compilation: what a user gets who calls the module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from experiments.benchmarks import torchvision_zoo
from experiments.record.agreement import TIME
from experiments.record.keys import crossed
from experiments.record.table import Table
from zenlib.networks.zennets import ZENNETS, zennet, zennet_resolution
from zenlib.search.latency import measure_latency

STUDY = "zennets"

IMAGENET_ZENNETS = tuple(name for name in ZENNETS if zennet_resolution(name) == 224)

REFERENCES = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d"),
    *(f"regnet_y_{size}" for size in ("400mf", "800mf", "1_6gf", "3_2gf", "8gf", "16gf")),
    *(f"efficientnet_b{number}" for number in range(8)),
    *("efficientnet_v2_s", "efficientnet_v2_m"),
    *("mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "mnasnet1_0", "densenet121"),
    *("convnext_tiny", "convnext_small", "convnext_base"),
)
"""torchvision's names of the networks the ZenNets are compared with."""

MOST_REPEATS = 15
FEWEST_REPEATS = 5
SECONDS = 4.0
"""A network is timed `MOST_REPEATS` times where that fits into this, but at least `FEWEST_REPEATS` times."""


def latency_row(
    *, network: str, resolution: int, batch_size: int, dtype: str, device: str
) -> dict[str, float | int]:
    """One network on this machine."""
    kind = getattr(torch, dtype)
    module = zennet(network) if network in ZENNETS else torchvision_zoo.build(network)
    module.to(device, kind, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
    settings = {"batch_size": batch_size, "device": device, "dtype": kind, "channels_last": True}
    once = measure_latency(module, resolution, repeats=1, **settings).milliseconds * batch_size / 1e3
    repeats = max(FEWEST_REPEATS, min(MOST_REPEATS, int(SECONDS / once)))
    found = measure_latency(module, resolution, repeats=repeats, **settings)
    return {
        "milliseconds": found.milliseconds,
        "undisturbed": found.undisturbed,
        "spread": found.spread,
        "repeats": repeats,
        "threads": torch.get_num_threads(),
    }


LATENCY = Table(
    study=STUDY,
    name="latency",
    compute=latency_row,
    units={
        "network": "name: a ZenNet or torchvision's name of a network",
        "resolution": "pixels: side of the square images",
        "batch_size": "images: of one pass",
        "dtype": "name: floating type of weights and feature maps",
        "device": "name: cpu, or cuda",
        "milliseconds": "ms: per image, median over repeats",
        "undisturbed": "ms: per image, lower quartile over repeats; other jobs can only lengthen them",
        "spread": "ms: half the distance between the quartiles of the repeats",
        "repeats": "count: timed passes, after three that are not timed",
        "threads": "count: CPU threads of a pass",
    },
    otherwise=TIME,
)


def networks() -> dict[str, int]:
    """Name of every network of this study -> resolution of its published accuracy, pixels."""
    crops = torchvision_zoo.zoo().query("weights == 'IMAGENET1K_V1'").set_index("model")["crop"]
    return dict.fromkeys(IMAGENET_ZENNETS, 224) | {name: int(crops[name]) for name in REFERENCES}


def latency_keys(
    names: Sequence[str] | None, dtypes: Sequence[str], batch_sizes: Sequence[int], device: str
) -> list[dict[str, Any]]:
    """Keys of the rows of one device.

    Args:
        names: networks; None means all of this study.
        dtypes: floating types.
        batch_sizes: images per pass.
        device: "cpu" or "cuda".
    """
    resolutions = networks()
    unknown = sorted(set(names or ()) - set(resolutions))
    if unknown:
        raise ValueError(
            f"latency_networks: needed names of this study ({', '.join(resolutions)}), got "
            f"{', '.join(unknown)}"
        )
    asked = resolutions if names is None else names
    keys = crossed({"device": device}, dtype=dtypes, batch_size=batch_sizes, network=asked)
    return [key | {"resolution": resolutions[key["network"]]} for key in keys]
