"""Activation patterns of any module: which inputs of its rectifiers are positive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from zenlib.vanilla.capture.trace import plain_name

RECTIFIERS = (
    "relu",
    "relu6",
    "hardtanh",
    "leaky_relu",
    "prelu",
    "elu",
    "celu",
    "selu",
    "gelu",
    "silu",
    "mish",
    "hardswish",
    "softplus",
)
"""Activations that pass positive inputs and hold back negative ones."""


class Activations(TorchFunctionMode):
    """Calls back at each rectifier while it is active, modules and functions alike, in their order.

    Attributes:
        on_input: called with what the rectifier reads, before the call, which may write into its input.
        on_output: called with what it gives.
    """

    def __init__(
        self, on_input: Callable[[Tensor], object] = id, on_output: Callable[[Tensor], object] = id
    ) -> None:
        super().__init__()
        self.on_input, self.on_output = on_input, on_output

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if plain_name(func) not in RECTIFIERS:
            return func(*args, **kwargs)
        self.on_input(args[0] if args else kwargs["input"])
        output = func(*args, **kwargs)
        self.on_output(output)
        return output


class Patterns(Activations):
    """Calls `on_pattern` with (N, ...) booleans at each rectifier: which of its inputs are positive."""

    def __init__(self, on_pattern: Callable[[Tensor], object]) -> None:
        super().__init__(lambda features: on_pattern(features.detach() > 0))
