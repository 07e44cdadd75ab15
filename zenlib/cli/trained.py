"""The commands `zenlib train`, `evaluate` and `export`, about trained networks."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from zenlib.cli.answer import Json, answer
from zenlib.cli.options import Device, NetworkOrArch, Resolution, complete, one_of, optional
from zenlib.errors import CheckpointError, extra, whole
from zenlib.networks.architecture import Architecture
from zenlib.networks.named import Named, load_network

Arch = Annotated[str | None, optional("The network, if it is not given as NETWORK.", complete=complete)]
Data = Annotated[str, one_of("cifar10", "cifar100", "imagenet", "fashion-mnist", "digits")]
Root = Annotated[Path | None, optional("Folder of the data set.")]
Gates = Annotated[bool, typer.Option("--gates", help="With squeeze-and-excitation, which -SE names have.")]
Workers = Annotated[int, typer.Option(help="Processes that load images, for each device; 0 for none.")]
Dtype = Annotated[str, one_of("float32", "bfloat16", "float16", note=" (autocast)")]
Weights = Annotated[Path, typer.Option(help="File of weights: published, or last.pth of a training.")]
Averaged = Annotated[bool | None, optional("Moving average of the weights, if any.", "--averaged/--plain")]
SIDE_HELP = "Side of the images in pixels; that of the training, of the network, or of the data set."
DTYPE_HELP = "float32, bfloat16 or float16; that of the training, else float32."
CROP_HELP = "Share of the shorter side; that of the training, 0.875 for ImageNet, else 1."
_RECIPE_OF = {"cifar10": "cifar", "cifar100": "cifar"}


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of last.pth and log.csv; a training in it goes on.")],
    network: NetworkOrArch = None,
    arch: Arch = None,
    recipe: Annotated[str | None, optional("Name of a recipe; that of the data set.")] = None,
    root: Root = None,
    change: Annotated[list[str] | None, optional("Changes the recipe, such as epochs=100.", "--set")] = None,
    gates: Gates = False,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    workers: Workers = 0,
    accumulate: Annotated[int, typer.Option(help="Passes that make up one step, for memory.")] = 1,
    device: Device = None,
    dtype: Dtype = "float32",
    teacher_checkpoint: Annotated[Path | None, optional("Weights of the teacher; timm fetches them.")] = None,
    as_json: Json = False,
) -> None:
    """Train a network, on one device or under `torchrun`.

    A training that was killed goes on when the same command is given again, and ends as if it had not been
    killed.
    """
    with extra("train"):
        from zenlib.train.datasets import data_set
        from zenlib.train.loop import train as run
        from zenlib.train.recipes import RECIPES, changed

    data_set(data)  # whether there is one
    name = recipe or _RECIPE_OF.get(data, data)
    if name not in RECIPES:
        raise ValueError(f"recipe: needed one of {', '.join(RECIPES)}, got {name!r}")
    import torch

    torch.manual_seed(seed)  # for the weights of a module that a training does not draw anew
    found = load_network(the_network(network, arch)).network
    if isinstance(found, Architecture):
        found = dataclasses.replace(found, use_se=found.use_se or gates)
    elif gates:
        raise ValueError("gates: needed a network built of blocks, got a module, which has its own or none")
    log = run(
        found,
        data,
        changed(RECIPES[name], change or []),
        out,
        root=root,
        seed=seed,
        workers=whole("workers", workers, 0),
        accumulate=whole("accumulate", accumulate),
        device=device,
        dtype=dtype,
        teacher_checkpoint=teacher_checkpoint,
    )
    if os.environ.get("RANK", "0") != "0":
        return  # of the processes that torchrun started, the first one answers
    last, path = log[-1], out / "last.pth"
    accuracy = f"top-1 {last['test_top1']:.3f} %, top-5 {last['test_top5']:.3f} %"
    answer({"checkpoint": path, **last}, f"{path}: epoch {last['epoch']}, {accuracy}", as_json)


def evaluate(
    checkpoint: Weights,
    data: Data,
    network: NetworkOrArch = None,
    arch: Arch = None,
    root: Root = None,
    gates: Gates = False,
    averaged: Averaged = None,
    resolution: Annotated[int | None, optional(SIDE_HELP)] = None,
    crop: Annotated[float | None, optional(CROP_HELP)] = None,
    batch_size: Annotated[int, typer.Option(help="Images per pass.")] = 100,
    workers: Workers = 0,
    device: Device = None,
    dtype: Annotated[str | None, optional(DTYPE_HELP)] = None,
    as_json: Json = False,
) -> None:
    """Top-1 and top-5 accuracy of trained weights on the test images of a data set."""
    with extra("train"):
        from zenlib.train.datasets import data_set
        from zenlib.train.evaluation import evaluate as run

    name = the_network(network, arch)
    named, training = load_trained(name, checkpoint, gates, averaged)
    side = named.side(resolution, training.get("resolution"), named.meant, data_set(data).side or None)
    with named.at(side):
        found = run(
            named.network,
            data,
            root=root,
            resolution=side,
            crop=training.get("evaluation_crop") if crop is None else crop,
            batch_size=batch_size,
            workers=workers,
            device=device,
            dtype=dtype or training.get("dtype", "float32"),
        )
    facts = dataclasses.asdict(found)
    table = Table("what", "value", title=f"{checkpoint} on {data} at {side} x {side}")
    for what, value in facts.items():
        label = {"top1": "top-1, %", "top5": "top-5, %"}.get(what, what)
        table.add_row(label, f"{value:,}" if isinstance(value, int) else f"{value:.3f}")
    told = {"network": name, "checkpoint": checkpoint, "data": data, "resolution": side}
    answer(told | facts, table, as_json)


def export(
    out: Annotated[Path, typer.Option(help="The ONNX file.")],
    network: NetworkOrArch = None,
    arch: Arch = None,
    checkpoint: Annotated[Path | None, optional("File of weights; random ones without.")] = None,
    gates: Gates = False,
    averaged: Averaged = None,
    num_classes: Annotated[int, typer.Option(help="Classes, where no checkpoint tells them.")] = 1000,
    resolution: Resolution = None,
    as_json: Json = False,
) -> None:
    """Write a network as ONNX and check with onnxruntime that it gives the same logits."""
    from zenlib.networks.onnx import export_onnx

    name = the_network(network, arch)
    named, training = load_trained(name, checkpoint, gates, averaged, num_classes)
    side = named.side(resolution, training.get("resolution"))
    with extra("train"), named.at(side):
        difference = export_onnx(named.network, out, side)
    size = out.stat().st_size
    told = {"network": name, "file": out, "bytes": size, "resolution": side, "largest_difference": difference}
    shown = f"{out}: {size:,} bytes; logits differ by at most {difference:.1e} of the largest"
    answer(told, shown, as_json)


def the_network(positional: str | None, arch: str | None) -> str:
    """The network that was named, in one of the two ways."""
    if (positional is None) == (arch is None):
        got = "neither" if arch is None else "both"
        raise typer.BadParameter(
            f"needed a network, as NETWORK or as --arch NETWORK, got {got}", param_hint="NETWORK"
        )
    return positional or arch or ""


def load_trained(
    text: str, checkpoint: Path | None, gates: bool, averaged: bool | None, num_classes: int = 1000
) -> tuple[Named, dict[str, Any]]:
    """A module with the weights of a file, and the settings of the training that wrote it, none if unknown.

    The classifier of an `Architecture` is as wide as the file says. Without a file the weights are random.
    """
    from zenlib.networks.module import build_network
    from zenlib.networks.weights import classes_in, load_weights, read_checkpoint

    named = load_network(text)
    network, architecture = named.network, None
    weights, training = read_checkpoint(checkpoint, averaged) if checkpoint else ({}, {})
    if isinstance(network, Architecture):
        use_se = network.use_se or gates or training.get("use_se", False)
        architecture = dataclasses.replace(network, use_se=use_se)
        trained = training.get("architecture", architecture.to_string())
        if trained != architecture.to_string():  # strides do not show in weights
            raise CheckpointError(
                f"checkpoint: needed the weights of {text}, got those of {trained}, which {checkpoint} says "
                "it was trained as; name that network"
            )
        classes = classes_in(weights) if checkpoint else whole("num_classes", num_classes)
        network = build_network(architecture, classes)
    if checkpoint:
        load_weights(network, architecture, weights)
    return Named(network, named.meant), training
