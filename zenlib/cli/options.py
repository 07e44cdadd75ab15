"""Options that several commands share, and how the commands about trained networks find theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zenlib.cli.network import NETWORK_HELP, complete, load_network
from zenlib.networks.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn


def completion(*names: str) -> Callable[[str], list[str]]:
    """What the shell offers for an option that takes one of these names."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def _usable(device: str | None) -> str | None:
    """The device, if PyTorch knows it and it is there."""
    if device is None:
        return None
    import torch

    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise typer.BadParameter(f"needed cpu, cuda or cuda:1, got {device!r}") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise typer.BadParameter(
            f"needed a device of this machine, got {device!r}, but PyTorch sees no GPU; leave the option "
            "out, or give cpu"
        )
    return device


Positional = Annotated[
    str | None,
    typer.Argument(metavar="NETWORK", help=NETWORK_HELP, autocompletion=complete, show_default=False),
]
Arch = Annotated[
    str | None,
    typer.Option(
        "--arch",
        help="The network, if it is not given as NETWORK.",
        autocompletion=complete,
        show_default=False,
    ),
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="cifar10, cifar100, imagenet, fashion-mnist or digits.",
        autocompletion=completion("cifar10", "cifar100", "imagenet", "fashion-mnist", "digits"),
    ),
]
Root = Annotated[Path | None, typer.Option("--root", help="Folder of the data set.", show_default=False)]
Gates = Annotated[
    bool, typer.Option("--gates", help="With squeeze-and-excitation; ZenNets named -SE have it anyway.")
]
Workers = Annotated[int, typer.Option(help="Processes that load images, for each device; 0 for none.")]
Device = Annotated[
    str | None,
    typer.Option(
        help="cpu, cuda, cuda:1; CUDA where there is one.",
        callback=_usable,
        autocompletion=completion("cpu", "cuda"),
        show_default=False,
    ),
]
Dtype = Annotated[
    str,
    typer.Option(
        help="float32, bfloat16 or float16 (autocast).",
        autocompletion=completion("float32", "bfloat16", "float16"),
    ),
]
Weights = Annotated[
    Path, typer.Option("--checkpoint", help="File of weights: published, or last.pth of a training.")
]
Averaged = Annotated[
    bool | None,
    typer.Option(
        "--averaged/--plain", help="Moving average of the weights; where there is one.", show_default=False
    ),
]
Side = Annotated[int | None, typer.Option(help="Side of the images in pixels.", show_default=False)]


def the_network(positional: str | None, arch: str | None) -> str:
    """The network that was named, in either of the two ways.

    Raises:
        typer.BadParameter: it was named in none or in both.
    """
    if (positional is None) == (arch is None):
        got = "neither" if arch is None else "both"
        raise typer.BadParameter(
            f"needed a network, as NETWORK or as --arch NETWORK, got {got}", param_hint="NETWORK"
        )
    return positional or arch or ""


def load_trained(text: str, checkpoint: Path, gates: bool, averaged: bool | None) -> nn.Module:
    """A network with the weights of a file.

    The classifier of an `Architecture` is as wide as the file says.
    """
    from zenlib.networks.module import build_network
    from zenlib.networks.weights import classes_in, load_weights, read_weights

    network = load_network(text).network
    weights = read_weights(checkpoint, averaged=averaged)
    if not isinstance(network, Architecture):
        load_weights(network, None, weights)
        return network
    architecture = dataclasses.replace(network, use_se=network.use_se or gates)
    module = build_network(architecture, classes_in(weights))
    load_weights(module, architecture, weights)
    return module
