"""The size space of NATS-Bench: one cell, 32,768 choices of width.

Five layers (cell, reduction, cell, reduction, cell) have widths of their own, multiples of 8 up to 64.

Source: Dong et al. 2021 (arXiv 2009.00437), section 3.2.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from experiments.benchmarks.cell_layers_space import CellNetwork
from experiments.benchmarks.nasbench201_space import Cell
from zenlib.errors import ArchitectureError

CELL = Cell.from_string(
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
)
WIDTHS = tuple(range(8, 65, 8))
LAYERS = 5

Widths = tuple[int, ...]


def sizes() -> Iterator[Widths]:
    """All choices of five widths, the last changing fastest."""
    return product(WIDTHS, repeat=LAYERS)


def from_string(text: str) -> Widths:
    """Reads the benchmark's text, such as `8:16:24:32:64`.

    Raises:
        ArchitectureError: the text is not of that form.
    """
    parts = text.split(":")
    if len(parts) != LAYERS or any(part not in map(str, WIDTHS) for part in parts):
        raise ArchitectureError(
            f"size: needed five of {', '.join(map(str, WIDTHS))} joined by ':', got {text!r}"
        )
    return tuple(map(int, parts))


def build(widths: Widths, num_classes: int = 10) -> CellNetwork:
    """The trainable network of five widths, as the benchmark builds it."""
    layers = [(width, position % 2 == 1) for position, width in enumerate(widths)]
    return CellNetwork(CELL.ops, widths[0], layers, num_classes)
