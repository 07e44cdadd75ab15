"""A VCNN under construction: its steps so far, how deep each lies, and what was taken away."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from math import prod
from operator import lt, mod, mul, sub
from typing import Any

from zenlib.errors import ConversionError
from zenlib.vanilla.vcnn import (
    IMAGE,
    VCNN,
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
    """Steps in the order they run, by their index, the image first; `axes` are the letters of its axes."""

    def __init__(self, in_channels: int, resolution: int, axes: int) -> None:
        self.axes = "DHW"[-axes:]
        self._one: Sizes = (1,) * axes
        channels: dict[str, Any] = {"in_channels": in_channels, "out_channels": in_channels}
        size = (resolution,) * axes
        image = Step(name="image", inputs=(), in_resolution=size, out_resolution=size, **channels)
        self.steps: dict[int, Step] = {IMAGE: image}
        self.depths: dict[int, Depth] = {IMAGE: (0, 0)}
        # Pixels of the image under the kernels so far; pixels per step.
        self._spans: dict[int, tuple[Sizes, Sizes]] = {IMAGE: (self._one, self._one)}
        # Every n-th pixel: of which step, from, stride.
        self._samples: dict[int, tuple[int, Sizes, Sizes]] = {}
        self._removed: list[tuple[str, int]] = []

    @property
    def next(self) -> int:
        """The index of the step that is appended next."""
        return len(self.steps) - 1

    def channels(self, node: int) -> int:
        """Channels of a step's output."""
        return self.steps[node].out_channels

    def size(self, node: int) -> Sizes:
        """The size of a step's output."""
        return self.steps[node].out_resolution

    def sizes(self, node: int) -> dict[str, int]:
        """The same by the letters of the axes."""
        return dict(zip(self.axes, self.size(node), strict=True))

    def ancestors(self, node: int) -> set[int]:
        """The steps on the paths from the image to `node`, with both."""
        found, left = {node}, [node]
        while left:
            new = set(self.steps[left.pop()].inputs) - found
            found |= new
            left += new
        return found

    def convs_only_before(self, node: int, other: int) -> bool:
        """Whether a convolution lies on a path to `node` and on none to `other`."""
        return any(isinstance(self.steps[i], Conv) for i in self.ancestors(node) - self.ancestors(other))

    def breadth(self, node: int) -> tuple[int, int, int]:
        """What tells the widest of parallel convolutions: its kernel, then fewer in a row, then weights."""
        step = self.steps[node]
        return (
            prod(self._spans[node][0]),
            -self.depths[node][0],
            step.weights if isinstance(step, Conv) else 0,
        )

    def append(self, kind: type[Step], node: int, name: str, /, **fields: Any) -> int:
        """Appends a step that reads `node`; channels and size stay where `fields` do not say otherwise."""
        channels, size = self.channels(node), self.size(node)
        kept: dict[str, Any] = {"inputs": (node,), "out_channels": channels, "out_resolution": size}
        step = kind(name=name, in_channels=channels, in_resolution=size, **kept | fields)
        depth = max(self.depths[source] for source in step.inputs)
        spans = zip(*(self._spans[source] for source in step.inputs), strict=True)
        span, pace = (tuple(map(max, *sides, self._one)) for sides in spans)
        if isinstance(step, Conv):
            depth = (depth[0] + 1, depth[1] + (max(step.kernel) > 1))
            reach = zip(span, step.kernel, step.dilation, pace, strict=True)
            span = tuple(s + (k - 1) * d * p for s, k, d, p in reach)
        if isinstance(step, (Conv, Pool)):
            pace = tuple(map(mul, pace, step.stride))
        index = self.next
        self.steps[index], self.depths[index], self._spans[index] = step, depth, (span, pace)
        return index

    def conv(self, node: int, name: str, padding: Sizes = (), **fields: Any) -> int:
        """Appends a convolution that reads `node`; zeros padded just before become its own padding."""
        while isinstance(pad := self.steps[node], Pad) and min(pad.padding) >= 0:
            padding = tuple(map(sum, zip(padding, pad.padding, strict=True))) if padding else pad.padding
            node = pad.inputs[0]
        return self.append(Conv, node, name, padding=padding, **fields)

    def concat(self, nodes: tuple[int, ...], name: str) -> int:
        """Appends a concatenation; slices that restore what they were cut from are just that."""
        parts = [step for i in nodes if isinstance(step := self.steps[i], ChannelSlice)]
        if len(parts) == len(nodes) and len({part.inputs for part in parts}) == 1:
            ends = [part.start + part.out_channels for part in parts]
            if [part.start for part in parts] == [0, *ends[:-1]] and ends[-1] == parts[0].in_channels:
                return parts[0].inputs[0]
        if len(nodes) == 1:
            return nodes[0]
        channels = sum(map(self.channels, nodes))
        return self.append(Concat, nodes[0], name, inputs=nodes, out_channels=channels)

    def channel_slice(self, node: int, start: int, length: int, name: str) -> int:
        """Appends the choice of `length` channels from `start`; all of them, or of a part, are a step."""
        if length == self.channels(node):
            return node
        if isinstance(step := self.steps[node], Concat):
            begins = 0
            for part in step.inputs:
                if begins <= start and start + length <= begins + self.channels(part):
                    return self.channel_slice(part, start - begins, length, name)
                begins += self.channels(part)
        return self.append(ChannelSlice, node, name, start=start, out_channels=length)

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
        full = self.size(node)
        if size == full:
            return node
        cut = tuple(side for a, n, of in zip(first, size, full, strict=True) for side in (-a, a + n - of))
        return self.append(Pad, node, name, padding=cut, out_resolution=size)

    def sample(self, node: int, first: Sizes, stride: Sizes, name: str) -> int:
        """Appends the choice of every n-th row and column, from `first` on."""
        source, before, pace = self._samples.get(node, (node, (0,) * len(stride), self._one))
        first = tuple(b + p * f for b, p, f in zip(before, pace, first, strict=True))
        stride = tuple(map(mul, pace, stride))
        cropped = self.crop(source, first, tuple(map(sub, self.size(source), first)), name)
        size = tuple(-(-side // s) for side, s in zip(self.size(cropped), stride, strict=True))
        fields = {"kind": "max", "kernel": self._one, "stride": stride, "out_resolution": size}
        found = self.append(Pool, cropped, name, **fields)
        self._samples[found] = (source, first, stride)
        return found

    def samples_of_one(self, nodes: tuple[int, ...]) -> tuple[int, dict[str, int]] | None:
        """The step of which `nodes` are all samples, and their strides, in the order of their places."""
        found = [self._samples[node] for node in nodes if node in self._samples]
        if len(found) < len(nodes) or len({(source, stride) for source, _, stride in found}) > 1:
            return None
        source, _, stride = found[0]
        if any(map(mod, self.size(source), stride)):
            return None
        firsts = [dict(zip(self.axes, first, strict=True)) for _, first, _ in found]
        for paces in map(dict, permutations(zip(self.axes, stride, strict=True))):
            places = product(*map(range, paces.values()))
            if firsts == [dict(zip(paces, place, strict=True)) for place in places]:
                return source, paces
        return None

    def remove(self, kind: str, node: int) -> None:
        """Notes what was taken away behind a step or part of its channels; it counts if that step stays."""
        while isinstance(step := self.steps.get(node), ChannelSlice):
            node = step.inputs[0]
        self._removed.append((kind, node))

    def vcnn(self, last: int, name: str) -> VCNN:
        """The network that ends with the step `last`, without the steps that do not reach it."""
        live = sorted(self.ancestors(last))
        places = {node: place for place, node in enumerate(live, IMAGE)}
        steps = tuple(
            replace(self.steps[node], inputs=tuple(places[source] for source in self.steps[node].inputs))
            for node in live[1:]
        )
        for step in steps:
            if isinstance(step, (Conv, Pool)) and any(map(lt, step.in_resolution, step.stride)):
                raise ConversionError(
                    f"resolution: needed a larger image than {times(self.size(IMAGE))}: "
                    f"{step.describe()} in {step.name!r} sees a map of {times(step.in_resolution)}, smaller "
                    "than its stride; use a larger resolution"
                )
        removed = tuple(kind for kind, node in self._removed if node in places)
        return VCNN(steps, self.size(IMAGE)[0], self.channels(IMAGE), name, removed)
