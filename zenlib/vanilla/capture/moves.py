"""Rules for what moves axes and channels: reshapes, permutations, slices, shuffles, concatenations."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from zenlib.vanilla.capture.follow import Derived, Follower, Map, Value
from zenlib.vanilla.capture.layout import Digit, extent, reshaped, shuffle_groups, whole
from zenlib.vanilla.capture.trace import Call, tensors


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
            node = follower.graph.channel_shuffle(value.node, groups, call.place)
            return Map(node, (*layout[:dim], whole("C", channels), *layout[dim + 1 :]), value.gate)
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
    else:
        named = {"t": (0, 1), "T": (0, 1), "mT": (-2, -1)}
        a, b = named.get(call.function) or (call.argument("dim0", 1), call.argument("dim1", 2))
        order[a], order[b] = order[b], order[a]
    return replace(value, layout=tuple(value.layout[dim] for dim in order))


def expand(follower: Follower, call: Call) -> Value:
    """Only to the same shape."""
    value = follower.value(call.args[0])
    if isinstance(value, Derived) or (value is not None and call.result.shape == call.args[0].shape):
        return value
    return follower.unsupported(call, "repeats a feature map")


def channel_shuffle(follower: Follower, call: Call) -> Value:
    """A step."""
    value = follower.bypassing(call.argument("input", 0))
    if not follower.is_plain(value):
        return follower.unsupported(call)
    return replace(
        value, node=follower.graph.channel_shuffle(value.node, call.argument("groups", 1), call.place)
    )


def concat(follower: Follower, call: Call) -> Value:
    """A step, if it joins maps along their channels."""
    parts = call.argument("tensors", 0)
    dim = call.argument("dim", 1, 0) % parts[0].dim()
    maps = [value for value in map(follower.bypassing, parts) if isinstance(value, Map)]
    if len(maps) < len(parts):
        return follower.unsupported(call, "joins a feature map with something that is none")
    rests = {(*value.layout[:dim], *value.layout[dim + 1 :]) for value in maps}
    if len(rests) > 1 or any(
        value.layout[dim] != whole("C", follower.graph.channels(value.node)) for value in maps
    ):
        return follower.unsupported(call, "joins feature maps along other dimensions than their channels")
    node = follower.graph.concat(tuple(value.node for value in maps), call.place)
    layout = maps[0].layout
    return Map(node, (*layout[:dim], whole("C", follower.graph.channels(node)), *layout[dim + 1 :]))


def split(follower: Follower, call: Call) -> Value | list[Value]:
    """A slice of the channels for each part; `unbind` also takes the dimension away."""
    unbinds = call.function == "unbind"
    dim = call.argument("dim", 1 if unbinds else 2, 0)
    values, start = [], 0
    for result in tensors(call.result):
        length = 1 if unbinds else result.shape[dim]
        values.append(_part(follower, call, follower.value(call.args[0]), dim, start, length, drop=unbinds))
        start += length
    return values


def select(follower: Follower, call: Call) -> Value:
    """One channel, or one group of channels."""
    dim = call.argument("dim", 1)
    start = call.argument("index", 2) % call.args[0].shape[dim]
    return _part(follower, call, follower.value(call.args[0]), dim, start, 1, drop=True)


def narrow(follower: Follower, call: Call) -> Value:
    """A slice of the channels."""
    dim, start, length = (
        call.argument(name, position) for position, name in enumerate(("dim", "start", "length"), 1)
    )
    return _part(follower, call, follower.value(call.args[0]), dim, start, length)


def glu(follower: Follower, call: Call) -> Value:
    """The first half of the channels; the other half is its gate."""
    features, dim = call.argument("input", 0), call.argument("dim", 1, -1)
    value = _part(follower, call, follower.bypassing(features), dim, 0, features.shape[dim] // 2)
    if isinstance(value, Map):
        follower.graph.remove("gate", value.node)
    return value


def getitem(follower: Follower, call: Call) -> Value:
    """Slices of channels, new dimensions, and whole slices of the other axes."""
    features, index = call.args
    value = follower.value(features)
    index = index if isinstance(index, tuple) else (index,)
    if any(isinstance(item, (Tensor, tuple)) for item in index):
        return follower.unsupported(call, "chooses parts of a feature map by a table of indices")
    dim = 0
    for item in _spelled_out(index, features.dim()):
        if not isinstance(value, Map):
            return follower.derived(call)
        if item is None:
            value = replace(value, layout=(*value.layout[:dim], (), *value.layout[dim:]))
            dim += 1
        elif isinstance(item, slice):
            start, stop, step = item.indices(extent(value.layout[dim]))
            if step != 1:
                return follower.unsupported(call, "skips rows, columns or channels")
            value = _part(follower, call, value, dim, start, stop - start)
            dim += 1
        else:
            value = _part(follower, call, value, dim, int(item) % extent(value.layout[dim]), 1, drop=True)
    return value or follower.derived(call)


def _spelled_out(index: tuple[Any, ...], rank: int) -> list[Any]:
    """An index without its ellipsis."""
    if Ellipsis not in index:
        return list(index)
    place = index.index(Ellipsis)
    whole_dimensions = rank - sum(item is not None and item is not Ellipsis for item in index)
    return [*index[:place], *[slice(None)] * whole_dimensions, *index[place + 1 :]]


def _part(
    follower: Follower, call: Call, value: Value | None, dim: int, start: int, length: int, drop: bool = False
) -> Value:
    """Entries `start` to `start + length` of one dimension of a map, without that dimension where it is dropped."""
    if not isinstance(value, Map):
        return follower.derived(call)
    graph, node, layout = follower.graph, value.node, list(value.layout)
    dim %= len(layout)
    size = extent(layout[dim])
    if length != size:
        if len(layout[dim]) != 1 or layout[dim][0].axis != "C" or length < 1:
            return follower.unsupported(call, "crops a feature map, or takes a part of the batch")
        digit, channels = layout[dim][0], graph.channels(node)
        if digit.stride == 1 and size < channels:  # every n-th channel: brought to the front by a shuffle
            node = graph.channel_shuffle(node, channels // size, call.place)
            layout = [
                tuple(d._replace(stride=d.stride // size) if d.axis == "C" else d for d in dimension)
                for dimension in layout
            ]
            digit = Digit("C", channels // size, size)
        if digit.stride * digit.size != channels:
            return follower.unsupported(call, "takes a part of the channels that a slice cannot take")
        node = graph.channel_slice(node, start * digit.stride, length * digit.stride, call.place)
        layout[dim] = (digit._replace(size=length),) if length > 1 else ()
    if drop:
        del layout[dim]
    return Map(node, tuple(layout), value.gate)
