"""Cells of NAS-Bench-101: a graph of up to seven vertices whose labels are operations.

Its network is a 3x3 convolution of 128 channels and nine cells in three stacks; between stacks the map is
halved by max pooling and the channels double.

Source: Ying et al. 2019 (arXiv 1902.09635), section 2; channels and projections as in the released code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zenlib.errors import ArchitectureError

OPS = {"3": "conv3x3", "1": "conv1x1", "M": "maxpool3x3"}
"""Letter of an operation in the benchmark's table -> its name; BatchNorm and ReLU follow convolutions."""
STEM = 128
STACKS = 3
CELLS_PER_STACK = 3


@dataclass(frozen=True)
class Cell101:
    """A cell."""

    ops: str  # the letter of each vertex between input and output
    # (from, to) with from < to; vertex 0 is the input, the last one the output
    edges: frozenset[tuple[int, int]]

    @classmethod
    def from_strings(cls, ops: str, upper: str) -> Cell101:
        """Reads the letters and the adjacency's upper triangle, row by row, such as ("3M", "110011").

        Raises:
            ArchitectureError: an unknown letter, or a triangle of another size.
        """
        pairs = [(i, j) for i in range(len(ops) + 2) for j in range(i + 1, len(ops) + 2)]
        if set(ops) - set(OPS) or len(upper) != len(pairs) or set(upper) - {"0", "1"}:
            raise ArchitectureError(
                f"cell: needed letters of {', '.join(OPS)} and {len(pairs)} zeros and ones for them, got "
                f"{ops!r} and {upper!r}"
            )
        return cls(ops, frozenset(pair for pair, bit in zip(pairs, upper, strict=True) if bit == "1"))

    @property
    def output(self) -> int:
        """Index of the output vertex."""
        return len(self.ops) + 1

    def inputs(self, vertex: int) -> list[int]:
        """The vertices that a vertex reads, in order."""
        return sorted(source for source, target in self.edges if target == vertex)

    def widths(self, out_channels: int) -> list[int]:
        """Channels of each vertex between input and output.

        The vertices that the output reads share its channels, the first ones taking one more where they do
        not divide evenly; every other vertex is as wide as the widest that reads it.
        """
        joined = [vertex for vertex in self.inputs(self.output) if vertex != 0]
        widths = {
            vertex: out_channels // len(joined) + (place < out_channels % len(joined))
            for place, vertex in enumerate(joined)
        }
        for vertex in range(self.output - 1, 0, -1):
            if vertex not in widths:
                widths[vertex] = max(widths[target] for source, target in self.edges if source == vertex)
        return [widths[vertex] for vertex in range(1, self.output)]


def build(
    cell: Cell101, num_classes: int = 10, stem: int = STEM, cells_per_stack: int = CELLS_PER_STACK
) -> nn.Module:
    """The trainable network of a cell, as the benchmark builds it; narrower ones for tests."""
    return Network101(cell, num_classes, stem, cells_per_stack)


class Network101(nn.Module):
    """Stem, stacks of cells, global pooling, classifier."""

    def __init__(self, cell: Cell101, num_classes: int, stem: int, cells_per_stack: int) -> None:
        super().__init__()
        self.stem = _conv_bn_relu(3, stem, 3)
        self.cells = nn.Sequential()
        width = stem
        for stack in range(STACKS):
            out_channels = stem * 2**stack
            if stack > 0:
                self.cells.append(nn.MaxPool2d(2))
            for _ in range(cells_per_stack):
                self.cells.append(CellModule101(cell, width, out_channels))
                width = out_channels
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, num_classes)."""
        return self.classifier(self.pool(self.cells(self.stem(images))).flatten(1))


class CellModule101(nn.Module):
    """A cell: a vertex sums what it reads, cut to its width; the input is projected wherever it is read."""

    def __init__(self, cell: Cell101, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.cell = cell
        self.widths = cell.widths(out_channels) if cell.ops else []
        self.vertices = nn.ModuleList(
            _operation(op, width) for op, width in zip(cell.ops, self.widths, strict=True)
        )
        targets = {
            target: width
            for target, width in enumerate((*self.widths, out_channels), start=1)
            if (0, target) in cell.edges
        }
        self.projections = nn.ModuleDict(
            {str(target): _conv_bn_relu(in_channels, width, 1) for target, width in targets.items()}
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C_in, H, W) to (N, C_out, H, W)."""
        outputs: dict[int, Tensor] = {}
        for vertex, (operation, width) in enumerate(zip(self.vertices, self.widths, strict=True), start=1):
            read = [outputs[source][:, :width] for source in self.cell.inputs(vertex) if source != 0]
            outputs[vertex] = operation(_total(self._projected(features, vertex) + read))
        last = self.cell.output
        joined = [outputs[source] for source in self.cell.inputs(last) if source != 0]
        return _total(self._projected(features, last) + ([torch.cat(joined, dim=1)] if joined else []))

    def _projected(self, features: Tensor, vertex: int) -> list[Tensor]:
        """The projection of the cell's input for a vertex that reads it, as a list of one or none."""
        return [self.projections[str(vertex)](features)] if str(vertex) in self.projections else []


def _total(features: Sequence[Tensor]) -> Tensor:
    return sum(features[1:], start=features[0])


def _operation(letter: str, width: int) -> nn.Module:
    return nn.MaxPool2d(3, stride=1, padding=1) if letter == "M" else _conv_bn_relu(width, width, int(letter))


def _conv_bn_relu(in_channels: int, out_channels: int, kernel: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())
