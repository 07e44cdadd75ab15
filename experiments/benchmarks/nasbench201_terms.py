"""The terms of every cell of NAS-Bench-201 by arithmetic on its graph, and how they are stored."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

from experiments.benchmarks import nasbench201
from experiments.benchmarks.map_terms import last, log_delta, log_norms, marks
from experiments.benchmarks.nasbench201_space import Cell
from experiments.record.score_check import ScoreCheck, by_groups
from experiments.record.score_columns import Group, ScoreColumns, Values
from experiments.record.score_tolerances import LAYERS
from zenlib.scores.forward import BN_EPS
from zenlib.scores.graph_form import GraphTerms, graph_of, repaired

STUDY = "cells"
PERTURBATION = 0.01

UNITS = {
    "zen": "nat: L1 Zen-Score of the network without its dead edges, by arithmetic",
    "cancelled": (
        "nat: sum over its BatchNorms of log sqrt(q), the variance that the next BatchNorm divides out"
    ),
    "gain": "nat: sum over its BatchNorms of log(sigma / sqrt(q))",
    "tap_gain": (
        "nat: the same with the effective number of taps in place of their number, channels independent"
    ),
    "effective_gain": (
        "nat: the same with the effective number of inputs, taps and channels, in place of their number"
    ),
    "last_values": "nat: log of the effective number of independent values of the last map",
    "cell_values": (
        "nat: half the sum over cells of log of the effective number of independent values of their output"
    ),
}
SCORES = ScoreColumns(study=STUDY, rows=nasbench201.CELLS, units=UNITS)
"""One row per cell, by official index; columns end in _s0, though nothing is drawn."""


def zen(terms: GraphTerms) -> float:
    """The L1 Zen-Score as it is, nats: log Delta plus log sigma of every BatchNorm, dead ones included."""
    convs = sum(conv.log_sigma for conv in terms.convs if conv.normed)
    return log_delta(terms) + convs + log_norms(terms) + terms.graph.silent * 0.5 * math.log(BN_EPS)


def gain(terms: GraphTerms, live_only: bool = False) -> float:
    """The sum of log(sigma / sqrt q) over convolutions with a BatchNorm, nats."""
    return sum(conv.gain for conv in terms.convs if conv.normed and (conv.live or not live_only))


def cancelled(terms: GraphTerms) -> float:
    """The sum of log sqrt q over BatchNorms, nats: what the next BatchNorm divides out of the Zen-Score."""
    return sum(0.5 * math.log(conv.source_variance) for conv in terms.convs if conv.normed) + log_norms(terms)


def live_part(cell: Cell) -> Cell:
    """The cell without its dead edges."""
    return Cell(tuple(op if live else "none" for op, live in zip(cell.ops, cell.live, strict=True)))


def terms_of(cell: Cell) -> Values:
    """Every column for one cell.

    Raises:
        ScoreUndefined: no path leads through it.
    """
    terms = GraphTerms(graph_of(live_part(cell)), perturbation=PERTURBATION)
    return {
        "zen": zen(terms),
        "cancelled": cancelled(terms),
        "gain": gain(terms),
        "tap_gain": sum(
            conv.gain + 0.5 * math.log(conv.tap_independent / conv.operation.kernel**2)
            for conv in terms.convs
        ),
        "effective_gain": repaired(terms),
        "last_values": math.log(last(terms).value_count),
        "cell_values": 0.5 * sum(math.log(mark.value_count) for mark in marks(terms)),
    }


def groups(_: int) -> dict[str, Group]:
    """Every column of a cell by its index; a cell without a path is undefined.

    Cells that compute one function need not have one score: a map that two of them use twice may come from
    one convolution, or from two with weights of their own.
    """
    compute = by_live_part(lambda cell: {f"{name}_s0": value for name, value in terms_of(cell).items()})
    return {"terms": ([f"{name}_s0" for name in UNITS], compute)}


def by_live_part(terms: Callable[[Cell], Values]) -> Callable[[int], Values]:
    """What computes terms of a cell by its index; cells with the same live edges are computed once."""
    texts, once = nasbench201.table()["arch"], cache(terms)
    return lambda index: once(live_part(Cell.from_string(texts[index])))


CHECKS = (ScoreCheck(SCORES, by_groups(groups), dict.fromkeys(UNITS, LAYERS)),)
"""How a sample of the stored scores is computed again."""
