"""The Zen-Score on all 15,625 cells of NAS-Bench-201: every definition, every population, with intervals.

The accuracies are the user's to bring; what is stored are scores of our own and aggregates. Without the
benchmark's file the chapter shows the stored aggregates.

A score that is undefined (a cell without a path) ranks below all others, as in the published comparisons.
Intervals treat an isomorphism class as one unit: its cells train to nearly the same accuracy, so they are not
independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks import nasbench201
from experiments.benchmarks.best_cells import best_facts
from experiments.benchmarks.cell_zen import CellScorer
from experiments.benchmarks.nasbench201_cells import (
    COUNTS,
    DATASETS,
    EDGE_COUNTS,
    FEWEST,
    FOR_DATA,
    POPULATIONS,
    WITHOUT_SCORE,
    ZEN,
    cells,
    population_of,
)
from experiments.benchmarks.nasbench201_scores import (
    BATCH_SIZE,
    CHECKS,
    DEFINITIONS,
    RESOLUTION,
    STUDY,
    fill_gains,
    fill_zen,
    sample,
)
from experiments.benchmarks.nasbench201_space import Cell
from experiments.benchmarks.tables import filled
from experiments.record.agreement import ARITHMETIC
from experiments.record.estimates import both_coefficients, ends_units
from experiments.record.keys import crossed
from experiments.record.score_tolerances import NATS
from experiments.record.table import Table
from experiments.record.wording import Told, ends
from zenlib.errors import ScoreUndefined
from zenlib.stats.influence import coefficients, correlate_many

PREDICTORS = (*ZEN, "log_delta_l1", *COUNTS)
GAIN = ("gain", "zen_l1_minibatch", "zen_l1_running", "live_convs", "params")
"""Compared on the sample of cells whose gain was measured."""


MAIN = (
    "all",
    "valid",
    "one per class",
    "one per function",
    "no dead edges",
    "no none",
    "no skip, no pool",
    "vanilla path",
    "top 10 %",
)


def correlation_row(
    *, dataset: str, population: str, score: str, seed: int, cells_scored: int
) -> dict[str, Any]:
    """Both coefficients of one score in one population, with intervals over isomorphism classes."""
    members = population_of(dataset, population, cells_scored)
    scores, accuracies = column(members, score, seed), members[dataset].to_numpy(float)
    if len(members) < FEWEST or len(np.unique(scores)) < 2 or len(np.unique(accuracies)) < 2:
        raise ScoreUndefined(f"{len(members)} cells, or all of one score")
    found = correlate_many(scores, accuracies, families=members["class"].tolist())
    return {"n": found.n} | both_coefficients(found)


def column(rows: pd.DataFrame, score: str, seed: int) -> np.ndarray:
    """The values of a predictor, those that are undefined below all others."""
    name = score if score in COUNTS else f"{score}_s{seed}"
    return np.nan_to_num(rows[name].to_numpy(float), nan=WITHOUT_SCORE)


CORRELATIONS = Table(
    study=STUDY,
    name="correlations",
    compute=correlation_row,
    units={
        "dataset": "name: cifar10, cifar100 or imagenet16, test accuracy after 200 epochs",
        "population": "name: which cells",
        "score": "name: column of scores.parquet without its seed, or a count",
        "seed": "1: seed of the draw of weights and images",
        "cells_scored": "count: random sample of cells from which the population is taken; 15,625 are all",
        "n": "count: cells of the population",
    }
    | ends_units("kendall", "1: kendall")
    | ends_units("spearman", "1: spearman"),
    otherwise=ARITHMETIC,
)


def structure_row(*, score: str, seed: int, cells_scored: int) -> dict[str, Any]:
    """A score's rank correlations with counts of edges, and how isomorphic cells differ."""
    rows = cells().iloc[sorted(sample(cells_scored))]
    rows = rows[rows["connected"] & np.isfinite(rows[f"{score}_s{seed}"])]
    values = rows[f"{score}_s{seed}"]
    design = np.column_stack([np.ones(len(rows)), *(rows[kind] for kind in EDGE_COUNTS[:3])])
    slopes = np.linalg.lstsq(design, values, rcond=None)[0]
    fitted = design @ slopes
    shared = rows["class"].duplicated(keep=False)
    within = values[shared].groupby(rows["class"][shared]).std()
    told = {f"spearman_{kind}": coefficients(values, rows[kind])[1].value for kind in EDGE_COUNTS}
    told |= {f"per_{kind}": float(slope) for kind, slope in zip(EDGE_COUNTS[:3], slopes[1:], strict=True)}
    return told | {
        "n": len(rows),
        "spread": float(values.std()),
        "explained": float(1 - (values - fitted).var() / values.var()),
        "shared_classes": int(shared.groupby(rows["class"]).any().sum()),
        "within_class": float(np.sqrt((within**2).mean())),
    }


STRUCTURE = Table(
    study=STUDY,
    name="structure",
    compute=structure_row,
    units={
        "score": "name: column of scores.parquet without its seed",
        "seed": "1: seed of the draw of weights and images",
        "cells_scored": "count: random sample of cells; 15,625 are all",
    }
    | {
        f"spearman_{kind}": f"1: Spearman's rho with the number of {kind} edges, connected cells"
        for kind in EDGE_COUNTS
    }
    | {
        f"per_{kind}": f"nat: what a {kind} edge adds in place of a pooling edge, in a linear fit"
        for kind in EDGE_COUNTS[:3]
    }
    | {
        "n": "count: connected cells with a score",
        "spread": "nat: standard deviation between cells",
        "explained": "1: share of the variance that a linear fit on the numbers of edges explains",
        "shared_classes": "count: isomorphism classes with two cells or more",
        "within_class": (
            "nat: standard deviation between cells of one class, root mean square over these classes"
        ),
    },
    otherwise=ARITHMETIC,
)


def noise_row(*, score: str, seed: int, other: int, cells_scored: int) -> dict[str, Any]:
    """How much two draws of one score disagree on a sample of connected cells."""
    rows = cells().iloc[sorted(sample(cells_scored))]
    pair = rows[[f"{score}_s{seed}", f"{score}_s{other}"]].dropna().to_numpy(float)
    kendall, spearman = coefficients(*pair.T)
    return {
        "n": len(pair),
        "kendall": kendall.value,
        "spearman": spearman.value,
        "difference": float(np.diff(pair, axis=1).std() / math.sqrt(2)),
    }


NOISE = Table(
    study=STUDY,
    name="noise",
    compute=noise_row,
    units={
        "score": "name: column of scores.parquet without its seed",
        "seed": "1: seed of one draw",
        "other": "1: seed of the other draw",
        "cells_scored": "count: random sample of cells",
        "n": "count: cells with both scores",
        "kendall": "1: Kendall's tau between the draws",
        "spearman": "1: Spearman's rho between the draws",
        "difference": (
            "nat: standard deviation of the difference of the draws over root 2, the noise that ranks cells "
            "against each other"
        ),
    },
    otherwise=ARITHMETIC,
)


def cell_row(*, arch: str, seed: int) -> dict[str, float]:
    """The definitions for one cell as it is, which needs no file of accuracies."""
    terms = CellScorer(seed, batch_size=BATCH_SIZE, resolution=RESOLUTION).terms(Cell.from_string(arch))
    return {name: terms.score(*definition) for name, definition in DEFINITIONS.items()}


EXAMPLES = Table(
    study=STUDY,
    name="examples",
    compute=cell_row,
    units={"arch": "text: a cell", "seed": "1: seed of the draw of weights and images"}
    | {name: "nat: Zen-Score of the network as the benchmark builds it" for name in DEFINITIONS},
    otherwise=NATS.rounding,
)
EXAMPLE_CELLS = {
    "six 3x3 convolutions": (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    ),
    "a residual unit": "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|",
    "its convolutions alone": "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|",
    "six skips": (
        "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"
    ),
    "one skip": "|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
    "one skip and a dead end": "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
}
"""Cells that show what the score sees, by what they are."""

TABLES = (EXAMPLES, CORRELATIONS, STRUCTURE, NOISE)
SCORE_CHECKS = CHECKS


@dataclass(frozen=True)
class CellRows:
    """What the chapter reads."""

    correlations: pd.DataFrame  # one line per data set, population and score; undefined ones left out
    structure: pd.DataFrame  # one line per score
    gains: pd.DataFrame  # the same for `GAIN`, on a sample
    noise: pd.DataFrame  # one line per score and pair of seeds
    draws: pd.DataFrame  # correlations of the Zen columns for every seed, on the cells that all seeds have
    examples: pd.DataFrame  # one line per example


def run(
    *,
    datasets: Sequence[str] = DATASETS,
    seed: int = 0,
    cells_scored: int = nasbench201.CELLS,
    gain_cells: int = 1000,
    noise_seeds: Sequence[int] = (1, 2),
    noise_cells: int = nasbench201.CELLS,
) -> CellRows:
    """Scores the cells, or reads their scores from the store, and correlates them.

    Without the benchmark's file nothing new is computed but the examples, and the stored aggregates are read.

    Args:
        datasets: which accuracies.
        seed: of the draw that is correlated.
        cells_scored: how many cells, all or a random sample.
        gain_cells: size of the sample whose gain is measured.
        noise_seeds: further draws.
        noise_cells: how many cells they score, all or a random sample.
    """
    examples = EXAMPLES.fill([{"arch": text, "seed": seed} for text in EXAMPLE_CELLS.values()])
    named = examples.assign(example=list(EXAMPLE_CELLS))
    settings = {"seed": seed, "cells_scored": cells_scored}

    def rows(table: Table, keys: Sequence[dict[str, Any]]) -> pd.DataFrame:
        return filled(table, keys, lambda _: nasbench201.is_there())

    keys = _correlation_keys(datasets, list(POPULATIONS), PREDICTORS, seed)
    wanted = [key | {"cells_scored": cells_scored} for key in keys]
    noise = [
        {"score": score, "seed": a, "other": b, "cells_scored": noise_cells}
        for score in ZEN
        for a, b in combinations((seed, *noise_seeds), 2)
    ]
    if nasbench201.is_there():
        fill_zen(seed, sample(cells_scored))
        fill_gains(seed, sample(gain_cells))
        for other in noise_seeds:
            fill_zen(other, sample(noise_cells))
        cells.cache_clear()  # it holds the scores of before
        population_of.cache_clear()
    sampled = [key | {"cells_scored": gain_cells} for key in _correlation_keys(datasets, MAIN, GAIN, seed)]
    drawn = [
        key | {"cells_scored": noise_cells}
        for other in (seed, *noise_seeds)
        for key in _correlation_keys(datasets, MAIN, ZEN, other)
    ]
    structured = [{"score": score} | settings for score in (*ZEN, "log_delta_l1")]
    correlations, gains, draws = (
        rows(CORRELATIONS, keys).dropna(subset="kendall") for keys in (wanted, sampled, drawn)
    )
    return CellRows(correlations, rows(STRUCTURE, structured), gains, rows(NOISE, noise), draws, named)


def _correlation_keys(
    datasets: Sequence[str], names: Sequence[str], scores: Sequence[str], seed: int
) -> list[dict[str, Any]]:
    return crossed(
        {"seed": seed},
        dataset=datasets,
        population=[name for name in names if name in POPULATIONS],
        score=scores,
    )


PUBLISHED: dict[str, tuple[str, tuple[float, float, float]]] = {
    "ZiCo, tau": ("kendall", (0.29, 0.28, 0.29)),
    "ZiCo, rho": ("spearman", (0.38, 0.36, 0.40)),
    "Suite-Zero, tau": ("kendall", (0.272, 0.282, 0.295)),
    "Suite-Zero, rho": ("spearman", (0.355, 0.361, 0.400)),
    "VKDNW, tau": ("kendall", (0.102, 0.079, 0.091)),
}
"""Published correlations of the Zen-Score on CIFAR-10, CIFAR-100 and ImageNet-16.

ZiCo (Li et al. 2023, Tables 1 and 3), the raw data of NAS-Bench-Suite-Zero (Krishnakumar et al. 2022), VKDNW
(Tybl and Neumann 2025, Table 1).
"""


def reproductions(correlations: pd.DataFrame) -> pd.DataFrame:
    """For each published triple, the choices of definition and population that come nearest to it.

    Returns:
        For each source every Zen column and population with all three data sets: `source`, `score`,
        `population`, `n`, our three values, and `off`, the largest of the three differences; sorted by
        source, then `off`.
    """
    rows = correlations[correlations["score"].isin(ZEN) & correlations["population"].isin(MAIN)]
    lines = []
    for source, (coefficient, values) in PUBLISHED.items():
        table = rows.pivot_table(index=["score", "population"], columns="dataset", values=coefficient)
        table = table.reindex(columns=list(DATASETS)).dropna()
        if len(table):
            off = (table - np.array(values)).abs().max(axis=1)
            found = table.assign(source=source, coefficient=coefficient, off=off).reset_index()
            lines.append(found.sort_values("off", kind="stable"))
    if not lines:
        return pd.DataFrame(columns=["source", "score", "population", *DATASETS, "off"])
    return pd.concat(lines, ignore_index=True)


TOO_FEW = "not measured (too few cells)"
"""What a fact says in a run over too few cells, or without the benchmark's file and stored aggregates."""

_PEOPLE = {
    "all": "all",
    "valid": "valid",
    "one per class": "class",
    "one per function": "function",
    "no dead edges": "nodead",
    "no none": "full",
    "no skip, no pool": "vanilla",
    "vanilla path": "path",
    "top 10 %": "top",
}
_CHOICES = {
    f"{form}_{definition}": f"{form_text}, {definition_text}"
    for form, form_text in (("zen", "as built"), ("vanilla", "skips cut"))
    for definition, definition_text in (
        ("l1_minibatch", "L1 mini-batch"),
        ("frobenius_minibatch", "Frobenius"),
        ("l1_running", "released"),
    )
}
"""The forms and definitions of the score in words."""
_SHORT = {
    "zen_l1_minibatch": "zen",
    "zen_frobenius_minibatch": "frobenius",
    "zen_l1_running": "released",
    "vanilla_l1_minibatch": "cut",
    "vanilla_frobenius_minibatch": "cutfrobenius",
    "vanilla_l1_running": "cutreleased",
    "log_delta_l1": "delta",
} | {name: name for name in COUNTS}


def facts(rows: CellRows) -> dict[str, str]:
    """Every number of the chapter's prose. Correlations read "estimate [95 % interval]"."""
    return (
        _correlation_facts(rows.correlations)
        | _gain_facts(rows.gains)
        | _structure_facts(rows.structure)
        | _noise_facts(rows.noise)
        | _draw_facts(rows.draws)
        | _example_facts(rows)
        | _found(rows)
        | best_facts()
    )


def _correlation_facts(correlations: pd.DataFrame) -> dict[str, str]:
    told: dict[str, str] = {}
    found = Told(correlations, ["dataset", "population", "score"], TOO_FEW)
    for population, people in _PEOPLE.items():
        told[f"n_{people}"] = found.text(("cifar10", population, "params"), "{n:,.0f}")
        for dataset, data in FOR_DATA.items():
            for score, short in _SHORT.items():
                at = (dataset, population, score)
                told[f"tau_{people}_{short}{data}"] = found.interval(at, "kendall")
                told[f"rho_{people}_{short}{data}"] = found.interval(at, "spearman")
    for kind in EDGE_COUNTS:
        for count in range(7):
            for score in ("zen_l1_minibatch", "zen_l1_running", "params"):
                at = ("cifar10", f"{kind} = {count}", score)
                told[f"tau_{kind}{count}_{_SHORT[score]}"] = found.interval(at, "kendall")
    return told


def _gain_facts(gains: pd.DataFrame) -> dict[str, str]:
    told: dict[str, str] = {}
    found = Told(gains, ["dataset", "population", "score"], TOO_FEW)
    for population, people in _PEOPLE.items():
        for dataset, data in FOR_DATA.items():
            for score in GAIN:
                name = f"gain_{people}_{_SHORT.get(score, score)}{data}"
                told[name] = found.interval((dataset, population, score), "kendall")
        told[f"n_gain_{people}"] = found.text(("cifar10", population, "params"), "{n:,.0f}")
    return told


def _structure_facts(structure: pd.DataFrame) -> dict[str, str]:
    told: dict[str, str] = {}
    found = Told(structure, ["score"], TOO_FEW)
    slopes = [f"per_{kind}" for kind in EDGE_COUNTS[:3]]
    names = (*(f"spearman_{kind}" for kind in EDGE_COUNTS), *slopes, "explained", "spread", "within_class")
    for score in (*ZEN, "log_delta_l1"):
        for name in names:
            digits = 1 if name in ("spread", "within_class", *slopes) else 2
            told[f"{name}_{_SHORT[score]}"] = found.number((score,), name, digits)
    told["shared_classes"] = f"{structure['shared_classes'].max():,.0f}" if len(structure) else TOO_FEW
    return told


def _draw_facts(draws: pd.DataFrame) -> dict[str, str]:
    """How far Kendall's tau moves from one draw of weights and images to another."""
    told = {"draws": str(draws["seed"].nunique()) if len(draws) else TOO_FEW}
    for score in ZEN:
        members = draws.query("score == @score and population == 'all' and dataset == 'cifar10'")["kendall"]
        told[f"draws_{_SHORT[score]}"] = ends(members, 3, TOO_FEW)
    spans = draws.groupby(["dataset", "population", "score"])["kendall"].agg(
        lambda taus: taus.max() - taus.min()
    )
    told["draws_widest"] = f"{spans.max():.3f}" if len(spans) else TOO_FEW
    return told


def _noise_facts(noise: pd.DataFrame) -> dict[str, str]:
    told: dict[str, str] = {}
    for score in ZEN:
        members = noise[noise["score"] == score].dropna(subset="kendall")
        for name in ("kendall", "difference"):
            told[f"noise_{name}_{_SHORT[score]}"] = f"{members[name].mean():.2f}" if len(members) else TOO_FEW
    told["noise_cells"] = f"{noise['n'].max():,.0f}" if len(noise) else TOO_FEW
    return told


def _example_facts(rows: CellRows) -> dict[str, str]:
    told: dict[str, str] = {}
    for row in rows.examples.itertuples():
        slug = row.example.replace(" ", "_")
        told |= {
            f"example_{slug}_{short}": f"{getattr(row, name):.1f}"
            for name, short in (("l1_minibatch", "zen"), ("l1_running", "released"))
        }
    return told


def _found(rows: CellRows) -> dict[str, str]:
    """The nearest choice for each published triple, and its distance."""
    nearest = reproductions(rows.correlations).groupby("source", sort=False).first()
    told: dict[str, str] = {}
    for source in PUBLISHED:
        slug = source.lower().replace(", ", "_").replace("-", "_")
        if source not in nearest.index:
            told |= {f"nearest{what}_{slug}": TOO_FEW for what in ("", "_values", "_off")}
            continue
        row = nearest.loc[source]
        told[f"nearest_{slug}"] = (
            f"{_CHOICES[row['score']]}, {row['population'].replace('valid', 'with a path')}"
        )
        told[f"nearest_values_{slug}"] = "/".join(f"{row[dataset]:.2f}" for dataset in DATASETS)
        told[f"nearest_off_{slug}"] = f"{row['off']:.3f}"
    return told
