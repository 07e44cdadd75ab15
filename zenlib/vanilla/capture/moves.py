"""Rules for what moves axes and channels: reshapes, permutations, slices, shuffles, concatenations."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from numbers import Integral
from operator import floordiv, mod
from types import EllipsisType, NoneType
from typing import Any

import torch
from torch import Tensor

from zenlib.vanilla.capture.follow import Derived, Follower, Map, Value
from zenlib.vanilla.capture.layout import (
    Digit,
    extent,
    pixels_in,
    pooled,
    reshaped,
    shuffle_groups,
    whole,
    with_dimension,
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
            return value.linear(node, with_dimension(layout, dim, whole("C", channels)))
    return replace(value, layout=layout)


def view(follower: Follower, call: Call) -> list[Value]:
    """Dimensions in another order, new, or with a part of their entries."""
    return _viewed(follower, call, follower.value(call.args[0]), *call.args[1:], **call.kwargs)


def _viewed(follower: Follower, call: Call, value: Value | None, *args: Any, **kwargs: Any) -> list[Value]:
    """What a function without copies makes of a map, read from the strides of an empty tensor so treated."""
    if not isinstance(value, Map):
        return [value or follower.derived(call) for _ in tensors(call.result)]
    assert call.run is not None  # what a run could not see has no rule
    probe = torch.empty([extent(dimension) for dimension in value.layout], device="meta")
    results = call.run(probe.detach(), *args, **kwargs)  # itself may be changed in place
    return [_cut(follower, call, value, probe, result) for result in tensors(results)]


def _cut(follower: Follower, call: Call, value: Value, probe: Tensor, seen: Tensor) -> Value:
    """The map of what is `seen` of a whole tensor, whose strides tell its dimensions apart."""
    offset, places = int(seen.storage_offset()), {}
    for dim, (size, stride) in enumerate(zip(probe.shape, probe.stride(), strict=True)):
        start, offset = divmod(offset, stride)
        entries = range(start, start + 1)
        for place, (length, apart) in enumerate(zip(seen.shape, seen.stride(), strict=True)):
            if length != 1 and stride <= apart < stride * size:
                step, places[place] = apart // stride, dim
                entries = range(start, start + step * length, step)
        value = part(follower, call, value, dim, entries)
    if not isinstance(value, Map):
        return value
    found = (value.layout[places[place]] if place in places else () for place in range(seen.dim()))
    return replace(value, layout=tuple(found))


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
    node = follower.graph.append(ChannelShuffle, value.node, call.place, groups=call.argument("groups", 1))
    return value.linear(node, value.layout)


def pixel_unshuffle(follower: Follower, call: Call) -> Value:
    """Pixels beside the channels, as a strided convolution reads them; `unfold` too, without overlap."""
    features, unfolds = call.argument("input", 0), call.function == "unfold"
    value, flat = follower.value(features), follower.graph.axes == "HW"
    if not flat or not follower.is_plain(value) or call.result.dim() > 4:  # as Tensor.unfold makes it
        return follower.unsupported(call, "makes pixels into channels")
    window = each(call.argument("kernel_size" if unfolds else "downscale_factor", 1), 2)
    rest = (call.argument("dilation", 2, 1), call.argument("padding", 3, 0), call.argument("stride", 4, 1))
    if unfolds and [each(sizes, 2) for sizes in rest] != [(1, 1), (0, 0), window]:
        return follower.unsupported(call, "makes pixels of windows that overlap into channels")
    batch, channels, *size = features.shape
    if any(map(mod, size, window)):
        return follower.unsupported(call, "cuts off rows or columns")
    (high, wide), (rows, columns) = window, map(floordiv, size, window)
    split = reshaped(value.layout, (batch, channels, rows, high, columns, wide)) or ()
    moved = tuple(split[dim] for dim in (0, 1, 3, 5, 2, 4))
    return replace(value, layout=reshaped(moved, call.result.shape) or ())


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
        fits = len(set(channels)) == 1
        others = {value.layout for value in maps}
    else:
        fits = all(value.layout[dim] == whole("C", n) for value, n in zip(maps, channels, strict=True))
        others = {with_dimension(value.layout, dim) for value in maps}
    if not fits or len(others) > 1:
        return follower.unsupported(call, "joins feature maps along other dimensions than their channels")
    nodes = tuple(value.node for value in maps)
    samples = graph.samples_of_one(nodes)
    if samples is not None and not stacks:
        source, paces = samples
        spread = [
            tuple(d._replace(stride=d.stride * paces.get(d.axis, 1)) for d in dimension)
            for dimension in layout
        ]
        spread[dim] = (*(digit for axis, pace in paces.items() for digit in whole(axis, pace)), *layout[dim])
        return Map(source, tuple(spread), origin=maps[0].root)
    node = graph.concat(nodes, call.place)
    together = (Digit("C", channels[0], len(maps)),) if stacks else whole("C", graph.channels(node))
    found = Map(node, (*layout[:dim], together, *layout[dim + (not stacks) :]), origin=maps[0].root)
    if len({value.root for value in maps}) > 1:
        return found.activated()
    follower.joined[node] = found.root
    return found


def assign(follower: Follower, call: Call) -> Value:
    """Some channels of a map overwritten; numbers where a mask says so are an activation."""
    features, index, written = call.args
    value, new = follower.value(features), follower.bypassing(written)
    if isinstance(value, Map) and new is None and getattr(index, "dtype", None) == torch.bool:
        return value.activated()
    if isinstance(value, Map) and isinstance(new, Map):
        place = features[index]  # a view, unless the index is a table
        fits = place.shape == written.shape and place._is_view()
        if fits and (found := follower.overwritten(value, features, place, new, call)):
            return found
    return follower.unsupported(call, "writes over a part of a tensor that is no slice of a map's channels")


def glu(follower: Follower, call: Call) -> Value:
    """The first half of the channels; the other half is its gate."""
    features = call.argument("input", 0)
    dim = call.argument("dim", 1, -1) % features.dim()
    value = part(follower, call, follower.bypassing(features), dim, range(features.shape[dim] // 2))
    if isinstance(value, Map):
        follower.graph.remove("gate", value.node)
    return value


def getitem(follower: Follower, call: Call) -> Value | list[Value]:
    """A view, or one with a table of indices for one of its dimensions."""
    features, index = call.args
    value, items = follower.value(features), list(_as_tuple(index))
    tables = [place for place, item in enumerate(items) if not isinstance(item, PLAIN)]
    if len(tables) > 1 or (tables and any(isinstance(item, Integral) for item in items)):
        return follower.unsupported(call, BY_TABLE)
    if tables and isinstance(value, Map):
        place, table = tables[0], items[tables[0]]
        items[place] = slice(None)
        before, behind = ([i for i in half if i is not None] for half in (items[:place], items[place:]))
        dim = len(value.layout) - len(behind) if Ellipsis in before else len(before)
        value = _by_table(follower, call, value, dim, table)
    return _viewed(follower, call, value, tuple(items))


PLAIN = (Integral, slice, EllipsisType, NoneType)
"""What indexes without a table."""
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
    runs: list[range] = []
    for number in (int(index) % size for index in numbers):
        start = runs.pop().start if runs and number == runs[-1].stop else number
        runs.append(range(start, number + 1))
    if len(numbers) > 1 and len(set(numbers.tolist())) == 1:
        return follower.unsupported(call, f"{BY_TABLE}, all of which are one, as in a table not yet learned")
    parts = [part(follower, call, value, dim, run) for run in runs]
    if len(parts) == 1:
        return parts[0]
    channels = value.layout[dim] == whole("C", follower.graph.channels(value.node))
    if not parts or not channels or not all(isinstance(one, Map) for one in parts):
        return follower.unsupported(call, BY_TABLE)
    node = follower.graph.concat(tuple(one.node for one in parts if isinstance(one, Map)), call.place)
    return value.linear(node, with_dimension(value.layout, dim, whole("C", len(numbers))))


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
    places = (dict(zip(window, place, strict=True)) for place in product(*map(range, window.values())))
    firsts = (tuple(place.get(axis, 0) for axis in graph.axes) for place in places)
    samples = [graph.sample(node, first, stride, call.place) for first in firsts]
    joined = graph.concat(tuple(samples), call.place)
    if digits[0].axis == "C":
        joined = graph.append(ChannelShuffle, joined, call.place, groups=len(samples))
    return value.linear(joined, follower.layout(joined))


def _as_tuple(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def part(follower: Follower, call: Call, value: Value | None, dim: int, entries: range) -> Value:
    """Some entries of one dimension of a map."""
    if not isinstance(value, Map):
        return value or follower.derived(call)
    dimension = value.layout[dim]
    if len(entries) == extent(dimension):
        return value
    axis = dimension[0].axis if len(dimension) == 1 and entries else ""
    if axis == "C":
        return _some_channels(follower, call, value, dim, entries)
    if axis and dimension == whole(axis, follower.graph.sizes(value.node).get(axis, 0)):
        return _some_pixels(follower, call, value, dim, entries)
    return follower.unsupported(
        call, "crops a feature map unevenly, or takes a part of the batch or of pixels made channels"
    )


def _some_pixels(follower: Follower, call: Call, value: Map, dim: int, entries: range) -> Map:
    axis, graph, node = value.layout[dim][0].axis, follower.graph, value.node
    sizes, origin = graph.sizes(node), dict.fromkeys(graph.axes, 0)

    def listed(numbers: dict[str, int], number: int) -> tuple[int, ...]:
        return tuple((numbers | {axis: number}).values())

    if entries.step == 1:
        node = graph.crop(node, listed(origin, entries.start), listed(sizes, len(entries)), call.place)
    else:
        end = entries[-1] + 1 if entries.stop < sizes[axis] else sizes[axis]
        paces = dict.fromkeys(graph.axes, 1)
        node = graph.crop(node, listed(origin, 0), listed(sizes, end), call.place)
        node = graph.sample(node, listed(origin, entries.start), listed(paces, entries.step), call.place)
    return value.linear(node, with_dimension(value.layout, dim, whole(axis, len(entries))))


def _some_channels(follower: Follower, call: Call, value: Map, dim: int, entries: range) -> Value:
    graph, node, layout = follower.graph, value.node, value.layout
    digit, channels = layout[dim][0], graph.channels(node)
    start, length, step = entries.start, len(entries), entries.step
    if step != 1:
        if digit.size != step * length:
            return follower.unsupported(call, "skips channels unevenly")
        inner, outer = digit._replace(size=step), digit._replace(stride=digit.stride * step, size=length)
        apart = replace(value, layout=with_dimension(layout, dim, (outer,), (inner,)))
        one = part(follower, call, apart, dim + 1, range(start, start + 1))
        return replace(one, layout=with_dimension(one.layout, dim + 1)) if isinstance(one, Map) else one
    if digit.stride == 1 and digit.size < channels:  # every n-th channel: brought to the front by a shuffle
        node = graph.append(ChannelShuffle, node, call.place, groups=channels // digit.size)
        layout = tuple(
            tuple(d._replace(stride=d.stride // digit.size) if d.axis == "C" else d for d in dimension)
            for dimension in layout
        )
        digit = Digit("C", channels // digit.size, digit.size)
    if digit.stride * digit.size != channels:
        return follower.unsupported(call, "takes a part of the channels that a slice cannot take")
    found = graph.channel_slice(node, start * digit.stride, length * digit.stride, call.place)
    shorter = (digit._replace(size=length),) if length > 1 else ()
    sliced = Map(found, with_dimension(layout, dim, shorter), value.gate, value.root)
    # Of joined maps a slice may be one of them, which need not be linear in what the others are.
    alone = found < value.node and follower.joined.get(value.node) != value.root
    return sliced.activated() if alone else sliced
