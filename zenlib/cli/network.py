"""The network argument that all commands share: what a text names, and the side of the images that it is meant for."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import inspect
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zenlib.durable import require_as_published
from zenlib.errors import ArchitectureError, ResultsError
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import ZENNETS, zennet_architecture, zennet_resolution

if TYPE_CHECKING:
    from torch import nn

SIDE = 224
"""Side in pixels of the images of a network that says nothing else."""

FORMS = """needed one of
  a ZenNet: zennet-1.0M, zennet-400M-SE, ...
  a classifier of torchvision or timm: resnet50, timm:resnet18d
  your own: my_module.py:Net, or package.module:make_net; a class, a function or a network
  a structure string: SuperConvK3BNRELU(3,8,1,1)...
  a file with one (best.txt), the folder of a search, or its history.parquet
"""


def complete(incomplete: str) -> list[str]:
    """What the shell offers: ZenNets, files and folders."""
    files = (
        [f"{path}/" if path.is_dir() else str(path) for path in sorted(Path().glob(f"{incomplete}*"))]
        if incomplete[:1] != "/"
        else []
    )
    return [name for name in ZENNETS if name.startswith(incomplete)] + files


NETWORK_HELP = (
    "zennet-1.0M, resnet50, timm:resnet18d, my_module.py:Net, a structure string, a file with one, or the "
    "folder of a search."
)
Network = Annotated[str, typer.Argument(help=NETWORK_HELP, autocompletion=complete, show_default=False)]
Resolution = Annotated[
    int | None,
    typer.Option(
        help="Side of the images in pixels; what the network is meant for, else 224.", show_default=False
    ),
]


@dataclass(frozen=True, eq=False)
class Named:
    """A network that a text names.

    Attributes:
        network: an `Architecture`, or a module with random weights.
        resolution: side in pixels of the images it is meant for.
    """

    network: Architecture | nn.Module
    resolution: int = SIDE


def load_network(text: str) -> Named:
    """The network that a text names.

    Raises:
        ValueError: it names none; the message lists what can be named, or says why this one cannot be had.
    """
    if text in ZENNETS:
        return Named(zennet_architecture(text), zennet_resolution(text))
    if text.startswith("Super"):
        return Named(Architecture.from_string(text.strip()))
    if os.path.exists(text):  # Path.exists fails on text too long for a name
        return _from_path(Path(text))
    if text.startswith("timm:"):
        return _from_timm(text.removeprefix("timm:"))
    if ":" in text:
        return Named(_from_code(text))
    return Named(_from_torchvision(text))


def load_architecture(text: str, gates: bool = False) -> Architecture:
    """The same where only an `Architecture` will do.

    Args:
        text: what names it.
        gates: add squeeze-and-excitation; ZenNets named -SE have it anyway.

    Raises:
        ValueError: the text names no network, or a module.
    """
    network = load_network(text).network
    if not isinstance(network, Architecture):
        raise ValueError(
            f"network: needed a ZenNet ({', '.join(ZENNETS)}), a structure string (Super...) or a file with "
            f"one here; got {text!r}"
        )
    return dataclasses.replace(network, use_se=network.use_se or gates)


def _from_path(path: Path) -> Named:
    if path.is_dir() or path.suffix in (".parquet", ".journal"):
        if path.is_dir() and not any(
            (path / name).is_file() for name in ("search.journal", "history.parquet")
        ):
            raise ValueError(
                f"network: needed the folder of a search, with history.parquet in it; got {path}"
            )
        return _from_search(path)
    if path.suffix == ".py":
        raise ValueError(
            f"network: needed the name of a class or function in the file, such as {path}:Net; got "
            f"{path}{_offers(_import_file(path))}"
        )
    return Named(_from_text(path))


def _from_text(path: Path) -> Architecture:
    require_as_published(path, ResultsError)
    try:
        text = path.read_bytes().decode().strip()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"network: needed a text file with a structure string, got the binary file {path}; weights go to "
            "--checkpoint"
        ) from error
    if not text:
        raise ValueError(
            f"network: needed a file with a structure string (Super...), got the empty file {path}"
        )
    try:
        return Architecture.from_string(text)
    except ArchitectureError as error:
        raise ArchitectureError(f"{path}: {error}", error.position) from None


def _from_search(path: Path) -> Named:
    """The best network of a search, and the resolution at which it was searched."""
    from zenlib.search.checkpoint import best_in

    best, resolution = best_in(path)
    return Named(Architecture.from_string(best), resolution)


def _from_torchvision(name: str) -> nn.Module:
    try:
        import torchvision
    except ModuleNotFoundError as error:
        raise ValueError(
            f"network: {FORMS}got {name!r}; names of torchvision need `pip install torchvision`"
        ) from error
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ValueError(f"network: {FORMS}got {name!r}{_meant(name, [*ZENNETS, *known])}")
    return torchvision.models.get_model(name, weights=None)


def _from_timm(name: str) -> Named:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise ValueError(f"network: timm:{name} needs timm; pip install timm") from error
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        raise ValueError(
            f"network: needed a name that timm {timm.__version__} knows, got {name!r}{_meant(name, known)}"
        )
    network: Any = timm.create_model(name, pretrained=False)  # timm adds what its networks are meant for
    return Named(network, network.pretrained_cfg.get("input_size", (3, SIDE, SIDE))[-1])


def _from_code(text: str) -> Architecture | nn.Module:
    """A network of the user's own.

    An attribute of a file or of a module, called without arguments where it is not one yet.
    """
    from torch import nn

    place, _, name = text.rpartition(":")
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    if not hasattr(module, name):
        raise ValueError(
            f"network: needed a class or function of {place}, got {name!r}, which it does not "
            f"have{_offers(module)}"
        )
    found = getattr(module, name)
    if callable(found) and not isinstance(found, nn.Module):
        found = _called(text, found)
    if not isinstance(found, nn.Module | Architecture):
        raise ValueError(
            f"network: needed {text} to be or to return a torch.nn.Module or a zenlib.Architecture, got "
            f"{type(found).__name__}"
        )
    return found


def _called(text: str, make: Any) -> Any:
    needed = _needed(make)
    if needed:
        place, _, name = text.rpartition(":")
        raise ValueError(
            f"network: needed something that is called without arguments, but {name} of {place} needs "
            f"{', '.join(needed)}; "
            "add a function to the file, such as\n  def make():\n      return "
            f"{name}({', '.join(f'{argument}=...' for argument in needed)})\n"
            f"and name {place}:make"
        )
    return _guarded(text, make)


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


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ValueError(f"network: needed a file of Python, found none at {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # it ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(
        0, str(path.resolve().parent)
    )  # so that it finds the files beside it, as when Python runs it
    sys.modules.setdefault(path.stem, module)
    _guarded(str(path), spec.loader.exec_module, module)
    return module


def _import_module(name: str) -> ModuleType:
    sys.path.insert(0, os.getcwd())  # an installed command does not look there by itself
    try:
        return _guarded(name, importlib.import_module, name)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"network: {FORMS}got {name}:..., but there is no module {error.name!r} here; a file ends in .py"
        ) from error


def _guarded(text: str, function: Any, *arguments: Any) -> Any:
    """What the user's code returns; what it raises becomes one message."""
    try:
        return function(*arguments)
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
