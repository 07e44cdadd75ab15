"""A VCNN under construction: its steps so far, how deep each lies, and what was taken away."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate, product
from typing import Any

from zenlib.errors import ConversionError
from zenlib.vanilla.vcnn import IMAGE, VCNN, ChannelShuffle, ChannelSlice, Concat, Conv, Pad, Pair, Pool, Step

Depth = tuple[int, int]
"""(convolutions, spatial convolutions) on the longest path from the image, compared in this order."""


class Graph:
    """Steps in the order they run; a step is named by its index, the image by `IMAGE`."""

    def __init__(self, in_channels: int, resolution: int) -> None:
        self.steps: list[Step] = []
        self.in_channels = in_channels
        self.resolution = resolution
        self._depths: list[Depth] = []
        self._spans: list[
            tuple[Pair, Pair]
        ] = []  # pixels of the image under the kernels so far; pixels per step
        self._samples: dict[int, tuple[int, Pair, Pair]] = {}  # every n-th pixel: of which step, from, stride
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

    def size(self, node: int) -> Pair:
        """(height, width) of a step's output."""
        return (self.resolution, self.resolution) if node == IMAGE else self.steps[node].out_resolution

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
        (height, width), _ = self._spans[node]
        return height * width, -self.depth(node)[0], step.weights if isinstance(step, Conv) else 0

    def add(self, step: Step) -> int:
        """Appends a step and returns its index."""
        spans = [((1, 1), (1, 1)) if node == IMAGE else self._spans[node] for node in step.inputs]
        span, pace = (
            (max(x[0] for x in sides), max(x[1] for x in sides)) for sides in zip(*spans, strict=True)
        )
        if isinstance(step, Conv):
            reach = zip(span, step.kernel, step.dilation, pace, strict=True)
            span = tuple(s + (k - 1) * d * p for s, k, d, p in reach)
        if isinstance(step, (Conv, Pool)):
            pace = (pace[0] * step.stride[0], pace[1] * step.stride[1])
        self._spans.append((span, pace))
        before = max((self.depth(node) for node in step.inputs), default=(0, 0))
        if isinstance(step, Conv):
            before = (before[0] + 1, before[1] + (step.kernel != (1, 1)))
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
        top, bottom, left, right = (
            own + before for own, before in zip(step.padding, source.padding, strict=True)
        )
        step = replace(
            step, inputs=source.inputs, in_resolution=source.in_resolution, padding=(top, bottom, left, right)
        )
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

    def crop(self, node: int, first: Pair, size: Pair, name: str) -> int:
        """Appends the choice of a part of the rows and columns; all of them are the step itself."""
        if size == self.size(node):
            return node
        rows, columns = ((-a, a + n - full) for a, n, full in zip(first, size, self.size(node), strict=True))
        fields = self._reading(node, name) | {"out_resolution": size}
        return self.add(
            Pad(inputs=(node,), out_channels=self.channels(node), padding=(*rows, *columns), **fields)
        )

    def sample(self, node: int, first: Pair, stride: Pair, name: str) -> int:
        """Appends the choice of every n-th row and column, from `first` on."""
        source, before, pace = self._samples.get(node, (node, (0, 0), (1, 1)))
        first = (before[0] + pace[0] * first[0], before[1] + pace[1] * first[1])
        stride = (pace[0] * stride[0], pace[1] * stride[1])
        full = self.size(source)
        cropped = self.crop(source, first, (full[0] - first[0], full[1] - first[1]), name)
        size = (-(-self.size(cropped)[0] // stride[0]), -(-self.size(cropped)[1] // stride[1]))
        fields = self._reading(cropped, name) | {"out_resolution": size}
        found = self.add(
            Pool(
                inputs=(cropped,),
                out_channels=self.channels(node),
                kind="max",
                kernel=(1, 1),
                stride=stride,
                **fields,
            )
        )
        self._samples[found] = (source, first, stride)
        return found

    def samples_of_one(self, nodes: tuple[int, ...]) -> tuple[int, Pair, str] | None:
        """The step of which `nodes` are all samples, their stride, and the order: rows or columns first."""
        found = [self._samples.get(node) for node in nodes]
        if None in found or len({(sample[0], sample[2]) for sample in found if sample}) > 1:
            return None
        source, _, (high, wide) = next(sample for sample in found if sample)
        order = [sample[1] for sample in found if sample]
        size = self.size(source)
        if size[0] % high or size[1] % wide:
            return None
        if order == list(product(range(high), range(wide))):
            return source, (high, wide), "HW"
        by_columns = order == [(row, column) for column in range(wide) for row in range(high)]
        return (source, (high, wide), "WH") if by_columns else None

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
                f"resolution: needed a larger image than {self.resolution} x {self.resolution}: "
                f"{step.describe()} in {step.name!r} sees a map of "
                f"{step.in_resolution[0]} x {step.in_resolution[1]}, smaller than its stride; use a larger "
                "resolution"
            )
