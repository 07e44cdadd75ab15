"""A network as the list of its operations, shortcuts included; what the arithmetic on graphs reads.

Source: none; the reading of a network that the chapter "Why Zen fails on cells" needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from zenlib.errors import ConversionError
from zenlib.networks.architecture import Architecture, ConvSpec
from zenlib.vanilla.vcnn import IMAGE, VCNN, ChannelShuffle, ChannelSlice, Concat, Conv, Pool, Step, times
from zenlib.vanilla.vcnn import Add as AddStep

Kind = Literal["conv", "norm", "relu", "add", "pool", "join", "slice"]


class Operation(NamedTuple):
    """One operation on square feature maps.

    Attributes:
        kind: "conv" (without bias), "norm" (BatchNorm), "relu", "add", "pool", "join" (along the channels) or
            "slice" (of them).
        name: where it comes from, for people.
        inputs: indices of the operations it reads; `IMAGE` is the image.
        channels: channels of its output.
        side: rows, and columns, of its output.
        kernel: side of its window.
        stride: steps of its window.
        padding: zeros before the first row and column.
        dilation: distance of the taps.
        groups: groups of channels that do not mix.
        mode: "avg" or "max" of a pooling.
        times: how often the network computes it; it stands here once.
    """

    kind: Kind
    name: str
    inputs: tuple[int, ...]
    channels: int
    side: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    mode: str = ""
    times: int = 1

    @property
    def values(self) -> int:
        """Values of the map that it gives."""
        return self.channels * self.side**2


@dataclass(frozen=True)
class Graph:
    """The operations of a network up to the feature map before global pooling.

    Attributes:
        name: of the network.
        operations: each after those it reads; all of them depend on the image.
        output: index of the operation that gives the last feature map.
        in_channels: channels of the image.
        resolution: side of the image, pixels.
        silent: number of BatchNorms that read nothing; the Zen-Score counts log sqrt(eps) for each.
        marks: indices of the maps whose terms are wanted: the outputs of cells or units, else none.
        blocks: indices of the maps that end the blocks of AZ-NAS, where these are others than `marks`.
    """

    name: str
    operations: tuple[Operation, ...]
    output: int
    in_channels: int
    resolution: int
    silent: int = 0
    marks: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()

    def channels_into(self, operation: Operation) -> int:
        """Channels of the first map that an operation reads."""
        source = operation.inputs[0]
        return self.in_channels if source == IMAGE else self.operations[source].channels

    def fan_in(self, conv: Operation) -> int:
        """Inputs that one output of a convolution sums."""
        return self.channels_into(conv) // conv.groups * conv.kernel**2

    def live(self) -> list[bool]:
        """For each operation, whether it lies on a path to the output."""
        found = {self.output}
        for index in range(self.output, -1, -1):
            if index in found:
                found.update(self.operations[index].inputs)
        return [index in found for index in range(len(self.operations))]

    def cuts(self) -> list[bool]:
        """For each operation, whether the whole network passes through it."""
        last = {source: index for index, one in enumerate(self.operations) for source in one.inputs}
        found, reach = [], last.get(IMAGE, -1)
        for index in range(len(self.operations)):
            found.append(reach <= index <= self.output)
            reach = max(reach, last.get(index, -1))
        return found


def graph_of_architecture(architecture: Architecture, resolution: int) -> Graph:
    """The network as `build_network` makes it, without gates; the outputs of its units are marked."""
    operations: list[Operation] = []
    marks: list[int] = []
    last = IMAGE

    def put(kind: Kind, *inputs: int) -> int:
        before = operations[inputs[0]]
        operations.append(Operation(kind, "", inputs, before.channels, before.side))
        return len(operations) - 1

    def conv_norm(conv: ConvSpec, read: int, side: int) -> int:
        window = conv.kernel, conv.stride, (conv.kernel - 1) // 2, 1, conv.groups
        operations.append(Operation("conv", "", (read,), conv.out_channels, -(-side // conv.stride), *window))
        return put("norm", len(operations) - 1)

    for unit, side in architecture.unit_resolutions(resolution):
        read, last = last, conv_norm(unit.convs[0], last, side)
        for conv in unit.convs[1:]:
            last = put("relu", last)
            last = conv_norm(conv, last, operations[last].side)
        if unit.residual:
            other = read if unit.projection is None else conv_norm(unit.projection, read, side)
            last = put("add", last, other)
        last = put("relu", last)
        marks.append(last)
    image = architecture.in_channels, resolution
    return Graph("Architecture", tuple(operations), last, *image, marks=tuple(marks))


def graph_of_vcnn(vcnn: VCNN) -> Graph:
    """The operations of a VCNN: BatchNorm and ReLU follow each convolution."""
    operations: list[Operation] = []
    places = {IMAGE: IMAGE}
    for index, step in enumerate(vcnn.steps):
        made = _operation(step, tuple(places[source] for source in step.inputs))
        operations.append(made)
        for kind in ("norm", "relu") if isinstance(step, Conv) else ():
            operations.append(Operation(kind, step.name, (len(operations) - 1,), made.channels, made.side))
        places[index] = len(operations) - 1
    return Graph(vcnn.name, tuple(operations), len(operations) - 1, vcnn.in_channels, vcnn.resolution)


def _operation(step: Step, inputs: tuple[int, ...]) -> Operation:
    side = square(step.name, step.out_resolution)
    plain = (step.name, inputs, step.out_channels, side)
    match step:
        case Conv():
            kernel, stride = square(step.name, step.kernel), square(step.name, step.stride)
            return Operation("conv", *plain, kernel, stride, step.padding[0], step.dilation[0], step.groups)
        case Pool():
            kernel, stride = square(step.name, step.kernel), square(step.name, step.stride)
            return Operation("pool", *plain, kernel, stride, step.padding[0], mode=step.kind)
        case AddStep():
            return Operation("add", *plain)
        case Concat():
            return Operation("join", *plain)
        case ChannelSlice() | ChannelShuffle():
            return Operation("slice", *plain)
    raise ConversionError(
        f"{step.name}: needed convolutions, poolings, sums, concatenations and slices, got {step.describe()}"
    )


def square(name: str, pair: Sequence[int]) -> int:
    """The side of a window or map; one that is not square is refused."""
    if len(pair) != 2 or pair[0] != pair[1]:
        raise ConversionError(
            f"{name}: needed square windows and maps, got {times(tuple(pair))}; score this network by Monte "
            "Carlo (zen_score)"
        )
    return int(pair[0])
