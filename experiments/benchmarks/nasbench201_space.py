"""The 15,625 cells of NAS-Bench-201: as text, as data, as networks.

A cell has four nodes and an edge between every two; each edge carries one of five operations. Its network
repeats the cell five times in each of three stages of 16, 32 and 64 channels.

Source: Dong and Yang 2020 (arXiv 2001.00326).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from experiments.benchmarks.cell_layers_space import EDGES, LAYERS, NODES, CellNetwork
from experiments.benchmarks.nasbench201_graph import graph_of_cell
from zenlib.errors import ArchitectureError
from zenlib.scores.graph_form import Graph

OPS = tuple(LAYERS)
"""The operations, in the order of the search space."""
CONVS = ("nor_conv_1x1", "nor_conv_3x3")
WIDTHS = (16, 32, 64)
"""Channels of the three stages."""
CELLS_PER_STAGE = 5

_TERM = re.compile(r"([a-z0-9_]+)~(\d)")


@dataclass(frozen=True)
class Cell:
    """A cell of the search space."""

    ops: tuple[str, ...]  # the operation of each edge, in the order of `EDGES`

    def __post_init__(self) -> None:
        unknown = [op for op in self.ops if op not in OPS]
        if len(self.ops) != len(EDGES) or unknown:
            raise ArchitectureError(
                f"ops: needed {len(EDGES)} of {', '.join(OPS)}, got {len(self.ops)} with "
                f"{', '.join(unknown) or 'none'} unknown"
            )

    @classmethod
    def from_string(cls, text: str) -> Cell:
        """Reads the benchmark's text.

        Such as `|none~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_3x3~2|`.

        Raises:
            ArchitectureError: the text is not of that form.
        """
        found = [(op, int(source)) for op, source in _TERM.findall(text)]
        cell = (
            cls(tuple(op for op, _ in found))
            if [source for _, source in found] == [source for source, _ in EDGES]
            else None
        )
        if cell is None or cell.to_string() != text:
            raise ArchitectureError(
                "cell: needed text like |op~0|+|op~0|op~1|+|op~0|op~1|op~2| with op one of "
                f"{', '.join(OPS)}, got {text!r}"
            )
        return cell

    def to_string(self) -> str:
        """The benchmark's text; `Cell.from_string` reads it back."""
        return "+".join(
            "".join(f"|{op}~{source}" for op, source, _ in self._into(node)) + "|" for node in range(1, NODES)
        )

    def __str__(self) -> str:
        return self.to_string()

    def count(self, op: str) -> int:
        """Number of edges with an operation."""
        return self.ops.count(op)

    @property
    def convs(self) -> int:
        """Number of edges with a convolution."""
        return sum(op in CONVS for op in self.ops)

    @cached_property
    def live(self) -> tuple[bool, ...]:
        """For each edge, whether it lies on a path from the input to the output."""
        forward, backward = {0}, {NODES - 1}
        for op, (source, target) in zip(self.ops, EDGES, strict=True):
            if op != "none" and source in forward:
                forward.add(target)
        for op, (source, target) in reversed(list(zip(self.ops, EDGES, strict=True))):
            if op != "none" and target in backward:
                backward.add(source)
        return tuple(
            op != "none" and s in forward and t in backward
            for op, (s, t) in zip(self.ops, EDGES, strict=True)
        )

    @property
    def is_connected(self) -> bool:
        """Whether the output depends on the input.

        341 cells are not connected, and their network gives one answer to all images.
        """
        return any(self.live)

    def without_skips(self) -> Cell:
        """The cell with its skip edges cut, pooling kept: what is left of it in a vanilla network."""
        return Cell(tuple("none" if op == "skip_connect" else op for op in self.ops))

    @cached_property
    def isomorphism_class(self) -> str:
        """A text that is equal for cells the benchmark counts as one: 6,466 classes.

        The benchmark writes each node as a sorted sum of its inputs, a skip as what it skips, and an edge
        from nothing as nothing. It takes a sum of nothings for something and does not sort sums inside sums,
        so cells of different classes may still compute one function (see `function`), and the number of
        classes depends on how terms are spelled.
        """
        nodes = ["0"]
        for node in range(1, NODES):
            nodes.append(
                "+".join(sorted(self._spelled(op, nodes[source]) for op, source, _ in self._into(node)))
            )
        return nodes[-1]

    @staticmethod
    def _spelled(op: str, source: str) -> str:
        if op == "none" or source == "#":
            return "#"
        return source if op == "skip_connect" else f"({source})@{op}"

    @cached_property
    def function(self) -> tuple[str, ...]:
        """The sum that the cell computes, as sorted terms without nothings; a skipped sum is joined.

        There are 4,930. Cells with one sum compute the same function once their weights are matched.
        """
        nodes: list[tuple[str, ...]] = [("x",)]
        for node in range(1, NODES):
            terms: list[str] = []
            for op, source, _ in self._into(node):
                if op != "none" and nodes[source]:
                    terms += nodes[source] if op == "skip_connect" else (f"{op}({'+'.join(nodes[source])})",)
            nodes.append(tuple(sorted(terms)))
        return nodes[-1]

    def as_graph(
        self,
        resolution: int | None = None,
        widths: tuple[int, ...] = WIDTHS,
        cells_per_stage: int = CELLS_PER_STAGE,
    ) -> Graph:
        """The operations of the network that `build` makes, dead convolutions included; 32 pixels for None.

        Raises:
            ScoreUndefined: no path leads through the cell.
        """
        side = 32 if resolution is None else resolution
        return graph_of_cell(self.to_string(), self.ops, side, widths, cells_per_stage)

    def _into(self, node: int) -> list[tuple[str, int, int]]:
        """(operation, from node, to node) of the edges into a node."""
        return [
            (op, source, target)
            for op, (source, target) in zip(self.ops, EDGES, strict=True)
            if target == node
        ]


def cells() -> Iterator[Cell]:
    """All 15,625 cells, the last edge changing fastest.

    The official index of a cell comes with the benchmark's table.
    """
    return map(Cell, product(OPS, repeat=len(EDGES)))


def costs(cell: Cell) -> tuple[int, int]:
    """Parameters of the benchmark's network of a cell with ten classes, and multiply-adds of 32 pixels.

    Dead edges count, since they run.
    """
    params, flops = _conv(3, WIDTHS[0], 3, 32)
    for stage, width in enumerate(WIDTHS):
        side = 32 >> stage
        layers = [_conv(width, width, int(op[-1]), side) for op in cell.ops if op in CONVS] * CELLS_PER_STAGE
        if stage > 0:
            layers += [
                _conv(width // 2, width, 3, side),
                _conv(width, width, 3, side),
                (width * width // 2, width * width // 2 * side**2),
            ]
        params += sum(layer[0] for layer in layers)
        flops += sum(layer[1] for layer in layers)
    return params + 2 * WIDTHS[-1] + (WIDTHS[-1] + 1) * 10, flops + WIDTHS[-1] * 10


def _conv(in_channels: int, out_channels: int, kernel: int, side: int) -> tuple[int, int]:
    """Parameters of a convolution with its BatchNorm, and multiply-adds."""
    weights = in_channels * out_channels * kernel**2
    return weights + 2 * out_channels, weights * side**2


def build(
    cell: Cell,
    num_classes: int = 10,
    widths: tuple[int, ...] = WIDTHS,
    cells_per_stage: int = CELLS_PER_STAGE,
) -> CellNetwork:
    """The trainable network of a cell, as the benchmark builds it; smaller ones for tests."""
    layers = [
        (width, index == 0 and stage > 0)
        for stage, width in enumerate(widths)
        for index in range(cells_per_stage + (stage > 0))
    ]
    return CellNetwork(cell.ops, widths[0], layers, num_classes)
