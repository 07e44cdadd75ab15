"""What the commands about trained networks share: their options, and how they find a network."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zenlib.architecture import Architecture
from zenlib.zennets import ZENNETS, zennet_architecture

if TYPE_CHECKING:
    from torch import nn

Arch = Annotated[str, typer.Option("--arch", help="A ZenNet (zennet-1.2ms), a structure string, or a file that holds one (best.txt).")]
Data = Annotated[str, typer.Option("--data", help="cifar10, cifar100, imagenet, fashion-mnist or digits.")]
Root = Annotated[Path | None, typer.Option("--root", help="Folder of the data set.", show_default=False)]
Gates = Annotated[bool, typer.Option("--gates", help="With squeeze-and-excitation; ZenNets named -SE have it anyway.")]
Workers = Annotated[int, typer.Option(help="Processes that load images, for each device; 0 for none.")]
Device = Annotated[str | None, typer.Option(help="cpu or cuda; CUDA where there is one.", show_default=False)]
Dtype = Annotated[str, typer.Option(help="float32, bfloat16 or float16 (autocast).")]
Weights = Annotated[Path, typer.Option("--checkpoint", help="File of weights: published, or last.pth of a training.")]
Averaged = Annotated[bool | None, typer.Option("--averaged/--plain", help="Moving average of the weights; where there is one.", show_default=False)]
Side = Annotated[int | None, typer.Option(help="Side of the images in pixels.", show_default=False)]


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Says which extra of the package is missing, where an import inside fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ValueError(f"{error.name}: needed the extra [{name}] of this package; pip install 'zenlib[{name}]'") from error


def load_trained(arch: str, checkpoint: Path, gates: bool, averaged: bool | None) -> nn.Module:
    """The network of an architecture with the weights of a file; the classifier is as wide as the file says."""
    from zenlib.network import build_network
    from zenlib.weights import classes_in, load_weights, read_weights

    architecture = load_architecture(arch, gates)
    weights = read_weights(checkpoint, averaged=averaged)
    network = build_network(architecture, classes_in(weights))
    load_weights(network, architecture, weights)
    return network


def load_architecture(arch: str, gates: bool = False) -> Architecture:
    """A published ZenNet by name, or the structure in a text or in a file.

    Raises:
        ValueError: it is none of the three.
    """
    if not names_architecture(arch):
        raise ValueError(f"network: needed a ZenNet ({', '.join(ZENNETS)}), a structure string (Super...), or a file that holds one; got {arch!r}")
    if arch in ZENNETS:
        architecture = zennet_architecture(arch)
        return dataclasses.replace(architecture, use_se=architecture.use_se or gates)
    text = arch if arch.startswith("Super") else Path(arch).read_text(encoding="utf-8")
    return Architecture.from_string(text.strip(), use_se=gates)


def names_architecture(text: str) -> bool:
    """Whether a text is the name of a ZenNet, a structure string, or a file that may hold one."""
    return text in ZENNETS or text.startswith("Super") or os.path.isfile(text)  # Path.is_file fails on text too long for a name
