"""Latency on devices not at hand: from published measurements, and from a GPU as soon as there is one.

The measurements are the user's to bring; what is stored are predictions and aggregates, which are shown
without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import kendalltau

from experiments.benchmarks import device_tables, nasbench201, timm_results
from experiments.benchmarks.published_networks import PUBLISHED, TABLE7
from experiments.benchmarks.tables import filled
from experiments.chapters.devices.cells import CELL_FRONTS, CELLS, SCORES, SHARES
from experiments.chapters.devices.gpus import (
    CARRIED,
    CONVOLUTIONAL,
    FLOPS,
    FRONTS,
    GENETS,
    GPUS,
    MEASURES,
    OWN,
    OWN_CPU,
    PAIRS,
    PARAMS,
    V100,
    carried_keys,
    own_keys,
    pair_keys,
)
from experiments.chapters.devices.kit import AT_ONCE, GPU, LIMITS, OTHERS, planned
from experiments.chapters.devices.v100 import (
    BATCH,
    HELD_OUT,
    INTERPOLATION,
    PRECISIONS,
    PREDICTIONS,
    SEARCHES,
    ZENNET_ROWS,
    table7,
)
from experiments.record.keys import crossed
from experiments.record.table import Table
from experiments.record.wording import UNKNOWN, Told, bracketed, ends, number
from zenlib.networks.zennets import ZENNETS
from zenlib.stats import correlate

SHOWN = {
    "zen_l1_running": "Zen, released",
    "effective_gain": "repaired",
    "params": "parameters",
    "live_convs": "live convolutions",
}
"""Scores of the figure, with their labels."""
FRONTS_SHOWN = {name: SCORES[name] for name in ("zen_l1_running", "effective_gain", "params", "latency")}
"""Scores whose fronts are drawn."""
MEASURED = {
    **{gpu: gpu.upper().replace("RTX", "RTX ").replace("EAGER", "uncompiled") for gpu in GPUS},
    **{"pro6000": "RTX Pro 6000", "i9-10940x": "i9-10940X", "i7-12700h": "i7-12700H"},
    **{V100: "V100, paper", OWN_CPU: "our processor", FLOPS: FLOPS, PARAMS: PARAMS},
}
"""Measures of the cost of an image, with their labels."""
NOT_MEASURED = "not yet measured on a GPU"
_V100 = device_tables.is_there(device_tables.CONVOLUTIONS)
_CELLS = device_tables.is_there(device_tables.CELLS) and nasbench201.is_there()
_SPEED = device_tables.is_there(device_tables.SPEED) and device_tables.is_there(timm_results.FILE)
TABLES = (
    *(ZENNET_ROWS, PREDICTIONS, INTERPOLATION, SEARCHES, CELLS, CELL_FRONTS, PAIRS, OWN, FRONTS, CARRIED),
    *((GPU,) if torch.cuda.is_available() else ()),
)
"""The kit's rows are verified where there is a GPU."""
MISSING = {
    device_tables.CONVOLUTIONS: _V100,
    f"{device_tables.CELLS} or {nasbench201.FILE}": _CELLS,
    f"{device_tables.SPEED} or {timm_results.FILE}": _SPEED,
}
DEVICES = {
    "edgegpu": "edge GPU",
    "raspi4": "Raspberry Pi 4",
    "edgetpu": "Edge TPU",
    "pixel3": "Pixel 3",
    "eyeriss": "Eyeriss",
    "fpga": "FPGA",
}
LIMITED = {0.1: 10, 0.2: 13, 0.3: 16, 0.069: 10, 0.13: 13, 0.176: 16}
"""Limit of the latency, ms -> of the layers: the paper's, then what the table foretells of its networks."""
MEMORY = 320 * 1024
BESIDE = {
    "b5": ("EfficientNet-B5", "zennet-1.2ms"),
    "r50": ("ResNet-50", "zennet-0.3ms"),
    "r152": ("ResNet-152", "zennet-1.2ms"),
}
"""What the ZenNets are said to be faster than; the first is the paper's claim."""


@dataclass(frozen=True)
class DeviceRows:
    """What the chapter reads."""

    predictions: pd.DataFrame  # one line per network of Table 7 and precision
    interpolation: pd.DataFrame  # one line per part of the table that was left out
    searches: pd.DataFrame  # one line per limit
    zennets: pd.DataFrame  # one line per published network, by our counts
    cells: pd.DataFrame  # one line per data set, device and score
    # one line per device and drawn score: what its front loses on CIFAR-10 at every budget
    cell_fronts: pd.DataFrame
    pairs: pd.DataFrame  # one line per pair of measures
    fronts: pd.DataFrame  # one line per GPU
    carried: pd.DataFrame  # one line per ZenNet and GPU
    gpu: pd.DataFrame  # what the kit measured


def run(
    *,
    networks: Sequence[str] | None = None,
    precisions: Sequence[str] = PRECISIONS,
    held_out: Sequence[str] = HELD_OUT,
    limits: Sequence[float] = tuple(LIMITED),
    evaluations: int = 20_000,
    datasets: Sequence[str] = ("cifar10", "cifar100", "imagenet16"),
    devices: Sequence[str] = tuple(DEVICES),
    measures: Sequence[str] = MEASURES,
) -> DeviceRows:
    """Computes what is not stored yet; without the published files the stored rows are read.

    Args:
        networks: of Table 7; None means all that can be built here.
        precisions: of the table of convolutions.
        held_out: which rows of that table are left out and predicted.
        limits: of the latency searches, those of `LIMITED`; none leaves the search within memory out as well.
        evaluations: candidates of each search.
        datasets: accuracies of NAS-Bench-201.
        devices: of HW-NAS-Bench.
        measures: devices and counts that are compared by pairs; the GPUs among them have fronts.
    """
    batch = {"batch_size": BATCH}
    predicted = crossed(batch, precision=precisions, network=networks or table7())
    kinds = ("Regular", "Depthwise")
    left_out = crossed(batch, precision=precisions, left_out=held_out, kind=kinds)
    drawn = [name for name in datasets if name == "cifar10"]
    fronts = crossed({}, dataset=drawn, device=devices, score=FRONTS_SHOWN)
    return DeviceRows(
        predictions=_filled(PREDICTIONS, predicted, _V100).dropna(subset="milliseconds"),
        interpolation=_filled(INTERPOLATION, left_out, _V100).dropna(subset="n"),
        searches=_filled(SEARCHES, _searches(limits, evaluations), _V100),
        zennets=ZENNET_ROWS.fill([{"network": name, "precision": "int8"} for name in ZENNETS]),
        cells=_filled(CELLS, crossed({}, dataset=datasets, device=devices, score=SCORES), _CELLS),
        cell_fronts=_filled(CELL_FRONTS, fronts, _CELLS),
        pairs=_pairs(measures),
        fronts=_filled(FRONTS, [{"setting": gpu} for gpu in GPUS if gpu in measures], _SPEED),
        carried=_filled(CARRIED, [key for key in carried_keys() if key["setting"] in measures], _SPEED),
        gpu=GPU.stored(),
    )


def _filled(table: Table, keys: Sequence[dict[str, Any]], there: bool) -> pd.DataFrame:
    return filled(table, keys, lambda _: there)


def _pairs(measures: Sequence[str]) -> pd.DataFrame:
    found = []
    for table, keys in ((PAIRS, pair_keys()), (OWN, own_keys())):
        wanted = [key for key in keys if {key["first"], key["second"]} <= set(measures)]
        found.append(_filled(table, wanted, _SPEED))
    return pd.concat(found).dropna(subset="kendall")


def _searches(limits: Sequence[float], evaluations: int) -> list[dict[str, Any]]:
    both = {"evaluations": evaluations, "seed": 0}
    within = [
        {
            **{"space": "resnet-like", "max_latency": limit, "max_depth": LIMITED[limit], "max_memory": 0},
            **{"precision": "fp16", "resolution": 224},
        }
        | both
        for limit in limits
    ]
    small = {"space": "mobilenet-like", "max_latency": 0.0, "max_depth": 14, "max_memory": MEMORY}
    return within + ([small | {"precision": "int8", "resolution": 160} | both] if limits else [])


def facts(rows: DeviceRows) -> dict[str, str]:
    """Every number of the chapter's prose."""
    missing = [name for name, there in MISSING.items() if not there]
    told = {"missing": f"missing here: {', '.join(missing)}" if missing else "all files were there"}
    told |= _v100_facts(rows) | _search_facts(rows) | _cell_facts(rows) | _gpu_facts(rows)
    return told | {
        "kit_rows": f"{len(rows.gpu):,}" if len(rows.gpu) else NOT_MEASURED,
        "kit_cases": str(len(planned())),
        "kit_at_once": str(AT_ONCE),
        "kit_minutes": number(sum(LIMITS.values()) / 60, 0),
    }


def _v100_facts(rows: DeviceRows) -> dict[str, str]:
    told: dict[str, str] = {}
    refused = PREDICTIONS.stored()
    refused = refused[refused["milliseconds"].isna() & (refused["precision"] == "fp16")]
    told["refused"] = ", ".join(refused["network"]) or "none"
    told["not_built"] = ", ".join(row.name for row in TABLE7 if row.name not in table7())
    for precision in PRECISIONS:
        found = rows.predictions[rows.predictions["precision"] == precision]
        whole = found[found["whole"].astype(bool)]
        told[f"n_{precision}"] = str(len(whole))
        told[f"tau_{precision}"] = told[f"tau_flops_{precision}"] = UNKNOWN
        if len(whole) > 8:
            with_interval = correlate(whole["milliseconds"], whole["published"])
            told[f"tau_{precision}"] = bracketed(with_interval.kendall, *with_interval.kendall_interval)
            flops = kendalltau(whole["multiply_adds"], whole["published"]).statistic
            told[f"tau_flops_{precision}"] = number(flops)
        for family in ("ResNets", "Mobile nets", "ZenNets"):
            ratio = whole[whole["family"] == family]
            ratio = ratio["published"] / ratio["milliseconds"]
            name = f"{family.split()[0].lower()}_{precision}"
            told[f"ratio_{name}"] = number(ratio.median() if len(ratio) else np.nan)
            told[f"range_{name}"] = ends(ratio)
        at = found.set_index("network")["milliseconds"]
        for name, (slow, quick) in BESIDE.items():
            told[f"{name}_{precision}"] = number(at.get(slow, np.nan) / at.get(quick, np.nan))
    published = {row["network"]: row["published"] for row in rows.predictions.to_dict("records")}
    for name, (slow, quick) in BESIDE.items():
        told[f"{name}_paper"] = number(published.get(slow, np.nan) / published.get(quick, np.nan))
    return told | _error_facts(rows)


def _error_facts(rows: DeviceRows) -> dict[str, str]:
    told: dict[str, str] = {}
    errors = ("median_error", "error_90")
    percent = rows.interpolation.assign(**{name: 100 * rows.interpolation[name] for name in errors})
    found = Told(percent, ["precision", "left_out", "kind"], UNKNOWN)
    for precision in PRECISIONS:
        for part in HELD_OUT:
            at, name = (precision, part, "Regular"), f"{part.replace(' ', '_')}_{precision}"
            told[f"error_{name}"] = found.number(at, "median_error", 0)
            told[f"error90_{name}"] = found.number(at, "error_90", 0)
    return told


def _search_facts(rows: DeviceRows) -> dict[str, str]:
    told: dict[str, str] = {}
    sizes = {name: rows.searches[name] / 1e6 for name in ("params", "flops")}
    searches = rows.searches.assign(**sizes, memory=rows.searches["memory"] / 1024)
    found, small = Told(searches, ["max_latency"], UNKNOWN), (0.0,)
    for limit in LIMITED:
        name = f"{limit:g}".replace(".", "")
        told[f"score_{name}"] = found.number((limit,), "best_score", 0)
        told[f"params_{name}"] = found.number((limit,), "params", 0)
    for row in rows.zennets.to_dict("records"):
        name = row["network"].removeprefix("zennet-").replace(".", "").replace("-", "_")
        told[f"zen_score_{name}"] = number(row["score"], 0)
        told[f"zen_params_{name}"] = number(row["params"] / 1e6, 0)
        told[f"zen_memory_{name}"] = f"{row['memory'] / 1024:,.0f}"
    return told | {
        "memory_score": found.number(small, "best_score", 0),
        "memory_kib": found.text(small, "{memory:,.0f}"),
        "memory_params": found.number(small, "params", 1),
        "memory_flops": found.text(small, "{flops:,.0f}"),
        "evaluations": f"{searches['evaluations'].max():,.0f}" if len(searches) else UNKNOWN,
    }


def _cell_facts(rows: DeviceRows) -> dict[str, str]:
    told, cells = dict.fromkeys(("cells_cases", "edgetpu_missing"), UNKNOWN), rows.cells
    for score, label in FRONTS_SHOWN.items():
        mine = cells[(cells["dataset"] == "cifar10") & (cells["score"] == score)]
        for column, name in (("tau_latency", "cost"), ("tau_equal", "equal"), ("loss", "loss")):
            told[f"{name}_{'params' if score == 'params' else _short(label)}"] = ends(mine[column])
    told |= dict.fromkeys(("cells_best_equal", "cells_least_loss", "repaired_first"), UNKNOWN)
    if len(cells):
        counts = cells.groupby("device")["n"].max()
        told["edgetpu_missing"] = f"{counts.max() - counts.get('edgetpu', counts.max()):,.0f}"
        equal = cells.loc[cells.groupby(["dataset", "device"])["tau_equal"].idxmax(), "score"]
        loss = cells.loc[cells.groupby(["dataset", "device"])["loss"].idxmin(), "score"]
        for name, winners in (("cells_best_equal", equal), ("cells_least_loss", loss)):
            told[name] = ", ".join(
                f"{SCORES[score]} {count}" for score, count in winners.value_counts().items()
            )
        told["cells_cases"] = str(len(equal))
        told["repaired_first"] = str((equal == "effective_gain").sum())
    return told | _front_facts(rows)


def _short(label: str) -> str:
    """The first word of a label."""
    return label.split()[0].rstrip(",").lower()


def _front_facts(rows: DeviceRows) -> dict[str, str]:
    """What each front loses on CIFAR-10 with half of the cells within the budget, over the devices."""
    half = front_lines(rows).query("budget == 50")
    return {
        f"half_{_short(label)}": ends(half[half["score"] == score]["lost"], 1)
        for score, label in FRONTS_SHOWN.items()
    }


def _gpu_facts(rows: DeviceRows) -> dict[str, str]:
    told: dict[str, str] = {}
    pairs, found = rows.pairs, Told(rows.pairs, ["first", "second"], UNKNOWN)
    told["gpus_alike"] = ends(pairs[pairs["first"].isin(GPUS) & pairs["second"].isin(GPUS)]["kendall"])
    for name, first, second in (
        ("v100_4090", "rtx4090", "v100, paper"),
        ("v100_5090", "rtx5090", "v100, paper"),
        ("flops_4090", "rtx4090", "multiply-adds"),
        ("cpu_4090", "our cpu", "rtx4090"),
        ("cpu_v100", "our cpu", "v100, paper"),
        ("flops_v100", "v100, paper", "multiply-adds"),
        ("desktop_4090", "rtx4090", "i9-10940x"),
    ):
        told[f"pair_{name}"] = found.interval((first, second), "kendall")
        told[f"pairs_n_{name}"] = found.text((first, second), "{n:,.0f}")
    fronts, gpu = Told(rows.fronts, ["setting"], UNKNOWN), ("rtx4090",)
    told["front_n"] = fronts.text(gpu, "{n:,.0f}")
    told["front_size"] = fronts.text(gpu, "{front:.0f}")
    told["front_convolutional"] = fronts.text(gpu, "{convolutional:.0f}")
    told |= {f"lag_{name}": fronts.number(gpu, f"{name}_factor") for name in GENETS}
    carried = Told(rows.carried, ["setting", "network"], UNKNOWN)
    told["carried_factor"] = carried.number((*gpu, "zennet-0.1ms"), "factor")
    for name in ("0.1ms", "0.3ms", "0.5ms", "1.2ms", "400M-SE", "900M-SE"):
        short, at = name.replace(".", "").replace("-", "_"), (*gpu, f"zennet-{name}")
        told[f"lag_{short}"] = carried.number(at, "lag")
        told[f"beaten_{short}"] = carried.text(at, "{dominated_by:.0f}")
    return told


def figure_data(rows: DeviceRows) -> pd.DataFrame:
    """The rows behind the figure, both panels."""
    above = rows.predictions[
        (rows.predictions["precision"] == "fp16") & rows.predictions["whole"].astype(bool)
    ]
    below = rows.cells[(rows.cells["dataset"] == "cifar10") & rows.cells["score"].isin(SHOWN)]
    above = above[["network", "family", "milliseconds", "published"]].assign(panel="V100")
    below = below[["device", "score", "tau_equal", "tau_equal_stderr"]].assign(panel="cells")
    first = ["panel", "network", "device", "score"]
    both = pd.concat([above, below]).fillna({name: "" for name in first})
    return both[[*first, *(name for name in both if name not in first)]]


def front_lines(rows: DeviceRows) -> pd.DataFrame:
    """What the drawn fronts lose on CIFAR-10, a line per device, score and budget in percent of the cells."""
    ours = rows.cell_fronts
    columns = ["device", "score", "lost", "lost_low", "lost_high"]
    parts = []
    for share in SHARES:
        found = ["device", "score", *(f"lost_{share}{end}" for end in ("", "_low", "_high"))]
        parts.append(ours[found].set_axis(columns, axis=1).assign(budget=share))
    lines = pd.concat(parts)[["device", "score", "budget", *columns[2:]]]
    return lines.astype(dict.fromkeys(columns[2:], float))  # also where there are none


def agreement(rows: DeviceRows) -> pd.DataFrame:
    """Kendall's tau of the costs of an image between every two measures, both ways and with themselves."""
    pairs = rows.pairs[["first", "second", "kendall"]]
    names = [*dict.fromkeys([*pairs["first"], *pairs["second"]])] or [FLOPS]
    alike = pd.DataFrame({"first": names, "second": names, "kendall": 1.0})
    turned = pairs.set_axis(["second", "first", "kendall"], axis=1)
    both = pd.concat([pairs, turned, alike])
    return both.rename(columns={"first": "score", "second": "other"}).astype({"kendall": float})


def v100_table(rows: DeviceRows) -> pd.DataFrame:
    """Published and predicted latencies, for the page."""
    wide = rows.predictions.pivot_table(
        index="network", columns="precision", values="milliseconds", sort=False
    )
    about = rows.predictions.drop_duplicates("network").set_index("network")
    shown = pd.DataFrame({"paper, fp16": about["published"].map("{:.2f}".format)})
    for precision in wide:
        shown[f"table, {precision}"] = wide[precision].map("{:.3f}".format)
    if "fp16" in wide:
        shown["paper / table, fp16"] = (about["published"] / wide["fp16"]).map("{:.2f}".format)
    shown["predicted"] = np.where(
        about["whole"].astype(bool), "whole network", "convolutions alone: a lower bound"
    )
    return shown.rename(index=lambda name: name.replace("zennet", "ZenNet"))


def memory_table(rows: DeviceRows) -> pd.DataFrame:
    """Peak memory of the ZenNets, for the page."""
    zennets = rows.zennets.set_index("network")
    return pd.DataFrame(
        {
            "side (pixels)": zennets["resolution"],
            "peak of 8-bit maps (KiB)": (zennets["memory"] / 1024).map("{:,.0f}".format),
            "peak of float32 maps (KiB)": (zennets["memory"] / 256).map("{:,.0f}".format),
            "parameters": zennets["params"].map("{:,}".format),
        }
    ).rename(index=lambda name: name.replace("zennet", "ZenNet"))


def cell_table(rows: DeviceRows) -> pd.DataFrame:
    """Scores on six devices with CIFAR-10 accuracies, for the page."""
    ours = rows.cells[(rows.cells["dataset"] == "cifar10") & (rows.cells["score"] != "latency")]
    lines = []
    for row in ours.to_dict("records"):
        lines.append(
            {
                "device": DEVICES[row["device"]],
                "score": SCORES[row["score"]],
                "tau with latency": number(row["tau_latency"]),
                "tau with accuracy": number(row["tau_accuracy"]),
                "at equal latency": f"{number(row['tau_equal'])} ± {number(row['tau_equal_stderr'])}",
                "points lost": number(row["loss"], 1),
            }
        )
    return pd.DataFrame(lines).set_index(["device", "score"]) if lines else pd.DataFrame(lines)


def front_table(rows: DeviceRows) -> pd.DataFrame:
    """Fronts of accuracy and speed, for the page."""
    lines = []
    for row in rows.fronts.to_dict("records"):
        names = row["networks"].split(", ")
        behind = {shown: number(row[f"{name}_factor"]) for name, shown in GENETS.items()}
        lines.append(
            {
                "GPU": row["setting"],
                "networks": f"{row['n']:,.0f}",
                "on the front": f"{row['front']:.0f}",
                "convolutional": sum(bool(CONVOLUTIONAL.match(name)) for name in names),
            }
            | {f"{shown}, times as long": factor for shown, factor in behind.items()}
        )
    return pd.DataFrame(lines).set_index("GPU") if lines else pd.DataFrame(lines)


def latency_table(rows: DeviceRows) -> pd.DataFrame:
    """Latencies of the kit beside the paper's column, one line a network; a cell says where nothing is."""
    published: dict[str, tuple[str, float | None]] = {
        row.torchvision: (row.name, row.v100) for row in TABLE7 if row.torchvision
    }
    published |= {name: (name.replace("zennet", "ZenNet"), PUBLISHED[name].v100) for name in ZENNETS}
    shown = {}
    for case in ZENNETS + OTHERS:
        name, paper = published[case]
        shown[name] = {
            "V100, paper (ms)": "–" if paper is None else f"{paper:g}",
            "GPU, kit (ms)": _measured(rows, "latency", case, ("milliseconds",)),
        }
    return pd.DataFrame(shown).T


def kit_table(rows: DeviceRows) -> pd.DataFrame:
    """Everything else that the kit measures; the agreement with the CPU is one line, by the worst score."""
    cases = [(step, case) for step, case in planned() if step not in ("latency", "agreement")]
    shown = {case: _measured(rows, step, case) for step, case in cases}
    off = rows.gpu[(rows.gpu["step"] == "agreement") & (rows.gpu["quantity"] == "relative difference")]
    scores = sum(step == "agreement" for step, _ in planned())
    worst = off.loc[off.groupby("device")["value"].idxmax()].to_dict("records") if len(off) else []
    shown[f"agreement of {scores} scores with the CPU"] = "; ".join(
        f"at worst {row['value']:.2g} of its size, {row['case']} ({row['device']})" for row in worst
    )
    return pd.DataFrame({"measured": {case: text or NOT_MEASURED for case, text in shown.items()}})


def _measured(rows: DeviceRows, step: str, case: str, quantities: Sequence[str] = ()) -> str:
    """The values of a case on every GPU; of some quantities without their names."""
    found = rows.gpu[(rows.gpu["step"] == step) & (rows.gpu["case"] == case)]
    found = found[found["quantity"].isin(quantities)] if quantities else found
    texts = []
    for device, mine in found.groupby("device", sort=False):
        values = [
            f"{row['value']:.3g}" if quantities else f"{row['quantity']} {row['value']:.4g}"
            for row in mine.to_dict("records")
        ]
        texts.append(f"{', '.join(values)} ({device})")
    return "; ".join(texts) or NOT_MEASURED
