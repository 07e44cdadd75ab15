"""GPUs that others measured: how alike they order networks, and where the ZenNets would lie today."""

from __future__ import annotations

import re
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks import device_tables, timm_results
from experiments.benchmarks.network_latency import IMAGENET_ZENNETS, LATENCY
from experiments.benchmarks.published_networks import PUBLISHED, SIDES, TABLE7
from experiments.chapters.devices.v100 import STUDY
from experiments.record.agreement import ARITHMETIC, EXACT, FOLLOWS
from experiments.record.estimates import END, ends_units, kendall
from experiments.record.table import Table
from zenlib.errors import ScoreUndefined
from zenlib.stats import correlate

SETTINGS = {
    "rtx3090": ("rtx3090", "amp", "nhwc", False, 2.4),
    "rtx4090": ("rtx4090", "amp", "nchw", True, 2.91),
    "rtx4090 eager": ("rtx4090", "amp", "nchw", False, 2.91),
    "rtx5090": ("rtx5090", "amp", "nchw", True, 2.91),
    "pro6000": ("pro6000maxq", "amp", "nchw", True, 2.91),
    "i9-10940x": ("i9_10940x", "fp32", "nchw", True, 2.4),
    "i7-12700h": ("i7_12700h", "fp32", "nchw", True, 2.4),
}
"""Setting -> device, precision, layout, whether it was compiled, and torch's version, in timm's words."""
GPUS = tuple(name for name in SETTINGS if name.startswith(("rtx", "pro")))
V100, OWN_CPU, FLOPS, PARAMS = "v100, paper", "our cpu", "multiply-adds", "parameters"
MEASURES = (*SETTINGS, V100, OWN_CPU, FLOPS, PARAMS)
CONVOLUTIONAL = re.compile(
    r"(tf_|gluon_|legacy_|tv_|ssl_|swsl_|wide_|se|eca_?|sk|ese_|dm_|nf_|semnas|csp?|cs3(se_)?)*"
    r"(resnet|resnext|resnest|regnet[xyvz]|efficientnet|mobilenetv[123]|mobilenetv4_conv|mnasnet|densenet|gernet"
    r"|vgg|dla|hrnet|convnext|nfnet|repvgg|rexnet|ghostnet|darknet|edgenet|xception|inception|dpn|tinynet|mixnet"
    r"|lcnet|fbnet|hardcorenas|hgnet|tresnet|selecsls|net|mobileone|vovnet|spnasnet|mobilenet_edgetpu|res2ne[tx]t?"
    r"|fasternet|starnet|repghostnet|repvit|convmixer|convformer|mambaout|rdnet|p?nasnet)"
)
"""Names of timm's networks that are convolutions, with gates or without, but no attention in space."""
_IN_TIMM = {
    **{f"RegNetY-{size}MF": f"regnety_{size // 100:03d}" for size in (200, 400, 600, 800)},
    **{f"ResNet-{depth}": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    **{f"EfficientNet-B{size}": f"tf_efficientnet_b{size}" for size in range(8)},
    **{"MobileNetV2-0.5": "mobilenetv2_050", "MobileNetV2-1.0": "mobilenetv2_100"},
    **{"MobileNetV2-1.4": "mobilenetv2_140", "MnasNet-1.0": "mnasnet_100"},
    **{f"DenseNet-{depth}": f"densenet{depth}" for depth in (121, 161, 169, 201)},
}
_TORCHVISION_IN_TIMM = {
    **{row.torchvision: _IN_TIMM[row.name] for row in TABLE7 if row.torchvision},
    **{f"regnet_y_{size}gf": f"regnety_{size.replace('_', ''):0>3}" for size in ("1_6", "3_2")},
    **{f"regnet_y_{size}gf": f"regnety_{size:0>2}0" for size in ("8", "16")},
    **{f"mobilenet_v3_{size}": f"mobilenetv3_{size}_100" for size in ("large", "small")},
}
GENETS = {"gernet_s": "GENet-light", "gernet_m": "GENet-normal", "gernet_l": "GENet-large"}
"""The same authors' earlier networks for GPUs."""


def listed() -> pd.DataFrame:
    """Networks of Table 7 that timm has: `model`, `resolution`, and the paper's V100 milliseconds."""
    rows = []
    for row in TABLE7:
        if row.name in _IN_TIMM:
            side = SIDES[int(row.name[-1])] if row.family == "EfficientNets" else 224
            rows.append((_IN_TIMM[row.name], side, row.v100))
    return pd.DataFrame(rows, columns=["model", "resolution", V100])


@cache
def milliseconds() -> pd.DataFrame:
    """Milliseconds of an image by network and size, a column for each measure; counts stand for costs too."""
    speed = device_tables.speed()
    columns, at = [], ["model", "img_size"]
    told = ["device", "precision", "layout", "compiled", "torch"]
    for name, setting in SETTINGS.items():
        mine = speed[(speed[told] == setting).all(axis=1)].drop_duplicates(at)
        columns.append(1e3 / mine.set_index(at)["images_per_second"].rename(name))
    counts = speed.dropna(subset="gmacs").drop_duplicates(at).set_index(at)
    columns += [counts["gmacs"].rename(FLOPS), counts["params_M"].rename(PARAMS)]
    paper = listed().rename(columns={"resolution": "img_size"}).set_index(at)
    own = LATENCY.stored().query("device == 'cpu' and dtype == 'float32' and batch_size == 16")
    own = own.assign(model=own["network"].replace(_TORCHVISION_IN_TIMM))
    own = own.rename(columns={"resolution": "img_size", "milliseconds": OWN_CPU})
    columns += [paper[V100], own.set_index(at)[OWN_CPU]]
    return pd.concat(columns, axis=1).rename_axis(at)


def pair_row(*, first: str, second: str) -> dict[str, Any]:
    """How alike two measures order the convolutional networks that both have."""
    table = milliseconds()
    rows = table[[first, second]].dropna()
    rows = rows[[bool(CONVOLUTIONAL.match(model)) for model in rows.index.get_level_values(0)]]
    if len(rows) < 8:
        raise ScoreUndefined(f"{len(rows)} networks in both")
    found = correlate(rows[first], rows[second], resamples=1000)
    return {"n": found.n} | kendall(found)


PAIRS = Table(
    study=STUDY,
    name="pairs",
    compute=pair_row,
    units={
        "first": "name: a device with its setting, or a count",
        "second": "name: another",
        "n": "count: convolutional networks, at one size of images, that both have",
    }
    | ends_units("kendall", "1: Kendall's tau of their costs of an image", END + " over networks"),
    otherwise=ARITHMETIC,
)


@cache
def trained() -> pd.DataFrame:
    """Networks of timm's tables by size: the best published top-1 without images beyond ImageNet-1k."""
    results = timm_results.table()
    best = results[~results["more_data"]].groupby(["model", "resolution"])["top1"].max().rename("top1")
    return milliseconds().join(best.rename_axis(["model", "img_size"]), how="inner").dropna(subset="top1")


def _front(rows: pd.DataFrame, setting: str) -> pd.DataFrame:
    """Networks than which none is faster and at least as accurate."""
    ordered = rows.dropna(subset=setting).sort_values([setting, "top1"], ascending=[True, False])
    return ordered[ordered["top1"] > ordered["top1"].cummax().shift(fill_value=-np.inf)]


def front_row(*, setting: str) -> dict[str, Any]:
    """The front of accuracy and speed on a device, and how far the GENets lie behind it."""
    rows = trained().dropna(subset=setting)
    front = _front(rows, setting)
    names = [model for model, _ in front.index]
    lags = {}
    for name in GENETS:
        own = rows.loc[name].sort_values(setting).iloc[0]
        quicker = front[front["top1"] >= own["top1"]][setting].min()
        lags[f"{name}_factor"] = float(own[setting] / quicker)
    return {
        "n": len(rows),
        "front": len(front),
        "convolutional": sum(bool(CONVOLUTIONAL.match(name)) for name in names),
        "networks": ", ".join(f"{model} ({side})" for model, side in front.index),
    } | lags


FRONTS = Table(
    study=STUDY,
    name="fronts",
    compute=front_row,
    units={
        "setting": "name: a device with its setting",
        "n": "count: networks with a size of images, measured there, of no data beyond ImageNet-1k by tag",
        "front": "count: those than which none is both faster and at least as accurate",
        "convolutional": "count: convolutional ones among them",
        "networks": "text: their names and sizes of images in pixels, the fastest first",
    }
    | {
        f"{name}_factor": f"1: time of {shown} over that of the fastest network that is as accurate"
        for name, shown in GENETS.items()
    },
    agreement={name: EXACT for name in ("n", "front", "convolutional", "networks")},
    otherwise=ARITHMETIC,
)


def carried_row(*, network: str, setting: str) -> dict[str, Any]:
    """A ZenNet's time on a device if it kept its place in the paper's V100 column, and who beats it there."""
    table = milliseconds()[[V100, setting]].dropna()
    x, y = np.log(table[V100].to_numpy(float)), np.log(table[setting].to_numpy(float))
    slope, start = np.polyfit(x, y, 1)
    scatter = float(np.std(y - slope * x - start, ddof=2))
    published = PUBLISHED[network]
    assert published.v100 is not None
    foretold = float(np.exp(start + slope * np.log(published.v100)))
    rows = trained().dropna(subset=setting)
    better = rows[rows["top1"] >= published.top1["imagenet"]]
    return {
        "n": len(table),
        "slope": float(slope),
        "factor": float(np.exp(scatter)),
        "milliseconds": foretold,
        "dominated_by": int((better[setting] <= foretold).sum()),
        "dominated_even_if_faster": int((better[setting] <= foretold / np.exp(scatter)).sum()),
        "lag": float(foretold / better[setting].min()),
    }


CARRIED = Table(
    study=STUDY,
    name="carried",
    compute=carried_row,
    units={
        "network": "name: a ZenNet with its published top-1",
        "setting": "name: a device with its setting",
        "n": "count: networks of Table 7 measured there, through which the line goes",
        "slope": "1: of the line, logarithm of its time against logarithm of the V100's",
        "factor": "1: exponential of the standard deviation around the line",
        "milliseconds": "ms: of an image, on the line; not measured",
        "dominated_by": "count: networks at least as accurate and no slower than that",
        "dominated_even_if_faster": "count: the same, were it faster by one such factor",
        "lag": "1: that time over that of the fastest network as accurate",
    },
    otherwise=ARITHMETIC,
)
OWN = Table(
    study=STUDY,
    name="pairs_own_cpu",
    key=PAIRS.key,
    compute=pair_row,
    units=PAIRS.units,
    otherwise=FOLLOWS,
)
"""Pairs with our processor: its times are measured again elsewhere."""


def pair_keys() -> list[dict[str, str]]:
    """Every pair of measures once, ours left out."""
    names = [name for name in MEASURES if name != OWN_CPU]
    return [{"first": a, "second": b} for a, b in combinations(names, 2)]


def own_keys() -> list[dict[str, str]]:
    """Our processor with every other measure."""
    return [{"first": OWN_CPU, "second": name} for name in MEASURES if name != OWN_CPU]


def carried_keys() -> list[dict[str, str]]:
    """Every ZenNet of the latency searches on every GPU."""
    return [{"network": name, "setting": gpu} for name in IMAGENET_ZENNETS for gpu in GPUS]
