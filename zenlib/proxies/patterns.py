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


class Patterns(TorchFunctionMode):
    """Calls back with the pattern of each rectifier while it is active, modules and functions alike.

    Attributes:
        on_pattern: called with (N, ...) booleans, in the order of the network.
    """

    def __init__(self, on_pattern: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.on_pattern = on_pattern

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if plain_name(func) in RECTIFIERS:
            features = args[0] if args else kwargs["input"]
            self.on_pattern(features.detach() > 0)  # before the call, which may write into its input
        return func(*args, **kwargs)
