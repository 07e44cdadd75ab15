"""Why the Zen-Score fails on cells: what BatchNorm cancels, what is left, what that says about accuracy.

The variants of the score were proposed by an earlier look at this benchmark, so nothing here is a blind test.
The isomorphism classes are split at random into two halves: the variants are compared on CIFAR-10 accuracies
of the first half ("choice"), and what was chosen is reported on the second ("report") and on everything else.
Every variant that was tried here is in `VARIANTS`.

The accuracies are the user's to bring; what is stored are scores of our own and aggregates, which are shown
without the file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks import nasbench201
from experiments.benchmarks import nasbench201_cells as zen_study
from experiments.benchmarks.best_cells import BEST, best_facts
from experiments.benchmarks.map_terms import MapTerms, log_delta, marks
from experiments.benchmarks.nasbench201_graph import nodes_of_cell
from experiments.benchmarks.nasbench201_space import Cell
from experiments.benchmarks.nasbench201_space import cells as all_cells
from experiments.benchmarks.nasbench201_terms import CHECKS, PERTURBATION, SCORES, STUDY, groups, terms_of
from experiments.benchmarks.nasbench201_variants import CHOSEN, DATASETS, EDGE_KINDS, VARIANTS, cells
from experiments.benchmarks.tables import filled
from experiments.chapters.cells.monte_carlo import MeasuredConv, MeasuredNode, measure
from experiments.record.agreement import ARITHMETIC, OneDraw, Within
from experiments.record.correlations import compare_many, correlate_within
from experiments.record.estimates import END, ends_units, kendall, with_ends
from experiments.record.keys import crossed
from experiments.record.table import Table
from experiments.record.wording import Told, number
from zenlib.errors import ScoreUndefined
from zenlib.scores.graph_form import GraphTerms, graph_of
from zenlib.scores.graph_form.arithmetic import ConvTerms
from zenlib.stats.influence import correlate_many

SHOWN = (
    CHOSEN,
    "zen",
    "cancelled",
    "zen_rest",
    "gain",
    "zen_l1_minibatch",
    "zen_l1_running",
    "params",
    "flops",
    "live_convs",
)
"""What is reported: the repaired score, Zen by arithmetic and its parts, the gain, Monte Carlo, counts."""
POPULATIONS = ("all", "valid", "one per class", "no none", "top 20 %", "equal params")
HALVES = ("report", "all")
TOP_SHARE = 0.2


def members(dataset: str, population: str, half: str) -> pd.DataFrame:
    """The cells of one population in one half."""
    rows = cells()
    rows = rows if half == "all" else rows[rows["half"] == half]
    match population:
        case "top 20 %":
            return rows[rows[dataset] >= rows[dataset].quantile(1 - TOP_SHARE)]
        case "equal params":
            return rows[rows["connected"]]
    return rows[zen_study.POPULATIONS[population](rows, dataset)]


def correlation_row(*, dataset: str, population: str, half: str, score: str) -> dict[str, Any]:
    """Kendall's tau of one score in one population, and what it has over the count of live convolutions."""
    rows = members(dataset, population, half)
    values = np.nan_to_num(rows[score].to_numpy(float), nan=zen_study.WITHOUT_SCORE)
    accuracies, classes = rows[dataset].to_numpy(float), rows["class"].tolist()
    told = {"n": len(rows), "spread": float(rows[score].std())} | dict.fromkeys(OVER, math.nan)
    if population == "equal params":
        if rows.groupby("params")[score].nunique().max() < 2:
            raise ScoreUndefined("equal wherever the number of parameters is")
        tau, ends = correlate_within(values, accuracies, rows["params"].tolist(), families=classes)
        return told | with_ends("kendall", tau, ends)
    found = correlate_many(values, accuracies, families=classes)
    if score != "live_convs":
        over = compare_many(values, rows["live_convs"].to_numpy(float), accuracies, families=classes)
        told |= kendall(over, "over_convs")
    return told | kendall(found)


OVER = ends_units("over_convs", "1: tau minus that of the number of live convolutions")
CORRELATIONS = Table(
    study=STUDY,
    name="correlations",
    compute=correlation_row,
    units={
        "dataset": "name: cifar10, cifar100 or imagenet16, test accuracy after 200 epochs",
        "population": (
            "name: which cells; equal params: pairs of connected cells with equally many parameters"
        ),
        "half": "name: half of the isomorphism classes, choice or report, or all",
        "score": "name: a variant, a part of the score, or a count",
        "n": "count: cells of the population",
        "spread": "nat, or as the count: standard deviation of the score over the cells that have one",
    }
    | ends_units("kendall", "1: Kendall's tau", END + " over isomorphism classes")
    | OVER,
    otherwise=ARITHMETIC,
)


def agreement_row(*, arch: str, seed: int, batch_size: int) -> dict[str, float]:
    """Theory and measurement of one cell: sums over convolutions, and each stage's last output."""
    graph = graph_of(Cell.from_string(arch))
    theory = GraphTerms(graph, perturbation=PERTURBATION, borders=True)
    found = measure(graph, seed, batch_size=batch_size, perturbation=PERTURBATION)
    columns = _columns("theory", theory.convs, marks(theory), log_delta(theory))
    return columns | _columns("measured", found.convs, found.marks, found.log_delta)


def _columns(
    kind: str,
    convs: Sequence[ConvTerms | MeasuredConv],
    nodes: Sequence[MapTerms | MeasuredNode],
    delta: float,
) -> dict[str, float]:
    scales = [0.5 * math.log(conv.source_variance) for conv in convs]
    sigmas = [conv.log_sigma for conv in convs]
    told = {
        "scale": sum(scales),
        "sigma": sum(sigmas),
        "gain": sum(sigmas) - sum(scales),
        "delta": delta,
    }
    told["inputs"] = sum(0.5 * math.log(conv.independent) for conv in convs)
    for stage, mark in enumerate(nodes[4::5]):
        told |= {f"variance_{stage}": mark.variance, f"neighbour_{stage}": mark.neighbour}
        told |= {f"growth_{stage}": mark.growth, f"channels_{stage}": mark.channel_count}
    return {f"{name}_{kind}": value for name, value in told.items()}


SUMS = {
    "scale": "nat: sum over convolutions of log sqrt(q) of what they read",
    "sigma": "nat: sum over convolutions of log sigma",
    "gain": "nat: sum over convolutions of log(sigma / sqrt(q))",
    "inputs": "nat: half the sum over convolutions of log of the participation ratio of their inputs",
    "delta": "nat: log of the L1 difference of the two outputs",
}
NODES = {
    "variance": "1: variance of the output of the last cell of stage",
    "neighbour": "1: correlation of neighbouring values there, stage",
    "growth": "1: 1 minus the correlation of the two branches there, stage",
    "channels": "1: participation ratio of the channels there, stage",
}
LOGARITHMIC = ("variance", "growth", "channels")
"""Quantities whose differences are told as differences of logarithms."""
KINDS = {"theory": "by arithmetic, with borders", "measured": "by Monte Carlo"}
_MEASURED = OneDraw(Within(1e-3, 1e-3), alike=("batch_size",))
AGREEMENT = Table(
    study=STUDY,
    name="agreement",
    compute=agreement_row,
    units={
        "arch": "text: a cell",
        "seed": "1: seed of weights and images",
        "batch_size": "count: images of 32 pixels",
    }
    | {f"{name}_{kind}": f"{text}, {how}" for name, text in SUMS.items() for kind, how in KINDS.items()}
    | {
        f"{name}_{stage}_{kind}": f"{text} {stage}, {how}"
        for name, text in NODES.items()
        for stage in range(3)
        for kind, how in KINDS.items()
    },
    agreement={
        f"{name}_measured": _MEASURED
        for name in (*SUMS, *(f"{name}_{stage}" for name in NODES for stage in range(3)))
    },
    otherwise=ARITHMETIC,
)

EXAMPLES = {
    "skips": (
        "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|nor_conv_3x3~0|skip_connect~1|skip_connect~2|"
    ),
    "convolutions": (
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    ),
}
"""The cells of the picture: five skips and a convolution, and six convolutions."""
NODE_NAMES = ("input", "first", "second", "output")


def example_row(*, arch: str) -> dict[str, float]:
    """The variance of each node of the first cell and of the fifth's output, and the score with its parts."""
    cell = Cell.from_string(arch)
    graph = graph_of(cell)
    read = nodes_of_cell(cell.ops, graph.resolution, graph.operations[0].channels)
    nodes = [index for index in read if index is not None]
    if len(nodes) < len(NODE_NAMES):
        raise ScoreUndefined("a node reads nothing")
    maps = GraphTerms(graph).maps
    variances = [maps[index].variance for index in (*nodes, graph.marks[4])]
    terms = terms_of(cell)
    return dict(zip((*NODE_NAMES, "fifth"), variances, strict=True)) | {
        name: terms[name] for name in ("zen", "cancelled", "effective_gain")
    }


EXAMPLES_OF = Table(
    study=STUDY,
    name="examples",
    compute=example_row,
    units={"arch": "text: a cell"}
    | {name: f"1: variance of the {name} node of the first cell" for name in NODE_NAMES}
    | {
        "fifth": "1: variance of the output of the fifth cell, the last of its stage",
        "zen": "nat: L1 Zen-Score by arithmetic",
        "cancelled": "nat: the part of it that BatchNorm cancels",
        "effective_gain": "nat: repaired score",
    },
    otherwise=ARITHMETIC,
)

GROUPS = ("no none", "no dead edge", "dead edge")


def whole_row(*, group: str) -> dict[str, float]:
    """The Zen-Score of live edges by arithmetic against Monte Carlo; what its cancelled part follows."""
    rows = cells()
    dead = pd.Series(
        [
            not live and op != "none"
            for cell in rows["cell"]
            for op, live in zip(cell.ops, cell.live, strict=True)
        ]
    )
    some = dead.to_numpy().reshape(len(rows), -1).any(axis=1)
    rows = rows[
        {
            "no none": rows["none"] == 0,
            "no dead edge": rows["connected"] & ~some,
            "dead edge": rows["connected"] & some,
        }[group]
    ]
    gap = rows["zen"] - rows["zen_l1_minibatch"]
    told = {"n": len(rows), "spearman": rows["zen"].corr(rows["zen_l1_minibatch"], method="spearman")}
    told |= {
        "difference": float(gap.mean()),
        "difference_spread": float(gap.std()),
        "raised": float((gap < 0).mean()),
    }
    return told | {
        f"cancelled_{kind}": rows["cancelled"].corr(rows[kind], method="spearman") for kind in EDGE_KINDS
    }


WHOLE = Table(
    study=STUDY,
    name="whole",
    compute=whole_row,
    units={
        "group": "name: connected cells, by what they have",
        "n": "count: cells",
        "spearman": (
            "1: Spearman's rho of the Zen-Score by arithmetic, live edges only, and by Monte Carlo "
            "(mini-batch, seed 0), all edges"
        ),
        "difference": "nat: mean of the first minus the second",
        "difference_spread": "nat: standard deviation of that",
        "raised": "1: share of cells whose Monte Carlo score is the higher one",
    }
    | {
        f"cancelled_{kind}": f"1: Spearman's rho of the cancelled part with the number of {kind} edges"
        for kind in EDGE_KINDS
    },
    otherwise=ARITHMETIC,
)

TABLES = (AGREEMENT, EXAMPLES_OF, CORRELATIONS, WHOLE, BEST)
SCORE_CHECKS = CHECKS


@dataclass(frozen=True)
class CellRows:
    """What the chapter reads."""

    correlations: pd.DataFrame  # one line per data set, population, half and score; undefined ones left out
    agreement: pd.DataFrame  # one line per cell, theory and measurement
    # the same for the first of these cells with more images, which shows what their number does to the
    # measurement
    larger: pd.DataFrame
    examples: pd.DataFrame  # the cells of the picture, in the order of `EXAMPLES`
    whole: pd.DataFrame  # the Zen-Score by arithmetic against Monte Carlo, one line per group of cells


def run(
    *,
    datasets: Sequence[str] = DATASETS,
    agreement_cells: int = 100,
    batch_size: int = 16,
    larger_cells: int = 8,
    larger_batch: int = 64,
    whole: bool = True,
) -> CellRows:
    """Computes what is missing.

    Without the benchmark's file, what needs no accuracy, and reads the rest from the store.

    Args:
        datasets: which accuracies of NAS-Bench-201.
        agreement_cells: cells on which the arithmetic is measured, a random sample of the connected ones.
        batch_size: images of that measurement.
        larger_cells: how many of these are measured with more images as well.
        larger_batch: those images.
        whole: whether all cells are scored and correlated.
    """
    examples = EXAMPLES_OF.fill([{"arch": text} for text in EXAMPLES.values()])
    agreement, larger = (
        AGREEMENT.fill(
            [{"arch": cell.to_string(), "seed": 0, "batch_size": images} for cell in connected(count)]
        )
        for count, images in ((agreement_cells, batch_size), (larger_cells, larger_batch))
    )
    there = nasbench201.is_there() and whole
    if there:
        SCORES.fill(*groups(0)["terms"])
        cells.cache_clear()  # it holds the scores of before
    correlations = filled(CORRELATIONS, correlation_keys(datasets), lambda _: there).dropna(subset="kendall")
    by_group = filled(WHOLE, [{"group": name} for name in GROUPS], lambda _: there)
    return CellRows(correlations, agreement, larger, examples, by_group)


def correlation_keys(datasets: Sequence[str]) -> list[dict[str, str]]:
    """What is correlated: the variants on CIFAR-10, in either half, and what is reported."""
    variants = crossed({"dataset": "cifar10", "population": "all"}, half=("choice", "report"), score=VARIANTS)
    shown = crossed({}, dataset=datasets, population=POPULATIONS, half=HALVES, score=SHOWN)
    return list({tuple(key.values()): key for key in (*variants, *shown)}.values())


def connected(count: int) -> list[Cell]:
    """A random sample of connected cells; a smaller one is the beginning of a larger one."""
    every = [cell for cell in all_cells() if cell.is_connected]
    return [every[index] for index in np.random.default_rng(1).permutation(len(every))[:count]]


MISSING = "not measured"
"""What a fact says in a run without the benchmark's file and stored aggregates."""
_SLUGS = {"one per class": "class", "no none": "full", "top 20 %": "top", "equal params": "equal"}


def facts(rows: CellRows) -> dict[str, str]:
    """Every number of the chapter's prose. Correlations read "estimate [95 % interval]"."""
    return (
        _tau_facts(rows.correlations)
        | _agreement_facts(rows.agreement)
        | _larger_facts(rows)
        | _whole_facts(rows.whole)
        | _example_facts(rows.examples)
        | best_facts()
    )


def _tau_facts(correlations: pd.DataFrame) -> dict[str, str]:
    told = {"n_variants": str(len(VARIANTS))}
    found = Told(correlations, CORRELATIONS.key, MISSING)
    for key in correlation_keys(DATASETS):
        dataset, population, half, score = at = tuple(key.values())
        people = _SLUGS.get(population, population)
        name = f"{score}_{people}_{half}_{dataset}"
        told |= {
            f"tau_{name}": found.interval(at, "kendall"),
            f"over_{name}": found.interval(at, "over_convs"),
        }
        if half == "all" and dataset == "cifar10":
            told[f"spread_{score}_{people}"] = found.number(at, "spread", 1)
    for population in POPULATIONS:
        for half in HALVES:
            name = f"n_{_SLUGS.get(population, population)}_{half}"
            told[name] = found.text(("cifar10", population, half, CHOSEN), "{n:,.0f}")
    return told


def agreement_of(agreement: pd.DataFrame) -> pd.DataFrame:
    """For each quantity.

    Spearman's rho between theory and measurement over cells, mean and spread of their difference.

    Differences of sums are in nats; those of `LOGARITHMIC` are of logarithms, that of `neighbour` is plain.
    """
    lines = []
    for name in (*SUMS, *(f"{node}_{stage}" for node in NODES for stage in range(3))):
        theory, found = agreement[f"{name}_theory"], agreement[f"{name}_measured"]
        gap = np.log(theory / found) if name.split("_")[0] in LOGARITHMIC else theory - found
        lines.append(
            {
                "quantity": name,
                "n": len(gap),
                "spearman": theory.corr(found, method="spearman"),
                "bias": gap.mean(),
                "spread": gap.std(),
            }
        )
    return pd.DataFrame(lines)


def _agreement_facts(agreement: pd.DataFrame) -> dict[str, str]:
    told = {"n_agreement": str(len(agreement)), "images": str(agreement["batch_size"].max())}
    for row in agreement_of(agreement).itertuples():
        told[f"spearman_{row.quantity}"] = number(row.spearman, 3)
        told |= {f"bias_{row.quantity}": number(row.bias), f"off_{row.quantity}": number(row.spread)}
    return told


def _larger_facts(rows: CellRows) -> dict[str, str]:
    """The same cells with few and with more images."""
    told = {"n_larger": str(len(rows.larger)), "images_larger": str(rows.larger["batch_size"].max())}
    for name, sample in (
        ("few", rows.agreement[rows.agreement["arch"].isin(rows.larger["arch"])]),
        ("many", rows.larger),
    ):
        found = agreement_of(sample).set_index("quantity")["bias"]
        told |= {f"bias_{name}_{quantity}": number(found[quantity]) for quantity in ("inputs", "channels_2")}
    return told


def _whole_facts(whole: pd.DataFrame) -> dict[str, str]:
    told = {}
    found = Told(whole, ["group"], MISSING)
    for group in GROUPS:
        at, slug = (group,), group.replace(" ", "_")
        for name in ("spearman", *(f"cancelled_{kind}" for kind in EDGE_KINDS)):
            told[f"whole_{name}_{slug}"] = found.number(at, name)
        for name in ("difference", "difference_spread"):
            told[f"whole_{name}_{slug}"] = found.number(at, name, 1)
        told[f"whole_raised_{slug}"] = found.text(at, "{raised:.0%}")
        told[f"whole_n_{slug}"] = found.text(at, "{n:,.0f}")
    return told


def _example_facts(examples: pd.DataFrame) -> dict[str, str]:
    told: dict[str, str] = {}
    for name, row in zip(EXAMPLES, examples.itertuples(), strict=True):
        told |= {f"{name}_{node}": f"{getattr(row, node):,.3g}" for node in NODE_NAMES}
        told[f"{name}_fifth"] = f"{row.fifth:,.0f}"
        parts = ("zen", "cancelled", "effective_gain")
        told |= {f"{name}_{score}": f"{getattr(row, score):.0f}" for score in parts}
    return told
