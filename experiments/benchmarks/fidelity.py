"""How near a proxy comes to its authors' code, one choice switched at a time.

NAS-Bench-Suite-Zero stores scores of 725 cells of NAS-Bench-201, computed by the authors' code on batches of
CIFAR-10 and PyTorch's initialisation. CIFAR-10 is not part of this project; crops of three photographs that
scikit-learn and matplotlib ship stand for natural images. The stored scores are the user's to bring; what is
kept are scores of our own and aggregates.

Source: Krishnakumar et al. 2022 (arXiv 2210.03230).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from experiments.benchmarks import nasbench201
from experiments.benchmarks.nasbench201_space import Cell, build
from experiments.benchmarks.network_scores import proxy_value
from experiments.benchmarks.tables import read_table
from experiments.record import results
from experiments.record.agreement import ARITHMETIC
from experiments.record.estimates import ends_units, with_ends
from experiments.record.score_check import ScoreCheck, seed_of
from experiments.record.score_columns import ScoreColumns, Values
from experiments.record.score_tolerances import PROXY_AGREEMENT
from experiments.record.table import Table
from zenlib.errors import ScoreUndefined
from zenlib.proxies.query import Batch, Query
from zenlib.stats import correlate

STUDY = "benchmarks"
FILE = "nasbench201_zc725.csv"
OFFICIAL = {
    "naswot": "nwot",
    "jacob-cov": "jacov",
    "fisher": "fisher",
    "fisher-channels": "fisher",
    "grasp": "grasp",
    "snip": "snip",
    "grad-norm": "grad_norm",
    "synflow": "synflow",
}
"""Proxy -> column of the stored scores."""
FAILED = -1e8
"""What the suite stores where a score has no value."""
MEAN, DEVIATION = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
"""Of the colours of CIFAR-10, by which its images are scaled."""


@dataclass(frozen=True)
class Setting:
    """How a proxy is asked."""

    # "noise" from N(0, 1), "photo" for crops of photographs with random labels, or "labelled" for crops whose
    # label says which photograph they come from
    images: str
    batch_size: int  # how many
    initialisation: str  # "he", or "default" for PyTorch's

    def __str__(self) -> str:
        return f"{self.images}{self.batch_size}_{self.initialisation}"


SETTINGS = (
    Setting("noise", 16, "he"),
    Setting("noise", 32, "default"),
    Setting("noise", 64, "default"),
    Setting("photo", 32, "he"),
    Setting("photo", 32, "default"),
    Setting("photo", 64, "default"),
    Setting("labelled", 32, "default"),
)
VALUES = ScoreColumns(
    STUDY,
    nasbench201.CELLS,
    {
        f"{proxy.replace('-', '_')}_{setting}": f"1: proxy {proxy}, {setting.batch_size} images "
        f"({setting.images}) of 32 pixels, {setting.initialisation} initialisation"
        for proxy in OFFICIAL
        for setting in SETTINGS
    },
    name="fidelity",
)
"""One row per cell, by official index."""


def official(dataset: str = "cifar10") -> pd.DataFrame:
    """The stored scores by official index, NaN where the suite has no value.

    Raises:
        BenchmarkMissing: the file is not there.
    """
    columns = {"index": "official index", "dataset": "text, cifar10 and cifar100 among them"}
    rows = read_table(FILE, columns | dict.fromkeys(OFFICIAL.values(), "score"), "NASLib's zero-cost branch")
    return rows[rows["dataset"] == dataset].set_index("index").replace(FAILED, np.nan)


def is_there() -> bool:
    """Whether the user has brought both files."""
    return results.is_there(official) and nasbench201.is_there()


def drawn(count: int) -> list[int]:
    """Official indices of the first cells of a random order of those with stored scores."""
    return [int(index) for index in official().sample(frac=1, random_state=0).index[:count]]


def photographs(count: int, seed: int, side: int = 32, only: int | None = None) -> Tensor:
    """(N, 3, side, side): square crops of three photographs, half of them mirrored, scaled like CIFAR-10.

    The side of a crop is at least a tenth of the photograph's shorter one. `only` takes one of the three.
    """
    generator = np.random.default_rng(seed)
    crops = []
    for index in range(count):
        picture = _pictures()[index % len(_pictures()) if only is None else only]
        shorter = min(picture.shape[:2])
        size = int(generator.uniform(max(side, 0.1 * shorter), shorter))
        top, left = (int(generator.integers(0, length - size + 1)) for length in picture.shape[:2])
        crop = picture[top : top + size, left : left + size]
        crops.append(_resized(crop[:, ::-1] if generator.random() < 0.5 else crop, side))
    images = torch.tensor(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, DEVIATION))
    return (images - mean) / deviation


@cache
def _pictures() -> list[np.ndarray]:
    from matplotlib.cbook import get_sample_data
    from PIL import Image
    from sklearn.datasets import load_sample_images

    portrait = np.asarray(Image.open(str(get_sample_data("grace_hopper.jpg", asfileobj=False))))
    return [*(np.asarray(picture) for picture in load_sample_images().images), portrait]


def _resized(crop: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(crop)).resize((side, side), Image.Resampling.BOX))


@torch.no_grad()
def default_initialisation(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """PyTorch's own, U(-b, b) with b = fan_in^-1/2 for weights and biases; modes as proxies want them."""
    module.eval()
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            bound = layer.weight[0].numel() ** -0.5
            for parameter in (layer.weight, layer.bias):
                if parameter is not None:
                    parameter.copy_((torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound)
        elif isinstance(layer, _BatchNorm):
            layer.reset_parameters()
            layer.train()
    return module


def asked(cell: Cell, setting: Setting, seed: int) -> Query:
    """The question to a proxy."""
    batch: Batch | None = None
    if setting.images != "noise":
        generator = torch.Generator().manual_seed(seed + 99)
        labels = torch.randint(0, 10, (setting.batch_size,), generator=generator)
        if setting.images == "labelled":
            labels = torch.arange(setting.batch_size) % len(_pictures())
        batch = photographs(setting.batch_size, seed), labels
    module = build(cell)
    query = Query(module, 32, setting.batch_size, seed, torch.device("cpu"), batch)
    if setting.initialisation == "default":
        query.__dict__["module"] = default_initialisation(module, query.generator(0))
    return query


def column(proxy: str, setting: Setting, seed: int) -> str:
    """The column of a proxy."""
    return f"{proxy.replace('-', '_')}_{setting}_s{seed}"


def measure(index: int, proxies: Sequence[str], setting: Setting, seed: int) -> Values:
    """The values of one cell by column, NaN where undefined."""
    query = asked(Cell.from_string(nasbench201.table()["arch"].iloc[index]), setting, seed)
    return {column(name, setting, seed): proxy_value(query, name) for name in proxies}


def fill(proxies: Sequence[str], setting: Setting, seed: int, cells: int) -> None:
    """Computes what is missing."""
    names = [column(name, setting, seed) for name in proxies]
    VALUES.fill(names, lambda index: measure(index, proxies, setting, seed), drawn(cells))


def recomputed(name: str, index: int) -> float:
    """The value of a column for one cell, computed again."""
    seed = seed_of(name)
    places = {column(proxy, setting, seed): (proxy, setting) for proxy in OFFICIAL for setting in SETTINGS}
    proxy, setting = places[name]
    return measure(index, (proxy,), setting, seed)[name]


CHECK = ScoreCheck(
    VALUES,
    recomputed,
    {
        f"{proxy.replace('-', '_')}_{setting}": PROXY_AGREEMENT[proxy]
        for proxy in OFFICIAL
        for setting in SETTINGS
    },
)
"""How a sample of the stored scores is computed again."""


def agreement_row(
    *, proxy: str, images: str, batch_size: int, initialisation: str, seed: int, beside: str, cells: int
) -> dict[str, float]:
    """Spearman's rho with the stored scores of the suite, or with another draw of our own."""
    setting = Setting(images, batch_size, initialisation)
    ours = VALUES.read().set_index("index")
    places = drawn(cells)
    theirs = official()[OFFICIAL[proxy]] if beside == "suite" else ours[column(proxy, setting, int(beside))]
    name = column(proxy, setting, seed)
    if name not in ours:
        raise ScoreUndefined(f"{name}: not computed")
    pairs = pd.concat([ours[name], theirs], axis=1, keys=["ours", "theirs"]).loc[places].dropna()
    if len(pairs) < 20:
        raise ScoreUndefined(f"{len(pairs)} cells with both values")
    found = correlate(pairs["ours"], pairs["theirs"], resamples=2000)
    return {"n": len(pairs)} | with_ends("spearman", found.spearman, found.spearman_interval)


AGREEMENT = Table(
    study=STUDY,
    name="fidelity_agreement",
    compute=agreement_row,
    units={
        "proxy": "name: in zenlib.PROXIES",
        "images": "name: noise, photo for crops, labelled for crops with their photograph as label",
        "batch_size": "count: images",
        "initialisation": "name: he, or default for PyTorch's",
        "seed": "1: of weights, images and labels",
        "beside": "text: suite for the stored scores of NAS-Bench-Suite-Zero, else the seed of another draw",
        "cells": "count: cells that were drawn from its 725",
        "n": "count: cells with both values",
    }
    | ends_units("spearman", "1: Spearman's rho of both"),
    otherwise=ARITHMETIC,
)


def agreements(counts: Sequence[int] = (40, 120)) -> pd.DataFrame:
    """The agreement of every setting that was computed for the first cells, by how many these are.

    Without the user's files, the stored rows.
    """
    if not is_there():
        return AGREEMENT.stored().dropna(subset="spearman")
    done = {name: found[1] for name, found in VALUES.values().items()}
    keys = []
    for cells in counts:
        for proxy in OFFICIAL:
            for setting in SETTINGS:
                known = [seed for seed in (0, 1) if _all_done(done, column(proxy, setting, seed), cells)]
                key = {"proxy": proxy, "cells": cells} | vars(setting)
                keys += [key | {"seed": 0, "beside": "suite"}] if 0 in known else []
                keys += [key | {"seed": 0, "beside": "1"}] if known == [0, 1] else []
    return AGREEMENT.fill(keys).dropna(subset="spearman")


def _all_done(done: dict[str, np.ndarray], name: str, cells: int) -> bool:
    return name in done and bool(done[name][drawn(cells)].all())
