"""A population of small networks trained on real images: does a score order them, and among which kind?

The paper's Figure 15 correlates the Zen-Score with accuracy over 16 networks of one search. Here every
network is trained with one recipe, in three groups that differ in what may vary: drawn at random within a
budget, taken along a search that maximises the score, and of equal parameters and FLOPs, where nothing cheap
tells them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from experiments.benchmarks.network_scores import PEERS
from experiments.benchmarks.population_networks import GROUPS, NETWORKS
from experiments.chapters.population.rows import PopulationRows
from experiments.record.agreement import OneDraw, Within
from experiments.record.table import Table
from experiments.record.training_rows import peak_table, shortened, training_table
from zenlib.networks.architecture import Architecture
from zenlib.proxies import PROXIES
from zenlib.train.datasets import data_set

STUDY = "population"
BATCH_SIZE = 16
"""Images that a proxy sees."""


def score_row(*, network: str, proxy: str, resolution: int, seed: int) -> dict[str, float]:
    """One proxy of one network."""
    return {
        "score": PROXIES[proxy](
            Architecture.from_string(network), resolution, batch_size=BATCH_SIZE, seed=seed, device="cpu"
        )
    }


SCORES = Table(
    study=STUDY,
    name="scores",
    key=("network", "proxy", "resolution", "seed"),
    compute=score_row,
    units={
        "network": "text: structure string",
        "proxy": "name: in zenlib.PROXIES",
        "resolution": "pixels: side of the images",
        "seed": "1: seed of weights, images and labels",
        "score": f"1: higher is better; {BATCH_SIZE} images",
    },
    agreement={"score": OneDraw(Within(1e-3), alike=("proxy", "resolution"))},
)
TRAINED = training_table(STUDY)
PEAK = peak_table(STUDY)
TABLES = (NETWORKS, SCORES, TRAINED, PEAK)


def run(
    *,
    data: str = "fashion-mnist",
    recipe: str = "fashion-mnist",
    epochs: int = 6,
    params: float = 60_000,
    flops: float = 3_000_000,
    per_group: int = 16,
    again: int = 5,
    longer_epochs: int = 12,
    longer_each: int = 0,
    check_dtype: str = "float32",
    check_each: int = 0,
    proxies: Sequence[str] | None = None,
    proxy_seeds: Sequence[int] = (0, 1, 2),
    dtype: str = "bfloat16",
    device: str = "cpu",
    seed: int = 0,
) -> PopulationRows:
    """Draws, scores and trains the population, or reads it from the store.

    Args:
        data: data set.
        recipe: recipe, shortened to `epochs`.
        epochs: of every training.
        params: most parameters of a network.
        flops: most multiply-adds of a network.
        per_group: networks of each group.
        again: networks of each group that are trained with a second seed.
        longer_epochs: epochs of the trainings that check whether the order is stable by then.
        longer_each: how many networks of each group these are.
        check_dtype: floating type of the trainings that check whether `dtype` gives the same accuracies.
        check_each: how many networks of each group these are.
        proxies: names in `PROXIES`; None means all but `PEERS`.
        proxy_seeds: seeds over which a proxy is averaged; the first alone for those that count.
        dtype: floating type of the training.
        device: where to train.
        seed: of the networks, and the first seed of the trainings.
    """
    if per_group < 1:
        raise ValueError(f"per_group: needed at least 1 network, got {per_group}")
    for name, count in (("again", again), ("longer_each", longer_each), ("check_each", check_each)):
        if not 0 <= count <= per_group:
            raise ValueError(f"{name}: needed 0 to per_group ({per_group}) networks, got {count}")
    names = [name for name in PROXIES if name not in PEERS] if proxies is None else list(proxies)
    if unknown := sorted(set(names) - set(PROXIES)):
        raise ValueError(f"proxies: needed names among {', '.join(PROXIES)}, got {', '.join(unknown)}")
    resolution, classes = shortened(recipe, epochs).resolution, data_set(data).classes
    limits = {"params": params, "flops": flops, "resolution": resolution, "classes": classes, "seed": seed}
    found = NETWORKS.fill(
        [limits | {"group": group, "index": index} for index in range(per_group) for group in GROUPS]
    )
    subsets = {
        "usual": (per_group, epochs, dtype, seed),
        "again": (again, epochs, dtype, seed + 1),
        "longer": (longer_each, longer_epochs, dtype, seed),
        "precise": (check_each, epochs, check_dtype, seed),
    }
    keys = {
        name: _trainings(found, *subset, data=data, recipe=recipe, device=device)
        for name, subset in subsets.items()
    }
    trained = _train([key for name in subsets for key in keys[name]], found)
    of = {
        name: trained.merge(pd.DataFrame(keys[name], columns=TRAINED.key), on=list(TRAINED.key))
        for name in subsets
    }
    usual = pd.concat([of["usual"], of["again"]])
    members = found[["group", "index", "network", "network_params", "network_flops", "depth"]]
    scores = _scores(found["network"].unique(), names, proxy_seeds, resolution)
    return PopulationRows(
        members=members.merge(_accuracies(usual), on="network", validate="many_to_one").merge(
            scores, on="network", validate="many_to_one"
        ),
        trainings=trained,
        usual=usual,
        longer=_beside(of["usual"], of["longer"]),
        precise=_beside(of["usual"], of["precise"]),
        peak=PEAK.fill([{"dtype": dtype, "device": device}])["gflops"].iloc[0],
        limits=(params, flops),
        draws=len(proxy_seeds),
    )


def _trainings(
    found: pd.DataFrame, each: int, epochs: int, dtype: str, seed: int, **common: str
) -> list[dict[str, Any]]:
    """Keys of the trainings of the first networks of every group.

    A network that is in two groups is trained once.
    """
    names = dict.fromkeys(found.loc[found["index"] < each, "network"])
    return [{"network": name, "epochs": epochs, "dtype": dtype, "seed": seed} | common for name in names]


def _train(keys: list[dict[str, Any]], found: pd.DataFrame) -> pd.DataFrame:
    """The trainings, with the multiply-adds of their networks."""
    return TRAINED.fill(keys).merge(
        found[["network", "network_flops"]].drop_duplicates("network"), on="network", validate="many_to_one"
    )


def _beside(usual: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of the same networks after two kinds of training: network, `top1`, `other`."""
    return usual[["network", "top1"]].merge(
        other[["network", "top1"]].rename(columns={"top1": "other"}), on="network"
    )


def _accuracies(trained: pd.DataFrame) -> pd.DataFrame:
    """Per network: mean and spread of the accuracy over seeds."""
    grouped = trained.groupby("network", sort=False)
    return grouped["top1"].agg(top1="mean", spread="std", seeds="count").reset_index()


def _scores(
    texts: Sequence[str], proxies: Sequence[str], seeds: Sequence[int], resolution: int
) -> pd.DataFrame:
    """One row per network, one column per proxy, averaged over seeds; NaN where a seed has no value."""
    keys = [
        {"network": text, "proxy": name, "resolution": resolution, "seed": draw}
        for name in proxies
        for draw in (seeds[:1] if PROXIES[name].needs == "counting" and name != "random" else seeds)
        for text in texts
    ]
    values = SCORES.fill(keys)
    wide = values.pivot_table(
        index="network",
        columns="proxy",
        values="score",
        aggfunc=lambda column: column.mean(skipna=False),
        dropna=False,
    )
    return wide.reset_index()


def facts(rows: PopulationRows) -> dict[str, str]:
    """Every number of the chapter's prose. Correlations read "estimate [95 % interval]"."""
    from experiments.chapters.population import facts as population_facts

    return population_facts.facts(rows)
