"""Rules for what moves axes and channels: reshapes, permutations, slices, shuffles, concatenations."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from zenlib.vanilla.capture.follow import Derived, Follower, Map, Value
from zenlib.vanilla.capture.layout import (
    Digit,
    Dimension,
    extent,
    joined,
    pixels_in,
    pooled,
    reshaped,
    shuffle_groups,
    whole,
)
from zenlib.vanilla.capture.trace import BATCH, Call, each, tensors
from zenlib.vanilla.vcnn import IMAGE, ChannelShuffle


def reshape(follower: Follower, call: Call) -> Value:
    """Follows the axes; where it completes a channel shuffle, that is a step."""
    value = follower.value(call.args[0])
    if not isinstance(value, Map):
        return follower.derived(call)
    layout = reshaped(value.layout, call.result.shape)
    if layout is None:
        return follower.unsupported(call, "cuts the rows, columns or channels of a feature map unevenly")
    channels = follower.graph.channels(value.node)
    for dim, dimension in enumerate(layout):
        groups = shuffle_groups(dimension, channels)
        if groups:
            node = follower.graph.append(ChannelShuffle, value.node, call.place, groups=groups)
            return value.linear(node, (*layout[:dim], whole("C", channels), *layout[dim + 1 :]))
    return replace(value, layout=layout)


def permute(follower: Follower, call: Call) -> Value:
    """Follows the axes."""
    value = follower.value(call.args[0])
    if not isinstance(value, Map):
        return follower.derived(call)
    order = list(range(len(value.layout)))
    if call.function == "permute":
        dims = call.argument("dims", 1)
        order = list(call.args[1:] if isinstance(dims, int) else dims)
    elif call.function == "movedim":
        sources, targets = (
            [dim % len(order) for dim in _as_tuple(call.argument(name, place))]
            for name, place in (("source", 1), ("destination", 2))
        )
        rest = iter(dim for dim in order if dim not in sources)
        moved = dict(zip(targets, sources, strict=True))
        order = [moved[dim] if dim in moved else next(rest) for dim in order]
    else:
        named = {"t": (0, 1), "T": (0, 1), "mT": (-2, -1)}
        a, b = named.get(call.function) or (call.argument("dim0", 1), call.argument("dim1", 2))
        order[a], order[b] = order[b], order[a]
    return replace(value, layout=tuple(value.layout[dim] for dim in order))


def expand(follower: Follower, call: Call) -> Value:
    """To the same shape, or the channels of a map several times over."""
    value, before, after = follower.value(call.args[0]), call.args[0].shape, call.result.shape
    if isinstance(value, Derived) or (value is not None and after == before):
        return value
    times, uneven = divmod(after[1], before[1]) if len(after) == len(before) > 2 else (0, 0)
    same_rest = (*after[:1], *after[2:]) == (*before[:1], *before[2:])
    if not follower.is_plain(value) or not times or uneven or not same_rest:
        return follower.unsupported(call, "repeats a feature map")
    return follower.map(follower.graph.concat((value.node,) * times, call.place), value)


def channel_shuffle(follower: Follower, call: Call) -> Value:
    """A step."""
    value = follower.bypassing(call.argument("input", 0))
    if not follower.is_plain(value):
        return follower.unsupported(call)
    groups = call.argument("groups", 1)
    node = follower.graph.append(ChannelShuffle, value.node, call.place, groups=groups)
    return value.linear(node, value.layout)


def pixel_unshuffle(follower: Follower, call: Call) -> Value:
    """Pixels beside the channels, as a strided convolution reads them; `unfold` too, without overlap."""
    value = follower.value(call.argument("input", 0))
    flat = follower.graph.axes == "HW"
    if not flat or not follower.is_plain(value) or call.result.dim() > 4:  # as Tensor.unfold makes it
        return follower.unsupported(call, "makes pixels into channels")
    window = each(call.argument("kernel_size" if call.function == "unfold" else "downscale_factor", 1), 2)
    batch, channels, *axes = value.layout
    if call.function == "unfold":
        dilation, padding, stride = (each(call.argument(*a), 2) for a in UNFOLDING)
        if (dilation, padding, stride) != ((1, 1), (0, 0), window):
            return follower.unsupported(call, "makes pixels of windows that overlap into channels")
    size = follower.graph.size(value.node)
    if size[0] % window[0] or size[1] % window[1]:
        return follower.unsupported(call, "cuts off rows or columns")
    inner = tuple(digit for axis, n in zip("HW", window, strict=True) for digit in whole(axis, n))
    outer: list[Dimension] = [
        (Digit(axis, n, extent(dimension) // n),) if extent(dimension) > n else ()
        for axis, n, dimension in zip("HW", window, axes, strict=True)
    ]
    if call.function == "unfold":
        outer = [outer[0] + outer[1]]
    return replace(value, layout=(batch, channels + inner, *outer))


UNFOLDING = (("dilation", 2, 1), ("padding", 3, 0), ("stride", 4, 1))
"""Arguments of `unfold` with their places and defaults."""


def concat(follower: Follower, call: Call) -> Value:
    """A step, if it joins maps along their channels; `stack` does so along a new dimension."""
    parts = call.argument("tensors", 0)
    stacks = call.function == "stack"
    dim = call.argument("dim", 1, 0) % (parts[0].dim() + stacks)
    maps = [value for value in map(follower.bypassing, parts) if isinstance(value, Map)]
    if call.result.dim() == 2 and follower.layout(IMAGE)[0] in [value.layout[0] for value in maps]:
        return follower.derived(call)  # vectors, which a classifier reads
    if len(maps) < len(parts):
        return follower.unsupported(
            call, "joins a feature map with something that is none, such as a context from global pooling"
        )
    graph, layout = follower.graph, maps[0].layout
    channels = [graph.channels(value.node) for value in maps]
    if stacks:
        wrong = len({value.layout for value in maps}) > 1 or len(set(channels)) > 1
    else:
        wrong = len({(*value.layout[:dim], *value.layout[dim + 1 :]) for value in maps}) > 1 or any(
            value.layout[dim] != whole("C", n) for value, n in zip(maps, channels, strict=True)
        )
    if wrong:
        return follower.unsupported(call, "joins feature maps along other dimensions than their channels")
    nodes = tuple(value.node for value in maps)
    samples = graph.samples_of_one(nodes)
    if samples is not None and not stacks:
        source, paces = samples
        spread = tuple(
            tuple(d._replace(stride=d.stride * paces.get(d.axis, 1)) for d in dimension)
            for dimension in layout
        )
        inner = tuple(digit for axis, pace in paces.items() for digit in whole(axis, pace))
        return Map(source, (*spread[:dim], inner + layout[dim], *spread[dim + 1 :]), origin=maps[0].root)
    node = graph.concat(nodes, call.place)
    if stacks:
        joined = (*layout[:dim], (Digit("C", channels[0], len(maps)),), *layout[dim:])
    else:
        joined = (*layout[:dim], whole("C", graph.channels(node)), *layout[dim + 1 :])
    if len({value.root for value in maps}) > 1:
        return Map(node, joined).activated()
    follower.joined[node] = maps[0].root
    return Map(node, joined, origin=maps[0].root)


def assign(follower: Follower, call: Call) -> Value:
    """Some channels of a map overwritten; numbers where a mask says so are an activation."""
    features, index, written = call.args
    value, new = follower.value(features), follower.bypassing(written)
    if isinstance(value, Map) and new is None and getattr(index, "dtype", None) == torch.bool:
        return value.activated()
    if isinstance(value, Map) and isinstance(new, Map):
        place = features[index]  # a view, unless the index is a table
        if place.shape == written.shape and place._is_view():
            found = follower.overwritten(value, features, place, new, call)
            if found is not None:
                return found
    return follower.unsupported(call, "writes over a part of a tensor that is no slice of a map's channels")


def split(follower: Follower, call: Call) -> Value | list[Value]:
    """A slice of the channels for each part; `unbind` also takes the dimension away."""
    unbinds = call.function == "unbind"
    dim = call.argument("dim", 1 if unbinds else 2, 0)
    values, start = [], 0
    for result in tensors(call.result):
        length = 1 if unbinds else result.shape[dim]
        values.append(part(follower, call, follower.value(call.args[0]), dim, start, length, drop=unbinds))
        start += length
    return values


def select(follower: Follower, call: Call) -> Value:
    """One channel, or one group of channels."""
    dim = call.argument("dim", 1)
    start = call.argument("index", 2) % call.args[0].shape[dim]
    return part(follower, call, follower.value(call.args[0]), dim, start, 1, drop=True)


def narrow(follower: Follower, call: Call) -> Value:
    """A slice of the channels."""
    dim, start, length = (
        call.argument(name, position) for position, name in enumerate(("dim", "start", "length"), 1)
    )
    return part(follower, call, follower.value(call.args[0]), dim, start, length)


def glu(follower: Follower, call: Call) -> Value:
    """The first half of the channels; the other half is its gate."""
    features, dim = call.argument("input", 0), call.argument("dim", 1, -1)
    value = part(follower, call, follower.bypassing(features), dim, 0, features.shape[dim] // 2)
    if isinstance(value, Map):
        follower.graph.remove("gate", value.node)
    return value


def getitem(follower: Follower, call: Call) -> Value:
    """Slices of channels, new dimensions, and whole slices of the other axes."""
    features, index = call.args
    value, index = follower.value(features), _as_tuple(index)
    tables = [item for item in index if isinstance(item, (Tensor, tuple))]
    if len(tables) > 1 or (tables and any(isinstance(item, int) for item in index)):
        return follower.unsupported(call, BY_TABLE)
    dim = 0
    for item in _spelled_out(index, features.dim()):
        if not isinstance(value, Map):
            return value or follower.derived(call)
        if isinstance(item, (Tensor, tuple)):
            value = _by_table(follower, call, value, dim, item)
            dim += 1
        elif item is None:
            value = replace(value, layout=(*value.layout[:dim], (), *value.layout[dim:]))
            dim += 1
        elif isinstance(item, slice):
            start, stop, step = item.indices(extent(value.layout[dim]))
            value = part(follower, call, value, dim, start, max(0, stop - start), step=step)
            dim += 1
        else:
            value = part(follower, call, value, dim, int(item) % extent(value.layout[dim]), 1, drop=True)
    return value or follower.derived(call)


BY_TABLE = "chooses parts of a feature map by a table of indices"


def index_select(follower: Follower, call: Call) -> Value:
    """Channels in any order, or rows that follow each other."""
    value, table = follower.value(call.argument("input", 0)), call.argument("index", 2)
    if not isinstance(value, Map):
        return follower.derived(call)
    return _by_table(follower, call, value, call.argument("dim", 1) % len(value.layout), table)


def reorder(follower: Follower, call: Call, dim_at: int) -> Value:
    """The same by a function that acts alike on their numbers: `flip`, `roll`, `repeat_interleave`."""
    value = follower.value(call.args[0])
    named = call.kwargs.get("dims", call.kwargs.get("dim", ()))
    given = call.args[dim_at:] or _as_tuple(named)
    dims = given[0] if len(given) == 1 and isinstance(given[0], tuple) else given
    if not isinstance(value, Map) or len(dims) != 1 or call.run is None:
        return follower.unsupported(call, BY_TABLE)
    dim, shape = dims[0] % len(value.layout), [1] * len(value.layout)
    shape[dim] = -1
    numbers = torch.arange(extent(value.layout[dim])).view(shape)
    return _by_table(follower, call, value, dim, call.run(numbers, *call.args[1:], **call.kwargs).flatten())


def _by_table(follower: Follower, call: Call, value: Map, dim: int, table: Any) -> Value:
    """One part for each run of indices that follow each other, side by side."""
    if isinstance(table, Tensor) and (table.is_meta or table.dim() != 1 or follower.value(table)):
        return follower.unsupported(call, BY_TABLE)
    numbers = torch.as_tensor(table)
    if numbers.dtype in (torch.bool, torch.uint8):
        numbers = numbers.nonzero().flatten()
    size = extent(value.layout[dim])
    runs: list[list[int]] = []
    for number in (int(index) % size for index in numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    if len(numbers) > 1 and len(set(numbers.tolist())) == 1:
        return follower.unsupported(call, f"{BY_TABLE}, all of which are one, as in a table not yet learned")
    parts = [part(follower, call, value, dim, run[0], len(run)) for run in runs]
    if len(parts) == 1:
        return parts[0]
    channels = value.layout[dim] == whole("C", follower.graph.channels(value.node))
    if not parts or not channels or not all(isinstance(one, Map) for one in parts):
        return follower.unsupported(call, BY_TABLE)
    node = follower.graph.concat(tuple(one.node for one in parts if isinstance(one, Map)), call.place)
    return value.linear(node, (*value.layout[:dim], whole("C", len(numbers)), *value.layout[dim + 1 :]))


def apart(follower: Follower, call: Call, value: Value | None) -> Map | None:
    """A map with windows of pixels beside the channels as samples side by side, which is plain; else None."""
    if not isinstance(value, Map) or len(value.layout) != 2 + len(follower.graph.axes):
        return None
    graph, node, digits = follower.graph, value.node, value.layout[1]
    window = pixels_in(digits, graph.channels(node))
    if not window or "C" in [digit.axis for digit in digits[1:-1]]:
        return None
    rest = tuple(whole(axis, size // window.get(axis, 1)) for axis, size in graph.sizes(node).items())
    if (*value.layout[:1], *pooled(value.layout, window)[2:]) != (whole("N", BATCH), *rest):
        return None
    stride = tuple(window.get(axis, 1) for axis in graph.axes)
    samples = []
    for place in product(*map(range, window.values())):
        first = dict(zip(window, place, strict=True))
        samples.append(
            graph.sample(node, tuple(first.get(axis, 0) for axis in graph.axes), stride, call.place)
        )
    joined = graph.concat(tuple(samples), call.place)
    if digits[0].axis == "C":
        joined = graph.append(ChannelShuffle, joined, call.place, groups=len(samples))
    return value.linear(joined, follower.layout(joined))


def _spelled_out(index: tuple[Any, ...], rank: int) -> list[Any]:
    """An index without its ellipsis."""
    if Ellipsis not in index:
        return list(index)
    place = index.index(Ellipsis)
    whole_dimensions = rank - sum(item is not None and item is not Ellipsis for item in index)
    return [*index[:place], *[slice(None)] * whole_dimensions, *index[place + 1 :]]


def _as_tuple(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def part(
    follower: Follower,
    call: Call,
    value: Value | None,
    dim: int,
    start: int,
    length: int,
    drop: bool = False,
    step: int = 1,
) -> Value:
    """Every `step`-th of `length` entries of one dimension of a map, which may drop that dimension."""
    if not isinstance(value, Map):
        return follower.derived(call)
    dim %= len(value.layout)
    dimension = value.layout[dim]
    found: Value = value
    if length != extent(dimension) or step != 1:
        axis = dimension[0].axis if len(dimension) == 1 and length > 0 else ""
        if axis == "C":
            found = _some_channels(follower, call, value, dim, start, length, step)
        elif axis and dimension == whole(axis, follower.graph.sizes(value.node).get(axis, 0)):
            found = _some_pixels(follower, call, value, dim, start, length, step)
        else:
            found = follower.unsupported(
                call, "crops a feature map unevenly, or takes a part of the batch or of pixels made channels"
            )
    if drop and isinstance(found, Map):
        return replace(found, layout=(*found.layout[:dim], *found.layout[dim + 1 :]))
    return found


def _some_pixels(
    follower: Follower, call: Call, value: Map, dim: int, start: int, length: int, step: int
) -> Map:
    axis, graph, node = value.layout[dim][0].axis, follower.graph, value.node
    begins, paces, sizes = dict.fromkeys(graph.axes, 0), dict.fromkeys(graph.axes, 1), graph.sizes(node)

    def listed(numbers: dict[str, int], number: int) -> tuple[int, ...]:
        return tuple((numbers | {axis: number}).values())

    if step == 1:
        node = graph.crop(node, listed(begins, start), listed(sizes, length), call.place)
    else:
        node = graph.crop(node, listed(begins, 0), listed(sizes, start + length), call.place)
        node = graph.sample(node, listed(begins, start), listed(paces, step), call.place)
    rest = whole(axis, graph.sizes(node)[axis])
    return value.linear(node, (*value.layout[:dim], rest, *value.layout[dim + 1 :]))


def _some_channels(
    follower: Follower, call: Call, value: Map, dim: int, start: int, length: int, step: int
) -> Value:
    graph, node, layout = follower.graph, value.node, list(value.layout)
    digit, channels = layout[dim][0], graph.channels(node)
    if step != 1:
        if digit.size % step or start >= step or start + length < digit.size:
            return follower.unsupported(call, "skips channels unevenly")
        inner = digit._replace(size=step)
        outer = digit._replace(stride=digit.stride * step, size=digit.size // step)
        layout[dim : dim + 1] = [joined([outer]), (inner,)]
        return part(follower, call, replace(value, layout=tuple(layout)), dim + 1, start, 1, drop=True)
    if digit.stride == 1 and digit.size < channels:  # every n-th channel: brought to the front by a shuffle
        node = graph.append(ChannelShuffle, node, call.place, groups=channels // digit.size)
        layout = [
            tuple(d._replace(stride=d.stride // digit.size) if d.axis == "C" else d for d in dimension)
            for dimension in layout
        ]
        digit = Digit("C", channels // digit.size, digit.size)
    if digit.stride * digit.size != channels:
        return follower.unsupported(call, "takes a part of the channels that a slice cannot take")
    layout[dim] = (digit._replace(size=length),) if length > 1 else ()
    found = graph.channel_slice(node, start * digit.stride, length * digit.stride, call.place)
    sliced = Map(found, tuple(layout), value.gate, value.root)
    # Of joined maps a slice may be one of them, which need not be linear in what the others are.
    alone = found < value.node and follower.joined.get(value.node) != value.root
    return sliced.activated() if alone else sliced
