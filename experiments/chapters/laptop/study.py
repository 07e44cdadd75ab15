"""What a laptop can show: small networks that we trained ourselves, drawn in groups and found by searches.

The paper's Figure 15 correlates the Zen-Score with accuracy over 16 networks of one search, and its Table 1
searches by each proxy and trains what is found. Both are repeated small, with one recipe and one budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from experiments.benchmarks.network_scores import PEERS
from experiments.benchmarks.population_networks import GROUPS, NETWORKS, STUDY
from experiments.chapters.laptop.facts import LaptopRows, facts, peak_share
from experiments.chapters.laptop.latency import LATENCY
from experiments.chapters.laptop.searches import SEARCHED, SEARCHES
from experiments.chapters.laptop.supernet import SHARED, WITHOUT_TRAINING, members
from experiments.record.agreement import OneDraw, Within
from experiments.record.table import Table
from experiments.record.training_rows import peak_table, shortened, training_table
from zenlib.networks.architecture import Architecture
from zenlib.proxies import PROXIES
from zenlib.train.datasets import data_set

__all__ = ["STUDY", "TABLES", "facts", "run"]

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
TABLES = (NETWORKS, SCORES, TRAINED, PEAK, SEARCHES, LATENCY, SHARED)


def run(
    *,
    data: str = "fashion-mnist",
    recipe: str = "fashion-mnist",
    epochs: int = 6,
    params: float = 60_000,
    flops: float = 3_000_000,
    per_group: int = 16,
    again: int = 6,
    longer_epochs: int = 12,
    longer_each: int = 2,
    check_dtype: str = "float32",
    check_each: int = 1,
    proxies: Sequence[str] | None = None,
    proxy_seeds: Sequence[int] = (0, 1, 2),
    searched: Sequence[str] = tuple(SEARCHED),
    once: Sequence[str] = ("ntk",),
    depth: int = 18,
    evaluations: int = 1000,
    longer_evaluations: int = 4000,
    population: int = 64,
    round_size: int = 16,
    search_seeds: Sequence[int] = (0, 1),
    supernet_networks: int = 8,
    supernet_epochs: int = 12,
    latency_images: int = 16,
    dtype: str = "bfloat16",
    device: str = "cpu",
    seed: int = 0,
) -> LaptopRows:
    """Draws, scores, searches and trains, or reads all that from the store.

    Args:
        data: data set.
        recipe: recipe, shortened to `epochs`.
        epochs: of every training.
        params: most parameters of a network, classifier included.
        flops: most multiply-adds of a network.
        per_group: networks of each group.
        again: networks of each group that are trained with a second seed.
        longer_epochs: epochs of the trainings that check whether the order is stable by then.
        longer_each: how many networks of each group these are.
        check_dtype: floating type of the trainings that check whether `dtype` gives the same accuracies.
        check_each: how many networks of each group these are.
        proxies: names in `PROXIES` that score the groups; None means all but `PEERS`.
        proxy_seeds: seeds over which a proxy is averaged; the first alone for those that count.
        searched: names in `SEARCHED`.
        once: those of them that search with the first seed alone, because they are dear.
        depth: most layers of a searched network.
        evaluations: candidates that each search scores.
        longer_evaluations: candidates of a further search by Zen with each seed; 0 for none.
        population: networks that an evolution keeps.
        round_size: candidates between two updates of it.
        search_seeds: seeds of the searches.
        supernet_networks: networks of the supernet's slice, judged with shared weights and trained alone; 0
            for none.
        supernet_epochs: of the training of the supernet.
        latency_images: images of a pass whose latency is measured.
        dtype: floating type of the training.
        device: where to train, and to measure latencies.
        seed: of the networks, and the first of the two seeds of the trainings.
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
    limits = {"params": params, "flops": flops, "resolution": resolution}
    drawn = limits | {"classes": classes, "seed": seed}
    found = NETWORKS.fill(
        [drawn | {"group": group, "index": index} for index in range(per_group) for group in GROUPS]
    )
    evolution = limits | {"depth": depth, "population": population, "round_size": round_size}
    searches = SEARCHES.fill(
        [
            evolution | {"proxy": name, "evaluations": evaluations, "seed": draw}
            for draw in search_seeds
            for name in searched
            if draw == search_seeds[0] or name not in once
        ]
    )
    further = SEARCHES.fill(
        [
            evolution | {"proxy": "zen", "evaluations": longer_evaluations, "seed": draw}
            for draw in search_seeds
            if longer_evaluations
        ]
    )
    timing = {"resolution": resolution, "batch_size": latency_images, "dtype": "float32", "device": device}
    timed = LATENCY.fill([timing | {"network": network} for network in searches["network"].unique()])
    slice_of = members(supernet_networks, 0)
    settings = {"data": data, "recipe": recipe, "epochs": epochs, "dtype": dtype, "device": device}

    def trained(networks: Sequence[str], first: int = seed, **other: Any) -> pd.DataFrame:
        keys = [settings | other | {"network": name, "seed": first} for name in dict.fromkeys(networks)]
        return TRAINED.fill(keys)

    def some(each: int) -> list[str]:
        return found.loc[found["index"] < each, "network"].tolist()

    usual = trained(some(per_group))
    both = pd.concat([usual, trained(some(again), seed + 1)])
    won = pd.concat([trained(searches["network"].tolist(), seed + more) for more in (0, 1)])
    alone = trained(slice_of, 0)
    longer, precise = (
        trained(some(longer_each), epochs=longer_epochs),
        trained(some(check_each), dtype=check_dtype),
    )
    every = pd.concat([both, won, alone, longer, precise])
    costs = found[["network", "network_flops"]].drop_duplicates("network")
    peak = PEAK.fill([{"dtype": dtype, "device": device}])["gflops"].iloc[0]
    shared = SHARED.fill(
        [settings | {"network": name, "seed": 0, "epochs": supernet_epochs} for name in slice_of]
    )
    places = searches.assign(latency=searches["network"].map(timed.set_index("network")["milliseconds"]))
    winners = places[["proxy", "seed", "network"]].rename(columns={"seed": "search_seed"})
    return LaptopRows(
        members=found[["group", "index", "network", "network_params", "network_flops", "depth"]]
        .merge(both.groupby("network", sort=False)["top1"].mean().reset_index(), on="network")
        .merge(_scores(found["network"].unique(), names, proxy_seeds, resolution), on="network"),
        trained=both[["network", "seed", "top1"]],
        longer=_beside(usual, longer),
        precise=_beside(usual, precise),
        searches=places,
        further=further,
        winners=winners.merge(won[["network", "seed", "top1"]], on="network"),
        shared=_compared(shared, alone, resolution),
        trainings=len(every),
        core_hours=every["cpu_seconds"].sum() / 3600,
        peak_share=peak_share(both.merge(costs, on="network"), peak),
        epochs=epochs,
    )


def _beside(usual: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Accuracies of the same networks after two kinds of training: network, `top1`, `other`."""
    renamed = other[["network", "top1"]].rename(columns={"top1": "other"})
    return usual[["network", "top1"]].merge(renamed, on="network")


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
    wide = SCORES.fill(keys).pivot_table(
        index="network",
        columns="proxy",
        values="score",
        aggfunc=lambda column: column.mean(skipna=False),
        dropna=False,
    )
    return wide.reset_index()


def _compared(shared: pd.DataFrame, alone: pd.DataFrame, resolution: int) -> pd.DataFrame:
    """Networks judged with the weights of a supernet, trained alone, and judged without training."""
    counted = {
        name: [PROXIES[name](Architecture.from_string(network), resolution) for network in shared["network"]]
        for name in WITHOUT_TRAINING
    }
    columns = ["network", "shared_top1", "supernet_cpu_seconds", "judging_cpu_seconds"]
    joined = shared[columns].merge(alone[["network", "top1", "cpu_seconds"]], on="network")
    return pd.concat([joined, pd.DataFrame(counted)], axis=1)
