"""The vanilla convolutional network (VCNN) as data.

A VCNN keeps only what the theory of the Zen-Score speaks about: convolutions without bias, a ReLU after each,
and the pooling between them, up to the feature map before global pooling. It is a tuple of `Step` rows, each
naming the steps it reads. When every step reads the one before, it is a chain; networks with concatenations
are graphs.

Images have two axes, (height, width), unless the convolutions are 1-d, (length,), or 3-d, (depth, height,
width); sizes are listed in this order.

No weights are stored: a score draws them.

Source: Lin et al. 2021 (arXiv 2102.01063), section 3.2.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from zenlib.errors import ConversionError

Sizes = tuple[int, ...]
"""A number for each axis of an image."""
IMAGE = -1
"""The index by which a step reads the input image."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation of a VCNN.

    Attributes:
        name: where it comes from, for people.
        inputs: indices of the steps it reads; `IMAGE` is the input.
        in_channels, in_resolution: channels and size of its (first) input.
        out_channels, out_resolution: channels and size of its output.
    """

    name: str
    inputs: tuple[int, ...]
    in_channels: int
    out_channels: int
    in_resolution: Sizes
    out_resolution: Sizes

    def describe(self) -> str:
        """The operation in a few words, for the printed table."""
        return type(self).__name__.lower()


@dataclass(frozen=True, kw_only=True)
class Conv(Step):
    """A convolution without bias; a ReLU follows, and a BatchNorm between them where the score asks for one.

    Attributes:
        kernel: its size.
        stride: one for each axis; () stands for 1 each.
        padding: zeros before and behind each axis, (top, bottom, left, right); () for none.
        dilation: one for each axis; () stands for 1 each.
        groups: groups of channels that do not mix.
    """

    kernel: Sizes
    stride: Sizes = ()
    padding: Sizes = ()
    dilation: Sizes = ()
    groups: int = 1

    def __post_init__(self) -> None:
        _spell_out(self, stride=1, padding=(0, 0), dilation=1)

    @property
    def weight_shape(self) -> Sizes:
        """Shape of the kernel: (out_channels, in_channels / groups, height, width)."""
        return self.out_channels, self.in_channels // self.groups, *self.kernel

    @property
    def weights(self) -> int:
        """Number of kernel entries."""
        return prod(self.weight_shape)

    @property
    def flops(self) -> int:
        """Multiply-adds for one image."""
        return self.weights * prod(self.out_resolution)

    def describe(self) -> str:
        """Kernel, stride, dilation and groups."""
        text = f"conv {_by(self.kernel)}"
        text += f" /{_by(self.stride)}" if max(self.stride) > 1 else ""
        text += f" dilation {_by(self.dilation)}" if max(self.dilation) > 1 else ""
        if self.groups > 1:
            text += " depthwise" if self.groups == self.in_channels else f" groups {self.groups}"
        return text


@dataclass(frozen=True, kw_only=True)
class Pool(Step):
    """Max or average pooling over windows.

    Attributes:
        kind: "max" or "avg".
        kernel: size of a window.
        stride: one for each axis.
        padding: one for each axis, the same on both sides; () for none.
        dilation: one for each axis, 1 for "avg"; () stands for 1 each.
        ceil_mode: whether a last, partial window counts.
        count_include_pad: whether an average counts padded zeros.
    """

    kind: str
    kernel: Sizes
    stride: Sizes
    padding: Sizes = ()
    dilation: Sizes = ()
    ceil_mode: bool = False
    count_include_pad: bool = True

    def __post_init__(self) -> None:
        _spell_out(self, padding=0, dilation=1)

    def describe(self) -> str:
        """Kind, kernel and stride."""
        return f"{self.kind} pool {_by(self.kernel)} /{_by(self.stride)}"


@dataclass(frozen=True, kw_only=True)
class Pad(Step):
    """Zeros around a map, or a border cut off; zeros before a convolution are its own padding instead.

    Attributes:
        padding: zeros before and behind each axis, (top, bottom, left, right), or cut off where negative.
    """

    padding: Sizes


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
    """Channels `start` to `start + out_channels` of its input."""

    start: int


@dataclass(frozen=True, kw_only=True)
class ChannelShuffle(Step):
    """Channels reordered as a (groups, channels / groups) table read column by column."""

    groups: int


@dataclass(frozen=True)
class VCNN:
    """A vanilla convolutional network.

    Attributes:
        steps: the operations, each after those it reads; the last one gives the feature map before global
            pooling.
        resolution: side of the input image, which is square, or a cube, in pixels.
        in_channels: channels of the input image.
        name: what was converted.
        removed: the kind ("shortcut", "gate", ...) of each thing that the conversion took away.
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
    def image_shape(self) -> Sizes:
        """(channels, height, width) of an image."""
        return self.in_channels, *(self.resolution,) * len(self.convs[0].kernel)

    @property
    def is_chain(self) -> bool:
        """Whether every step reads the one before it."""
        return all(step.inputs == (index - 1,) for index, step in enumerate(self.steps))

    @property
    def layers(self) -> tuple[Step, ...]:
        """The steps of a chain, convolutions and pooling in order; a graph is refused."""
        if not self.is_chain:
            raise ConversionError(
                f"{self.name}: needed a chain, but this network joins branches ({self._joins()}); read "
                ".steps instead, or score it by Monte Carlo (zen_score)"
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

    def peak_memory(self, bytes_per_value: int = 1) -> int:
        """Bytes of feature maps of one image that are alive at once, at most, with the steps in their order.

        While a step runs, its inputs, its output and whatever a later step reads are alive; a sum overwrites
        an input that no later step reads. A network with shortcuts, which are gone, needs more.
        """
        sizes = {
            number: step.out_channels * prod(step.out_resolution) for number, step in enumerate(self.steps)
        }
        sizes[IMAGE] = prod(self.image_shape)
        last = {index: number for number, step in enumerate(self.steps) for index in step.inputs}
        most = 0
        for number, step in enumerate(self.steps):
            alive = sum(sizes[i] for i in range(IMAGE, number + 1) if last.get(i, number) >= number)
            if isinstance(step, Add) and any(last[index] == number for index in step.inputs):
                alive -= sizes[number]
            most = max(most, alive)
        return most * bytes_per_value

    def _joins(self) -> str:
        kinds = Counter(type(step).__name__ for step in self.steps if not isinstance(step, (Conv, Pool, Pad)))
        return (
            ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            or "a step that is read twice"
        )

    def __str__(self) -> str:
        shape = "chain" if self.is_chain else f"graph ({self._joins()})"
        lines = [
            f"VCNN of {self.name or 'a network'}: {shape}, {len(self.convs)} convolutions, {self.weights:,} "
            f"weights, {self.flops:,} multiply-adds at {times(self.image_shape[1:])}",
            f"{'#':>4}  {'operation':<28} {'channels':>12} {'map':>9} {'reads':>11}  from",
        ]
        for index, step in enumerate(self.steps):
            channels, size = f"{step.in_channels} > {step.out_channels}", _by(step.out_resolution)
            names = ["image" if i == IMAGE else str(i) for i in step.inputs]
            names = names if len(names) < 4 else [names[0], "..", names[-1]]
            reads = "" if step.inputs == (index - 1,) else ",".join(names)
            lines.append(
                f"{index:>4}  {step.describe():<28} {channels:>12} {size:>9} {reads:>11}  {step.name}"
            )
        if self.removed:
            counted = ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(self.removed).items()))
            lines.append(f"removed: {counted}")
        return "\n".join(lines)


def times(sizes: Sizes, sign: str = " x ") -> str:
    """Sizes as people write them: 224 x 224."""
    return sign.join(map(str, sizes))


def _by(sizes: Sizes) -> str:
    return times(sizes, "x")


def _spell_out(step: Conv | Pool, **each: int | Sizes) -> None:
    """Writes out what () stands for: the same on each axis."""
    for name, value in each.items():
        if getattr(step, name) == ():
            one = value if isinstance(value, tuple) else (value,)
            object.__setattr__(step, name, one * len(step.kernel))
