"""The paper's Table 1 on a laptop: one search for each proxy, and its winners trained with one recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks import population_networks as random_networks
from experiments.chapters.table1.latency import LATENCY, REPEATS
from experiments.chapters.table1.published import EVALUATIONS, RANDOM_NETWORKS, RANDOM_SD, TABLE1
from experiments.chapters.table1.searches import SEARCHED, SEARCHES, STUDY
from experiments.chapters.table1.supernet import SHARED, WITHOUT_TRAINING, members, summary
from experiments.record.training_rows import training_table
from experiments.record.wording import bracketed, number
from zenlib.networks.architecture import Architecture
from zenlib.proxies import PROXIES
from zenlib.stats import FEWEST, Correlation, correlate

__all__ = ["STUDY", "TABLES", "facts", "run"]

TRAINED = training_table(STUDY)
TABLES = (SEARCHES, TRAINED, LATENCY, SHARED)
UNTRAINED = "not trained"
"""What a fact says of a network whose training is not stored."""
UNSEARCHED = "not searched"
"""What a fact says of a proxy whose search is not asked for."""
TOO_FEW = "too few"
"""What a fact says that needs more trainings."""
NEAR = 0.9
"""Share of what a search gains in all at which it counts as nearly done."""


@dataclass(frozen=True)
class Table1Rows:
    """What the chapter reads.

    Attributes:
        searches: one row a search, with the `latency` of its winner in milliseconds an image.
        longer: Zen searches of more evaluations, one row a seed.
        trained: one row a training of a winner: proxy, search seed, seed, sizes, `top1`, and what it cost.
        alike: trainings with the same recipe of networks within the same budget, from the study `population`:
            group, network, seed, `top1`; empty where that study has stored none.
        shared: one row per network of the supernet's slice: its accuracy with shared weights, `top1` alone,
            what both cost, and a column for each of `WITHOUT_TRAINING`.
        latency_images: images of a pass whose latency was measured.
    """

    searches: pd.DataFrame
    longer: pd.DataFrame
    trained: pd.DataFrame
    alike: pd.DataFrame
    shared: pd.DataFrame
    latency_images: int

    @property
    def drawn(self) -> pd.DataFrame:
        """Those of them that were drawn at random."""
        return self.alike[self.alike["group"] == "uniform"]

    @cached_property
    def winners(self) -> pd.DataFrame:
        """`winners` of the searches and trainings."""
        return winners(self.searches, self.trained)


def run(
    *,
    proxies: Sequence[str] = tuple(SEARCHED),
    params: float = 60_000,
    flops: float = 3_000_000,
    depth: int = 18,
    resolution: int = 28,
    evaluations: int = 1000,
    longer_evaluations: int = 4000,
    population: int = 64,
    round_size: int = 16,
    search_seeds: Sequence[int] = (0, 1),
    once: Sequence[str] = (),
    training_seeds: Sequence[int] = (0, 1),
    trainings: int = 36,
    supernet_networks: int = 0,
    supernet_epochs: int = 12,
    data: str = "fashion-mnist",
    recipe: str = "fashion-mnist",
    epochs: int = 6,
    dtype: str = "bfloat16",
    device: str = "cpu",
    latency_images: int = 16,
) -> Table1Rows:
    """Searches by every proxy and trains the winners, or reads both from the store.

    Args:
        proxies: names in `SEARCHED`.
        params: most parameters of a network, classifier included.
        flops: most multiply-adds of a network.
        depth: most layers.
        resolution: side of the images of the searches, pixels.
        evaluations: candidates that each search scores.
        longer_evaluations: candidates of a further search by Zen with each seed; 0 for none.
        population: networks that an evolution keeps.
        round_size: candidates between two updates of it.
        search_seeds: seeds of the searches.
        once: proxies that search with the first seed alone, because they are dear.
        training_seeds: seeds of the trainings.
        trainings: how many of them, in the order of `training_order`; 0 trains nothing.
        supernet_networks: networks of the supernet's slice, judged with shared weights and trained alone; 0
            for none.
        supernet_epochs: of the training of the supernet.
        data: data set.
        recipe: recipe, shortened to `epochs`.
        epochs: of every training.
        dtype: floating type of the training.
        device: where to train, and to measure latencies.
        latency_images: images of a pass whose latency is measured.
    """
    if trainings < 0:
        raise ValueError(f"trainings: needed 0 or more, got {trainings}")
    if latency_images < 1:
        raise ValueError(f"latency_images: needed at least 1 image a pass, got {latency_images}")
    common = {
        "params": params,
        "flops": flops,
        "depth": depth,
        "resolution": resolution,
        "population": population,
        "round_size": round_size,
    }
    asked = [
        (seed, name)
        for seed in search_seeds
        for name in proxies
        if seed == search_seeds[0] or name not in once
    ]
    searches = SEARCHES.fill(
        [common | {"proxy": name, "evaluations": evaluations, "seed": seed} for seed, name in asked]
    )
    latency = {"resolution": resolution, "batch_size": latency_images, "dtype": "float32", "device": device}
    timed = LATENCY.fill(
        [latency | {"network": network} for network in dict.fromkeys(searches["network"])]
    ).set_index("network")
    searches = searches.assign(latency=searches["network"].map(timed["milliseconds"]))
    further = [
        common | {"proxy": "zen", "evaluations": longer_evaluations, "seed": seed}
        for seed in search_seeds
        if longer_evaluations
    ]
    settings = {"data": data, "recipe": recipe, "epochs": epochs, "dtype": dtype, "device": device}
    order = training_order(searches, training_seeds)[:trainings]
    keys = [settings | {"network": place["network"], "seed": place["training_seed"]} for place in order]
    values = TRAINED.fill(keys)[["top1", "test_loss", "images", "epochs", "cpu_seconds"]]
    trained = pd.concat([pd.DataFrame(order, columns=_ORDER), values], axis=1)
    shared = compared(members(supernet_networks, 0), settings, supernet_epochs, resolution)
    return Table1Rows(
        searches,
        SEARCHES.fill(further),
        trained,
        trained_alike(settings, params, flops),
        shared,
        latency_images,
    )


_ORDER = ("proxy", "search_seed", "training_seed", "network")


def training_order(searches: pd.DataFrame, training_seeds: Iterable[int]) -> list[dict[str, Any]]:
    """What has to be trained.

    Each proxy once before any twice, so that every beginning of the list compares proxies.

    Returns:
        One dict per training: proxy, search_seed, training_seed, network.
    """
    rows = searches.sort_values("seed", kind="stable").to_dict("records")
    places = [(row["proxy"], row["seed"], seed, row["network"]) for seed in training_seeds for row in rows]
    return [dict(zip(_ORDER, place, strict=True)) for place in places]


def _each_training(trained: pd.DataFrame) -> pd.DataFrame:
    """One row per training; winners of two searches may be one network."""
    return trained.drop_duplicates(["network", "training_seed"])


def compared(networks: Sequence[str], settings: dict[str, Any], epochs: int, resolution: int) -> pd.DataFrame:
    """Networks judged with the weights of a supernet, trained alone, and judged without training."""
    alone = TRAINED.fill([settings | {"network": network, "seed": 0} for network in networks])
    shared = SHARED.fill(
        [settings | {"network": network, "seed": 0, "epochs": epochs} for network in networks]
    )
    columns = ["network", "shared_top1", "supernet_cpu_seconds", "judging_cpu_seconds"]
    counted = {
        name: [PROXIES[name](Architecture.from_string(network), resolution) for network in networks]
        for name in WITHOUT_TRAINING
    }
    return pd.concat([shared[columns], alone[["top1", "cpu_seconds"]], pd.DataFrame(counted)], axis=1)


def trained_alike(settings: dict[str, Any], params: float, flops: float) -> pd.DataFrame:
    """Stored trainings of the study `population` with these settings, of its networks within this budget."""
    networks = random_networks.NETWORKS.stored().query("params == @params and flops == @flops")[
        ["group", "network"]
    ]
    rows = training_table(random_networks.STUDY).stored()
    same = np.logical_and.reduce([rows[name] == value for name, value in settings.items()])
    return networks.merge(rows.loc[same, ["network", "seed", "top1"]], on="network")


def winners(searches: pd.DataFrame, trained: pd.DataFrame) -> pd.DataFrame:
    """One line per proxy, in the order of the searches.

    Returns:
        Columns `proxy`; means over its searches `params`, `flops`, `depth`, `latency`; `networks` and
        `trainings` that are trained; `top1`, the mean over its networks of their means over seeds (NaN where
        none is trained); `low` and `high`, the least and the largest accuracy of a training; and the paper's
        `cifar10`, `cifar100`, `paper_params`, `paper_flops`, `paper_latency` (NaN where it has no such row).
    """
    lines = []
    for name, rows in searches.groupby("proxy", sort=False):
        own = trained[trained["proxy"] == name]
        lines.append(
            {
                "proxy": name,
                "params": rows["network_params"].mean(),
                "flops": rows["network_flops"].mean(),
                "depth": rows["network_depth"].mean(),
                "latency": rows["latency"].mean(),
                "networks": own["network"].nunique(),
                "trainings": len(own),
                "top1": own.groupby("network")["top1"].mean().mean(),
                "low": own["top1"].min(),
                "high": own["top1"].max(),
            }
            | _published(str(name))
        )
    return pd.DataFrame(lines)


def _published(name: str) -> dict[str, float]:
    columns = ("cifar10", "cifar100", "paper_params", "paper_flops", "paper_latency")
    return dict(zip(columns, TABLE1.get(name, (math.nan,) * len(columns)), strict=True))


def curves(searches: pd.DataFrame) -> pd.DataFrame:
    """Best score so far of every search.

    Proxy, seed, evaluations, score, and `gained`, the share of the search's whole gain.
    """
    lines = []
    for row in searches.to_dict("records"):
        points = json.loads(row["curve"])
        first, last = points[0][1], points[-1][1]
        for count, score in points:
            gained = (score - first) / (last - first) if last > first else 1.0
            lines.append(
                {
                    "proxy": row["proxy"],
                    "seed": row["seed"],
                    "evaluations": count,
                    "score": score,
                    "gained": gained,
                }
            )
    return pd.DataFrame(lines)


def nearly_done(searches: pd.DataFrame) -> pd.DataFrame:
    """Evaluations after which a search had `NEAR` of its gain, the later of its seeds: proxy, evaluations."""
    near = (
        curves(searches).query("gained >= @NEAR").groupby(["proxy", "seed"], sort=False)["evaluations"].min()
    )
    return near.groupby("proxy", sort=False).max().reset_index()


def seed_spread(trained: pd.DataFrame) -> tuple[float, int]:
    """Noise of one training.

    Args:
        trained: one row per training: `network`, `training_seed`, `top1`.

    Returns:
        Standard deviation of the accuracy between trainings of one network, pooled over networks, percent,
        and the number of networks that were trained more than once; NaN where there is none.
    """
    per_network = trained.drop_duplicates(["network", "training_seed"]).groupby("network")["top1"]
    several = per_network.var()[per_network.count() > 1]
    return (math.sqrt(several.mean()) if len(several) else math.nan), len(several)


def search_spread(trained: pd.DataFrame) -> tuple[float, int]:
    """Noise of one search, that of its trainings included.

    Args:
        trained: one row per training: `proxy`, `search_seed`, `top1`.

    Returns:
        Standard deviation of the winner's accuracy between searches by one proxy, pooled over proxies,
        percent, and the number of proxies whose winners of several searches were trained; NaN where there is
        none.
    """
    per_proxy = trained.groupby(["proxy", "search_seed"])["top1"].mean().groupby("proxy")
    several = per_proxy.var()[per_proxy.count() > 1]
    return (math.sqrt(several.mean()) if len(several) else math.nan), len(several)


def agreement(found: pd.DataFrame, column: str) -> Correlation | None:
    """How our accuracies order the proxies that the paper has too, against its own.

    None for fewer than `FEWEST`.
    """
    both = found.dropna(subset=["top1", column])
    return correlate(both["top1"], both[column]) if len(both) >= FEWEST else None


def random_search(trained: pd.DataFrame) -> dict[str, float]:
    """The best of the random networks by one training, judged by another.

    Only networks with two trainings take part, so that the choice and the judgement are apart.

    Returns:
        `networks` that took part, the `chosen` one's accuracy in the training it was chosen by, and `judged`,
        in the other one.
    """
    wide = trained.pivot_table(index="network", columns="seed", values="top1").dropna()
    if wide.shape[1] < 2 or wide.empty:
        return {"networks": 0, "chosen": math.nan, "judged": math.nan}
    first, second = wide.columns[:2]
    best = wide[first].idxmax()
    return {
        "networks": len(wide),
        "chosen": float(wide.loc[best, first]),
        "judged": float(wide.loc[best, second]),
    }


_PER_PROXY = (
    *("near", "params", "flops", "depth", "latency", "top1", "trained"),
    *("cifar10", "cifar100", "paper_params", "paper_flops", "paper_latency"),
)


def facts(rows: Table1Rows) -> dict[str, str]:
    """Every number of the chapter's prose."""
    unknown = {f"{column}_{slug(name)}": UNSEARCHED for name in SEARCHED for column in _PER_PROXY}
    told = (
        unknown
        | _setting_facts(rows)
        | _search_facts(rows)
        | _winner_facts(rows.winners)
        | _accuracy_facts(rows)
    )
    return told | _drawn_facts(rows.drawn) | {"supernet": summary(rows.shared)}


def _setting_facts(rows: Table1Rows) -> dict[str, str]:
    first = rows.searches.iloc[0]
    return {
        "proxies": str(rows.searches["proxy"].nunique()),
        "searches": str(len(rows.searches)),
        "search_seeds": str(rows.searches["seed"].nunique()),
        "evaluations": f"{first['evaluations']:,}",
        "population": str(first["population"]),
        "once": ", ".join(
            rows.searches.groupby("proxy", sort=False)["seed"].count().loc[lambda seeds: seeds == 1].index
        )
        or "none",
        "paper_evaluations": f"{EVALUATIONS:,}",
        "paper_random_networks": str(RANDOM_NETWORKS),
        "paper_random_sd": " and ".join(f"{spread:.1f}" for spread in RANDOM_SD.values()),
        "near": f"{100 * NEAR:.0f} %",
        "latency_images": str(rows.latency_images),
        "latency_repeats": str(REPEATS),
        "max_params": f"{first['params']:,.0f}",
        "max_flops": f"{first['flops'] / 1e6:g} million",
        "max_depth": str(first["depth"]),
        "resolution": str(first["resolution"]),
    }


def _search_facts(rows: Table1Rows) -> dict[str, str]:
    told = {
        "search_hours": f"{rows.searches['search_seconds'].sum() / 3600:.1f}",
        "failed": str(int(rows.searches["failed"].sum())),
    }
    for row in nearly_done(rows.searches).itertuples():
        told[f"near_{slug(str(row.proxy))}"] = str(row.evaluations)
    zen = rows.searches[rows.searches["proxy"] == "zen"]
    told["zen_score"] = number(zen["best_score"].mean(), 1, TOO_FEW)
    told["zen_longer_score"] = number(rows.longer["best_score"].mean(), 1, TOO_FEW)
    told["longer_evaluations"] = f"{rows.longer['evaluations'].iloc[0]:,}" if len(rows.longer) else TOO_FEW
    return told


def _winner_facts(found: pd.DataFrame) -> dict[str, str]:
    told = {}
    for row in found.itertuples():
        name = slug(str(row.proxy))
        told[f"params_{name}"] = f"{row.params:,.0f}"
        told[f"flops_{name}"] = f"{row.flops / 1e6:.2f} M"
        told[f"depth_{name}"] = f"{row.depth:g}"
        told[f"latency_{name}"] = f"{row.latency:.2f}"
        told[f"top1_{name}"] = _accuracy(row)
        told[f"trained_{name}"] = f"{row.networks} of {row.trainings}" if row.trainings else UNTRAINED
        told |= {
            f"{column}_{name}": _listed(getattr(row, column), "{:.1f}")
            for column in ("cifar10", "cifar100", "paper_params")
        }
        told[f"paper_flops_{name}"] = _listed(row.paper_flops, "{:.0f} M")
        told[f"paper_latency_{name}"] = _listed(row.paper_latency, "{:.2f} ms")
    return told


def _accuracy(row: Any) -> str:
    """Mean of a proxy's winners, with the range of their trainings where there is more than one."""
    if not row.trainings:
        return UNTRAINED
    mean, low, high = (number(value) for value in (row.top1, row.low, row.high))
    return mean if row.trainings == 1 else f"{mean} ({low} to {high})"


def _listed(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else "none"


def _accuracy_facts(rows: Table1Rows) -> dict[str, str]:
    found = rows.winners.dropna(subset=["top1"]).sort_values("top1", ascending=False, kind="stable")
    spread, several = seed_spread(
        pd.concat([rows.trained, rows.alike.rename(columns={"seed": "training_seed"})])
    )
    between, searched = search_spread(rows.trained)
    told = {
        "trainings": str(len(rows.trained.drop_duplicates(["network", "training_seed"]))),
        "networks": str(rows.trained["network"].nunique()),
        "proxies_trained": str(len(found)),
        "epochs": str(rows.trained["epochs"].iloc[0]) if len(rows.trained) else TOO_FEW,
        "core_hours": f"{_each_training(rows.trained)['cpu_seconds'].sum() / 3600:.1f}",
        "seed_spread": number(spread, 2, TOO_FEW),
        "seed_networks": str(several),
        "search_spread": number(between, 2, TOO_FEW),
        "search_proxies": str(searched),
        "best_proxy": found["proxy"].iloc[0] if len(found) else UNTRAINED,
        "best_top1": number(found["top1"].max(), 2, TOO_FEW),
        "worst_proxy": found["proxy"].iloc[-1] if len(found) else UNTRAINED,
        "worst_top1": number(found["top1"].min(), 2, TOO_FEW),
        "zen_place": str(1 + list(found["proxy"]).index("zen"))
        if "zen" in set(found["proxy"])
        else UNTRAINED,
    }
    for column in ("cifar10", "cifar100"):
        order = agreement(rows.winners, column)
        told[f"tau_{column}"] = bracketed(order.kendall, *order.kendall_interval) if order else TOO_FEW
        told[f"tau_{column}_n"] = str(order.n) if order else TOO_FEW
    return told | {
        "answer": _answer(told, len(rows.winners)),
        "verdict": verdict(rows.winners, spread, between),
    }


def _answer(told: dict[str, str], proxies: int) -> str:
    """The chapter's answer, as far as the stored trainings carry it."""
    trained = int(told["proxies_trained"])
    if trained < FEWEST:
        return f"winners of {trained} of {proxies} proxies are trained so far, too few to compare accuracies"
    best, worst = (f"{told[f'{end}_proxy']} ({told[f'{end}_top1']} %)" for end in ("best", "worst"))
    ends = f"{best} found the best networks on average, {worst} the worst"
    return f"of {trained} proxies whose winners are trained, {ends}, and Zen is number {told['zen_place']}"


def verdict(found: pd.DataFrame, seeds: float, searches: float) -> str:
    """Whether Zen's winners are the best: a lead counts from two standard errors.

    Args:
        found: `winners`.
        seeds: standard deviation between trainings of one network, percent; NaN where unknown.
        searches: that between searches by one proxy; NaN where unknown, and the lead is then held against
            trainings alone.
    """
    trained = found.dropna(subset=["top1"]).set_index("proxy")
    if len(trained) < FEWEST or "zen" not in trained.index:
        return "open until more winners are trained"
    best = trained["top1"].drop("zen").idxmax()
    lead = trained.loc["zen", "top1"] - trained.loc[best, "top1"]
    two = trained.loc[["zen", best]]
    spread, counts = (seeds, two["trainings"]) if math.isnan(searches) else (searches, two["networks"])
    noise = spread * math.sqrt((1 / counts).sum())
    networks, trainings = (
        " and ".join(str(count) for count in two[column]) for column in ("networks", "trainings")
    )
    told = (
        f"{number(lead)} ± {number(noise)} points to {best}, the best of the others ({networks} networks, "
        f"{trainings} trainings)"
    )
    if not abs(lead) > 2 * noise:
        return f"not to be told from the best: {told}"
    return f"{'holds' if lead > 0 else 'does not hold'} at this scale: {told}"


def _drawn_facts(trained: pd.DataFrame) -> dict[str, str]:
    means = trained.groupby("network")["top1"].mean()
    chosen = random_search(trained)
    return {
        "drawn": str(len(means)),
        "drawn_top1": f"{means.mean():.2f} ± {means.std():.2f}" if len(means) > 1 else TOO_FEW,
        "drawn_best": number(means.max(), 2, TOO_FEW),
        "random_search_networks": str(int(chosen["networks"])),
        "random_search_chosen": number(chosen["chosen"], 2, TOO_FEW),
        "random_search_judged": number(chosen["judged"], 2, TOO_FEW),
    }


def slug(name: str) -> str:
    """The part of a fact's name that stands for a proxy: "synflow, minimised" gives synflow_minimised."""
    return name.replace(", ", "_").replace("-", "_")
