"""The command `zenlib train`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated

import typer

from zenlib.cli.answer import Json, answer
from zenlib.cli.options import Arch, Data, Device, Dtype, Gates, Positional, Root, Workers, the_network
from zenlib.errors import extra, whole
from zenlib.networks.architecture import Architecture
from zenlib.networks.named import load_network

_RECIPE_OF = {"cifar10": "cifar", "cifar100": "cifar"}


def train(
    data: Data,
    out: Annotated[
        Path, typer.Option(help="Folder of last.pth and log.csv; a training that is there goes on.")
    ],
    network: Positional = None,
    arch: Arch = None,
    recipe: Annotated[
        str | None, typer.Option(help="Name of a recipe; that of the data set.", show_default=False)
    ] = None,
    root: Root = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="An attribute of the recipe, such as epochs=100.", show_default=False),
    ] = None,
    gates: Gates = False,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    workers: Workers = 0,
    accumulate: Annotated[int, typer.Option(help="Passes that make up one step, for memory.")] = 1,
    device: Device = None,
    dtype: Dtype = "float32",
    teacher_checkpoint: Annotated[
        Path | None, typer.Option(help="Weights of the teacher; timm fetches them.", show_default=False)
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a network, on one device or under `torchrun`.

    A training that was killed goes on when the same command is given again, and ends as if it had not been
    killed.
    """
    with extra("train"):
        from zenlib.train.datasets import DATASETS
        from zenlib.train.loop import train as run
        from zenlib.train.recipes import RECIPES, changed

    if data not in DATASETS:
        raise ValueError(f"data: needed one of {', '.join(DATASETS)}, got {data!r}")
    name = recipe or _RECIPE_OF.get(data, data)
    if name not in RECIPES:
        raise ValueError(f"recipe: needed one of {', '.join(RECIPES)}, got {name!r}")
    import torch

    torch.manual_seed(seed)  # for the weights of a module that a training does not draw anew
    found = load_network(the_network(network, arch)).network
    if isinstance(found, Architecture):
        found = dataclasses.replace(found, use_se=found.use_se or gates)
    elif gates:
        raise ValueError(
            "gates: needed a network built of blocks, got a module, which has its own gates or none"
        )
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
    last = log[-1]
    shown = (
        f"{out / 'last.pth'}: epoch {last['epoch']}, top-1 {last['test_top1']:.3f} %, top-5 "
        f"{last['test_top5']:.3f} %"
    )
    answer({"checkpoint": out / "last.pth", **last}, shown, as_json)
