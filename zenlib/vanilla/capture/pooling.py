"""Rules for what changes the size of a map without weights: pooling, padding, reductions, resizing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial, reduce
from operator import floordiv, mod

from zenlib.vanilla.capture.arithmetic import pointwise, sum_of
from zenlib.vanilla.capture.follow import Follower, Map, Value
from zenlib.vanilla.capture.layout import Digit, Layout, extent, pooled
from zenlib.vanilla.capture.mixing import REARRANGED
from zenlib.vanilla.capture.moves import apart, part
from zenlib.vanilla.capture.trace import Call, each, tensors
from zenlib.vanilla.vcnn import Pad, Pool, Sizes

WIDEST_WINDOW = 3
"""Average pools inside networks are no wider; a wider one that covers its map is global pooling."""


def pool(follower: Follower, call: Call, kind: str) -> Value | list[Value]:
    """A step, if it reads a map in the usual order."""
    value, axes = follower.bypassing(call.argument("input", 0)), len(follower.graph.axes)
    if not follower.is_plain(value):
        value = apart(follower, call, value)
    if value is None or not call.function.endswith(f"{axes}d"):  # over an axis that holds something else
        return follower.unsupported(call, REARRANGED)
    if kind == "max" and value.curve[0] > value.curve[-1]:
        return follower.unsupported(
            call, "is a pooling by the minimum: it reads a map times a negative number"
        )
    read, kernel = call.argument, each(call.argument("kernel_size", 1), axes)
    is_max = kind == "max"
    node = follower.graph.append(
        Pool,
        value.node,
        call.place,
        out_resolution=tuple(next(tensors(call.result)).shape[2:]),
        kind=kind,
        kernel=kernel,
        stride=each(read("stride", 2) or kernel, axes),
        padding=each(read("padding", 3, 0), axes),
        dilation=each(read("dilation", 4, 1) if is_max else 1, axes),
        ceil_mode=bool(read("ceil_mode", 5 if is_max else 4, False)),
        count_include_pad=is_max or bool(read("count_include_pad", 5, True)),
    )
    if not is_max and kernel == follower.graph.size(value.node) and max(kernel) > WIDEST_WINDOW:
        follower.global_pools.add(node)
    return _without_indices(follower, call, follower.map(node, None if is_max else value))


def adaptive_pool(follower: Follower, call: Call, kind: str) -> Value | list[Value]:
    """Global pooling is where the network ends; pooling to a fraction of the size is ordinary pooling."""
    value = follower.bypassing(call.argument("input", 0))
    size = tuple(next(tensors(call.result)).shape[2:])
    if isinstance(value, Map):
        behind = _lying_in(follower, value, range(2, len(value.layout)))
        if behind != follower.graph.sizes(value.node):
            return follower.unsupported(call, REARRANGED)
    if max(size) == 1 or not follower.is_plain(value):
        return follower.derived(call)
    before = follower.graph.size(value.node)
    if size == before:
        return _without_indices(follower, call, value)
    if any(map(mod, before, size)):
        return follower.derived(call)
    node = _fixed_pool(follower, call, value.node, kind, tuple(map(floordiv, before, size)))
    return _without_indices(follower, call, follower.map(node, value if kind == "avg" else None))


def _fixed_pool(follower: Follower, call: Call, node: int, kind: str, window: Sizes) -> int:
    """A pooling whose windows lie side by side, and as many as the network wants."""
    size = tuple(map(floordiv, follower.graph.size(node), window))
    fields = {"kind": kind, "kernel": window, "stride": window, "out_resolution": size}
    found = follower.graph.append(Pool, node, call.place, **fields)
    follower.fixed_pools.add(found)
    return found


def _lying_in(follower: Follower, value: Map, dims: Iterable[int]) -> dict[str, int]:
    """How many entries of each axis lie in some dimensions of a map."""
    found = dict.fromkeys(follower.graph.axes, 1)
    for digit in (digit for dim in dims for digit in value.layout[dim]):
        found[digit.axis] = found.get(digit.axis, 1) * digit.size
    return found


def pad(follower: Follower, call: Call) -> Value:
    """Zeros around a map, or a border cut off; reflected or repeated borders become zeros."""
    value = follower.bypassing(call.argument("input", 0))
    widths, mode = call.argument("pad", 1), call.argument("mode", 2, "constant")
    if value is not None and not any(widths):
        return value
    if not isinstance(value, Map) or call.argument("value", 3) not in (None, 0, float("-inf")):
        return follower.unsupported(call, NOT_ZEROS)
    sizes, layout = follower.graph.sizes(value.node), list(value.layout)
    padding = dict.fromkeys(sizes, (0, 0))
    for dim, pair in enumerate(zip(widths[::2], widths[1::2], strict=True), 1):
        axis, stride = _outermost(follower, value, len(layout) - dim)
        if any(pair):
            if axis not in sizes:
                return follower.unsupported(call, NOT_ZEROS)
            padding[axis] = (pair[0] * stride, pair[1] * stride)
            size = sizes[axis] // stride + sum(pair)
            layout[-dim] = (Digit(axis, stride, size),) if size > 1 else ()
    if mode != "constant":
        follower.graph.remove(f"{mode} padding", value.node)
    size = tuple(size + sum(padding[axis]) for axis, size in sizes.items())
    flat = tuple(width for pair in padding.values() for width in pair)
    node = follower.graph.append(Pad, value.node, call.place, padding=flat, out_resolution=size)
    return value.linear(node, tuple(layout))


def _outermost(follower: Follower, value: Map, dim: int) -> tuple[str, int]:
    """The axis whose outermost digit is a dimension, "" for none, and the pixels between its entries."""
    if follower.is_plain(value):  # where an axis of one position shows as no digit
        return ("NC" + follower.graph.axes)[dim], 1
    digit = value.layout[dim][0] if len(value.layout[dim]) == 1 else Digit("", 1, 1)
    whole = digit.stride * digit.size == follower.graph.sizes(value.node).get(digit.axis)
    return digit.axis if whole else "", digit.stride


NOT_ZEROS = "pads channels, or with other values than zeros"


def reduction(follower: Follower, call: Call, dim_at: int) -> Value | list[Value]:
    """Over all positions global pooling, over some rows or columns pooling, over groups of channels a sum."""
    if len(list(tensors((call.args, call.kwargs)))) > 1:  # the larger of two maps
        return pointwise(follower, call)
    value, dims = follower.value(call.argument("input", 0)), call.argument("dim", dim_at)
    if not isinstance(value, Map):
        return follower.unsupported(call)
    rank, size = len(value.layout), follower.graph.sizes(value.node)
    given = range(rank) if dims is None else (dims,) if isinstance(dims, int) else dims
    reduced = sorted({dim % rank for dim in given})
    digits = [digit for dim in reduced for digit in value.layout[dim]]
    window = _lying_in(follower, value, reduced)
    keeps = next(tensors(call.result)).dim() == rank

    def kept(layout: Layout) -> Layout:
        return layout if keeps else tuple(layout[dim] for dim in range(rank) if dim not in reduced)

    groups = len(reduced) == 1 and extent(value.layout[reduced[0]]) < follower.graph.channels(value.node)
    if groups and {digit.axis for digit in digits} == {"C"} and call.function in ("sum", "mean"):
        ones = (range(i, i + 1) for i in range(extent(value.layout[reduced[0]])))
        parts = (part(follower, call, value, reduced[0], one) for one in ones)
        found = reduce(partial(sum_of, follower, call), parts)
        return replace(found, layout=kept(found.layout)) if isinstance(found, Map) else found
    why = None
    if not window.keys() <= size.keys():
        why = "mixes channels or images"
    elif window != size and (
        call.function not in POOLINGS or any(d.stride != 1 and window[d.axis] < size[d.axis] for d in digits)
    ):
        why = "takes a statistic of some rows or columns"
    if why or window == size:
        return replace(follower.unsupported(call, why) if why else follower.derived(call), statistic=True)
    layout = kept(pooled(value.layout, window))
    if not digits:
        return replace(value, layout=layout)
    kind = POOLINGS[call.function]
    node = _fixed_pool(follower, call, value.node, kind, tuple(window.values()))
    return _without_indices(follower, call, Map(node, layout, origin=value.root if kind == "avg" else None))


POOLINGS = {"mean": "avg", "sum": "avg", "amax": "max", "max": "max"}
"""Reductions that pool where they take some rows or columns only."""


def _without_indices(follower: Follower, call: Call, value: Map) -> Value | list[Value]:
    """The values of a pooling that may also return the places of its maxima."""
    others = list(tensors(call.result))[1:]
    return [value, *(follower.unsupported(call, "gives the places of maxima") for _ in others)]
