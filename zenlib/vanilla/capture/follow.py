"""Which tensors of a run are feature maps, and the vanilla network they make.

A tensor of a run is one of three things:

- a `Map`: the output of a step of the vanilla network, seen in some layout (channels last, tokens, channel groups);
- a `Derived` tensor: it depends on maps but is none, such as a pooled vector, the weights of a gate, the scores of an
  attention, or the result of a function that has no vanilla form;
- constant: weights, masks, position tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from torch import Tensor, nn

from zenlib.errors import ConversionError
from zenlib.vanilla.capture.graph import Depth, Graph
from zenlib.vanilla.capture.layout import Layout, arranged, reshaped
from zenlib.vanilla.capture.trace import BATCH, UNSEEN, Call, Trace, pair, tensors
from zenlib.vanilla.vcnn import IMAGE, VCNN, ChannelSlice, Conv, Pool

NEEDED = (
    "needed 2-d convolutions, pooling, sums and concatenations of feature maps, and whatever conversion "
    "removes"
)


SHAPE_ONLY = {f"{name}_like" for name in ("zeros", "ones", "full", "rand", "randn", "randint")} | {
    f"new_{name}" for name in ("zeros", "ones", "full", "tensor")
}
"""Functions that take a tensor for its shape or type alone, so that their result is constant.

Not `empty_like`, which is filled later.
"""


@dataclass(frozen=True)
class Map:
    """The output of a step of the vanilla network.

    Attributes:
        node: the step.
        layout: where its axes lie in the tensor.
        gate: 2 where it went through a sigmoid or its like since that step, 1 for tanh, 0 for neither.
    """

    node: int
    layout: Layout
    gate: int = 0


@dataclass(frozen=True)
class Derived:
    """A tensor that depends on feature maps but is none.

    Attributes:
        sources: the steps it was computed from.
        depth: the longest path of convolutions to it.
        problem: why the network cannot go on from here; None behind global pooling, where it need not, and
            for attention.
        attention: number of the attention that gave it, or None.
        gate: as in `Map`.
    """

    sources: frozenset[int]
    depth: Depth
    problem: str | None = None
    attention: int | None = None
    gate: int = 0


Value = Map | Derived


@dataclass(frozen=True)
class Attention:
    """An attention: the step from which all it reads comes, and the submodule that mixes the positions."""

    source: int
    path: str

    def contains(self, path: str) -> bool:
        """Whether a submodule is part of it, such as the projection of its output."""
        return not self.path or path == self.path or path.startswith(self.path + ".")


Rule = Callable[["Follower", Call], Value | list[Value]]


class Follower:
    """Follows the calls of a trace, by one rule per function.

    Attributes:
        graph: the steps found so far.
        attentions: the attentions found so far.
        attention_products: how often one feature was multiplied by another; an attention written out takes
            two.
        spatial_convs: number of convolutions with kernels wider than 1x1 so far, gates included.
        fixed_pools: steps of the graph that pool to a size that does not depend on the image.
    """

    def __init__(self, trace: Trace, graph: Graph, rules: Mapping[str, Rule]) -> None:
        self.graph = graph
        self.attentions: list[Attention] = []
        self.attention_products = 0
        self.spatial_convs = 0
        self.fixed_pools: set[int] = set()
        self._trace = trace
        self._learned: set[int] = set()
        self._left_out: set[int] = set()
        self._values: dict[int, Value] = {id(trace.image): Map(IMAGE, self.layout(IMAGE))}
        for call in trace.calls:
            self._follow(call, rules)

    def _follow(self, call: Call, rules: Mapping[str, Rule]) -> None:
        inputs, results = list(tensors((call.args, call.kwargs))), list(tensors(call.result))
        if call.function == UNSEEN:
            value: Value | list[Value] = Derived(
                frozenset((IMAGE,)),
                (1 << 30, 0),
                f"{call} hides what it does; needed plain PyTorch functions",
            )
        elif call.function in SHAPE_ONLY or all(self.value(tensor) is None for tensor in inputs):
            if any(map(self.is_learned, inputs)):
                self._learned.update(map(id, results))
            return
        elif call.function == "setitem":  # returns nothing, changes its first argument
            results, value = [call.args[0]], self.unsupported(call)
        else:
            value = rules.get(call.function, Follower.unsupported)(self, call)
        values = value if isinstance(value, list) else [value] * len(results)
        self._values.update((id(tensor), each) for tensor, each in zip(results, values, strict=True))

    def vcnn(self, name: str) -> VCNN:
        """The network up to the last map that the output depends on.

        Raises:
            ConversionError: see `capture`.
        """
        attentions = -(-self.attention_products // 2)
        if attentions > self.spatial_convs:
            raise ConversionError(
                f"{name}: a transformer cannot become a vanilla convolutional network: {attentions} "
                "attention operations against "
                f"{self.spatial_convs} spatial convolutions. The weights with which attention mixes "
                "positions are computed from the input, so no "
                "region of the input has one fixed linear map; needed a network that mixes positions by "
                "convolutions and pooling"
            )
        values = [value for value in map(self.value, tensors(self._trace.output)) if value is not None]
        if not values:
            raise ConversionError(
                f"{name}: needed an output tensor computed from the image, got "
                f"{type(self._trace.output).__name__}"
            )
        problem = next(
            (value.problem for value in values if isinstance(value, Derived) and value.problem), None
        )
        if problem:
            raise ConversionError(f"{name}: {problem}")
        ends = frozenset[int]().union(*map(self.sources, values))
        last = max(ends, key=lambda node: (self.graph.depth(node), node))
        if not all(self.graph.is_ancestor(node, last) for node in ends):
            raise ConversionError(
                f"{name}: the output reads {len(ends)} feature maps, none of which is computed from all the "
                "others; "
                f"needed one last feature map; convert the branches one by one"
            )
        if not all(map(self.is_plain, values)):
            last = self._before_global_pooling(last)
            for value in values:
                if isinstance(value, Derived) and value.attention is not None:
                    self.without_attention(self.map(last), value)
            self.graph.remove("classifier", last)
        return self.graph.vcnn(last, name)

    def _before_global_pooling(self, node: int) -> int:
        while node != IMAGE and isinstance(step := self.graph.steps[node], Pool):
            covers_all = (
                step.kind == "avg" and step.kernel == step.in_resolution and step.out_resolution == (1, 1)
            )
            if not covers_all and node not in self.fixed_pools:
                break
            node = step.inputs[0]
        return node

    def value(self, tensor: Any) -> Value | None:
        """What a tensor is; None for constants and numbers."""
        return self._values.get(id(tensor)) if isinstance(tensor, Tensor) else None

    def is_learned(self, tensor: Any) -> bool:
        """Whether a constant is a parameter, or computed from one."""
        return isinstance(tensor, nn.Parameter) or id(tensor) in self._learned

    def layout(self, node: int, order: str = "NCHW") -> Layout:
        """The layout of a step's output in a given order of axes."""
        height, width = self.graph.size(node)
        return arranged(order, N=BATCH, C=self.graph.channels(node), H=height, W=width)

    def is_plain(self, value: Value | None) -> TypeGuard[Map]:
        """Whether a value is a map in (N, C, H, W) order."""
        return isinstance(value, Map) and value.layout == self.layout(value.node)

    def map(self, node: int) -> Map:
        """The output of a step in (N, C, H, W) order."""
        return Map(node, self.layout(node))

    def fields(
        self, node: int, call: Call, *, out_channels: int | None = None, result: Tensor | None = None
    ) -> dict[str, Any]:
        """The fields that every step has, for one that reads `node`.

        Args:
            node: the step it reads.
            call: where it comes from.
            out_channels: channels it gives; None for as many as it reads.
            result: its output, (N, C, H, W); None where it keeps the size of the map.
        """
        channels, size = self.graph.channels(node), self.graph.size(node)
        return {
            "name": call.place,
            "inputs": (node,),
            "in_channels": channels,
            "out_channels": channels if out_channels is None else out_channels,
            "in_resolution": size,
            "out_resolution": size if result is None else pair(result.shape[-2:]),
        }

    def sources(self, value: Value) -> frozenset[int]:
        """The steps a value was computed from."""
        return frozenset((value.node,)) if isinstance(value, Map) else value.sources

    def depth(self, value: Value) -> Depth:
        """The longest path of convolutions to a value."""
        return self.graph.depth(value.node) if isinstance(value, Map) else value.depth

    def features(self, call: Call) -> list[Value]:
        """The arguments of a call that are not constant, in order."""
        return [value for value in map(self.value, tensors((call.args, call.kwargs))) if value is not None]

    def derived(self, call: Call, problem: str | None = None, *, convs: Depth = (0, 0)) -> Derived:
        """The result of a function that gives no map.

        Args:
            call: the function.
            problem: why the network cannot go on from the result where an argument is a map.
            convs: what the function adds to the depth.
        """
        inputs = self.features(call)
        others = [value for value in inputs if isinstance(value, Derived)]
        attention = next((value.attention for value in others if value.attention is not None), None)
        if attention is not None:
            problem = None
        elif others:
            problem = next(
                (value.problem for value in others if value.problem),
                problem if len(others) < len(inputs) else None,
            )
        depth = max(map(self.depth, inputs))
        return Derived(
            sources=frozenset[int]().union(*map(self.sources, inputs)),
            depth=(depth[0] + convs[0], depth[1] + convs[1]),
            problem=problem,
            attention=attention,
            gate=max(value.gate for value in inputs),
        )

    def unsupported(self, call: Call, why: str = "has no place in a vanilla network") -> Derived:
        """The result of a function without a vanilla form."""
        return self.derived(call, f"{call} {why}; {NEEDED}")

    def bypassing(self, tensor: Any) -> Value | None:
        """As `value`, but the result of an attention that kept the shape of its input is that input."""
        value = self.value(tensor)
        if not isinstance(value, Derived) or value.attention is None:
            return value
        node = self.attentions[value.attention].source
        while node != IMAGE:
            found = self._seen_as(node, tensor.shape)
            if found is not None:
                return self.without_attention(found, value)
            step = self.graph.steps[node]
            if not isinstance(step, ChannelSlice) and not (isinstance(step, Conv) and step.kernel == (1, 1)):
                break
            node = step.inputs[0]  # one projection for queries, keys and values together
        return value

    def without_attention(self, kept: Map, left_out: Derived) -> Map:
        """A map beside or behind an attention, which is noted as removed once."""
        if left_out.attention is not None and left_out.attention not in self._left_out:
            self._left_out.add(left_out.attention)
            self.graph.remove("attention", kept.node)
        return kept

    def _seen_as(self, node: int, shape: Sequence[int]) -> Map | None:
        """The output of a step in the usual layout of that shape, if there is one."""
        channels, (height, width) = self.graph.channels(node), self.graph.size(node)
        orders = {
            (BATCH, height, width, channels): "NHWC",
            (BATCH, channels, height * width): "NCHW",
            (BATCH, height * width, channels): "NHWC",
            (height * width, BATCH, channels): "HWNC",
            (BATCH, channels, height, width): "NCHW",
        }
        order = orders.get(tuple(shape))
        layout = reshaped(self.layout(node, order), shape) if order else None
        return None if layout is None else Map(node, layout)

    def attend(self, call: Call, products: int) -> Derived:
        """The result of a function that multiplies one feature by another, `products` times.

        The core of an attention.
        """
        self.attention_products += products
        result = self.derived(call)
        number = result.attention
        if number is None:
            number = len(self.attentions)
            self.attentions.append(Attention(self.graph.meeting_point(result.sources), call.path))
        return Derived(frozenset((self.attentions[number].source,)), result.depth, attention=number)
