"""One run of a module on shapes alone, as the list of tensor functions it called.

The image is a meta tensor: it has a shape and a type but no values, so nothing is computed and nothing is allocated, and
every function of it is a meta tensor too. Python runs as written, so control flow that reads shapes, settings or
weights just happens; control flow that reads the values of the image cannot.

A `TorchFunctionMode` sees each call as the user wrote it (`conv2d`, `linear`, `batch_norm`, `mul`), before PyTorch takes it
apart. `torch.fx` cannot follow control flow; `torch.export` can, but takes 5 to 13 times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode, resolve_name

from zenlib.errors import ConversionError
from zenlib.vanilla.vcnn import Pair

BATCH = 2
"""Images in the run: 2, so that a batch of one is not mistaken for a dimension to squeeze."""

FORWARD_ERRORS = (
    RuntimeError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    AssertionError,
    ArithmeticError,
)
"""What the code of a module may raise on an input it cannot take."""

READS_VALUES = {
    "item",
    "bool",
    "int",
    "float",
    "index",
    "tolist",
    "numpy",
    "nonzero",
    "masked_select",
    "unique",
    "equal",
    "contains",
}
"""Functions that need the values of a tensor, not only its shape."""

UNSEEN = "a scripted or compiled function"
"""The function of a call that the run could not see."""

ALIASES = {
    "truediv": "div",
    "true_divide": "div",
    "divide": "div",
    "multiply": "mul",
    "subtract": "sub",
    "concat": "cat",
    "concatenate": "cat",
    "bmm": "matmul",
    "mm": "matmul",
    "swapaxes": "transpose",
    "swapdims": "transpose",
    "clip": "clamp",
    "max_pool2d_with_indices": "max_pool2d",
    "adaptive_max_pool2d_with_indices": "adaptive_max_pool2d",
}


@dataclass(frozen=True)
class Call:
    """One call of a tensor function.

    Attributes:
        function: its plain name; in-place, operator and reversed forms are one (`relu_` is "relu", `__iadd__`
            is "add").
        args: positional arguments.
        kwargs: keyword arguments.
        result: what it returned.
        path: the submodule that called it, "" for the outermost.
    """

    function: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    path: str

    def __str__(self) -> str:
        return (
            f"{self.function} in {self.path!r}" if self.path else f"{self.function} in the outermost module"
        )

    @property
    def place(self) -> str:
        """The submodule, or the function where there is none."""
        return self.path or self.function

    def argument(self, name: str, position: int, default: Any = None) -> Any:
        """An argument that may come by position or by name; "dim" may be called "axis"."""
        if len(self.args) > position:
            return self.args[position]
        return self.kwargs.get("axis" if name == "dim" and "axis" in self.kwargs else name, default)


@dataclass(frozen=True)
class Trace:
    """A run of a module.

    Attributes:
        calls: the functions called, in order.
        image: the input, a meta tensor (BATCH, channels, resolution, resolution).
        output: what the module returned.
        modules: the submodules that ran, in order.
    """

    calls: tuple[Call, ...]
    image: Tensor
    output: Any
    modules: tuple[nn.Module, ...]


def record(module: nn.Module, in_channels: int, resolution: int) -> Trace:
    """Runs a module once on the shape of an image, in evaluation mode, and leaves it as it was.

    Raises:
        ConversionError: the module fails on such an image, or reads the values of the image.
    """
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.get_default_dtype())
    image = torch.empty((BATCH, in_channels, resolution, resolution), dtype=dtype, device="meta")
    recorder = _Recorder([image, *_tensors_of(module)])
    with torch.no_grad(), _as_found(module), _submodule_paths(module, recorder):
        for submodule in module.modules():
            submodule.training = False  # not .eval(), which modules may override
        try:
            with recorder:
                output = module(image)
            recorder.note_unseen(output, "")
        except FORWARD_ERRORS as error:
            raise ConversionError(_explain(error, module, recorder, image)) from error
        finally:
            recorder.restore()
    return Trace(tuple(recorder.calls), image, output, tuple(recorder.modules))


class _Recorder(TorchFunctionMode):
    """Notes each call, and moves what meets the image to the meta device."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.modules: list[nn.Module] = []
        self.stack: list[tuple[nn.Module, str]] = []
        self.attempt: Call | None = None
        self._known = {id(tensor): tensor for tensor in known}
        self._stand_ins: dict[int, tuple[Tensor, Tensor]] = {}
        self._overwritten: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name, path = plain_name(func), self.stack[-1][1] if self.stack else ""
        # Lists are copied, since a network may go on filling them.
        self.attempt = Call(name, _copied(args), _copied(kwargs), None, path)
        if any(tensor.is_meta for tensor in tensors((args, kwargs))):
            self.note_unseen((args, kwargs), path)
            result = self._run_on_meta(func, name, args, kwargs)
        else:
            if _writes(func.__name__) and args and isinstance(args[0], Tensor):
                self._overwritten.append((args[0], args[0].detach().clone()))
            result = func(*args, **kwargs)
        if name == "setitem" or next(tensors(result), None) is not None:
            self._known.update((id(tensor), tensor) for tensor in tensors(result))
            self.calls.append(replace(self.attempt, result=result))
        return result

    def _run_on_meta(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name in ("to", "cuda", "cpu"):  # the meta device is the only one here; a change of type is done
            types = [value for value in (*args[1:], *kwargs.values()) if isinstance(value, torch.dtype)]
            return args[0].type(types[0]) if types else args[0]
        return func(*self._on_meta(args), **self._on_meta(kwargs))

    def note_unseen(self, values: Any, path: str) -> None:
        """Notes meta tensors that no visible call made: results of scripted or compiled functions."""
        for tensor in tensors(values):
            if tensor.is_meta and id(tensor) not in self._known:
                self._known[id(tensor)] = tensor
                self.calls.append(Call(UNSEEN, (), {}, tensor, path))

    def restore(self) -> None:
        """Undoes what the run wrote into tensors that existed before it, such as buffers."""
        for tensor, before in reversed(self._overwritten):
            tensor.detach().copy_(before)

    def _on_meta(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if value.is_meta:
                return value
            # Kept beside its original, so that neither's id is used again.
            return self._stand_ins.setdefault(id(value), (value, value.detach().to("meta")))[1]
        if type(value) in (tuple, list):
            return type(value)(map(self._on_meta, value))
        if isinstance(value, dict):
            return {key: self._on_meta(item) for key, item in value.items()}
        return value


def plain_name(func: Any) -> str:
    """The name of a tensor function without the marks of operators, in-place and internal forms."""
    name = func.__name__.split(".")[0]  # aten functions carry their overload: mul.Tensor
    if name == "__get__":  # a property such as Tensor.T
        name = (resolve_name(func) or "property").split(".")[-2]
    operator = name.startswith("__")
    name = name.strip("_")
    if operator and name[0] in "ir" and name[1:] in ("add", "sub", "mul", "truediv", "matmul", "pow"):
        name = name[1:] if name != "rtruediv" else "reciprocal"
    return ALIASES.get(name, name)


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, dict):
        yield from tensors(tuple(value.values()))


def _copied(value: Any) -> Any:
    """A copy of nested lists and dictionaries, with tuples for lists."""
    if isinstance(value, (tuple, list)):
        return tuple(map(_copied, value))
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return value


def _tensors_of(module: nn.Module) -> Iterator[Tensor]:
    for submodule in module.modules():
        yield from tensors((submodule._parameters, submodule._buffers, submodule.__dict__))


def _writes(name: str) -> bool:
    """Whether a function of this name changes its first argument."""
    return (
        name in ("__setitem__", "__set__")
        or (name.startswith("__i") and name not in ("__int__", "__index__", "__invert__", "__iter__"))
        or (name.endswith("_") and not name.endswith("__"))
    )


@contextmanager
def _as_found(module: nn.Module) -> Iterator[None]:
    """Puts every attribute of every submodule back (mode, buffers, caches), and the random state."""
    parts = [
        part
        for m in module.modules()
        for part in (m.__dict__, m._parameters, m._buffers, m._modules)
        if isinstance(part, dict)
    ]
    before = [dict(part) for part in parts]
    with torch.random.fork_rng(devices=()):
        try:
            yield
        finally:
            for part, content in zip(parts, before, strict=True):
                for key in part.keys() - content.keys():
                    del part[key]
                part.update(
                    {
                        key: value
                        for key, value in content.items()
                        if key not in part or part[key] is not value
                    }
                )


@contextmanager
def _submodule_paths(module: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Keeps the submodules that are running on the recorder's stack; after an error it still shows where."""
    paths = {id(submodule): path for path, submodule in module.named_modules()}

    def enter(submodule: nn.Module, args: Any) -> None:
        if id(submodule) in paths:
            recorder.modules.append(submodule)
            recorder.stack.append((submodule, paths[id(submodule)]))

    def leave(submodule: nn.Module, args: Any, output: Any) -> None:
        if id(submodule) in paths:
            while recorder.stack.pop()[0] is not submodule:
                continue

    hooks = register_module_forward_pre_hook(enter), register_module_forward_hook(leave)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _explain(error: BaseException, module: nn.Module, recorder: _Recorder, image: Tensor) -> str:
    """What a failed run says to the user."""
    where = (
        repr(recorder.stack[-1][1]) if recorder.stack and recorder.stack[-1][1] else "the outermost module"
    )
    call, network = recorder.attempt, type(module).__name__
    if call is not None and call.function in READS_VALUES:
        return (
            f"{network}: {call} reads the values of the image, so the graph depends on them and no single "
            "vanilla network exists; "
            f"needed a forward pass that depends on shapes only"
        )
    if call is not None and _too_small(call):
        height, width = next(tensors(call.args)).shape[-2:]
        return (
            f"resolution: needed a larger image than {image.shape[-1]} x {image.shape[-1]}: {call} sees a "
            f"map of {height} x {width}, "
            f"smaller than its kernel; use a larger resolution"
        )
    first = (str(error).strip() or "no message").splitlines()[0]
    return (
        f"{network}: could not be captured: {where} failed on images of shape {tuple(image.shape)} with "
        f"{type(error).__name__}: {first}; "
        f"needed a module that maps one batch of images to a tensor"
    )


def _too_small(call: Call) -> bool:
    """Whether the kernel of a convolution or pooling is wider than the padded map."""
    features = next(tensors(call.args), None)
    if call.function not in ("conv2d", "max_pool2d", "avg_pool2d") or features is None or features.dim() != 4:
        return False
    if call.function == "conv2d":
        kernel, dilation = pair(call.argument("weight", 1).shape[2:]), pair(call.argument("dilation", 5, 1))
        top, bottom, left, right = margins(call.argument("padding", 4, 0), kernel, dilation)
    else:
        kernel, dilation = (
            pair(call.argument("kernel_size", 1)),
            pair(call.argument("dilation", 4, 1) if call.function == "max_pool2d" else 1),
        )
        top, bottom, left, right = margins(call.argument("padding", 3, 0), kernel, dilation)
    height, width = features.shape[2:]
    return (
        height + top + bottom < dilation[0] * (kernel[0] - 1) + 1
        or width + left + right < dilation[1] * (kernel[1] - 1) + 1
    )


def pair(value: Any) -> Pair:
    """A size given once or per axis as (height, width)."""
    if isinstance(value, (tuple, list)):
        return (int(value[0]), int(value[-1]))
    return (int(value), int(value))


def margins(padding: Any, kernel: Pair, dilation: Pair) -> tuple[int, int, int, int]:
    """A padding given as a number, per axis, or as "same" or "valid", as (top, bottom, left, right)."""
    if padding == "same":
        rows, columns = (spread * (side - 1) for spread, side in zip(dilation, kernel, strict=True))
        return (rows // 2, rows - rows // 2, columns // 2, columns - columns // 2)
    rows, columns = pair(0 if padding == "valid" else padding)
    return (rows, rows, columns, columns)
