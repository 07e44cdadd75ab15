"""The operations of any PyTorch module, shortcuts and poolings included, from one run on shapes alone.

Differs: `zenlib.vanilla.capture` strips a module to its vanilla form; here sums, BatchNorm and activations
stay where they are. Gates are left out, since a BatchNorm divides out what they multiply; every activation
counts as ReLU, as in the vanilla form.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from zenlib.errors import ConversionError, of_kind
from zenlib.scores.graph_form.operations import Graph, Kind, Operation, square
from zenlib.vanilla.capture import image_shape
from zenlib.vanilla.capture.trace import Call, each, margins, record, tensors
from zenlib.vanilla.vcnn import IMAGE

KINDS: dict[str, Kind] = {
    "conv2d": "conv",
    "batch_norm": "norm",
    "add": "add",
    "sum": "add",
    "cat": "join",
    "getitem": "slice",
    "avg_pool2d": "pool",
    "max_pool2d": "pool",
}
"""The operation that each function appends."""
ACTIVATIONS = "relu relu6 leaky_relu silu hardswish gelu elu selu mish hardtanh prelu"
KINDS |= dict.fromkeys(ACTIVATIONS.split(), "relu")
PASSED: tuple[str, ...] = ("dropout", "dropout2d", "contiguous", "clone", "to", "float", "detach", "identity")
PASSED += ("channel_shuffle", "mul")
"""What counts as no operation; `mul` is a gate."""
CONSTANT = ("new_zeros", "zeros_like", "new_ones", "ones_like")
ENDS = ("flatten", "view", "reshape")
GLOBAL = ("adaptive_avg_pool2d", "mean")
"""Poolings of a whole map: what comes after is a classifier or a gate."""


def graph_of_module(module: nn.Module, resolution: int) -> Graph:
    """The operations of a module up to global pooling; it is left as found and nothing is computed."""
    of_kind("network", module, nn.Module, "an Architecture, a VCNN or a torch.nn.Module")
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
        self.known: dict[Operation | int, int] = {}

    def follow(self, call: Call) -> None:
        """Appends what a call does; without a rule its result has a problem, which matters if it is read."""
        given = [id(tensor) for tensor in tensors((call.args, call.kwargs))]
        read, ended = ([of[key] for key in given if key in of] for of in (self.places, self.ends))
        problems = [self.problems[key] for key in given if key in self.problems]
        results = list(tensors(call.result))
        if call.function in CONSTANT or not (read or ended or problems):
            return
        try:
            if problems:
                raise ConversionError(problems[0])
            # Without a map it is of the classifier or of a gate: behind global pooling.
            place = self.place_of(call, read, results[0]) if read else ended[-1]
        except ConversionError as error:
            self.problems |= {id(result): str(error) for result in results}
            return
        is_map = bool(read) and call.function not in GLOBAL and results[0].dim() == 4
        for result in results:
            (self.places if is_map else self.ends)[id(result)] = place

    def place_of(self, call: Call, read: list[int], result: Tensor) -> int:
        """The operation whose output the call returns."""
        if call.function in GLOBAL + PASSED or (call.function in ENDS and result.dim() < 4):
            return read[0]
        if call.function not in KINDS:
            raise ConversionError(
                f"{call}: needed convolutions, BatchNorm, activations, poolings, sums and concatenations; no "
                f"rule for {call.function}"
            )
        kind, side = KINDS[call.function], square(call.place, result.shape[2:])
        window = _window(call) if kind in ("conv", "pool") else ()
        return self.put(Operation(kind, call.place, tuple(read), result.shape[1], side, *window))

    def put(self, operation: Operation) -> int:
        """The index of an operation; a sum of one map is that map, a ReLU or pooling done twice is one."""
        if operation.kind in ("add", "join") and len(operation.inputs) == 1:
            return operation.inputs[0]
        new = len(self.operations)
        same: Operation | int = operation._replace(name="") if operation.kind in ("relu", "pool") else new
        place = self.known.setdefault(same, new)
        if place == new:
            self.operations.append(operation)
        else:
            self.operations[place] = self.operations[place]._replace(times=self.operations[place].times + 1)
        return place

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


def _window(call: Call) -> tuple[Any, ...]:
    """Kernel, stride, padding, dilation, groups and mode of a convolution or a pooling."""
    if call.function == "conv2d":
        kernel, stride = call.argument("weight", 1).shape[2:], call.argument("stride", 3, 1)
        padding, dilation = call.argument("padding", 4, 0), call.argument("dilation", 5, 1)
        groups, mode = call.argument("groups", 6, 1), ""
    else:
        kernel, padding = call.argument("kernel_size", 1), call.argument("padding", 3, 0)
        stride, dilation, groups, mode = call.argument("stride", 2) or kernel, 1, 1, call.function[:3]
    side, steps, spread = (square(call.place, each(value, 2)) for value in (kernel, stride, dilation))
    return side, steps, margins(padding, (side, side), (spread, spread))[0], spread, groups, mode
