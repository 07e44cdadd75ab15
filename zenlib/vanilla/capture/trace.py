"""One run of a module on shapes alone, as the list of tensor functions it called.

The image is a meta tensor: it has a shape and a type but no values, so nothing is computed or allocated, and
every function of it is a meta tensor too. Python runs as written, so control flow that reads shapes, settings
or weights just happens. A run that reads the values of the image, if only to print them, needs real images.

A `TorchFunctionMode` sees each call as the user wrote it (`conv2d`, `linear`, `batch_norm`, `mul`), before
PyTorch takes it apart. `torch.fx` cannot follow control flow; `torch.export` can, but takes 5 to 13 times as
long.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import chain
from threading import RLock
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_map_only

from zenlib.errors import ConversionError
from zenlib.vanilla.vcnn import Sizes, times

BATCH = 2
"""Images in the run: 2, so that a batch of one is not mistaken for a dimension to squeeze."""

READERS = """item bool int float complex index tolist numpy array nonzero argwhere masked_select unique
unique_consecutive equal allclose is_nonzero contains format repr repeat_interleave"""
READS_VALUES = frozenset(READERS.split())
"""Functions that need the values of a tensor, not only its shape."""

WINDOWED = ("conv", "max_pool", "avg_pool")
TOO_SMALL = ("Kernel size can't be greater than actual input size", "utput size", "smaller than kernel size")
"""What PyTorch says where the kernel of a convolution or pooling is wider than the padded map."""

ONE_AT_A_TIME = RLock()
"""A run changes the mode of the module, and puts it back; so two threads wait for each other."""

UNSEEN = "a scripted or compiled function"
"""The function of a call that the run could not see."""

OTHER_NAMES = {
    "cat": "concat concatenate",
    "clamp": "clip",
    "div": "truediv true_divide divide",
    "matmul": "bmm mm",
    "maximum": "fmax",
    "minimum": "fmin",
    "movedim": "moveaxis",
    "mul": "multiply",
    "sigmoid": "special_expit",
    "sub": "subtract",
    "transpose": "swapaxes swapdims",
}
ALIASES = {other: name for name, others in OTHER_NAMES.items() for other in others.split()}
"""Names that mean another function."""


class RunFailed(ConversionError):
    """A run that did not come to its end."""


class ReadsValues(RunFailed):
    """A run that asked for the values of the image."""


@dataclass(frozen=True)
class Call:
    """One call of a tensor function, `run`, by the submodule `path`, "" for the outermost.

    `function` is its plain name: in-place, operator and reversed forms are one (`relu_` is "relu", `__iadd__`
    is "add"). `kwargs` are without `out`, which is the result.
    """

    function: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any
    path: str
    run: Callable[..., Any] | None = None

    def __str__(self) -> str:
        return f"{self.function} in {_named(self.path)}"

    @property
    def place(self) -> str:
        """The submodule, or the function where there is none."""
        return self.path or self.function

    def argument(self, name: str, position: int, default: Any = None) -> Any:
        """An argument that may come by position or by name; "dim" may be called "axis"."""
        if len(self.args) > position:
            return self.args[position]
        return self.kwargs.get("axis" if name == "dim" and "axis" in self.kwargs else name, default)


def _named(path: str) -> str:
    return repr(path) if path else "the outermost module"


@dataclass(frozen=True)
class Trace:
    """A run of a module on an image: its calls and submodules in their order, and what it returned."""

    calls: tuple[Call, ...]
    image: Tensor
    output: Any
    modules: tuple[nn.Module, ...]


def record(module: nn.Module, shape: Sizes, images: Tensor | None = None) -> Trace:
    """Runs a module once in evaluation mode on such a shape, or on `images`, and leaves it as it was.

    Raises:
        RunFailed: the module fails on such an image, or reads the values of the image.
    """
    first = next((p for p in module.parameters() if p.is_floating_point()), torch.empty(0))
    image = (
        torch.empty((BATCH, *shape), dtype=first.dtype, device="meta") if images is None else images.to(first)
    )
    with ONE_AT_A_TIME, torch.no_grad(), _as_found(module), _uncompiled():
        recorder = _Recorder([image, *_tensors_of(module)], real=images is not None)
        noted_image = recorder.noted(image)
        with _submodule_paths(module, recorder):
            for submodule in module.modules():
                submodule.training = False  # not .eval(), which modules may override
            try:
                with recorder:
                    output = module(image)
                recorder.note_unseen(output, "")
            except Exception as error:  # whatever a module raises on an input that it cannot take
                raise _failure(error, module, recorder, image) from error
            finally:
                recorder.restore()
    return Trace(tuple(recorder.calls), noted_image, recorder.noted(output), tuple(recorder.modules))


class _Recorder(TorchFunctionMode):
    """Notes each call, and moves what meets the image to the meta device, unless the image is real."""

    def __init__(self, known: Iterable[Tensor], real: bool) -> None:
        super().__init__()
        self.calls: list[Call] = []
        self.modules: list[nn.Module] = []
        self.stack: list[tuple[nn.Module | None, str]] = [(None, "")]
        self.attempt: Call | None = None
        self._real = real
        self._known = {id(tensor): tensor for tensor in known}
        self._aliases: dict[int, Tensor] = {}
        self._stand_ins: dict[int, Tensor] = {}
        self._originals: dict[int, Tensor] = {}
        self._overwritten: list[tuple[Tensor, Tensor]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        submodule, path = self.stack[-1]
        name = UNSEEN if isinstance(submodule, torch.jit.ScriptModule) else plain_name(func)
        self.note_unseen((args, kwargs), path)
        noted = {key: value for key, value in kwargs.items() if key != "out"}
        self.attempt = Call(name, self.noted(args), self.noted(noted), None, path, func)
        if not self._real and any(tensor.is_meta for tensor in tensors((args, kwargs))):
            result = self._run_on_meta(func, name, args, kwargs)
        else:
            if _writes(func.__name__) and args and isinstance(args[0], Tensor):
                self._overwritten.append((args[0], args[0].detach().clone()))
            result = func(*args, **kwargs)
        if name in ("setitem", "set"):  # they return nothing
            result = args[0]
        if next(tensors(result), None) is not None:
            self._known.update((id(tensor), tensor) for tensor in tensors(result))
            self.calls.append(replace(self.attempt, result=self.noted(result)))
        return result

    def _run_on_meta(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name in ("to", "cuda", "cpu"):  # the meta device is the only one here; a change of type is done
            types = [value for value in (*args[1:], *kwargs.values()) if isinstance(value, torch.dtype)]
            return args[0].type(types[0]) if types else args[0]
        args, kwargs = tree_map_only(Tensor, self._on_meta, (args, kwargs))
        return func(*args, **kwargs)

    def noted(self, value: Any) -> Any:
        """A value as calls keep it, whatever the network does to it later: tuples for lists, no stand-ins."""
        if isinstance(value, Tensor):
            value = self._originals.get(id(value), value)
            if isinstance(value, nn.Parameter):
                return value
            if id(value) not in self._aliases or self._aliases[id(value)].shape != value.shape:
                self._known[id(value)] = value  # so that no id is used again
                self._aliases[id(value)] = value.detach()
            return self._aliases[id(value)]
        if isinstance(value, (tuple, list)):
            return tuple(map(self.noted, value))
        if isinstance(value, dict):
            return {key: self.noted(item) for key, item in value.items()}
        return value

    def note_unseen(self, values: Any, path: str) -> None:
        """Notes meta tensors that no visible call made, or shaped: results of scripted functions, say."""
        for tensor in tensors(values):
            reshaped = self._aliases.get(id(tensor), tensor).shape != tensor.shape
            if (tensor.is_meta or self._real) and (reshaped or id(tensor) not in self._known):
                self._known[id(tensor)] = tensor
                self.calls.append(Call(UNSEEN, (), {}, self.noted(tensor), path))

    def restore(self) -> None:
        """Undoes what the run wrote into tensors that existed before it, such as buffers."""
        for tensor, before in reversed(self._overwritten):
            tensor.detach().copy_(before)

    def _on_meta(self, tensor: Tensor) -> Tensor:
        if tensor.is_meta:
            return tensor
        if id(tensor) not in self._stand_ins:
            stand_in = tensor.detach().to("meta")
            self._stand_ins[id(tensor)] = self._known[id(stand_in)] = stand_in
            self._originals[id(stand_in)] = tensor  # kept too, so that no id is used again
        return self._stand_ins[id(tensor)]


def plain_name(func: Any) -> str:
    """The name of a tensor function without the marks of operators, in-place and internal forms."""
    name = func.__name__.split(".")[0]  # aten functions carry their overload: mul.Tensor
    if name in ("__get__", "__set__"):  # a property such as Tensor.T
        owner = (resolve_name(func) or "property").split(".")[-2]
        name = "set" if (name, owner) == ("__set__", "data") else owner
    operator = name.startswith("__")
    name = name.strip("_")
    if operator and name[0] in "ir" and name[1:] in ("add", "sub", "mul", "div", "truediv", "matmul", "pow"):
        name = "reciprocal" if name in ("rdiv", "rtruediv") else name[1:]
    return ALIASES.get(name, name.removesuffix("_with_indices"))


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dictionaries, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors(item)
    elif isinstance(value, dict):
        yield from tensors(tuple(value.values()))


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
    """Puts the attributes of every submodule back, what lists and dictionaries held, and the random state."""
    before: dict[int, tuple[Any, list[Any]]] = {}

    def note(value: Any) -> None:
        if isinstance(value, (list, dict, set, deque, tuple)) and id(value) not in before:
            before[id(value)] = value, _flat(value)
            for item in before[id(value)][1]:
                note(item)

    for submodule in module.modules():
        note(vars(submodule))
    with torch.random.fork_rng(devices=()):
        try:
            yield
        finally:
            for part, content in before.values():
                if isinstance(part, tuple) or list(map(id, _flat(part))) == list(map(id, content)):
                    continue
                part.clear()
                if isinstance(part, dict):
                    content = list(zip(content[::2], content[1::2], strict=True))
                (part.extend if isinstance(part, (list, deque)) else part.update)(content)


def _flat(container: Any) -> list[Any]:
    """The members; of a dictionary each key before its value."""
    return [*chain(*container.items())] if isinstance(container, dict) else list(container)


def _uncompiled() -> AbstractContextManager[Any]:
    """Runs what torch.compile made as it was written; without its machinery loaded there is nothing such."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


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

    with register_module_forward_pre_hook(enter), register_module_forward_hook(leave):
        yield


def _failure(error: BaseException, module: nn.Module, recorder: _Recorder, image: Tensor) -> RunFailed:
    """What a failed run says to the user."""
    call, network = recorder.attempt, type(module).__name__
    needs_values = isinstance(error, NotImplementedError) or (call and call.function in READS_VALUES)
    if call and needs_values and image.is_meta:
        shaped_by_values = call.function in ("nonzero", "where")  # so no other image would do
        return (RunFailed if shaped_by_values else ReadsValues)(
            f"{network}: {call} reads the values of the image, so the graph depends on them and no single "
            "vanilla network exists; needed a forward pass that depends on shapes only (an assert, a print, "
            "a log or a hook may be the cause)"
        )
    first = (str(error).strip() or "no message").splitlines()[0].rstrip(".")
    if call and call.function[:-2] in WINDOWED and any(text in first for text in TOO_SMALL):
        return RunFailed(
            f"resolution: needed a larger image than {times(image.shape[2:])}: {call} sees a map of "
            f"{times(call.argument('input', 0).shape[2:])}, smaller than its kernel; use a larger resolution"
        )
    return RunFailed(
        f"{network}: could not be captured: {_named(recorder.stack[-1][1])} failed on images of shape "
        f"{tuple(image.shape)} with {type(error).__name__}: {first}; needed a module that maps one batch of "
        "images to a tensor"
    )


def each(value: Any, axes: int) -> Sizes:
    """A size given once or for each axis, for each axis."""
    sizes = tuple(map(int, value)) if isinstance(value, (tuple, list)) else (int(value),)
    return sizes if len(sizes) == axes else sizes[:1] * axes


def margins(padding: Any, kernel: Sizes, dilation: Sizes) -> Sizes:
    """A padding given as a number, per axis, or as "same" or "valid", before and behind each axis."""
    if padding == "same":
        full = [spread * (side - 1) for spread, side in zip(dilation, kernel, strict=True)]
        return tuple(width for both in full for width in (both // 2, both - both // 2))
    return tuple(width for width in each(0 if padding == "valid" else padding, len(kernel)) for _ in range(2))
