"""The command `zenlib evaluate`."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.table import Table

from zenlib.cli.answer import Json, answer
from zenlib.cli.options import (
    Arch,
    Averaged,
    Data,
    Device,
    Gates,
    Positional,
    Root,
    Weights,
    Workers,
    load_trained,
    optional,
    the_network,
)
from zenlib.errors import extra


def evaluate(
    checkpoint: Weights,
    data: Data,
    network: Positional = None,
    arch: Arch = None,
    root: Root = None,
    gates: Gates = False,
    averaged: Averaged = None,
    resolution: Annotated[
        int | None,
        optional("Side of the images in pixels; that of the training, of the network, or of the data set."),
    ] = None,
    crop: Annotated[
        float | None, optional("Share of the shorter side; that of the training, 0.875 for ImageNet, else 1.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images per pass.")] = 100,
    workers: Workers = 0,
    device: Device = None,
    dtype: Annotated[
        str | None, optional("float32, bfloat16 or float16; that of the training, else float32.")
    ] = None,
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
    table = Table("what", "value", title=f"{checkpoint} on {data} at {side} x {side}")
    for what, value in dataclasses.asdict(found).items():
        table.add_row(
            {"top1": "top-1, %", "top5": "top-5, %"}.get(what, what),
            f"{value:,}" if isinstance(value, int) else f"{value:.3f}",
        )
    answer(
        {"network": name, "checkpoint": checkpoint, "data": data, "resolution": side}
        | dataclasses.asdict(found),
        table,
        as_json,
    )
