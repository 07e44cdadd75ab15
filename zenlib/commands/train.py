"""The command `zenlib train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zenlib.commands.options import Arch, Data, Device, Dtype, Gates, Root, Workers, extra, load_architecture

_RECIPE_OF = {"cifar10": "cifar", "cifar100": "cifar"}


def train(
    arch: Arch,
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of last.pth and log.csv; a training that is there goes on.")],
    recipe: Annotated[str | None, typer.Option(help="Name of a recipe; that of the data set.", show_default=False)] = None,
    root: Root = None,
    change: Annotated[list[str] | None, typer.Option("--set", help="An attribute of the recipe, such as epochs=100.", show_default=False)] = None,
    gates: Gates = False,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    workers: Workers = 0,
    accumulate: Annotated[int, typer.Option(help="Passes that make up one step, for memory.")] = 1,
    device: Device = None,
    dtype: Dtype = "float32",
    teacher_checkpoint: Annotated[Path | None, typer.Option(help="Weights of the teacher; timm fetches them.", show_default=False)] = None,
) -> None:
    """Train a network: on one device, or on all of a machine by `torchrun --nproc-per-node=8 -m zenlib.cli train ...`.

    A training that was killed goes on when the same command is given again, and ends as if it had not been killed.
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
    run(
        load_architecture(arch, gates),
        data,
        changed(RECIPES[name], change or []),
        out,
        root=root,
        seed=seed,
        workers=workers,
        accumulate=accumulate,
        device=device,
        dtype=dtype,
        teacher_checkpoint=teacher_checkpoint,
    )
