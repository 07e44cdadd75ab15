"""What proxies count: formulas against Monte Carlo, the count behind each score, and a score from parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.benchmarks import nasbench201
from experiments.benchmarks.tables import filled
from experiments.chapters.counts import agreement, counted, parts
from experiments.chapters.counts.measured import BATCH_SIZE, INTRAIN, LATER, MEASURED, RESOLUTION, networks
from experiments.record.wording import UNKNOWN, Told, interval, number
from zenlib import ARITHMETIC as FORMULAS

TABLES = (
    *(MEASURED, INTRAIN, LATER, counted.SIZES),
    *(agreement.AGREEMENT, counted.COUNTED, parts.PARTS, parts.WITHIN),
)
SCORE_CHECKS = parts.CHECKS
"""How a sample of the stored scores is computed again."""
WANTED = {"chains": 0.95, "cells": 0.9}
"""Spearman's rho that a formula should reach."""
COUNT_NAMES = {
    "params": "parameters",
    "flops": "FLOPs",
    "layers": "weight layers",
    "relu_units": "ReLU values",
    "activations": "activations",
    "log_width": "sum log width",
    "log_fan_in": "sum log fan-in",
}
SCORE_NAMES = {
    "naswot": "NASWOT",
    "linear-regions": "regions",
    "az-expressivity": "AZ expr.",
    "az-progressivity": "AZ progr.",
    "az-trainability": "AZ train.",
    "az-nas": "AZ-NAS",
    "grad-norm": "grad-norm",
    "snip": "SNIP",
    "fisher-channels": "Fisher",
    "grasp": "GraSP",
    "jacob-cov": "Jacob. cov.",
    "synflow": "synflow",
    "zico": "ZiCo",
    "phi": "Phi",
    "swap": "SWAP",
    "meco": "MeCo",
    "near": "NEAR",
    "intrain": "InTrain",
    "epsinas": "epsinas",
    "wrcor": "WRCor",
    "vkdnw": "VKDNW",
    "zen": "Zen",
    "zen-as-built-l1-minibatch": "Zen, as built",
}
"""Score -> how the figure calls it."""
TOLD = (("macro", "naswot"), ("nasbench201", "naswot"), ("nasbench201", "meco"), ("nats_sizes", "meco"))
"""Spaces and scores of which the prose tells everything."""
SIZE_OF_ONE = 0.9
"""Tau from which a score is called a count."""


@dataclass(frozen=True)
class CountRows:
    """What the chapter reads."""

    agreement: pd.DataFrame  # one line per group of networks and score
    counted: pd.DataFrame  # one line per space, data set and score; those that were not measured left out
    parts: pd.DataFrame  # one line per variant, data set, population and half
    # one line per score: its formula on all cells, also at equal numbers of convolutions
    within: pd.DataFrame


def run(*, drawn: int = 50, mutants: int = 30, redrawn: int = 20, whole: bool = True) -> CountRows:
    """Computes what is missing; without the benchmarks' files, what needs none, and reads the rest.

    Args:
        drawn: networks of each of the paper's two spaces that are measured.
        mutants: mutants of equal depth.
        redrawn: how many of these are measured with a second draw.
        whole: whether the benchmarks are read.
    """
    groups = {"resnet-like": drawn, "mobilenet-like": drawn, "equal-depth": mutants}
    drawings: list[dict[str, object]] = [
        {"network": text, "resolution": RESOLUTION, "batch_size": BATCH_SIZE, "seed": seed}
        for group, count in groups.items()
        for seed, some in ((0, count), (1, min(redrawn, count)))
        for text in networks(group, count)[:some]
    ]
    later = {text for group in ("resnet-like", "mobilenet-like") for text in networks(group, min(drawn, 100))}
    MEASURED.fill(drawings)
    INTRAIN.fill(drawings)
    LATER.fill([key for key in drawings if key["network"] in later and key["seed"] == 0])
    if not whole:
        return CountRows(*(table.stored() for table in TABLES[4:]))
    counted.fill_recent()
    counted.SIZES.fill(counted.size_keys())
    there = nasbench201.is_there()
    told = filled(agreement.AGREEMENT, agreement.keys(), lambda key: there or key["group"] != "cells")
    found = filled(counted.COUNTED, counted.counted_keys(), lambda key: counted.is_there(key["space"]))
    joined = parts.run()  # fills the formulas of all cells first
    within = filled(parts.WITHIN, [{"score": name} for name in parts.MEASURED_AS], lambda _: there)
    return CountRows(told.dropna(subset="spearman"), found.dropna(subset="agreement"), joined, within)


def grid(rows: CountRows) -> pd.DataFrame:
    """One line per score and space, the first data set of each: what the figure shows."""
    if not len(rows.counted):
        return rows.counted
    first = rows.counted["space"].map(lambda space: counted.DATASETS.get(space, (counted.UNTRAINED,))[0])
    return rows.counted[rows.counted["dataset"] == first]


def kept(rows: CountRows) -> pd.DataFrame:
    """Where a score keeps something that its count has not: partial tau with an interval above 0."""
    shown = grid(rows)
    return shown[shown["given_low"] > 0]


def facts(rows: CountRows) -> dict[str, str]:
    """Every number of the chapter's prose."""
    told = _agreement_facts(rows.agreement) | _counted_facts(rows) | _parts_facts(rows.parts)
    within = Told(rows.within, ["score"], UNKNOWN)
    for name in parts.MEASURED_AS:
        told[f"cells_{name}"] = within.text((name,), "{n:,.0f}")
        told |= {f"{what}_{name}": within.number((name,), what) for what in ("spearman", "within")}
    return told


_AGREEMENT_FACTS = (
    ("bias", "difference", 2),
    ("sd", "difference_spread", 2),
    ("spread", "spread", 2),
    ("redrawn", "redrawn", 3),
)
"""Beginning of a fact's name, its column, its digits."""


def _agreement_facts(found: pd.DataFrame) -> dict[str, str]:
    told = {"formulas": str(len(FORMULAS)), "batch_size": str(BATCH_SIZE), "resolution": str(RESOLUTION)}
    by_score = Told(found, ["group", "score"], UNKNOWN)
    for group in agreement.GROUPS:
        rows = found[found["group"] == group]
        told[f"n_{_slug(group)}"] = str(int(rows["n"].max())) if len(rows) else UNKNOWN
        told[f"least_{_slug(group)}"] = number(rows["spearman"].min()) if len(rows) else UNKNOWN
        told[f"ms_{_slug(group)}"] = number(rows["milliseconds"].max(), 1) if len(rows) else UNKNOWN
        for score in agreement.SCORES:
            at, name = (group, score), f"{_slug(group)}_{_slug(score)}"
            told[f"rho_{name}"] = by_score.interval(at, "spearman", 3)
            told |= {f"{fact}_{name}": by_score.number(at, of, n) for fact, of, n in _AGREEMENT_FACTS}
    wanted = np.where(found["group"] == "cells", WANTED["cells"], WANTED["chains"])
    good = found.loc[found["spearman"] >= wanted, ["group", "score"]].itertuples(index=False, name=None)
    good, spaces = set(good), ("resnet-like", "mobilenet-like", "cells")
    reached = [
        score
        for score in agreement.SCORES
        if all((g, score) in good for g in spaces if g != "cells" or score not in agreement.CHAINS)
    ]
    told["reached"], told["reached_of"] = str(len(reached)), str(len(agreement.SCORES))
    return told | {"wanted_chains": number(WANTED["chains"]), "wanted_cells": number(WANTED["cells"], 1)}


def _counted_facts(rows: CountRows) -> dict[str, str]:
    shown = grid(rows)
    high = shown[shown["agreement"].abs() >= SIZE_OF_ONE]
    trained = shown.dropna(subset="alone")
    lost = trained[trained["given_high"] < 0]
    told = {
        "scores": str(len(counted.SCORES)),
        "with_formula": str(len({*counted.SCORES} & {*FORMULAS, "zen"})),
        "cases": str(len(shown)),
        "counts_like": str(len(high)),
        "count_from": number(SIZE_OF_ONE, 1),
        "median_agreement": number(shown["agreement"].abs().median()) if len(shown) else UNKNOWN,
        "trained": str(len(trained)),
        "kept": str(len(kept(rows))),
        "beaten": str(int((trained["of_count"] >= trained["alone"]).sum())),
        "lost": str(len(lost)),
    }
    among = {"cases": shown, "like": high, "trained": trained, "kept": kept(rows), "lost": lost}
    for what, lines in among.items():
        told[f"recent_{what}"] = str(lines["score"].isin(counted.RECENT).sum())
    found = Told(shown, ["space", "score"], UNKNOWN)
    for space in counted.SPACES:
        told[f"n_wrcor_{_slug(space)}"] = found.number((space, "wrcor"), "n", 0)
    for at in TOLD:
        name, count = "_".join(map(_slug, at)), found.text(at, "{count}")
        told[f"count_{name}"] = COUNT_NAMES.get(count, count)
        told[f"agree_{name}"] = found.number(at, "agreement")
        told |= {f"{what}_{name}": found.interval(at, what) for what in ("alone", "of_count", "given")}
    for score in counted.RECENT:
        where = kept(rows).loc[kept(rows)["score"] == score, "space"].map(counted.SPACES)
        told[f"kept_by_{score}"] = ", ".join(where) or "none"
    for space in counted.DATASETS:
        names = kept(rows).query("space == @space").sort_values("given", ascending=False)["score"]
        told[f"kept_{_slug(space)}"] = ", ".join(names) or "none"
    return told


def _parts_facts(found: pd.DataFrame) -> dict[str, str]:
    tried = (found["half"] == "choice").any()
    chosen = parts.choice(found) if tried else UNKNOWN
    join = parts.best_join(found) if tried else UNKNOWN
    told = {"variants": str(len(parts.VARIANTS)), "chosen": chosen, "join": join}
    rows = Told(found, parts.PARTS.key, UNKNOWN)
    choice = ("cifar10", "all", "choice")
    for name in parts.VARIANTS:
        told[f"tried_{_slug(name)}"] = rows.number((name, *choice), "kendall", 3)
    for dataset, bar in parts.BAR.items():
        told[f"bar_{dataset}"] = number(bar, 3)
        for population in parts.POPULATIONS:
            for half in ("report", "all"):
                for name, variant in (("chosen", chosen), ("join", join)):
                    at = (variant, dataset, population, half)
                    place = f"{name}_{dataset}_{_slug(population)}_{half}"
                    told[place] = rows.interval(at, "kendall", 3)
                    told[f"over_{place}"] = interval(rows.rows[at], "over", 3) if at in rows.rows else UNKNOWN
    for name, variant in (("chosen", chosen), ("join", join)):
        taus = [
            (rows.rows.get((variant, dataset, "no idle", "all")), bar) for dataset, bar in parts.BAR.items()
        ]
        told[f"bars_{name}"] = str(sum(line is not None and line["kendall"] >= bar for line, bar in taus))
    told["behind_join"] = rows.interval((join, *choice), "over", 3)
    return told | {"bars": str(len(parts.BAR))}


def _slug(name: str) -> str:
    return name.replace("-", "_").replace(", ", "_").replace(" ", "_")
