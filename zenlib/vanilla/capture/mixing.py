"""Rules for what mixes channels or positions: convolutions, linear layers, matrix products, attention."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zenlib.vanilla.capture.follow import Derived, Follower, Map, Value
from zenlib.vanilla.capture.layout import whole
from zenlib.vanilla.capture.trace import Call, margins, pair
from zenlib.vanilla.vcnn import Conv

REARRANGED = "reads a feature map whose channels, rows and columns were rearranged"


def conv2d(follower: Follower, call: Call) -> Value:
    """A step, if it reads a map in the usual order, or treats every position alike."""
    features, weight, bias = call.argument("input", 0), call.argument("weight", 1), call.argument("bias", 2)
    kernel, dilation = pair(weight.shape[2:]), pair(call.argument("dilation", 5, 1))
    spatial = kernel != (1, 1)
    follower.spatial_convs += spatial
    value = _operand(follower, call, features, spatial)
    if follower.value(weight) is not None:
        return follower.unsupported(call, "has a kernel that is computed from the image")
    if not isinstance(value, Map):
        return _off_the_path(follower, call, value, spatial)
    if not follower.is_plain(value):
        dense = weight.shape[1] == follower.graph.channels(value.node)
        if spatial or not dense or call.result.shape[2:] != features.shape[2:]:
            return follower.unsupported(call, REARRANGED)
        return _pointwise(follower, call, value, 1, weight.shape[0], bias)
    _note_bias(follower, bias)
    step = Conv(
        **follower.fields(value.node, call, out_channels=weight.shape[0], result=call.result),
        kernel=kernel,
        stride=pair(call.argument("stride", 3, 1)),
        padding=margins(call.argument("padding", 4, 0), kernel, dilation),
        dilation=dilation,
        groups=call.argument("groups", 6, 1),
    )
    return follower.map(follower.graph.conv(value.node, step))


def linear(follower: Follower, call: Call) -> Value:
    """On the channels of a map a 1x1 convolution; on a flattened map the classifier."""
    out_channels = call.argument("weight", 1).shape[0]
    return _linear(follower, call, call.argument("input", 0), out_channels, call.argument("bias", 2))


def matmul(follower: Follower, call: Call) -> Value:
    """With a constant matrix a linear layer; of two features a step of an attention."""
    features, weight = call.argument("input", 0), call.argument("other", 1)
    if len(follower.features(call)) > 1:
        return follower.attend(call, products=1)
    if follower.value(features) is None or weight.dim() != 2:
        return follower.unsupported(
            call, "mixes a feature map with a constant in a way that is no 1x1 convolution"
        )
    return _linear(follower, call, features, weight.shape[1], bias=None)


def attention(follower: Follower, call: Call, products: int) -> Value:
    """A function that multiplies features by each other: a step of an attention, or all of it."""
    return follower.attend(call, products) if len(follower.features(call)) > 1 else follower.unsupported(call)


def _linear(follower: Follower, call: Call, features: Any, out_channels: int, bias: Any) -> Value:
    value = _operand(follower, call, features, spatial=False)
    if not isinstance(value, Map):
        return _off_the_path(follower, call, value, spatial=False)
    node, layout = value.node, value.layout
    if len(layout) == 2 and layout[0] == follower.layout(node)[0]:  # (N, features): the map was flattened
        return follower.derived(call, convs=(1, 0))
    return _pointwise(follower, call, value, len(layout) - 1, out_channels, bias)


def _pointwise(follower: Follower, call: Call, value: Map, dim: int, out_channels: int, bias: Any) -> Value:
    """The same linear layer at every position, wherever the positions lie.

    The channels are dimension `dim`.
    """
    node, layout = value.node, value.layout
    if layout[dim] != whole("C", follower.graph.channels(node)):
        return follower.unsupported(call, "is a linear layer across positions")
    _note_bias(follower, bias)
    step = Conv(**follower.fields(node, call, out_channels=out_channels), kernel=(1, 1))
    return Map(follower.graph.conv(node, step), (*layout[:dim], whole("C", out_channels), *layout[dim + 1 :]))


def _operand(follower: Follower, call: Call, features: Any, spatial: bool) -> Value | None:
    """What a convolution or linear layer reads.

    A pointwise one inside an attention belongs to that attention.
    """
    value = follower.value(features)
    inside = (
        isinstance(value, Derived)
        and value.attention is not None
        and follower.attentions[value.attention].contains(call.path)
    )
    return value if inside and not spatial else follower.bypassing(features)


def _off_the_path(follower: Follower, call: Call, value: Derived | None, spatial: bool) -> Derived:
    """A layer that reads a derived tensor: part of an attention, a gate or the classifier, else a problem."""
    result = follower.derived(call, convs=(1, int(spatial)))
    if value is None or value.problem:
        return result
    if value.attention is not None and not follower.attentions[value.attention].contains(call.path):
        return replace(
            result,
            attention=None,
            problem=(
                f"{call} reads an attention that changes the shape of its input, so it cannot be bypassed"
            ),
        )
    if value.attention is None and call.function == "conv2d" and call.result.shape[-2:].numel() > 1:
        return replace(
            result,
            problem=(
                f"{call} reads a map that global or adaptive pooling made; needed such pooling last, before "
                "the classifier"
            ),
        )
    return result


def _note_bias(follower: Follower, bias: Any) -> None:
    if bias is not None:
        follower.graph.remove("bias", follower.graph.next)
