"""Sums over the layers of every benchmark's networks, by arithmetic or from shapes: what costs nothing."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pandas as pd
import torch

from experiments.benchmarks.nasbench201_space import CONVS, Cell
from experiments.benchmarks.network_scores import BENCHMARKS
from experiments.record.agreement import ARITHMETIC, EXACT
from experiments.record.table import Table
from zenlib.proxies.counts import sums
from zenlib.proxies.query import Query
from zenlib.scores.formulas.counts import Counts, counts_of
from zenlib.scores.graph_form import graph_of

ON_SHAPES = ("nasbench101", "nats_sizes")
"""Benchmarks whose modules can be built without weights; a RegNet computes its widths with tensors."""
DIGITS = 9
"""Behind the point: sums of logarithms that are equal must be tied, whatever the order of their terms."""


def size_row(*, space: str, network: str) -> dict[str, float]:
    """The sums over layers of one network of a benchmark."""
    found = BENCHMARKS[space]
    with torch.device("meta") if space in ON_SHAPES else nullcontext():
        module = found.build(network)
    query = Query(module, found.counted_at, 2, 0, torch.device("cpu"))
    return sums(query)._asdict()


SIZES = Table(
    study="counts",
    name="sizes",
    compute=size_row,
    units={
        "space": "name: which benchmark",
        "network": "name: the benchmark's own name of the network",
        "relu_units": "count: values of one image that meet a rectifier",
        "activations": "count: values of one image that convolutions give",
        "log_width": "nat: sum over convolutions of the log of their output channels",
        "log_fan_in": "nat: sum over convolutions of the log of the inputs of one output",
    },
    agreement={"relu_units": EXACT, "activations": EXACT},
    otherwise=ARITHMETIC,
)


def cell_sums(cells: list[Cell]) -> pd.DataFrame:
    """The sums of cells: those of a cell of skips, and what every edge with a convolution adds.

    A convolution without effect runs, so it counts.
    """
    plain = Cell(("skip_connect",) * 6)
    base = np.array(counts_of(graph_of(plain)))
    total = np.tile(base, (len(cells), 1))
    for op in CONVS:
        one = np.array(counts_of(graph_of(Cell((op, *plain.ops[1:]))))) - base
        total += np.array([[cell.ops.count(op)] for cell in cells]) * one
    return pd.DataFrame(total, columns=Counts._fields).round(DIGITS)


def network_sums(benchmark: str, names: list[str]) -> pd.DataFrame:
    """The sums of networks of a benchmark by their names, one row each."""
    if benchmark == "nasbench201":
        return cell_sums([Cell.from_string(text) for text in names])
    return SIZES.fill([{"space": benchmark, "network": name} for name in names])[list(Counts._fields)].round(
        DIGITS
    )
