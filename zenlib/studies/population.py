"""A population of small networks trained on real images: does a score order them, and among networks of which kind?

The paper's Figure 15 correlates the Zen-Score with accuracy over 16 networks of one search. Here every network is
trained with one recipe, in three groups that differ in what may vary: drawn at random within a budget, taken along a search
that maximises the score, and of equal parameters and FLOPs, where nothing cheap tells them apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from zenlib.architecture import Architecture
from zenlib.proxies import PROXIES
from zenlib.stats import FEWEST, Correlation, compare, correlate
from zenlib.studies.population_networks import CLASSES, GROUPS, RESOLUTION, networks
from zenlib.studies.table import Table
from zenlib.studies.training_rows import training_table

STUDY = "population"
BATCH_SIZE = 16
COUNTS = ("params", "flops", "layers")
TOO_FEW = "too few"
"""What a fact says that needs more networks."""
PAPER_N = 16
"""Networks of the paper's Figure 15."""
PAPER_TAU = 0.91
"""Its Kendall's tau for CIFAR-10."""
DRAWS = 1000
"""Random samples of 16 networks."""


def network_row(*, group: str, index: int, params: float, flops: float, seed: int) -> dict[str, Any]:
    """One network of a group, by its place in the order of `networks`."""
    found = networks(group, index + 1, params=params, flops=flops, seed=seed)[index]
    return {
        "network": found.to_string(),
        "network_params": found.params(CLASSES),
        "network_flops": found.flops(RESOLUTION, CLASSES),
        "depth": found.depth,
    }


def score_row(*, network: str, proxy: str, seed: int) -> dict[str, float]:
    """One proxy of one network."""
    return {"score": PROXIES[proxy](Architecture.from_string(network), RESOLUTION, batch_size=BATCH_SIZE, seed=seed, device="cpu")}


NETWORKS = Table(
    study=STUDY,
    name="networks",
    key=("group", "index", "params", "flops", "seed"),
    compute=network_row,
    units={
        "group": f"name: {', '.join(GROUPS)}",
        "index": "1: place in its group",
        "params": "count: most parameters allowed",
        "flops": "count: most multiply-adds of one image allowed",
        "seed": "1: seed of all draws",
        "network": "text: structure string",
        "network_params": "count: parameters, classifier included",
        "network_flops": "count: multiply-adds of one image",
        "depth": "count: the paper's number of layers",
    },
    agreement=dict.fromkeys(("network", "network_params", "network_flops", "depth"), 0.0),
)
SCORES = Table(
    study=STUDY,
    name="scores",
    key=("network", "proxy", "seed"),
    compute=score_row,
    units={
        "network": "text: structure string",
        "proxy": "name: in zenlib.PROXIES",
        "seed": "1: seed of weights, images and labels",
        "score": f"1: higher is better; {BATCH_SIZE} images of {RESOLUTION} pixels",
    },
    agreement={"score": 1e-3},
)
TRAINED = training_table(STUDY)
TABLES = (NETWORKS, SCORES, TRAINED)


@dataclass(frozen=True)
class PopulationRows:
    """What the chapter reads.

    Attributes:
        members: one row per network: group, index, network, sizes, depth, `top1` (mean over seeds), `spread` (standard deviation over
            seeds, NaN for one), `seeds`, training seconds, and one column per proxy (mean over seeds; NaN where undefined).
        trainings: the rows of the trainings with the study's recipe.
        longer: accuracies of some networks after more epochs: network, `top1`, `longer`.
    """

    members: pd.DataFrame
    trainings: pd.DataFrame
    longer: pd.DataFrame

    @cached_property
    def correlations(self) -> pd.DataFrame:
        """`correlations` of the members."""
        return correlations(self.members)

    @cached_property
    def small_samples(self) -> pd.DataFrame:
        """`small_samples` of the members."""
        return small_samples(self.members)

    @cached_property
    def restricted(self) -> pd.DataFrame:
        """`restricted` of the members."""
        return restricted(self.members)

    @cached_property
    def noise(self) -> dict[str, float]:
        """`noise` of the trainings."""
        return noise(self.trainings, self.members)


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
    proxies: Sequence[str] | None = None,
    proxy_seeds: Sequence[int] = (0, 1, 2),
    dtype: str = "float32",
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
        proxies: names in `PROXIES`; None means all.
        proxy_seeds: seeds over which a proxy is averaged; the first alone for those that count.
        dtype: floating type of the training.
        device: where to train.
        seed: of the networks, and the first seed of the trainings.
    """
    if not 0 <= max(again, longer_each) <= per_group:
        raise ValueError(f"again: needed 0 to per_group ({per_group}) networks, like longer_each, got {again} and {longer_each}")
    places = [{"group": group, "index": index, "params": params, "flops": flops, "seed": seed} for index in range(per_group) for group in GROUPS]
    found = NETWORKS.fill(places)
    common = {"data": data, "recipe": recipe, "dtype": dtype, "device": device}
    keys = trainings(found, again=again, epochs=epochs, longer_epochs=longer_epochs, longer_each=longer_each, seed=seed)
    trained = TRAINED.fill([common | key for key in keys]).drop_duplicates()
    usual, long = trained[trained["epochs"] == epochs], trained[trained["epochs"] == longer_epochs]
    members = found.drop(columns=["params", "flops", "seed", "reason", "seconds", "run"]).merge(_accuracies(usual), on="network", validate="many_to_one")
    scores = _scores(found["network"].unique(), list(PROXIES) if proxies is None else list(proxies), proxy_seeds)
    joined = members.merge(scores, on="network", validate="many_to_one")
    check = long[["network", "top1"]].rename(columns={"top1": "longer"}).merge(usual.query("seed == @seed")[["network", "top1"]], on="network")
    return PopulationRows(joined, usual, check)


def trainings(found: pd.DataFrame, *, again: int, epochs: int, longer_epochs: int, longer_each: int, seed: int) -> list[dict[str, Any]]:
    """What has to be trained, the first seed of every network first; a network that is in two groups is trained once."""
    wanted = [(row["network"], epochs, seed) for row in found.to_dict("records")]
    wanted += [(row["network"], epochs, seed + 1) for row in found.query("index < @again").to_dict("records")]
    wanted += [(row["network"], longer_epochs, seed) for row in found.query("index < @longer_each").to_dict("records")]
    return [dict(zip(("network", "epochs", "seed"), key, strict=True)) for key in dict.fromkeys(wanted)]


def _accuracies(trained: pd.DataFrame) -> pd.DataFrame:
    """Per network: mean and spread of the accuracy over seeds."""
    grouped = trained.groupby("network", sort=False)
    means = grouped["top1"].agg(top1="mean", spread="std", seeds="count")
    return means.assign(training_seconds=grouped["training_seconds"].sum()).reset_index()


def _scores(texts: Sequence[str], proxies: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """One row per network, one column per proxy, averaged over seeds; NaN where a seed has no value."""
    keys = [
        {"network": text, "proxy": name, "seed": draw}
        for name in proxies
        for draw in (seeds[:1] if PROXIES[name].needs == "counting" and name != "random" else seeds)
        for text in texts
    ]
    values = SCORES.fill(keys)
    wide = values.pivot_table(index="network", columns="proxy", values="score", aggfunc=lambda column: column.mean(skipna=False), dropna=False)
    return wide.reset_index()


def proxies_of(members: pd.DataFrame) -> list[str]:
    """Proxies that every network has a value of, those that count first."""
    have = [name for name in PROXIES if name in members.columns and members[name].notna().all()]
    return [*(name for name in COUNTS if name in have), *(name for name in have if name not in COUNTS)]


def groups_of(members: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and members of every group of at least five networks, and of all together."""
    for name in GROUPS:
        rows = members[members["group"] == name].drop_duplicates("network")
        if len(rows) >= FEWEST:
            yield name, rows
    yield "all", members.drop_duplicates("network")


def correlations(members: pd.DataFrame) -> pd.DataFrame:
    """Correlation of every proxy with accuracy in every group, and that of the Zen-Score minus it.

    Returns:
        One line per group and proxy: n, `kendall` and `spearman` with the ends `_low` and `_high` of their 95 % bootstrap intervals, and
        `behind_zen` with its ends: Kendall's tau of the closed form minus that of the proxy, on the same resamples.
    """
    lines = []
    for group, rows in groups_of(members):
        for name in proxies_of(rows):
            if rows[name].nunique() > 1:
                lines.append({"group": group, "proxy": name} | _measured(rows, name))
    return pd.DataFrame(lines)


def _measured(rows: pd.DataFrame, name: str) -> dict[str, float]:
    found = correlate(rows[name], rows["top1"])
    line = {"n": found.n} | _ends(found, "kendall") | _ends(found, "spearman")
    if name != "closed-form" and "closed-form" in rows:
        difference = compare(rows["closed-form"], rows[name], rows["top1"])
        line |= {column.replace("kendall", "behind_zen"): value for column, value in _ends(difference, "kendall").items()}
    return line


def _ends(found: Correlation, name: str) -> dict[str, float]:
    low, high = getattr(found, f"{name}_interval")
    return {name: getattr(found, name), f"{name}_low": low, f"{name}_high": high}


def small_samples(members: pd.DataFrame, proxy: str = "closed-form", size: int = PAPER_N) -> pd.DataFrame:
    """Kendall's tau in random samples of as many networks as the paper's figure has, drawn without replacement.

    Returns:
        One line per group larger than a sample, and for all: the 2.5, 50 and 97.5 % points of tau and `reached`, the share of
        samples in which it is at least the paper's.
    """
    lines = []
    for group, rows in groups_of(members):
        if len(rows) > size:
            values = np.array([_tau(rows.sample(size, random_state=draw), proxy) for draw in range(DRAWS)])
            low, median, high = np.quantile(values, [0.025, 0.5, 0.975])
            lines.append({"group": group, "n": len(rows), "low": low, "median": median, "high": high, "reached": float((values >= PAPER_TAU).mean())})
    return pd.DataFrame(lines, columns=["group", "n", "low", "median", "high", "reached"])


def _tau(rows: pd.DataFrame, proxy: str) -> float:
    return float(rows[proxy].corr(rows["top1"], method="kendall"))


def restricted(members: pd.DataFrame, proxy: str = "closed-form", shares: Sequence[float] = (1.0, 0.75, 0.5, 0.25)) -> pd.DataFrame:
    """The correlation among the networks of the highest scores: a search chooses between these, not between all.

    Returns:
        One line per share of all networks: `share`, n, `lowest` score, Spearman's and Kendall's coefficients with their ends.
    """
    rows = members.drop_duplicates("network").sort_values(proxy, ascending=False)
    lines = []
    for share in shares:
        best = rows.head(round(share * len(rows)))
        if len(best) >= FEWEST:
            found = correlate(best[proxy], best["top1"])
            lines.append({"share": share, "n": found.n, "lowest": best[proxy].min()} | _ends(found, "kendall") | _ends(found, "spearman"))
    return pd.DataFrame(lines)


def noise(trained: pd.DataFrame, members: pd.DataFrame) -> dict[str, float]:
    """How far seeds of one network differ, and how far networks do.

    Returns:
        `networks` trained more than once; `seed_sd`, the pooled standard deviation over seeds, percent; `network_sd`, that of the networks'
        accuracies; `tau`, Kendall's coefficient between the first two seeds; `ceiling`, the root of the reliability of one training,
        1 - (seed_sd / network_sd)^2 for the accuracies of single seeds: no score can have a higher expected Pearson correlation.
    """
    wide = trained.pivot_table(index="network", columns="seed", values="top1")
    both = wide.dropna()
    if wide.shape[1] < 2 or len(both) < FEWEST:
        return {"networks": float(len(both)), "seed_sd": math.nan, "network_sd": math.nan, "tau": math.nan, "ceiling": math.nan}
    first, second = (both[column] for column in both.columns[:2])
    within, between = float(both.var(axis=1).mean()), float(wide.iloc[:, 0].var())
    return {
        "networks": float(len(both)),
        "seed_sd": math.sqrt(within),
        "network_sd": math.sqrt(between),
        "tau": float(first.corr(second, method="kendall")),
        "ceiling": math.sqrt(max(0.0, 1 - within / between)),
    }


def facts(rows: PopulationRows) -> dict[str, str]:
    """Every number of the chapter's prose. Correlations read "estimate [95 % interval]"."""
    members = rows.members.drop_duplicates("network")
    told = {
        "networks": str(len(members)),
        "trainings": str(len(rows.trainings)),
        "epochs": str(int(rows.trainings["epochs"].iloc[0])),
        "core_hours": _plain((rows.trainings["training_seconds"] * rows.trainings["threads"]).sum() / 3600, 1),
        "images_per_second": f"{(60_000 * rows.trainings['epochs'] / rows.trainings['training_seconds']).median():,.0f}",
        "lowest": _plain(members["top1"].min(), 2),
        "highest": _plain(members["top1"].max(), 2),
        "median": _plain(members["top1"].median(), 2),
        "seed_sd": _plain(rows.noise["seed_sd"], 2),
        "network_sd": _plain(rows.noise["network_sd"], 2),
        "seed_networks": str(int(rows.noise["networks"])),
        "seed_tau": _plain(rows.noise["tau"], 2),
        "paper_tau": _plain(PAPER_TAU, 2),
        "longer_n": str(len(rows.longer)),
        "longer_tau": _plain(rows.longer["top1"].corr(rows.longer["longer"], method="kendall") if len(rows.longer) >= FEWEST else math.nan, 2),
    }
    return told | _correlation_facts(rows) | _sample_facts(rows) | _restriction_facts(rows)


TOLD = {"closed-form": "closed", "zen-running": "released", "params": "params", "flops": "flops", "layers": "layers", "naswot": "naswot", "synflow": "synflow"}
"""Proxies whose correlations the prose names -> part of the fact's name."""


def _correlation_facts(rows: PopulationRows) -> dict[str, str]:
    found = rows.correlations.set_index(["group", "proxy"])
    told = {}
    for group in (*GROUPS, "all"):
        for proxy, slug in TOLD.items():
            told[f"tau_{group}_{slug}"] = _interval(found.loc[(group, proxy)], "kendall") if (group, proxy) in found.index else TOO_FEW
        measured = rows.correlations.query("group == @group")
        told[f"best_{group}"] = measured.loc[measured["kendall"].idxmax(), "proxy"] if len(measured) else TOO_FEW
        told[f"tau_{group}_best"] = _interval(measured.loc[measured["kendall"].idxmax()], "kendall") if len(measured) else TOO_FEW
    return told


def _sample_facts(rows: PopulationRows) -> dict[str, str]:
    found = rows.small_samples.set_index("group")
    told = {}
    for group in (*GROUPS, "all"):
        known = group in found.index
        told[f"sample_{group}"] = f"{_plain(found.loc[group, 'low'], 2)} to {_plain(found.loc[group, 'high'], 2)}" if known else TOO_FEW
        told[f"reached_{group}"] = f"{100 * found.loc[group, 'reached']:.1f} %" if known else TOO_FEW
    return told


def _restriction_facts(rows: PopulationRows) -> dict[str, str]:
    return {f"tau_top{100 * share:.0f}": _interval(row, "kendall") for share, row in rows.restricted.set_index("share").iterrows()} | {
        f"n_top{100 * share:.0f}": str(int(row["n"])) for share, row in rows.restricted.set_index("share").iterrows()
    }


def _interval(row: pd.Series, coefficient: str) -> str:
    estimate, low, high = (_plain(row[f"{coefficient}{end}"], 2) for end in ("", "_low", "_high"))
    return f"{estimate} [{low}, {high}]"


def _plain(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return TOO_FEW
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "\N{MINUS SIGN}")  # adding zero turns -0.00 into 0.00
