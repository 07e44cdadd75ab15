"""Rules for what mixes channels or positions: convolutions, linear layers, matrix products, attention."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from operator import floordiv, mul
from typing import Any

from zenlib.vanilla.capture import arithmetic, moves
from zenlib.vanilla.capture.follow import Derived, Follower, Map, Value
from zenlib.vanilla.capture.layout import Layout, extent, pixels_in, pooled, whole, with_dimension
from zenlib.vanilla.capture.trace import BATCH, Call, each, margins

REARRANGED = "reads a feature map whose channels, rows and columns were rearranged"


def conv(follower: Follower, call: Call) -> Value:
    """A step, if it reads a map in the usual order, or treats every position alike."""
    features, weight, bias = call.argument("input", 0), call.argument("weight", 1), call.argument("bias", 2)
    graph, axes, kernel = follower.graph, follower.graph.axes, tuple(weight.shape[2:])
    dilation, spatial = each(call.argument("dilation", 5, 1), len(axes)), max(kernel) > 1
    dense = weight.shape[1] == features.shape[1]
    value = _operand(follower, call, features, spatial)
    if len(kernel) != len(axes) and not (isinstance(value, Map) and dense and not spatial):
        return follower.unsupported(
            call, f"is a {len(kernel)}-d convolution, and the image has {len(axes)} axes"
        )
    follower.spatial_convs += spatial
    mixed = follower.value(weight)
    if (
        mixed is not None
    ):  # for each image of its own, by a pooled vector, and the images stand in line as groups
        in_line = isinstance(value, Map) and value.layout == _side_by_side(follower.layout(value.node))
        if not in_line or not arithmetic.is_pooled(mixed):
            return follower.unsupported(call, "has a kernel that is computed from the image")
    if not isinstance(value, Map):
        return _off_the_path(follower, call, value, spatial)
    images = 1 if mixed is None else BATCH
    window: dict[str, int] = {}
    if mixed is None and not follower.is_plain(value):
        if dense and not spatial and call.result.shape[2:] == features.shape[2:]:
            return _pointwise(follower, call, value, 1, weight.shape[0], bias)
        window = pixels_in(value.layout[1], graph.channels(value.node)) or {}
        rest = tuple(map(whole, axes, features.shape[2:]))
        if not window or not dense or max(dilation) > 1 or pooled(value.layout, window)[2:] != rest:
            plain, window = moves.apart(follower, call, value), {}
            if plain is None:
                return follower.unsupported(call, REARRANGED)
            value = plain
    _note_bias(follower, bias)
    stride = each(call.argument("stride", 3, 1), len(axes))
    widths = margins(call.argument("padding", 4, 0), kernel, dilation)
    wide = [window.get(axis, 1) for axis in axes]
    node = graph.conv(
        value.node,
        call.place,
        out_channels=weight.shape[0] // images,
        out_resolution=tuple(call.result.shape[2:]),
        kernel=tuple(map(mul, kernel, wide)),
        stride=tuple(map(mul, stride, wide)),
        padding=tuple(width * wide[place // 2] for place, width in enumerate(widths)),
        dilation=dilation,
        groups=call.argument("groups", 6, 1) // images,
    )
    covers = tuple(map(mul, kernel, wide)) == graph.size(value.node) and max(graph.size(node)) == 1
    if covers and spatial and call.argument("groups", 6, 1) == images:
        graph.remove("(kept) fully connected layer written as a convolution", node)
    found = follower.map(node, value)
    return found if mixed is None else replace(found, layout=_side_by_side(found.layout))


def _side_by_side(layout: Layout) -> Layout:
    """The layout (1, N C, H, W)."""
    images, channels, *rest = layout
    return ((), images + channels, *rest)


def linear(follower: Follower, call: Call) -> Value:
    """On the channels of a map a 1x1 convolution; on a flattened map the classifier."""
    out_channels = call.argument("weight", 1).shape[0]
    return _linear(follower, call, call.argument("input", 0), out_channels, call.argument("bias", 2))


def matmul(follower: Follower, call: Call) -> Value:
    """With a constant matrix a linear layer; of two features a step of an attention."""
    features, weight = call.argument("input", 0), call.argument("other", 1)
    values = follower.features(call)
    if all(map(arithmetic.is_pooled, values)) or (
        len(values) > 1 and _sums_positions(follower, weight, values)
    ):
        return replace(follower.derived(call), problem=None)
    if len(values) > 1:
        return follower.attend(call, products=1)
    value = _operand(follower, call, weight, spatial=False)
    if isinstance(value, Map) and features.dim() == 2 < weight.dim():
        return _pointwise(follower, call, value, weight.dim() - 2, features.shape[0], bias=None)
    if follower.value(features) is None or weight.dim() != 2:
        return follower.unsupported(
            call, "mixes a feature map with a constant in a way that is no 1x1 convolution"
        )
    return _linear(follower, call, features, weight.shape[1], bias=None)


def _sums_positions(follower: Follower, right: Any, values: list[Value]) -> bool:
    """Whether a product of a map with what was made of it leaves no positions, as pooling of second order."""
    value = follower.value(right)
    if not isinstance(value, Map) or any(each.sources != {value.node} for each in values):
        return False
    summed = value.layout[-2]
    only_positions = all(digit.axis in follower.graph.axes for digit in summed)
    return only_positions and extent(summed) == prod(follower.graph.size(value.node))


def attention(follower: Follower, call: Call, products: int) -> Value:
    """A function that multiplies features by each other: a step of an attention, or all of it."""
    return follower.attend(call, products) if len(follower.features(call)) > 1 else follower.unsupported(call)


def einsum(follower: Follower, call: Call) -> Value:
    """A product where nothing is summed, else a step of an attention."""
    equation = str(call.args[0]).replace(" ", "")
    operands, _, result = equation.partition("->")
    read = operands.split(",")
    if len(read) == 2 and set(operands) <= {*result, ","} and result in read:
        return arithmetic.product(follower, call)
    return attention(follower, call, products=1)


def _linear(follower: Follower, call: Call, features: Any, out_channels: int, bias: Any) -> Value:
    value = _operand(follower, call, features, spatial=False)
    if not isinstance(value, Map):
        return _off_the_path(follower, call, value, spatial=False)
    node, layout = value.node, value.layout
    if len(layout) == 2 and layout[0] == follower.layout(node)[0]:  # (N, features): the map was flattened
        return follower.derived(call, convs=(1, 0))
    return _pointwise(follower, call, value, len(layout) - 1, out_channels, bias)


def _pointwise(follower: Follower, call: Call, value: Map, dim: int, out_channels: int, bias: Any) -> Value:
    """The same linear layer of the channels, dimension `dim`, at every position or window of pixels."""
    node = value.node
    window = pixels_in(value.layout[dim], follower.graph.channels(node))
    if window is None:
        return follower.unsupported(call, "is a linear layer across positions")
    _note_bias(follower, bias)
    kernel = tuple(window.get(axis, 1) for axis in follower.graph.axes)
    size = tuple(map(floordiv, follower.graph.size(node), kernel))
    found = follower.graph.conv(
        node, call.place, kernel=kernel, stride=kernel, out_channels=out_channels, out_resolution=size
    )
    layout = with_dimension(pooled(value.layout, window), dim, whole("C", out_channels))
    return Map(found, layout, origin=value.root)


def _operand(follower: Follower, call: Call, features: Any, spatial: bool) -> Value | None:
    """What a convolution or linear layer reads; a pointwise one inside an attention belongs to that."""
    value = follower.value(features)
    if isinstance(value, Map) and value.node in follower.global_pools:
        return Derived(frozenset((value.node,)), follower.depth(value))
    return value if not spatial and _inside(follower, call, value) else follower.bypassing(features)


def _inside(follower: Follower, call: Call, value: Value | None) -> bool:
    """Whether a layer is part of the attention whose result it reads."""
    if not isinstance(value, Derived) or value.attention is None:
        return False
    return value.attention.contains(call.path)


def _off_the_path(follower: Follower, call: Call, value: Derived | None, spatial: bool) -> Derived:
    """A layer that reads a derived tensor: part of an attention, a gate or the classifier, else a problem."""
    result = follower.derived(call, convs=(1, int(spatial)))
    if value is None or value.problem or _inside(follower, call, value):
        return result
    if value.attention is not None:
        why = "an attention that changes the shape of its input, so it cannot be bypassed"
    elif call.function.startswith("conv") and call.result.shape[2:].numel() > 1:
        why = "a map that global or adaptive pooling made; needed such pooling last, before the classifier"
    else:
        return result
    return replace(result, attention=None, problem=f"{call} reads {why}")


def _note_bias(follower: Follower, bias: Any) -> None:
    if bias is not None:
        follower.graph.remove("bias", follower.graph.next)
