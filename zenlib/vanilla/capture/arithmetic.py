"""Rules for sums and products, and for what leaves a map what it is: activations, normalisation, dropout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeGuard

from torch import Tensor

from zenlib.vanilla.capture.follow import Derived, Follower, Map, Value
from zenlib.vanilla.capture.graph import Depth
from zenlib.vanilla.capture.trace import Call, tensors
from zenlib.vanilla.vcnn import IMAGE, Add

MASK = 3
"""The standing as a gate of what was compared."""


def _on_numbers(rule: Callable[..., Value]) -> Callable[..., Value]:
    """A rule that also tries the function on numbers."""

    def tried(follower: Follower, call: Call, **options: Any) -> Value:
        return follower.on_numbers(rule(follower, call, **options), call)

    return tried


@_on_numbers
def activation(follower: Follower, call: Call, gate: int = 0) -> Value:
    """A map stays that map, since a ReLU follows each convolution anyway."""
    features = call.argument("input", 0)
    # The weights of an attention may have the shape of a map by chance: softmax is no sign that it is over.
    value = follower.value(features) if call.function == "softmax" else follower.bypassing(features)
    if isinstance(value, Map):
        return value.activated(gate)
    return replace(value, gate=max(value.gate, gate)) if value is not None else follower.derived(call)


@_on_numbers
def pointwise(follower: Follower, call: Call) -> Value:
    """An activation written with several arguments: one map, and constants, masks or statistics of it."""
    if not isinstance(call.result, Tensor):  # `where` of a condition alone
        return follower.unsupported(call)
    operands = _operands(follower, call)
    full = [value for value, size in operands if size == call.result.numel()]
    maps = [value for value in full if isinstance(value, Map)]
    kept = next((value for value in maps if value.gate < MASK), maps[0] if maps else None)
    if kept is None:
        return follower.derived(call)
    for value in full:
        same = isinstance(value, Map) and (value.node, value.layout) == (kept.node, kept.layout)
        if not same and value.gate < MASK and not follower.is_statistic(value, kept):
            return follower.unsupported(call, "chooses between two feature maps")
    return kept.activated()


def mask(follower: Follower, call: Call) -> Value:
    """A comparison tells which part of a map is used, as an activation or a gate."""
    return replace(pointwise(follower, call), gate=MASK)


def of_one_size(follower: Follower, call: Call, why: str, name: str = "input", at: int = 0) -> Value:
    """A map that is written over another, or resized, if it has that size already."""
    features = call.argument(name, at)
    value = follower.value(features)
    if value is not None and features.shape == call.result.shape:
        return value
    return follower.unsupported(call, why)


def replaced(follower: Follower, call: Call) -> Value:
    """A tensor made another one, or empty."""
    return (len(call.args) > 1 and follower.value(call.args[1])) or follower.unsupported(call)


def left_out(follower: Follower, call: Call) -> Value:
    """A map stays that map, and what was left out, a normalisation or dropout, is noted."""
    features = call.argument("input", 0)
    kind = "dropout" if "dropout" in call.function else call.function.replace("_", " ")
    value = follower.value(features) if kind == "dropout" else follower.bypassing(features)
    if not isinstance(value, Map):
        return follower.derived(call)
    if len(value.layout) > 2:  # on a flattened map it belongs to the classifier
        follower.graph.remove(kind, value.node)
    return value if kind in ("batch norm", "dropout") else value.activated()


def unchanged(follower: Follower, call: Call) -> Value:
    """A change of type or memory."""
    return follower.value(call.argument("input", 0)) or follower.derived(call)


@_on_numbers
def product(follower: Follower, call: Call) -> Value:
    """A gate or a layer scale goes; a map times a function of itself is an activation."""
    features = _operands(follower, call)
    if len(features) == 1:
        return _with_constants(follower, call, features[0][0], learned="layer scale", fixed="scaling")
    if call.function == "addcmul":
        return follower.unsupported(call, "adds a product of feature maps")
    (a, _), (b, _) = features
    if isinstance(a, Derived) and isinstance(b, Derived):
        return follower.derived(call)
    if isinstance(a, Map) and isinstance(b, Map) and (a.node, a.layout) == (b.node, b.layout):
        return replace(a.activated(), gate=0)
    for (kept, size), (factor, factor_size) in (features, features[::-1]):
        if not isinstance(kept, Map) or size < call.result.numel():
            continue
        if _attends(factor):
            return follower.without_attention(kept, factor)
        statistic = isinstance(factor, Derived) and factor.statistic
        if factor_size < size or factor.gate > kept.gate or statistic or is_pooled(factor):
            return _keep(follower, kept, "gate")
    nodes = sorted({*a.sources, *b.sources} - {IMAGE})
    steps = " and ".join(repr(follower.graph.steps[node].name) for node in nodes)
    return follower.unsupported(
        call,
        f"multiplies two feature maps (of {steps}), neither of which is a gate (smaller, pooled, or through "
        "a sigmoid or its like), so that it is not piecewise linear",
    )


@_on_numbers
def quotient(follower: Follower, call: Call) -> Value:
    """Division by a constant, or by a statistic of the map."""
    features = _operands(follower, call)
    if len(features) == 1:
        return _with_constants(follower, call, features[0][0], learned="layer scale", fixed="scaling")
    (a, a_size), (b, b_size) = features
    if isinstance(a, Map) and isinstance(b, Map) and a.node == b.node:
        return _keep(follower, a.activated(), "normalisation")
    if isinstance(a, Map) and (b_size < a_size or follower.is_statistic(b, a)):
        return _keep(follower, a, "normalisation")
    return follower.unsupported(call, "divides one feature map by another")


@_on_numbers
def total(follower: Follower, call: Call) -> Value:
    """A sum or difference: the shallower branch is a shortcut, and an attention is a branch to leave out."""
    features = _operands(follower, call)
    if len(features) == 1:
        return _with_constants(follower, call, features[0][0], learned="bias", fixed="offset")
    for (kept, size), (other, other_size) in (features, features[::-1]):
        if not isinstance(kept, Map) or size < call.result.numel():
            continue
        if _attends(other):
            return follower.without_attention(kept, other)
        if other_size < size or is_pooled(other):  # a mean, or a context that is the same everywhere
            return _keep(follower, kept, "gate" if call.function == "add" else "normalisation")
    (a, _), (b, _) = features
    if isinstance(a, Derived) and isinstance(b, Derived):
        return follower.derived(call)
    if isinstance(a, Map) and isinstance(b, Map):
        return sum_of(follower, call, a, b)
    for kept, other in ((a, b), (b, a)):
        if not isinstance(kept, Map):
            continue
        if follower.is_statistic(other, kept) or follower.depth(other) < follower.depth(kept):
            return _keep(follower, kept, "shortcut")
    return follower.unsupported(call, "adds something that is no feature map but as deep as one")


def _keep(follower: Follower, kept: Map, removed: str) -> Map:
    follower.graph.remove(removed, kept.node)
    return kept.activated()


def _attends(value: Value) -> TypeGuard[Derived]:
    return isinstance(value, Derived) and value.attention is not None


def is_pooled(value: Value) -> bool:
    """Whether a value lies behind global pooling."""
    return isinstance(value, Derived) and value.problem is None and value.attention is None


def sum_of(follower: Follower, call: Call, a: Value, b: Value) -> Value:
    """The sum of two maps, or of what depends on maps."""
    if not isinstance(a, Map) or not isinstance(b, Map):
        return follower.derived(call)
    if a.layout != b.layout:
        return follower.unsupported(
            call, "adds feature maps whose channels, rows and columns lie in different places"
        )
    if a.node == b.node:
        return replace(a if a.root == b.root else a.activated(), gate=0)
    graph = follower.graph
    rank_a, rank_b = _rank(follower, a, b), _rank(follower, b, a)
    own_a, own_b = (graph.convs_only_before(*nodes) for nodes in ((a.node, b.node), (b.node, a.node)))
    subtracts_equals = rank_a == rank_b and call.function == "sub"
    if own_a and own_b and a.root == b.root and not subtracts_equals:  # linear branches of one input
        kept = b if graph.breadth(b.node) > graph.breadth(a.node) else a
        graph.remove("parallel convolution", kept.node)
        return replace(kept, gate=0)
    if subtracts_equals:
        return follower.unsupported(call, "subtracts feature maps of equal standing")
    if rank_a == rank_b:
        return Map(graph.append(Add, a.node, call.place, inputs=(a.node, b.node)), a.layout)
    kept, own = (a, own_b) if rank_a > rank_b else (b, own_a)
    graph.remove("shortcut", kept.node)
    if own:
        graph.remove("projection", kept.node)
    return replace(kept if a.root == b.root else kept.activated(), gate=0)


def _rank(follower: Follower, value: Map, other: Map) -> tuple[Depth, bool]:
    """Of two summands the one of higher rank stays: the deeper one, else the one computed from the other."""
    return follower.depth(value), other.node in follower.graph.ancestors(value.node)


def _operands(follower: Follower, call: Call) -> list[tuple[Value, int]]:
    """The operands that are not constant, with their numbers of elements."""
    values = ((follower.value(tensor), tensor.numel()) for tensor in tensors((call.args, call.kwargs)))
    return [(value, size) for value, size in values if value is not None]


def _with_constants(follower: Follower, call: Call, value: Value, learned: str, fixed: str) -> Value:
    """A map with constants added or multiplied stays that map."""
    if not isinstance(value, Map):
        return follower.derived(call)
    constants: list[Tensor] = []
    for tensor in tensors((call.args, call.kwargs)):
        if follower.value(tensor) is None:
            constants.append(tensor)
        elif tensor.shape != call.result.shape:
            return follower.unsupported(call, "repeats a feature map by broadcasting")
    for constant in constants:
        follower.graph.remove(learned if follower.is_learned(constant) else fixed, value.node)
    return value
