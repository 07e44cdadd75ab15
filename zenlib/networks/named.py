"""Networks that a text names, as all commands take them, and the side of the images that they are meant for.

A name in a file of Python imports that file, and so runs its code.
"""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import importlib.util
import inspect
import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from zenlib.durable import require_as_published
from zenlib.errors import ArchitectureError, ResultsError, whole
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import ZENNETS, zennet_architecture, zennet_resolution

if TYPE_CHECKING:
    from torch import nn

SIDE = 224
"""Side in pixels of the images of a network that says nothing else."""
PATIENCE = 5.0
"""Seconds for which a side that works is looked for."""
FILES = ("search.journal", "history.parquet")
"""Files of a search in its folder, of which one is enough."""

FORMS = """needed one of
  a ZenNet: zennet-1.0M, zennet-400M-SE, ...
  a classifier of torchvision or timm: resnet50, timm:resnet18d
  your own: my_module.py:Net, or package.module:make_net; a class, a function or a network
  a structure string: SuperConvK3BNRELU(3,8,1,1)...
  a file with one (best.txt), the folder of a search, or its history.parquet
"""
_OTHER_FILES = {
    ".pth .pt .ckpt .bin .safetensors .h5 .tar": "weights, which name no network; name the network itself "
    "(evaluate and export take weights as --checkpoint, the other commands need none)",
    ".onnx .tflite .pb .mlmodel": "an exported graph, which is not read back; name the module that it was "
    "exported from",
    ".ipynb": "a notebook; put the class or function into a file of Python and name it, such as my.py:Net",
    ".yaml .yml .json .toml .cfg": "settings; add a function that builds the network from them to a file of "
    "Python and name it, such as my_module.py:make",
}
"""What files of these endings hold instead of a network, and what to do; they need not be there."""


@dataclass(frozen=True, eq=False)
class Named:
    """A network that a text names: an `Architecture`, or a module with random weights.

    `meant` is the side in pixels of the images it is meant for, None where it says none.
    """

    network: Any
    meant: int | None = None

    def side(self, *asked: int | None) -> int:
        """The first side that was asked for, else the one it is meant for, else 224, or 64 for cubes."""
        sides = [side for side in (*asked, self.meant) if side is not None]
        if sides:
            return whole("resolution", sides[0])
        if isinstance(self.network, Architecture):
            return SIDE
        from zenlib.vanilla.capture import usual_side

        return usual_side(self.network)

    def shown(self, side: int) -> str:
        """The size of an image of this side as people write it: 224 x 224."""
        from zenlib.vanilla.capture import image_axes

        return " x ".join([str(side)] * image_axes(self.network))

    @contextmanager
    def at(self, side: int) -> Iterator[None]:
        """Where a module fails inside since images of this side do not fit it, names one that does."""
        try:
            yield
        except Exception as error:  # whatever a module raises on an image that it is not meant for
            if isinstance(self.network, Architecture) or _first_that_runs(self.network, [side]):
                raise
            from zenlib.vanilla.capture import LENGTHS, SIDES

            works = _first_that_runs(self.network, dict.fromkeys((*SIDES, *LENGTHS, *range(8, 513))))
            if works is None:
                raise
            told = (str(error).strip() or type(error).__name__).partition("\n")[0].partition("; ")[0]
            raise ValueError(
                f"resolution: {type(self.network).__name__} fails at {self.shown(side)}"
                f"{' (the default)' if self.meant is None and side == self.side() else ''}, but runs at "
                f"{self.shown(works)}; give --resolution {works} (at {side}: {told})"
            ) from error


def load_network(text: str, shapes_only: bool = False) -> Named:
    """The network that a text names; with `shapes_only` it may come without weights, which is quicker.

    Raises:
        ValueError: it names none; the message lists what can be named, or says why this one cannot be had.
    """
    if text in ZENNETS:
        return Named(zennet_architecture(text), zennet_resolution(text))
    if text.startswith("Super"):
        return Named(Architecture.from_string(text.strip()))
    ending = Path(place := text.partition(":")[0]).suffix.lower()
    for endings, what in _OTHER_FILES.items():
        if ending in endings.split() and not os.path.isdir(text):
            raise ValueError(f"network: needed the name of a network, got {place}: {ending} holds {what}")
    if os.path.exists(text):  # Path.exists fails on text too long for a name
        return _from_path(Path(text))
    if text.startswith("timm:"):
        return _from_library("timm", text.removeprefix("timm:"), shapes_only)
    if ":" in text and not text.startswith("torchvision:"):
        return Named(_from_code(text))
    return _from_library("torchvision", text.removeprefix("torchvision:"), shapes_only)


def names_like(pattern: str) -> list[str]:
    """ZenNets and names of torchvision or timm that a pattern such as timm:regnet* fits; a name as it is."""
    if not any(mark in pattern for mark in "*?[") or os.path.exists(pattern):
        return [pattern]
    prefix, _, rest = pattern.rpartition(":")
    try:
        known = _library("timm")[0] if prefix == "timm" else [*ZENNETS, *_library("torchvision")[0]]
    except ValueError:  # loading it says so
        known = []
    found = fnmatch.filter(known, rest)
    return [f"timm:{name}" if prefix == "timm" else name for name in found] or [pattern]


def load_architecture(text: str) -> Architecture:
    """The same where only an `Architecture` will do, and a module is a ValueError too."""
    network = load_network(text).network
    if not isinstance(network, Architecture):
        raise ValueError(
            "network: needed one built of blocks, since a search changes blocks, of which modules have none: "
            f"a ZenNet ({', '.join(ZENNETS)}), a structure string (Super...), or a file or search that holds "
            f"one; got {text!r}"
        )
    return network


def _from_path(path: Path) -> Named:
    if path.suffix == ".py":
        raise ValueError(
            f"network: needed the name of a class or function in the file, such as {path}:Net; got "
            f"{path}{_offers(_module(str(path)))}"
        )
    folder = path if path.is_dir() else path.parent
    searched = any((folder / name).is_file() for name in FILES)
    if path.is_dir() and not searched:
        raise ValueError(f"network: needed the folder of a search, with {FILES[1]} in it; got {path}")
    alone = not path.is_dir() and path.suffix not in (".parquet", ".journal")
    if alone and not searched:
        return Named(_from_text(path))
    from zenlib.search.checkpoint import best_in

    best, meant = best_in(folder if alone else path)  # the best.txt of a search agrees with its folder
    return Named(_from_text(path) if alone else Architecture.from_string(best), meant)


def _from_text(path: Path) -> Architecture:
    require_as_published(path, ResultsError)
    needed = "network: needed a text file with a structure string, got the"
    try:
        text = path.read_bytes().decode().strip()
        if not text:
            raise ValueError(f"{needed} empty file {path}")
        return Architecture.from_string(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{needed} binary file {path}") from error
    except ArchitectureError as error:
        raise ArchitectureError(f"{path}: {error}", error.position) from None


def _from_library(library: str, name: str, shapes_only: bool) -> Named:
    known, make = _library(library)
    if name.partition(".")[0] not in known:
        needed, near = FORMS, [*ZENNETS, *known]
        if library == "timm":
            needed, near = "needed a name that timm knows, ", known
        raise ValueError(f"network: {needed}got {name!r}{_meant(name, near)}")
    network: Any = on_meta(partial(make, name)) if shapes_only else make(name)
    told = getattr(network, "pretrained_cfg", None)  # as timm has it
    return Named(network, told.get("input_size", (SIDE,))[-1] if told else None)


def _library(name: str) -> tuple[list[str], Callable[[str], Any]]:
    """The names that torchvision or timm knows, and what makes one of them with random weights."""
    try:
        found = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(f"network: {FORMS}names of {name} need `pip install {name}`") from error
    if name == "timm":
        return found.list_models(), partial(found.create_model, pretrained=False)
    return found.models.list_models(module=found.models), partial(found.models.get_model, weights=None)


def on_meta(make: Callable[[], Any]) -> Any:
    """What `make` gives on the meta device, or where it cannot, since it computes with numbers, as it is."""
    import torch

    try:
        with torch.device("meta"):
            return make()
    except Exception:  # of many kinds
        return make()


def _from_code(text: str) -> Architecture | nn.Module:
    """An attribute of a file or module of the user's, called without arguments where it is no network yet."""
    from torch import nn

    place, _, name = text.rpartition(":")
    module = _module(place)
    if not hasattr(module, name):
        raise ValueError(
            f"network: needed a class or function of {place}, got {name!r}, which it does not "
            f"have{_offers(module)}"
        )
    found = getattr(module, name)
    if callable(found) and not isinstance(found, nn.Module):
        if needed := _needed(found):
            raise ValueError(
                f"network: needed something that is called without arguments, but {name} of {place} needs "
                f"{', '.join(needed)}; add a function to the file, such as\n  def make():\n      return "
                f"{name}({', '.join(f'{argument}=...' for argument in needed)})\nand name {place}:make"
            )
        found = _guarded(text, found)
    if not isinstance(found, nn.Module | Architecture):
        raise ValueError(
            f"network: needed {text} to be or to return a torch.nn.Module or a zenlib.Architecture, got "
            f"{type(found).__name__}"
        )
    return found


def _needed(make: Any) -> list[str]:
    """The arguments without which it cannot be called."""
    try:
        arguments = inspect.signature(make).parameters.values()
    except ValueError:  # some builtins do not tell
        return []
    return [
        one.name
        for one in arguments
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]


def _module(place: str) -> ModuleType:
    """A module of the user's, by its file or by its name."""
    if place.endswith(".py"):
        path = Path(place)
        if not path.is_file():
            raise ValueError(f"network: needed a file of Python, found none at {path}")
        return _imported(path, path.resolve(), path.stat().st_mtime_ns)
    sys.path.insert(0, os.getcwd())  # an installed command does not look there by itself
    try:
        return _guarded(place, importlib.import_module, place)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"network: {FORMS}got {place}:..., but there is no module {error.name!r} here; a file ends in .py"
        ) from error


@lru_cache(maxsize=64)
def _imported(path: Path, where: Path, changed: int) -> ModuleType:
    """A file is run once, however many of its networks are named."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(where.parent))  # so that it finds the files beside it, as when Python runs it
    sys.modules.setdefault(path.stem, module)
    _guarded(str(path), spec.loader.exec_module, module)
    return module


def _guarded(text: str, function: Any, *arguments: Any) -> Any:
    """What the user's code returns; what it raises becomes one message. It sees no arguments of ours."""
    given, sys.argv = sys.argv, [text.partition(":")[0]]
    try:
        return function(*arguments)
    except SystemExit as ended:
        raise ValueError(
            f"network: {text} ended itself (SystemExit: {ended.code}) while it was imported or called; put "
            'what a script does when it is run under `if __name__ == "__main__":`'
        ) from ended
    except ModuleNotFoundError as error:
        if error.name == text.partition(".")[0]:
            raise
        raise ValueError(
            f"network: {text} needs the module {error.name!r}, which is not installed here"
        ) from error
    except Exception as error:  # whatever a user's code raises
        raise ValueError(
            f"network: {text} raised {type(error).__name__}: {error}; `zenlib --debug ...` shows where"
        ) from error
    finally:
        sys.argv = given


def _offers(module: ModuleType) -> str:
    """The classes of networks and the functions that a module defines itself."""
    from torch import nn

    names = [
        name
        for name, value in vars(module).items()
        if getattr(value, "__module__", None) == module.__name__
        and (inspect.isfunction(value) or (inspect.isclass(value) and issubclass(value, nn.Module)))
        and not name.startswith("_")
    ]
    return f"; it has {', '.join(names)}" if names else "; it has no class of a network and no function"


def _meant(name: str, known: list[str]) -> str:
    """The known names that look like this one."""
    lowered = {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), lowered, n=3)
    return f"; did you mean {', '.join(lowered[one] for one in close)}?" if close else ""


def _first_that_runs(network: nn.Module, sides: Iterable[int]) -> int | None:
    """The first of these sides at which a module runs, on shapes alone; None where none does in time."""
    from zenlib.vanilla.capture import image_shape
    from zenlib.vanilla.capture.trace import record

    until = time.monotonic() + PATIENCE
    for side in sides:
        with redirect_stdout(io.StringIO()), suppress(Exception):  # it may fail in any way
            record(network, image_shape(network, side))
            return side
        if time.monotonic() > until:
            break
    return None
