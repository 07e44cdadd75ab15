"""A VCNN under construction: its steps so far, how deep each lies, and what was taken away."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, permutations, product
from math import prod
from typing import Any

from zenlib.errors import ConversionError
from zenlib.vanilla.vcnn import (
    IMAGE,
    VCNN,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv,
    Pad,
    Pool,
    Sizes,
    Step,
    times,
)

Depth = tuple[int, int]
"""(convolutions, spatial convolutions) on the longest path from the image, compared in this order."""


class Graph:
    """Steps in the order they run; a step is named by its index, the image by `IMAGE`.

    Attributes:
        axes: the letters of the axes of an image, (depth,) height and width.
    """

    def __init__(self, in_channels: int, resolution: int, axes: int) -> None:
        self.axes = "DHW"[-axes:]
        self.steps: list[Step] = []
        self.in_channels = in_channels
        self.resolution = resolution
        self._depths: list[Depth] = []
        # Pixels of the image under the kernels so far; pixels per step.
        self._spans: list[tuple[Sizes, Sizes]] = []
        # Every n-th pixel: of which step, from, stride.
        self._samples: dict[int, tuple[int, Sizes, Sizes]] = {}
        # Bit i + 1 of an entry: step i (bit 0: the image) lies on a path to it, or is it.
        self._ancestors: list[int] = []
        self._removed: list[tuple[str, int]] = []

    @property
    def next(self) -> int:
        """The index of the step that is appended next."""
        return len(self.steps)

    def channels(self, node: int) -> int:
        """Channels of a step's output."""
        return self.in_channels if node == IMAGE else self.steps[node].out_channels

    def size(self, node: int) -> Sizes:
        """The size of a step's output."""
        return self._each(self.resolution) if node == IMAGE else self.steps[node].out_resolution

    def sizes(self, node: int) -> dict[str, int]:
        """The same by the letters of the axes."""
        return dict(zip(self.axes, self.size(node), strict=True))

    def _each(self, number: int) -> Sizes:
        return (number,) * len(self.axes)

    def depth(self, node: int) -> Depth:
        """How deep a step lies."""
        return (0, 0) if node == IMAGE else self._depths[node]

    def is_ancestor(self, node: int, of: int) -> bool:
        """Whether a path leads from `node` to `of`, or they are one."""
        return bool(self._ancestry(of) >> (node + 1) & 1)

    def meeting_point(self, nodes: frozenset[int]) -> int:
        """The deepest step that lies on a path to each of `nodes`, or is one of them."""
        common = -1
        for node in nodes:
            common &= self._ancestry(node)
        return common.bit_length() - 2

    def convs_only_before(self, node: int, other: int) -> bool:
        """Whether a convolution lies on a path to `node` and on none to `other`."""
        own = self._ancestry(node) & ~self._ancestry(other)
        return any(own >> (index + 1) & 1 and isinstance(step, Conv) for index, step in enumerate(self.steps))

    def breadth(self, node: int) -> tuple[int, int, int]:
        """What tells the widest of parallel convolutions: its kernel, then fewer in a row, then weights."""
        step = self.steps[node]
        return prod(self._spans[node][0]), -self.depth(node)[0], step.weights if isinstance(step, Conv) else 0

    def add(self, step: Step) -> int:
        """Appends a step and returns its index."""
        one = self._each(1)
        spans = [(one, one) if node == IMAGE else self._spans[node] for node in step.inputs]
        span, pace = (tuple(map(max, *sides, one)) for sides in zip(*spans, strict=True))
        if isinstance(step, Conv):
            reach = zip(span, step.kernel, step.dilation, pace, strict=True)
            span = tuple(s + (k - 1) * d * p for s, k, d, p in reach)
        if isinstance(step, (Conv, Pool)):
            pace = tuple(p * s for p, s in zip(pace, step.stride, strict=True))
        self._spans.append((span, pace))
        before = max((self.depth(node) for node in step.inputs), default=(0, 0))
        if isinstance(step, Conv):
            before = (before[0] + 1, before[1] + (max(step.kernel) > 1))
        self._depths.append(before)
        ancestry = 1 << (len(self.steps) + 1)
        for node in step.inputs:
            ancestry |= self._ancestry(node)
        self._ancestors.append(ancestry)
        self.steps.append(step)
        return len(self.steps) - 1

    def conv(self, node: int, step: Conv) -> int:
        """Appends a convolution that reads `node`; zeros padded just before become its own padding."""
        source = None if node == IMAGE else self.steps[node]
        if not isinstance(source, Pad) or min(source.padding) < 0:
            return self.add(step)
        padding = tuple(own + before for own, before in zip(step.padding, source.padding, strict=True))
        step = replace(step, inputs=source.inputs, in_resolution=source.in_resolution, padding=padding)
        return self.conv(source.inputs[0], step)

    def concat(self, nodes: tuple[int, ...], name: str) -> int:
        """Appends a concatenation; slices that restore what they were cut from are just that."""
        if len(nodes) == 1:
            return nodes[0]
        parts = [
            step for node in nodes if node != IMAGE and isinstance(step := self.steps[node], ChannelSlice)
        ]
        if len(parts) == len(nodes) and len({part.inputs for part in parts}) == 1:
            ends = [part.start + part.out_channels for part in parts]
            if [part.start for part in parts] == [0, *ends[:-1]] and ends[-1] == parts[0].in_channels:
                return parts[0].inputs[0]
        return self.add(
            Concat(inputs=nodes, out_channels=sum(map(self.channels, nodes)), **self._reading(nodes[0], name))
        )

    def channel_slice(self, node: int, start: int, length: int, name: str) -> int:
        """Appends the choice of `length` channels from `start`; all of them, or of a part, are a step."""
        if length == self.channels(node):
            return node
        if node != IMAGE and isinstance(step := self.steps[node], Concat):
            starts = accumulate(map(self.channels, step.inputs[:-1]), initial=0)
            for part, begins in zip(step.inputs, starts, strict=True):
                if begins <= start and start + length <= begins + self.channels(part):
                    return self.channel_slice(part, start - begins, length, name)
        return self.add(
            ChannelSlice(inputs=(node,), start=start, out_channels=length, **self._reading(node, name))
        )

    def overwrite(self, node: int, start: int, part: int, name: str) -> int:
        """The channels of a step with those from `start` on replaced by the step `part`."""
        end = start + self.channels(part)
        rest = [(0, start), (end, self.channels(node) - end)]
        before, after = (
            [self.channel_slice(node, first, length, name)] if length else [] for first, length in rest
        )
        return self.concat((*before, part, *after), name)

    def crop(self, node: int, first: Sizes, size: Sizes, name: str) -> int:
        """Appends the choice of a part of the rows and columns; all of them are the step itself."""
        if size == self.size(node):
            return node
        cut = [
            side
            for a, n, full in zip(first, size, self.size(node), strict=True)
            for side in (-a, a + n - full)
        ]
        fields = self._reading(node, name) | {"out_resolution": size}
        return self.add(Pad(inputs=(node,), out_channels=self.channels(node), padding=tuple(cut), **fields))

    def sample(self, node: int, first: Sizes, stride: Sizes, name: str) -> int:
        """Appends the choice of every n-th row and column, from `first` on."""
        source, before, pace = self._samples.get(node, (node, self._each(0), self._each(1)))
        first = tuple(b + p * f for b, p, f in zip(before, pace, first, strict=True))
        stride = tuple(p * s for p, s in zip(pace, stride, strict=True))
        rest = tuple(full - f for full, f in zip(self.size(source), first, strict=True))
        cropped = self.crop(source, first, rest, name)
        size = tuple(-(-side // s) for side, s in zip(self.size(cropped), stride, strict=True))
        fields = self._reading(cropped, name) | {"out_resolution": size}
        found = self.add(
            Pool(
                inputs=(cropped,),
                out_channels=self.channels(node),
                kind="max",
                kernel=self._each(1),
                stride=stride,
                **fields,
            )
        )
        self._samples[found] = (source, first, stride)
        return found

    def samples_of_one(self, nodes: tuple[int, ...]) -> tuple[int, Sizes, str] | None:
        """The step of which `nodes` are all samples, their stride, and the order of the axes."""
        found = [self._samples.get(node) for node in nodes]
        if None in found or len({(sample[0], sample[2]) for sample in found if sample}) > 1:
            return None
        source, _, stride = next(sample for sample in found if sample)
        if any(size % pace for size, pace in zip(self.size(source), stride, strict=True)):
            return None
        firsts = [dict(zip(self.axes, sample[1], strict=True)) for sample in found if sample]
        paces = dict(zip(self.axes, stride, strict=True))
        for order in permutations(self.axes):
            places = product(*(range(paces[axis]) for axis in order))
            if firsts == [dict(zip(order, place, strict=True)) for place in places]:
                return source, stride, "".join(order)
        return None

    def channel_shuffle(self, node: int, groups: int, name: str) -> int:
        """Appends a channel shuffle."""
        return self.add(
            ChannelShuffle(
                inputs=(node,), groups=groups, out_channels=self.channels(node), **self._reading(node, name)
            )
        )

    def _reading(self, node: int, name: str) -> dict[str, Any]:
        """The fields of a step that keeps the size of the map it reads."""
        size = self.size(node)
        return {
            "name": name,
            "in_channels": self.channels(node),
            "in_resolution": size,
            "out_resolution": size,
        }

    def _ancestry(self, node: int) -> int:
        return 1 if node == IMAGE else self._ancestors[node] | 1

    def remove(self, kind: str, node: int) -> None:
        """Notes that something was taken away behind `node`; it counts if that step is in the network.

        What was taken away behind a part of the channels counts for the step they are cut from.
        """
        while 0 <= node < len(self.steps) and isinstance(step := self.steps[node], ChannelSlice):
            node = step.inputs[0]
        self._removed.append((kind, node))

    def vcnn(self, last: int, name: str) -> VCNN:
        """The network that ends with the step `last`, without the steps that do not reach it.

        Raises:
            ConversionError: no convolution reaches it, or a stride is wider than the map it sees.
        """
        live = [index for index in range(len(self.steps)) if self.is_ancestor(index, last)]
        places = {IMAGE: IMAGE} | {index: place for place, index in enumerate(live)}
        steps = tuple(
            replace(self.steps[i], inputs=tuple(places[source] for source in self.steps[i].inputs))
            for i in live
        )
        for step in steps:
            self._check_stride(step)
        removed = tuple(kind for kind, node in self._removed if node in places)
        return VCNN(steps, self.resolution, self.in_channels, name, removed)

    def _check_stride(self, step: Step) -> None:
        if isinstance(step, (Conv, Pool)) and any(
            size < stride for size, stride in zip(step.in_resolution, step.stride, strict=True)
        ):
            raise ConversionError(
                f"resolution: needed a larger image than {times(self._each(self.resolution))}: "
                f"{step.describe()} in {step.name!r} sees a map of {times(step.in_resolution)}, smaller than "
                "its stride; use a larger resolution"
            )
