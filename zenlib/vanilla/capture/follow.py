"""Which tensors of a run are feature maps, and the vanilla network they make.

A tensor of a run is one of three things:

- a `Map`: the output of a step of the vanilla network, seen in some layout (channels last, tokens, channel
  groups);
- a `Derived` tensor: it depends on maps but is none, such as a pooled vector, the weights of a gate, the
  scores of an attention, or the result of a function that has no vanilla form;
- constant: weights, masks, position tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from math import prod
from typing import Any, TypeGuard

import torch
from torch import Tensor, nn

from zenlib.errors import ConversionError
from zenlib.vanilla.capture.graph import Depth, Graph
from zenlib.vanilla.capture.layout import Layout, arranged, reshaped, whole
from zenlib.vanilla.capture.trace import BATCH, UNSEEN, Call, Trace, tensors
from zenlib.vanilla.vcnn import IMAGE, VCNN, ChannelSlice, Conv, Pool

NEEDED = (
    "needed convolutions, pooling, sums and concatenations of feature maps, and whatever conversion removes"
)


Curve = tuple[float, ...]
POINTS: Curve = (-1e9, -1e6, 0.0, 1e6, 1e9)
"""Numbers on which functions written by hand are tried, to see whether they are gates."""

NUMBERS = count()
"""Of the values that are no linear functions of others."""

SHAPE_ONLY = {f"{name}_like" for name in ("zeros", "ones", "empty", "full", "rand", "randn", "randint")} | {
    f"new_{name}" for name in ("zeros", "ones", "empty", "full", "tensor")
}
"""Functions that take a tensor for its shape or type alone, so that their result is constant."""


@dataclass(frozen=True)
class Map:
    """The output of a step of the vanilla network.

    Attributes:
        node: the step.
        layout: where its axes lie in the tensor.
        gate: since that step, 3 where it was compared, so that it is a mask, 2 where it went through a
            sigmoid or its like, 1 for tanh, 0 for none of them.
        origin: number of the value of which it is a linear function; None stands for the output of its step.
        curve: what became of `POINTS` by functions of one number, as far as they were followed.
    """

    node: int
    layout: Layout
    gate: int = 0
    origin: int | None = None
    curve: Curve = POINTS

    @property
    def sources(self) -> frozenset[int]:
        """The step, as for a `Derived`."""
        return frozenset((self.node,))

    @property
    def root(self) -> int:
        """`origin`, spelled out."""
        return IMAGE - 1 - self.node if self.origin is None else self.origin

    def linear(self, node: int, layout: Layout) -> Map:
        """A linear function of it."""
        return Map(node, layout, self.gate, self.root)

    def activated(self, gate: int = 0) -> Map:
        """The same behind an activation, or whatever else is not linear."""
        return replace(self, gate=max(self.gate, gate), origin=next(NUMBERS))


@dataclass(frozen=True, eq=False)
class Attention:
    """An attention: the step from which all it reads comes, and the submodule that mixes the positions."""

    source: int
    path: str

    def contains(self, path: str) -> bool:
        """Whether a submodule is part of it, such as the projection of its output."""
        return not self.path or path == self.path or path.startswith(self.path + ".")


@dataclass(frozen=True)
class Derived:
    """A tensor that depends on feature maps but is none.

    Attributes:
        sources: the steps it was computed from.
        depth: the longest path of convolutions to it.
        problem: why the network cannot go on from here; None behind global pooling, where it need not, and
            for attention.
        attention: the attention that gave it, or None.
        gate: as in `Map`.
        curve: as in `Map`.
        statistic: whether it comes from means, variances and their like alone, of channels or positions.
    """

    sources: frozenset[int]
    depth: Depth
    problem: str | None = None
    attention: Attention | None = None
    gate: int = 0
    curve: Curve = POINTS
    statistic: bool = False


Value = Map | Derived
Rule = Callable[["Follower", Call], Value | list[Value]]


class Follower:
    """Follows the calls of a trace, by one rule per function.

    Attributes:
        attention_products: products of features so far; an attention written out takes two.
        spatial_convs: convolutions with kernels wider than 1x1 so far, gates included.
        fixed_pools: steps of the graph that pool to a size that does not depend on the image.
        joined: of what the parts of a concatenation are all linear functions, by its step.
        global_pools: average poolings whose window covers a wide map; a convolution behind is a classifier.
    """

    def __init__(self, trace: Trace, graph: Graph, rules: Mapping[str, Rule]) -> None:
        self.graph = graph
        self.attention_products = 0
        self.spatial_convs = 0
        self.fixed_pools: set[int] = set()
        self.global_pools: set[int] = set()
        self.joined: dict[int, int] = {}
        self._trace = trace
        self._learned: set[int] = set()
        self._left_out: set[Attention] = set()
        self._sharing: dict[int, list[Tensor]] = {}
        self._values: dict[int, Value] = {id(trace.image): Map(IMAGE, self.layout(IMAGE))}
        for call in trace.calls:
            self._follow(call, rules)

    def _follow(self, call: Call, rules: Mapping[str, Rule]) -> None:
        inputs, results = list(tensors((call.args, call.kwargs))), list(tensors(call.result))
        if call.function == UNSEEN:
            value: Value | list[Value] = _unknown(
                f"{call} hides what it does; needed plain PyTorch functions"
            )
        elif call.function in SHAPE_ONLY or all(self.value(tensor) is None for tensor in inputs):
            if any(map(self.is_learned, inputs)):
                self._learned.update(map(id, results))
            return
        else:
            value = rules.get(call.function, Follower.unsupported)(self, call)
        values = value if isinstance(value, list) else [value] * len(results)
        for tensor, new in zip(results, values, strict=True):
            family = self._sharing.setdefault(_memory(tensor), [])
            old = self._values.get(id(tensor))
            if old is None:
                family.append(tensor)
            elif old != new:
                for other in family:  # a write into one is seen through all that share its memory
                    if other is not tensor:
                        self._values[id(other)] = self._beside_a_write(other, tensor, new, call)
            self._values[id(tensor)] = new

    def _beside_a_write(self, other: Tensor, tensor: Tensor, new: Value, call: Call) -> Value:
        """What a tensor is after another one, which shares its memory, was overwritten with `new`."""
        old, value = self._values[id(tensor)], self._values[id(other)]
        if isinstance(value, Map) and isinstance(new, Map):
            if isinstance(old, Map) and old.node == new.node:
                return value if old.root == new.root else value.activated()
            found = self.overwritten(value, other, tensor, new, call)
            if found is not None:
                return found
        elif value == old and other.shape == tensor.shape and other.stride() == tensor.stride():
            return new
        return self.unsupported(call, "changes a feature map in place, of which another view is in use")

    def overwritten(self, value: Map, other: Tensor, tensor: Tensor, new: Map, call: Call) -> Map | None:
        """The map of a tensor after channels that it shares with another one became `new`, or None."""
        channels, part = (whole("C", self.graph.channels(node)) for node in (value.node, new.node))
        dim = value.layout.index(channels) if channels in value.layout else 0
        rest = [(*layout[:dim], *layout[dim + 1 :]) for layout in (value.layout, new.layout)]
        if rest[0] != rest[1] or new.layout[dim] != part or other.stride() != tensor.stride():
            return None
        start, uneven = divmod(int(tensor.storage_offset()) - int(other.storage_offset()), tensor.stride(dim))
        size, length = other.shape[dim], tensor.shape[dim]
        if uneven or start >= size or start + length <= 0:
            return None if uneven else value
        if start >= 0 and start + length <= size:
            return Map(self.graph.overwrite(value.node, start, new.node, call.place), value.layout)
        if start <= 0 and start + length >= size:
            return Map(self.graph.channel_slice(new.node, -start, size, call.place), value.layout)
        return None

    def vcnn(self, name: str) -> VCNN:
        """The network up to the last map that the output depends on."""
        self._refuse_transformer(name, self.spatial_convs)
        values = [value for value in map(self.value, tensors(self._trace.output)) if value is not None]
        if not values:
            raise ConversionError(
                f"{name}: needed an output tensor computed from the image, got "
                f"{type(self._trace.output).__name__}"
            )
        for value in values:
            if isinstance(value, Derived) and value.problem:
                raise ConversionError(f"{name}: {value.problem}")
        ends = frozenset[int]().union(*(value.sources for value in values))
        whole_map = all(map(self.is_plain, values))
        if not whole_map:
            ends = frozenset(map(self._before_global_pooling, ends))
        last = max(ends, key=lambda node: (self.graph.depths[node], node))
        if not ends <= self.graph.ancestors(last):
            raise ConversionError(
                f"{name}: the output reads {len(ends)} feature maps, none of which is computed from all the "
                f"others; needed one last feature map{self._trunk(ends)}"
            )
        if not whole_map:
            for value in values:
                if isinstance(value, Derived):
                    self.without_attention(self.map(last), value)
            self.graph.remove("classifier", last)
        vcnn = self.graph.vcnn(last, name)
        self._refuse_transformer(name, sum(max(conv.kernel) > 1 for conv in vcnn.convs))
        return vcnn

    def _refuse_transformer(self, name: str, spatial_convs: int) -> None:
        """Where attention mixes positions more often than convolutions do."""
        attentions = -(-self.attention_products // 2)
        if attentions > spatial_convs:
            raise ConversionError(
                f"{name}: a transformer cannot become a vanilla convolutional network: {attentions} "
                f"attention operations against {spatial_convs} spatial convolutions. The weights with which "
                "attention mixes positions are computed from the input, so no region of the input has one "
                "fixed linear map; needed a network that mixes positions by convolutions and pooling"
            )

    def _trunk(self, sources: frozenset[int], path: str = "") -> str:
        """What may be converted instead: the part before `sources`, if it has convolutions outside `path`."""
        last = max(sources, key=lambda node: (self.graph.depths[node], node))
        names = [
            step.name.split(".")
            for node in sorted(self.graph.ancestors(last))
            if isinstance(step := self.graph.steps[node], Conv)
        ]
        inside = path.split(".")
        outside = ([name for name in names if name[:n] != inside[:n]] for n in range(1, len(inside) + 1))
        names = next(filter(None, outside), names)
        if not names:
            return ""
        shared = next((i for i, parts in enumerate(zip(*names, strict=False)) if len(set(parts)) > 1), 0)
        part = f"the submodule {'.'.join(names[0][:shared])!r}, " if shared else ""
        return (
            f"; convert {part}the part up to {'.'.join(names[-1])!r} ({len(names)} convolutions so far) as a "
            "module of its own"
        )

    def _before_global_pooling(self, node: int) -> int:
        while isinstance(step := self.graph.steps[node], Pool):
            covers = step.kernel == step.in_resolution and max(step.out_resolution) == 1
            if node not in self.fixed_pools and not (covers and step.kind == "avg"):
                break
            node = step.inputs[0]
        return node

    def value(self, tensor: Any) -> Value | None:
        """What a tensor is; None for constants and numbers."""
        if not isinstance(tensor, Tensor):
            return None
        if id(tensor) not in self._values and _memory(tensor) in self._sharing:
            return _unknown(
                f"a constant of shape {tuple(tensor.shape)} is filled in place through a view; {NEEDED}"
            )
        return self._values.get(id(tensor))

    def is_learned(self, tensor: Any) -> bool:
        """Whether a constant is a parameter, or computed from one."""
        return isinstance(tensor, nn.Parameter) or id(tensor) in self._learned

    def layout(self, node: int, order: str = "") -> Layout:
        """The layout of a step's output in a given order of axes; the usual one is (N, C, H, W)."""
        order = order or "NC" + self.graph.axes
        return arranged(order, N=BATCH, C=self.graph.channels(node), **self.graph.sizes(node))

    def is_plain(self, value: Value | None) -> TypeGuard[Map]:
        """Whether a value is a map in (N, C, H, W) order."""
        return isinstance(value, Map) and value.layout == self.layout(value.node)

    def map(self, node: int, like: Map | None = None) -> Map:
        """The output of a step in (N, C, H, W) order; it may be a linear function of another map."""
        return Map(node, self.layout(node), origin=None if like is None else like.root)

    def depth(self, value: Value) -> Depth:
        """The longest path of convolutions to a value."""
        return self.graph.depths[value.node] if isinstance(value, Map) else value.depth

    def is_statistic(self, value: Value, of: Map) -> bool:
        """Whether a value is a statistic of a map, or of what leads to it."""
        return (
            isinstance(value, Derived)
            and value.statistic
            and value.sources <= self.graph.ancestors(of.node)
            and value.depth <= self.depth(of)
        )

    def features(self, call: Call) -> list[Value]:
        """The arguments of a call that are not constant, in order."""
        return [value for value in map(self.value, tensors((call.args, call.kwargs))) if value is not None]

    def derived(self, call: Call, problem: str | None = None, *, convs: Depth = (0, 0)) -> Derived:
        """The result of a function that gives no map and adds `convs` to the depth.

        Where an argument is a map, `problem` says why the network cannot go on from there.
        """
        inputs = self.features(call)
        others = [value for value in inputs if isinstance(value, Derived)]
        attention = next((value.attention for value in others if value.attention), None)
        needed = problem if len(others) < len(inputs) else None
        problem = next((value.problem for value in others if value.problem), needed)
        depth = max(map(self.depth, inputs))
        return Derived(
            sources=frozenset[int]().union(*(value.sources for value in inputs)),
            depth=(depth[0] + convs[0], depth[1] + convs[1]),
            problem=None if attention else problem,
            attention=attention,
            gate=max(value.gate for value in inputs),
            statistic=all(isinstance(value, Derived) and value.statistic for value in inputs),
        )

    def unsupported(self, call: Call, why: str = "has no place in a vanilla network") -> Derived:
        """The result of a function without a vanilla form."""
        trunk = self._trunk(self.derived(call).sources, call.path)
        return self.derived(call, f"{call} {why}; {NEEDED}{trunk}")

    def bypassing(self, tensor: Any) -> Value | None:
        """As `value`, but the result of an attention that kept the shape of its input is that input."""
        value = self.value(tensor)
        if not isinstance(value, Derived) or not value.attention:
            return value
        node = value.attention.source
        while node != IMAGE:
            found = self._seen_as(node, tensor.shape)
            if found is not None:
                return self.without_attention(found, value)
            step = self.graph.steps[node]
            if not isinstance(step, ChannelSlice) and not (isinstance(step, Conv) and max(step.kernel) == 1):
                break
            node = step.inputs[0]  # one projection for queries, keys and values together
        return value

    def on_numbers(self, value: Value, call: Call) -> Value:
        """A pointwise result with its curve, and a gate if that is flat outside and at 0 half way up."""
        curve = self._curve(call)
        low, near_low, middle, near_high, high = curve
        height = abs(high - low)
        flat = abs(near_low - low) + abs(high - near_high) < 0.01 * height
        centred = flat and abs(middle - (low + high) / 2) < 0.01 * height
        gate = (1 if abs(low + high) < 0.01 * height else 2) if centred else 0
        return replace(value, curve=curve, gate=max(value.gate, gate))

    def _curve(self, call: Call) -> Curve:
        """The curve of what a function gives that takes one value, in one or more forms, and numbers."""
        given = self.features(call)
        if len({(value.node, value.layout) if isinstance(value, Map) else value for value in given}) > 1:
            return POINTS

        def number(argument: Any) -> Any:
            value = self.value(argument)
            if value is not None:
                return torch.tensor(value.curve, dtype=torch.float64)
            return argument.reshape(()) if isinstance(argument, Tensor) else argument

        try:
            named = {name: number(argument) for name, argument in call.kwargs.items()}
            found = call.run(*map(number, call.args), **named).double().tolist() if call.run else []
        except Exception:  # whatever it raises on constants of several numbers, say
            return POINTS
        return tuple(found) if len(found) == len(POINTS) else POINTS

    def without_attention(self, kept: Map, left_out: Derived) -> Map:
        """A map beside or behind an attention, which is noted as removed once."""
        if left_out.attention and left_out.attention not in self._left_out:
            self._left_out.add(left_out.attention)
            self.graph.remove("attention", kept.node)
        return kept.activated()

    def _seen_as(self, node: int, shape: Sequence[int]) -> Map | None:
        """The output of a step in the usual layout of that shape, if there is one."""
        channels, size, axes = self.graph.channels(node), self.graph.size(node), self.graph.axes
        orders = {
            (BATCH, *size, channels): f"N{axes}C",
            (BATCH, channels, prod(size)): f"NC{axes}",
            (BATCH, prod(size), channels): f"N{axes}C",
            (prod(size), BATCH, channels): f"{axes}NC",
            (BATCH, channels, *size): f"NC{axes}",
        }
        order = orders.get(tuple(shape))
        layout = reshaped(self.layout(node, order), shape) if order else None
        return None if layout is None else Map(node, layout).activated()

    def attend(self, call: Call, products: int) -> Derived:
        """The core of an attention: a function that multiplies one feature by another, `products` times."""
        self.attention_products += products
        result = self.derived(call)
        meeting_point = max(set.intersection(*map(self.graph.ancestors, result.sources)))
        attention = result.attention or Attention(meeting_point, call.path)
        return Derived(frozenset((attention.source,)), result.depth, attention=attention)


def _unknown(problem: str) -> Derived:
    """What may depend on all of the image, at any depth."""
    return Derived(frozenset((IMAGE,)), (1 << 30, 0), problem)


def _memory(tensor: Tensor) -> int:
    """What tells the memory of a tensor, which its views share."""
    try:
        return tensor.untyped_storage()._cdata
    except NotImplementedError:  # a batched tensor, say
        return id(tensor)
