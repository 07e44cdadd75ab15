"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from zenlib.machine import chosen
from zenlib.networks.zennets import ZENNETS


def completion(*names: str) -> Callable[[str], list[str]]:
    """What the shell offers for an option that takes one of these names."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def optional(help: str, *names: str, complete: Callable[[str], list[str]] | None = None, **more: Any) -> Any:
    """An option that may be left out, which needs no word about it."""
    return typer.Option(*names, help=help, autocompletion=complete, show_default=False, **more)


def one_of(*words: str, note: str = "") -> Any:
    """An option for which the help names these words, and the shell offers them."""
    help = f"{', '.join(words[:-1])} or {words[-1]}{note}."
    return typer.Option(help=help, autocompletion=completion(*words))


def complete(incomplete: str) -> list[str]:
    """What the shell offers for a network: ZenNets, files and folders."""
    paths = sorted(Path().glob(f"{incomplete}*")) if incomplete[:1] != "/" else []
    files = [f"{path}/" if path.is_dir() else str(path) for path in paths]
    return [name for name in ZENNETS if name.startswith(incomplete)] + files


def _argument(help: str, **more: Any) -> Any:
    return typer.Argument(help=help, autocompletion=complete, show_default=False, **more)


def _usable(device: str | None) -> str | None:
    """The device, if PyTorch can compute on it here."""
    try:
        return device if device is None else str(chosen(device))
    except ValueError as error:
        raise typer.BadParameter(str(error).removeprefix("device: ")) from error


NETWORK_HELP = (
    "zennet-1.0M, resnet50, timm:resnet18d, my_module.py:Net (which imports the file, and so runs its code), "
    "a structure string, a file with one, or the folder of a search."
)
Network = Annotated[str, _argument(NETWORK_HELP)]
NetworkOrArch = Annotated[str | None, _argument(NETWORK_HELP, metavar="NETWORK")]
Networks = Annotated[
    list[str], _argument("Networks, patterns of names such as 'timm:regnet*', or - for standard input.")
]
Resolution = Annotated[int | None, optional("Side of the images in pixels; the network's own, else 224.")]
InChannels = Annotated[int | None, optional("Channels of the images; the network's own, else 3, else 1.")]
DEVICE_HELP = "cpu, cuda, cuda:1; CUDA where there is one."
Device = Annotated[str | None, optional(DEVICE_HELP, complete=completion("cpu", "cuda"), callback=_usable)]
