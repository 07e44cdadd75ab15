"""The vanilla convolutional network (VCNN) as data.

A VCNN keeps only what the theory of the Zen-Score speaks about: convolutions without bias, a ReLU after each,
and the pooling between them, up to the feature map before global pooling. It is a tuple of `Step` rows, each
naming the steps it reads. When every step reads the one before, it is a chain; networks with concatenations
are graphs.

No weights are stored: a score draws them.

Source: Lin et al. 2021 (arXiv 2102.01063), section 3.2.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from zenlib.errors import ConversionError

Pair = tuple[int, int]
IMAGE = -1
"""The index by which a step reads the input image."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation of a VCNN.

    Attributes:
        name: where it comes from, for people.
        inputs: indices of the steps it reads; `IMAGE` is the input.
        in_channels: channels of its (first) input.
        out_channels: channels it gives.
        in_resolution: (height, width) of its input.
        out_resolution: (height, width) of its output.
    """

    name: str
    inputs: tuple[int, ...]
    in_channels: int
    out_channels: int
    in_resolution: Pair
    out_resolution: Pair

    def describe(self) -> str:
        """The operation in a few words, for the printed table."""
        return type(self).__name__.lower()


@dataclass(frozen=True, kw_only=True)
class Conv(Step):
    """A convolution without bias; a ReLU follows, and a BatchNorm between them where the score asks for one.

    Attributes:
        kernel: (height, width).
        stride: (height, width).
        padding: zeros added on (top, bottom, left, right).
        dilation: (height, width).
        groups: groups of channels that do not mix.
    """

    kernel: Pair
    stride: Pair = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """Shape of the kernel: (out_channels, in_channels / groups, height, width)."""
        return self.out_channels, self.in_channels // self.groups, *self.kernel

    @property
    def weights(self) -> int:
        """Number of kernel entries."""
        out, per_group, height, width = self.weight_shape
        return out * per_group * height * width

    @property
    def flops(self) -> int:
        """Multiply-adds for one image."""
        return self.weights * self.out_resolution[0] * self.out_resolution[1]

    def describe(self) -> str:
        """Kernel, stride, dilation and groups."""
        text = f"conv {_by(self.kernel)}"
        text += f" /{_by(self.stride)}" if self.stride != (1, 1) else ""
        text += f" dilation {_by(self.dilation)}" if self.dilation != (1, 1) else ""
        if self.groups > 1:
            text += " depthwise" if self.groups == self.in_channels else f" groups {self.groups}"
        return text


@dataclass(frozen=True, kw_only=True)
class Pool(Step):
    """Max or average pooling over windows.

    Attributes:
        kind: "max" or "avg".
        kernel: (height, width).
        stride: (height, width).
        padding: (height, width), the same on both sides.
        dilation: (height, width), 1 for "avg".
        ceil_mode: whether a last, partial window counts.
        count_include_pad: whether an average counts padded zeros.
    """

    kind: str
    kernel: Pair
    stride: Pair
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil_mode: bool = False
    count_include_pad: bool = True

    def describe(self) -> str:
        """Kind, kernel and stride."""
        return f"{self.kind} pool {_by(self.kernel)} /{_by(self.stride)}"


@dataclass(frozen=True, kw_only=True)
class Pad(Step):
    """Zeros around a map, or a border cut off.

    Zeros before a convolution are part of its own padding instead.

    Attributes:
        padding: rows and columns of zeros added on (top, bottom, left, right), or cut off where negative.
    """

    padding: tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Concat(Step):
    """Feature maps of the same size put side by side along the channels."""

    def describe(self) -> str:
        """How many it joins."""
        return f"concat of {len(self.inputs)}"


@dataclass(frozen=True, kw_only=True)
class Add(Step):
    """The sum of branches of equal standing, neither of which is a shortcut of the other."""


@dataclass(frozen=True, kw_only=True)
class ChannelSlice(Step):
    """Channels `start` to `start + out_channels` of its input.

    Attributes:
        start: first channel taken.
    """

    start: int


@dataclass(frozen=True, kw_only=True)
class ChannelShuffle(Step):
    """Channels reordered as a (groups, channels / groups) table read column by column.

    Attributes:
        groups: rows of that table.
    """

    groups: int


@dataclass(frozen=True)
class VCNN:
    """A vanilla convolutional network.

    Attributes:
        steps: the operations, each after those it reads; the last one gives the feature map before global
            pooling.
        resolution: side of the square input image, in pixels.
        in_channels: channels of the input image.
        name: what was converted.
        removed: what the conversion took away, one entry per removed thing, by kind ("shortcut", "gate",
            ...).
    """

    steps: tuple[Step, ...]
    resolution: int
    in_channels: int = 3
    name: str = field(default="", compare=False)
    removed: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if not self.convs:
            raise ConversionError(
                f"{self.name or 'network'}: needed at least one convolution before global pooling, found "
                "none; there is nothing to score"
            )

    @cached_property
    def convs(self) -> tuple[Conv, ...]:
        """The convolutions in order."""
        return tuple(step for step in self.steps if isinstance(step, Conv))

    @property
    def is_chain(self) -> bool:
        """Whether every step reads the one before it."""
        return all(step.inputs == (index - 1,) for index, step in enumerate(self.steps))

    @property
    def layers(self) -> tuple[Step, ...]:
        """The steps of a chain: convolutions and pooling in order.

        Raises:
            ConversionError: the network is a graph.
        """
        if not self.is_chain:
            raise ConversionError(
                f"{self.name}: needed a chain, but this network joins branches ({self._joins()}); read "
                ".steps instead"
            )
        return self.steps

    @property
    def weights(self) -> int:
        """Number of kernel entries of all convolutions."""
        return sum(conv.weights for conv in self.convs)

    @property
    def flops(self) -> int:
        """Multiply-adds of all convolutions for one image."""
        return sum(conv.flops for conv in self.convs)

    def _joins(self) -> str:
        kinds = Counter(type(step).__name__ for step in self.steps if not isinstance(step, (Conv, Pool, Pad)))
        return (
            ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            or "a step that is read twice"
        )

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        shape = "chain" if self.is_chain else f"graph ({self._joins()})"
        yield (
            f"VCNN of {self.name or 'a network'}: {shape}, {len(self.convs)} convolutions, {self.weights:,} "
            "weights, "
            f"{self.flops:,} multiply-adds at {self.resolution} x {self.resolution}"
        )
        yield f"{'#':>4}  {'operation':<28} {'channels':>12} {'map':>9} {'reads':>11}  from"
        for index, step in enumerate(self.steps):
            channels = f"{step.in_channels} > {step.out_channels}"
            reads = (
                ""
                if step.inputs == (index - 1,)
                else _some(["image" if i == IMAGE else str(i) for i in step.inputs])
            )
            size = _by(step.out_resolution)
            yield f"{index:>4}  {step.describe():<28} {channels:>12} {size:>9} {reads:>11}  {step.name}"
        if self.removed:
            counted = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(self.removed).items()))
            yield f"removed: {counted}"


def _some(names: list[str]) -> str:
    """All of a few names, the first and the last of many."""
    return ",".join(names) if len(names) < 4 else f"{names[0]},..,{names[-1]}"


def _by(pair: Pair) -> str:
    return f"{pair[0]}x{pair[1]}"
