"""Options that several commands share, and how the commands about trained networks find theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from zenlib.errors import CheckpointError
from zenlib.networks.architecture import Architecture
from zenlib.networks.named import Named, load_network
from zenlib.networks.zennets import ZENNETS


def completion(*names: str) -> Callable[[str], list[str]]:
    """What the shell offers for an option that takes one of these names."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def optional(help: str, *names: str, complete: Callable[[str], list[str]] | None = None) -> Any:
    """An option that may be left out, which needs no word about it."""
    return typer.Option(*names, help=help, autocompletion=complete, show_default=False)


def one_of(help: str, *words: str) -> Any:
    """An option for which the shell offers these words."""
    return typer.Option(help=help, autocompletion=completion(*words))


def complete(incomplete: str) -> list[str]:
    """What the shell offers for a network: ZenNets, files and folders."""
    paths = sorted(Path().glob(f"{incomplete}*")) if incomplete[:1] != "/" else []
    files = [f"{path}/" if path.is_dir() else str(path) for path in paths]
    return [name for name in ZENNETS if name.startswith(incomplete)] + files


def _usable(device: str | None) -> str | None:
    """The device, if PyTorch can compute on it here."""
    if device is None:
        return None
    import torch

    try:
        torch.ones(1, device=device).item()
    except Exception as error:  # of many kinds: unknown, not built in, not there, without numbers
        here = ", ".join(["cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))])
        raise typer.BadParameter(
            f"needed a device on which PyTorch computes on this machine ({here}), got {device!r}; leave the "
            "option out, or give one of these"
        ) from error
    return device


NETWORK_HELP = (
    "zennet-1.0M, resnet50, timm:resnet18d, my_module.py:Net (which imports the file, and so runs its code), "
    "a structure string, a file with one, or the folder of a search."
)
Network = Annotated[str, typer.Argument(help=NETWORK_HELP, autocompletion=complete, show_default=False)]
Resolution = Annotated[
    int | None, optional("Side of the images in pixels; what the network is meant for, else 224.")
]
InChannels = Annotated[
    int | None, optional("Channels of the images; those of the first convolution, else 3, else 1.")
]
Positional = Annotated[
    str | None,
    typer.Argument(metavar="NETWORK", help=NETWORK_HELP, autocompletion=complete, show_default=False),
]
Arch = Annotated[
    str | None, optional("The network, if it is not given as NETWORK.", "--arch", complete=complete)
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        help="cifar10, cifar100, imagenet, fashion-mnist or digits.",
        autocompletion=completion("cifar10", "cifar100", "imagenet", "fashion-mnist", "digits"),
    ),
]
Root = Annotated[Path | None, optional("Folder of the data set.", "--root")]
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
Dtype = Annotated[str, one_of("float32, bfloat16 or float16 (autocast).", "float32", "bfloat16", "float16")]
Weights = Annotated[
    Path, typer.Option("--checkpoint", help="File of weights: published, or last.pth of a training.")
]
Averaged = Annotated[
    bool | None, optional("Moving average of the weights; where there is one.", "--averaged/--plain")
]


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


def load_trained(
    text: str, checkpoint: Path, gates: bool, averaged: bool | None
) -> tuple[Named, dict[str, Any]]:
    """A network with the weights of a file, and the settings of the training that wrote it, none if unknown.

    The classifier of an `Architecture` is as wide as the file says.

    Raises:
        CheckpointError: the weights, or the structure of the training, are those of another network.
    """
    from zenlib.networks.module import build_network
    from zenlib.networks.weights import classes_in, load_weights, read_checkpoint

    named = load_network(text)
    weights, training = read_checkpoint(checkpoint, averaged)
    if not isinstance(named.network, Architecture):
        load_weights(named.network, None, weights)
        return named, training
    architecture = dataclasses.replace(
        named.network, use_se=named.network.use_se or gates or training.get("use_se", False)
    )
    if training.get("architecture") not in (None, architecture.to_string()):  # strides do not show in weights
        raise CheckpointError(
            f"checkpoint: needed the weights of {text}, got those of {training['architecture']}, which "
            f"{checkpoint} says it was trained as; name that network"
        )
    module = build_network(architecture, classes_in(weights))
    load_weights(module, architecture, weights)
    return Named(module, named.meant), training
