"""The operations of a network of the Zen-NAS spaces, from its blocks without building a module."""

from __future__ import annotations

from zenlib.errors import ArchitectureError
from zenlib.networks.architecture import Architecture, ConvSpec
from zenlib.scores.graph_form.operations import Graph, Operation
from zenlib.vanilla.vcnn import IMAGE


def graph_of_architecture(architecture: Architecture, resolution: int) -> Graph:
    """The network as `build_network` makes it, without gates; the outputs of its units are marked.

    Raises:
        ArchitectureError: the resolution, in pixels, is too small for the strides.
    """
    operations: list[Operation] = []
    marks = []

    def put(kind: str, inputs: tuple[int, ...], channels: int, side: int, *window: int) -> int:
        operations.append(Operation(kind, "", inputs, channels, side, *window))  # type: ignore[arg-type]
        return len(operations) - 1

    def conv_norm(conv: ConvSpec, read: int, side: int) -> tuple[int, int]:
        if side < conv.stride:
            raise ArchitectureError(
                f"resolution: needed maps at least as wide as each stride, got one of {side} before a stride "
                f"of {conv.stride}; use larger images"
            )
        side = -(-side // conv.stride)
        window = conv.kernel, conv.stride, (conv.kernel - 1) // 2, 1, conv.groups
        place = put("conv", (read,), conv.out_channels, side, *window)
        return put("norm", (place,), conv.out_channels, side), side

    last, side = IMAGE, resolution
    for unit in architecture.units:
        read, before = last, side
        for conv in unit.convs:
            if conv is not unit.convs[0]:
                last = put("relu", (last,), operations[last].channels, side)
            last, side = conv_norm(conv, last, side)
        if unit.residual:
            other = read if unit.projection is None else conv_norm(unit.projection, read, before)[0]
            last = put("add", (last, other), unit.convs[-1].out_channels, side)
        last = put("relu", (last,), unit.convs[-1].out_channels, side)
        marks.append(last)
    return Graph(
        "Architecture", tuple(operations), last, architecture.in_channels, resolution, 0, tuple(marks)
    )
