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
    Dtype,
    Gates,
    Positional,
    Root,
    Side,
    Weights,
    Workers,
    load_trained,
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
    resolution: Side = None,
    crop: Annotated[
        float | None,
        typer.Option(help="Share of the shorter side; 0.875 for ImageNet, else 1.", show_default=False),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images per pass.")] = 100,
    workers: Workers = 0,
    device: Device = None,
    dtype: Dtype = "float32",
    as_json: Json = False,
) -> None:
    """Top-1 and top-5 accuracy of trained weights on the test images of a data set."""
    with extra("train"):
        from zenlib.train.evaluation import evaluate as run

    name = the_network(network, arch)
    module = load_trained(name, checkpoint, gates, averaged)
    found = run(
        module,
        data,
        root=root,
        resolution=resolution,
        crop=crop,
        batch_size=batch_size,
        workers=workers,
        device=device,
        dtype=dtype,
    )
    table = Table("what", "value", title=f"{checkpoint} on {data}")
    for what, value in dataclasses.asdict(found).items():
        table.add_row(
            {"top1": "top-1, %", "top5": "top-5, %"}.get(what, what),
            f"{value:,}" if isinstance(value, int) else f"{value:.3f}",
        )
    answer(
        {"network": name, "checkpoint": checkpoint, "data": data} | dataclasses.asdict(found), table, as_json
    )
