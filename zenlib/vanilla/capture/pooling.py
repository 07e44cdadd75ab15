"""Rules for what changes the size of a map without weights: pooling, padding, reductions, resizing."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from zenlib.vanilla.capture.follow import Follower, Map, Value
from zenlib.vanilla.capture.mixing import REARRANGED
from zenlib.vanilla.capture.trace import Call, pair, tensors
from zenlib.vanilla.vcnn import Pad, Pool


def pool2d(follower: Follower, call: Call, kind: str) -> Value | list[Value]:
    """A step, if it reads a map in the usual order."""
    value = follower.bypassing(call.argument("input", 0))
    if not follower.is_plain(value):
        return follower.unsupported(call, REARRANGED)
    read, kernel = call.argument, pair(call.argument("kernel_size", 1))
    options: dict[str, Any]
    if kind == "max":
        options = {"dilation": pair(read("dilation", 4, 1)), "ceil_mode": bool(read("ceil_mode", 5, False))}
    else:
        options = {
            "ceil_mode": bool(read("ceil_mode", 4, False)),
            "count_include_pad": bool(read("count_include_pad", 5, True)),
        }
    step = Pool(
        **follower.fields(value.node, call, result=next(tensors(call.result))),
        kind=kind,
        kernel=kernel,
        stride=pair(read("stride", 2) or kernel),
        padding=pair(read("padding", 3, 0)),
        **options,
    )
    return _without_indices(follower, call, follower.map(follower.graph.add(step)))


def adaptive_pool2d(follower: Follower, call: Call, kind: str) -> Value | list[Value]:
    """Global pooling is where the network ends; pooling to a fraction of the size is ordinary pooling."""
    value = follower.bypassing(call.argument("input", 0))
    result = next(tensors(call.result))
    size = pair(result.shape[-2:])
    if size == (1, 1) or not follower.is_plain(value):
        return follower.derived(call)
    before = follower.graph.size(value.node)
    if size == before:
        return _without_indices(follower, call, value)
    if before[0] % size[0] or before[1] % size[1]:
        return follower.derived(call)
    window = (before[0] // size[0], before[1] // size[1])
    node = follower.graph.add(
        Pool(**follower.fields(value.node, call, result=result), kind=kind, kernel=window, stride=window)
    )
    follower.fixed_pools.add(node)
    return _without_indices(follower, call, follower.map(node))


def pad(follower: Follower, call: Call) -> Value:
    """Zeros around a map, or a border cut off; reflected or repeated borders become zeros."""
    value = follower.bypassing(call.argument("input", 0))
    widths, mode, fill = (
        tuple(call.argument("pad", 1)),
        call.argument("mode", 2, "constant"),
        call.argument("value", 3),
    )
    if value is not None and not any(widths):
        return value
    if not follower.is_plain(value) or len(widths) > 4 or fill not in (None, 0, float("-inf")):
        return follower.unsupported(call, "pads channels, or with other values than zeros")
    left, right, top, bottom = (*widths, 0, 0)[:4]
    if mode != "constant":
        follower.graph.remove(f"{mode} padding", value.node)
    step = Pad(**follower.fields(value.node, call, result=call.result), padding=(top, bottom, left, right))
    return follower.map(follower.graph.add(step))


def reduction(follower: Follower, call: Call, dim_at: int) -> Value:
    """Over rows and columns it is global pooling; over channels it makes a statistic or a gate."""
    value, dims = follower.value(call.argument("input", 0)), call.argument("dim", dim_at)
    if not isinstance(value, Map) or isinstance(dims, Tensor):  # a tensor here: the larger of two maps
        return follower.unsupported(call)
    rank = len(value.layout)
    reduced = (
        range(rank) if dims is None else [dim % rank for dim in ((dims,) if isinstance(dims, int) else dims)]
    )
    mixes = any(digit.axis in "NC" for dim in reduced for digit in value.layout[dim])
    return follower.unsupported(call, "mixes channels or images") if mixes else follower.derived(call)


def resize(follower: Follower, call: Call) -> Value:
    """Only to the same size."""
    features = call.argument("input", 0)
    value = follower.value(features)
    if value is not None and call.result.shape == features.shape:
        return value
    return follower.unsupported(call, "makes a feature map larger or smaller by interpolation")


def _without_indices(follower: Follower, call: Call, value: Map) -> Value | list[Value]:
    """The values of a pooling that may also return the places of its maxima."""
    others = list(tensors(call.result))[1:]
    return [value, *(follower.unsupported(call, "gives the places of maxima") for _ in others)]
