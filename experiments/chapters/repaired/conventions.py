"""How much every convention of the repaired score matters: one is changed at a time.

The definition stays what it is; nothing is chosen here. Changes are compared on the same two halves of the
isomorphism classes as the variants of `cells`, CIFAR-10.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks import nasbench201
from experiments.benchmarks.nasbench201_space import Cell
from experiments.benchmarks.nasbench201_terms import by_live_part, live_part
from experiments.benchmarks.nasbench201_variants import CHOSEN, cells
from experiments.benchmarks.stored_scores import WITHOUT_SCORE
from experiments.chapters.repaired.other_scores import STUDY
from experiments.record.agreement import ARITHMETIC
from experiments.record.correlations import compare_many
from experiments.record.estimates import END, ends_units, kendall
from experiments.record.keys import crossed
from experiments.record.score_check import ScoreCheck, by_groups
from experiments.record.score_columns import Group, ScoreColumns, Values
from experiments.record.score_tolerances import LAYERS
from experiments.record.table import Table
from zenlib.scores.graph_form import GraphTerms, graph_of, repaired
from zenlib.scores.graph_form.arithmetic import ConvTerms
from zenlib.scores.rectifier import CENTRED
from zenlib.stats.influence import correlate_many

UNCENTRED = 0.5
"""Mean square of max(0, z), where the mean is kept."""


def _sum(change: Callable[[ConvTerms], float]) -> Callable[[list[ConvTerms]], float]:
    return lambda convs: sum(change(conv) for conv in convs)


BY_TERM: dict[str, Callable[[list[ConvTerms]], float]] = {
    "no_share": _sum(lambda conv: 0.5 * math.log(conv.independent)),
    "uncentred": _sum(
        lambda conv: conv.effective_gain + (0.5 * math.log(UNCENTRED / CENTRED) if conv.rectified else 0.0)
    ),
    "all_inputs": _sum(lambda conv: conv.gain),
    "taps": _sum(lambda conv: conv.gain + 0.5 * math.log(conv.tap_independent / conv.operation.kernel**2)),
    "channels": _sum(
        lambda conv: conv.effective_gain - 0.5 * math.log(conv.tap_independent / conv.operation.kernel**2)
    ),
    "cells_only": lambda convs: sum(
        conv.effective_gain for conv in convs if conv.operation.name.startswith("stage")
    ),
    "normed": lambda convs: sum(conv.effective_gain for conv in convs if conv.normed),
    "mean": lambda convs: sum(conv.effective_gain for conv in convs) / len(convs),
}
"""Changes that need no other pass: from the terms of the live convolutions."""
UNITS = {
    "no_share": "nat: repaired score with c = 1, the variance a ReLU takes away left out",
    "uncentred": "nat: with c = 1/2, the mean square behind a ReLU",
    "all_inputs": "nat: with the number of inputs for the participation ratio",
    "taps": "nat: with the participation ratio of taps, channels independent",
    "channels": "nat: with that of channels, taps independent",
    "cells_only": "nat: without the stem and the reductions",
    "normed": "nat: without convolutions that no BatchNorm follows",
    "mean": "nat: mean over convolutions in place of their sum",
    "borders": "nat: with taps outside of the map counted as zeros",
    "pool_as_skip": "nat: with every pooling read as a skip",
    "dead": "nat: with convolutions that are off every path counted",
}
SCORES = ScoreColumns(STUDY, nasbench201.CELLS, UNITS, name="conventions")
"""One row per cell, by official index."""


def changed(cell: Cell) -> Values:
    """The score of the live part of a cell under every change but `dead`.

    Raises:
        ScoreUndefined: no path leads through it.
    """
    graph = graph_of(live_part(cell))
    convs = [conv for conv in GraphTerms(graph).convs if conv.live]
    skipped = Cell(tuple("skip_connect" if op == "avg_pool_3x3" else op for op in live_part(cell).ops))
    passes = {
        "borders": repaired(GraphTerms(graph, borders=True)),
        "pool_as_skip": repaired(GraphTerms(graph_of(skipped))),
    }
    return {name: change(convs) for name, change in BY_TERM.items()} | passes


def with_dead(cell: Cell) -> Values:
    """The score with the convolutions off every path.

    Raises:
        ScoreUndefined: no path leads through it.
    """
    return {"dead": sum(conv.effective_gain for conv in GraphTerms(graph_of(cell)).convs)}


def groups(_: int) -> dict[str, Group]:
    """The changes of a cell by its index, and the one by its dead convolutions."""
    texts = nasbench201.table()["arch"]
    return {
        "changed": ([name for name in UNITS if name != "dead"], by_live_part(changed)),
        "dead": (["dead"], lambda index: with_dead(Cell.from_string(texts[index]))),
    }


def fill() -> None:
    """All cells."""
    for group in groups(0).values():
        SCORES.fill(*group)
    table.cache_clear()


CHECKS = (ScoreCheck(SCORES, by_groups(groups), dict.fromkeys(UNITS, LAYERS)),)
"""How a sample of the stored scores is computed again."""


@cache
def table() -> pd.DataFrame:
    """One row per cell: accuracy, class, half, the score and its changes."""
    return pd.concat(
        [cells()[["cifar10", "class", "half", CHOSEN]], SCORES.read().drop(columns="index")], axis=1
    )


def convention_row(*, change: str, half: str) -> dict[str, Any]:
    """Kendall's tau of the changed score on one half, and how far it is from that of the defined one."""
    rows = table()
    rows = rows[rows["half"] == half]
    ours, defined = (
        np.nan_to_num(rows[name].to_numpy(float), nan=WITHOUT_SCORE) for name in (change, CHOSEN)
    )
    families = rows["class"].tolist()
    found = correlate_many(ours, rows["cifar10"], families=families)
    over = compare_many(ours, defined, rows["cifar10"], families=families)
    return {"n": len(rows)} | kendall(found) | kendall(over, "over")


CONVENTIONS = Table(
    study=STUDY,
    name="conventions_changed",
    compute=convention_row,
    units={
        "change": "name: which convention of the repaired score is changed",
        "half": "name: half of the isomorphism classes",
        "n": "count: cells",
    }
    | ends_units(
        "kendall",
        "1: Kendall's tau of the changed score with CIFAR-10 accuracy",
        END + " over isomorphism classes",
    )
    | ends_units("over", "1: that tau minus the one of the score as it is defined"),
    otherwise=ARITHMETIC,
)
"""The changes on either half."""


def asked() -> list[dict[str, str]]:
    """Every change on either half."""
    return crossed({}, change=UNITS, half=("choice", "report"))
