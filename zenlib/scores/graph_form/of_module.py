"""The operations of any PyTorch module, shortcuts and poolings included, from one run on shapes alone.

Differs: `zenlib.vanilla.capture` strips a module to its vanilla form; here sums, BatchNorm and activations
stay where they are. Gates are left out, since a BatchNorm divides out what they multiply; every activation
counts as ReLU, as in the vanilla form.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from zenlib.errors import ConversionError
from zenlib.scores.graph_form.operations import Graph, Operation, square
from zenlib.vanilla.capture import image_shape
from zenlib.vanilla.capture.trace import Call, each, margins, record, tensors
from zenlib.vanilla.vcnn import IMAGE

ACTIVATIONS = (
    "relu",
    "relu6",
    "leaky_relu",
    "silu",
    "hardswish",
    "gelu",
    "elu",
    "selu",
    "mish",
    "hardtanh",
    "prelu",
)
PASSED = (
    "dropout",
    "dropout2d",
    "contiguous",
    "clone",
    "to",
    "float",
    "detach",
    "identity",
    "channel_shuffle",
)
CONSTANT = ("new_zeros", "zeros_like", "new_ones", "ones_like")
ENDS = ("flatten", "view", "reshape")
GLOBAL = ("adaptive_avg_pool2d", "mean")
"""Poolings of a whole map: what comes after is a classifier or a gate."""


def graph_of_module(module: nn.Module, resolution: int) -> Graph:
    """The operations of a module up to global pooling.

    Args:
        module: a network that takes one batch of images; it is left as found and nothing is computed.
        resolution: side of the images, pixels.

    Raises:
        ConversionError: the output depends on a function that has no rule here, on windows or maps that are
            not square, or not on the image.
    """
    trace = record(module, image_shape(module, resolution))
    writer = _Writer(trace.image)
    for call in trace.calls:
        writer.follow(call)
    last = writer.output(trace.output)
    return Graph(
        type(module).__name__, tuple(writer.operations[: last + 1]), last, trace.image.shape[1], resolution
    )


class _Writer:
    """Operations so far, and which tensor is the output of which."""

    def __init__(self, image: Tensor) -> None:
        self.operations: list[Operation] = []
        self.places: dict[int, int] = {id(image): IMAGE}
        self.problems: dict[int, str] = {}
        self.ends: dict[int, int] = {}
        self.known: dict[Operation | None, int] = {}
        self.kept: list[object] = [image]  # so that no id is used twice

    def follow(self, call: Call) -> None:
        """Appends what a call does.

        A tensor that it makes without a rule has a problem, which matters only where it is needed.
        """
        self.kept.append(call)
        given = list(tensors((call.args, call.kwargs)))
        read = [tensor for tensor in given if id(tensor) in self.places]
        ended = [self.ends[id(tensor)] for tensor in given if id(tensor) in self.ends]
        problems = [self.problems[id(tensor)] for tensor in given if id(tensor) in self.problems]
        results = list(tensors(call.result))
        if call.function in CONSTANT or not (read or ended or problems):
            return
        try:
            if problems:
                raise ConversionError(problems[0])
            place = self.place_of(call, read, ended)
        except ConversionError as error:
            self.problems |= {id(result): str(error) for result in results}
            return
        is_map = bool(read) and call.function not in GLOBAL and next(iter(results)).dim() == 4
        for result in results:
            (self.places if is_map else self.ends)[id(result)] = place

    def place_of(self, call: Call, read: list[Tensor], ended: list[int]) -> int:
        """The operation whose output the call returns."""
        if not read:
            return ended[-1]  # classifier and gates: behind global pooling
        place = self.places[id(read[0])]
        name, result = call.place, next(tensors(call.result))
        if call.function in GLOBAL or (call.function in ENDS and result.dim() < 4):
            return place
        if call.function in PASSED or call.function == "mul":
            return place
        rule = RULES.get("relu" if call.function in ACTIVATIONS else call.function)
        if rule is None:
            raise ConversionError(
                f"{call}: needed convolutions, BatchNorm, activations, poolings, sums and concatenations; no "
                f"rule for {call.function}"
            )
        return self.put(rule(call, name, tuple(self.places[id(tensor)] for tensor in read), result))

    def put(self, operation: Operation) -> int:
        """Appends an operation and returns its index.

        A sum of one map is that map, and a ReLU or pooling done twice is one.
        """
        if operation.kind in ("add", "join") and len(operation.inputs) == 1:
            return operation.inputs[0]
        same = operation._replace(name="") if operation.kind in ("relu", "pool") else None
        if same in self.known:
            place = self.known[same]
            self.operations[place] = self.operations[place]._replace(times=self.operations[place].times + 1)
            return place
        self.operations.append(operation)
        if same is not None:
            self.known[same] = len(self.operations) - 1
        return len(self.operations) - 1

    def output(self, value: object) -> int:
        """The operation that the output depends on."""
        for tensor in tensors(value):
            if id(tensor) in self.problems:
                raise ConversionError(self.problems[id(tensor)])
            place = self.ends.get(id(tensor), self.places.get(id(tensor)))
            if place is not None and place != IMAGE:
                return place
        raise ConversionError(
            "network: needed an output that depends on the image through feature maps, got none"
        )


def _size(name: str, result: Tensor) -> tuple[int, int]:
    return result.shape[1], square(name, result.shape[2:])


def _conv(call: Call, name: str, inputs: tuple[int, ...], result: Tensor) -> Operation:
    weight = call.argument("weight", 1)
    kernel, stride, dilation = (
        each(value, weight.dim() - 2)
        for value in (weight.shape[2:], call.argument("stride", 3, 1), call.argument("dilation", 5, 1))
    )
    padding = margins(call.argument("padding", 4, 0), kernel, dilation)
    sides = (square(name, kernel), square(name, stride), padding[0], square(name, dilation))
    return Operation("conv", name, inputs, *_size(name, result), *sides, call.argument("groups", 6, 1))


def _pool(mode: str) -> Callable[[Call, str, tuple[int, ...], Tensor], Operation]:
    def rule(call: Call, name: str, inputs: tuple[int, ...], result: Tensor) -> Operation:
        kernel = each(call.argument("kernel_size", 1), 2)
        stride = call.argument("stride", 2) or kernel
        padding = each(call.argument("padding", 3, 0), 2)
        return Operation(
            "pool",
            name,
            inputs,
            *_size(name, result),
            square(name, kernel),
            square(name, each(stride, 2)),
            padding[0],
            mode=mode,
        )

    return rule


def _plain(kind: str) -> Callable[[Call, str, tuple[int, ...], Tensor], Operation]:
    return lambda call, name, inputs, result: Operation(kind, name, inputs, *_size(name, result))  # type: ignore[arg-type]


RULES: dict[str, Callable[[Call, str, tuple[int, ...], Tensor], Operation]] = {
    "conv2d": _conv,
    "batch_norm": _plain("norm"),
    "relu": _plain("relu"),
    "add": _plain("add"),
    "sum": _plain("add"),
    "cat": _plain("join"),
    "getitem": _plain("slice"),
    "avg_pool2d": _pool("avg"),
    "max_pool2d": _pool("max"),
}
"""What each function appends."""
