"""The repaired score of the networks of other benchmarks than NAS-Bench-201, and how it is stored.

Rows are in the order in which the benchmark study draws networks, so that the first ones are those whose
proxies are known.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import torch
from torch import nn

from experiments.benchmarks.nasbench201_terms import gain
from experiments.benchmarks.network_scores import BENCHMARKS, TORCHVISION, drawing_order
from experiments.record.score_check import ScoreCheck, by_groups
from experiments.record.score_columns import Group, ScoreColumns, Values
from experiments.record.score_tolerances import LAYERS
from zenlib.errors import ConversionError, ScoreUndefined
from zenlib.scores.graph_form import Graph, GraphTerms, graph_of, repaired
from zenlib.vanilla.convert import to_vcnn

STUDY = "repaired"

BUILT = {
    "repaired": "nat: repaired score of the network as it is built, shortcuts included",
    "gain": "nat: sum over its BatchNorms on a path to the output of log(sigma / sqrt(q))",
    "convs": "count: its convolutions on a path to the output",
    "params": "count: its parameters",
    "flops": "count: multiply-adds of its convolutions for one image, without gates",
}
VANILLA = {
    "repaired_vanilla": "nat: repaired score of its vanilla form",
    "wide_vanilla": "nat: the same in infinite width",
    "gain_vanilla": (
        "nat: sum of log sigma over the BatchNorms of the vanilla form, in infinite width away from borders"
    ),
}
ROWS = {"nasbench101": 10_250, "nats_sizes": 3000, "pycls": 36, "torchvision": TORCHVISION}
"""Networks of each benchmark that are scored: all, but of the sizes a random sample."""
CHAINS = ("nats_sizes", "pycls", "torchvision")
"""Benchmarks whose vanilla form is scored too: a chain, or nearly one."""
SCORES = {name: ScoreColumns(STUDY, rows, BUILT | VANILLA, name=name) for name, rows in ROWS.items()}
ON_SHAPES = ("nasbench101", "nats_sizes")
"""Benchmarks whose modules can be built without weights; a RegNet computes its widths with tensors."""


def _module(benchmark: str, network: str) -> nn.Module:
    with torch.device("meta") if benchmark in ON_SHAPES else nullcontext():
        return BENCHMARKS[benchmark].build(network)


def built_terms(benchmark: str, network: str) -> Values:
    """The columns of `BUILT` for one network; nothing is computed but shapes.

    Raises:
        ScoreUndefined: it has an operation that the arithmetic has no rule for.
    """
    module = _module(benchmark, network)
    try:
        graph = graph_of(module, BENCHMARKS[benchmark].counted_at)
    except ConversionError as error:
        raise ScoreUndefined(str(error)) from error
    terms = GraphTerms(graph)
    counts = {"convs": float(sum(conv.live for conv in terms.convs)), "flops": float(multiply_adds(graph))}
    parameters = float(sum(parameter.numel() for parameter in module.parameters()))
    return {"repaired": repaired(terms), "gain": gain(terms, live_only=True), "params": parameters} | counts


def vanilla_terms(benchmark: str, network: str) -> Values:
    """The columns of `VANILLA` for one network.

    Raises:
        ScoreUndefined: it has no vanilla form, or one that the arithmetic has no rule for.
    """
    try:
        graph = graph_of(to_vcnn(_module(benchmark, network), BENCHMARKS[benchmark].counted_at))
    except ConversionError as error:
        raise ScoreUndefined(str(error)) from error
    wide = GraphTerms(graph, width=False)
    return {
        "repaired_vanilla": repaired(GraphTerms(graph)),
        "wide_vanilla": repaired(wide),
        "gain_vanilla": gain(wide),
    }


def multiply_adds(graph: Graph) -> int:
    """Of all convolutions, for one image."""
    return sum(graph.fan_in(one) * one.values for one in graph.operations if one.kind == "conv")


def groups(benchmark: str, _: int = 0) -> dict[str, Group]:
    """What is computed together of the network of a row."""

    def by_row(terms: Callable[[str, str], Values]) -> Callable[[int], Values]:
        return lambda row: terms(benchmark, drawing_order(benchmark)[row])

    found: dict[str, Group] = {"built": (list(BUILT), by_row(built_terms))}
    if benchmark in CHAINS:
        found["vanilla"] = (list(VANILLA), by_row(vanilla_terms))
    return found


def fill(benchmark: str, count: int) -> None:
    """Scores the networks that are drawn first."""
    file = SCORES[benchmark]
    for group in groups(benchmark).values():
        file.fill(*group, range(min(count, file.rows)))


CHECKS = tuple(
    ScoreCheck(file, by_groups(partial(groups, name)), dict.fromkeys(BUILT | VANILLA, LAYERS))
    for name, file in SCORES.items()
)
"""How a sample of the stored scores is computed again."""
