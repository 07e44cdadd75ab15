"""The operations of NAS-Bench-201 networks, written down from the cell without building a module."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.benchmarks.cell_layers_space import EDGES, NODES
from zenlib.errors import ScoreUndefined
from zenlib.scores.graph_form.operations import Graph, Operation
from zenlib.vanilla.vcnn import IMAGE


def graph_of_cell(
    name: str, ops: Sequence[str], resolution: int, widths: Sequence[int], cells_per_stage: int
) -> Graph:
    """The network of a cell, convolutions off every path to the output included; see `Cell.as_graph`."""
    writer = _Writer(ops)
    last = writer.conv_norm(IMAGE, "stem", widths[0], resolution, 3)
    for stage, width in enumerate(widths):
        side = resolution >> stage
        if stage > 0:
            last = writer.reduction(last, f"reduction {stage}", width, side)
        for repeat in range(cells_per_stage):
            last = writer.one_cell(last, f"stage {stage} cell {repeat}", width, side)
            writer.marks.append(last)
    blocks = writer.blocks()
    for kind in ("norm", "relu"):
        last = writer.put(Operation(kind, "last", (last,), widths[-1], resolution >> (len(widths) - 1)))
    return Graph(
        name,
        tuple(writer.operations),
        last,
        3,
        resolution,
        writer.silent,
        tuple(writer.marks),
        blocks,
    )


def nodes_of_cell(ops: Sequence[str], resolution: int, width: int) -> tuple[int | None, ...]:
    """The operations that are the nodes of the first cell, None for a node that reads nothing."""
    writer = _Writer(ops)
    writer.one_cell(writer.conv_norm(IMAGE, "stem", width, resolution, 3), "first", width, resolution)
    return writer.nodes


class _Writer:
    """Operations in the order they run."""

    def __init__(self, ops: Sequence[str]) -> None:
        self.ops = ops
        self.operations: list[Operation] = []
        self.marks: list[int] = []
        self.nodes: tuple[int | None, ...] = ()
        self.silent = 0

    def put(self, operation: Operation) -> int:
        """Appends an operation and returns its index."""
        self.operations.append(operation)
        return len(self.operations) - 1

    def conv_norm(self, source: int, name: str, width: int, side: int, kernel: int, stride: int = 1) -> int:
        """A convolution and its BatchNorm."""
        conv = self.put(Operation("conv", name, (source,), width, side, kernel, stride, kernel // 2))
        return self.put(Operation("norm", name, (conv,), width, side))

    def blocks(self) -> tuple[int, ...]:
        """The ends of the stem, the reductions and the cells with convolutions, as AZ-NAS takes them."""
        ends = [1]
        for place, one in enumerate(self.operations):
            if one.kind == "add" and one.name.startswith("reduction"):
                ends.append(place)
        if any(one.kind == "conv" and one.name.startswith("stage") for one in self.operations):
            ends += self.marks
        return tuple(sorted(ends))

    def relu(self, source: int, name: str) -> int:
        """A ReLU."""
        read = self.operations[source]
        return self.put(Operation("relu", name, (source,), read.channels, read.side))

    def reduction(self, source: int, name: str, width: int, side: int) -> int:
        """The residual block between two stages; its shortcut has no BatchNorm."""
        path = self.conv_norm(self.relu(source, name), f"{name} conv 0", width, side, 3, 2)
        path = self.conv_norm(self.relu(path, name), f"{name} conv 1", width, side, 3)
        pooled = self.put(
            Operation("pool", name, (source,), self.operations[source].channels, side, 2, 2, mode="avg")
        )
        shortcut = self.put(Operation("conv", f"{name} shortcut", (pooled,), width, side))
        return self.put(Operation("add", name, (path, shortcut), width, side))

    def one_cell(self, source: int, name: str, width: int, side: int) -> int:
        """A cell; an edge that reads nothing is nothing."""
        nodes: list[int | None] = [source, *[None] * (NODES - 1)]
        rectified: dict[int, int] = {}
        pooled: dict[int, int] = {}
        for target in range(1, NODES):
            terms = []
            for edge, op in enumerate(self.ops):
                start, end = EDGES[edge]
                read = nodes[start]
                if end != target or op == "none" or read is None:
                    self.silent += end == target and op.startswith("nor_conv")
                elif op == "skip_connect":
                    terms.append(read)
                elif op == "avg_pool_3x3":
                    if read not in pooled:
                        pooled[read] = self.put(
                            Operation(
                                "pool", f"{name} pool {start}", (read,), width, side, 3, 1, 1, mode="avg"
                            )
                        )
                    terms.append(pooled[read])
                else:
                    # Two nodes may be one map, where a skip leads from one to the other.
                    place = rectified.setdefault(read, len(self.operations))
                    if place == len(self.operations):
                        self.relu(read, f"{name} relu {start}")
                    else:
                        times = self.operations[place].times + 1
                        self.operations[place] = self.operations[place]._replace(times=times)
                    terms.append(
                        self.conv_norm(rectified[read], f"{name} edge {edge}", width, side, int(op[-1]))
                    )
            if len(terms) > 1:
                nodes[target] = self.put(Operation("add", f"{name} node {target}", tuple(terms), width, side))
            elif terms:
                nodes[target] = terms[0]
        self.nodes = tuple(nodes)
        if nodes[-1] is None:
            raise ScoreUndefined(
                f"closed form of {name}: no path leads from the input of the cell to its output"
            )
        return nodes[-1]
