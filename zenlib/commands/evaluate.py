"""The command `zenlib evaluate`."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from zenlib.commands.options import Arch, Averaged, Data, Device, Dtype, Gates, Root, Side, Weights, Workers, extra, load_trained


def evaluate(
    arch: Arch,
    checkpoint: Weights,
    data: Data,
    root: Root = None,
    gates: Gates = False,
    averaged: Averaged = None,
    resolution: Side = None,
    crop: Annotated[float | None, typer.Option(help="Share of the shorter side; 0.875 for ImageNet, else 1.", show_default=False)] = None,
    batch_size: Annotated[int, typer.Option(help="Images per pass.")] = 100,
    workers: Workers = 0,
    device: Device = None,
    dtype: Dtype = "float32",
) -> None:
    """Top-1 and top-5 accuracy of trained weights on the test images of a data set."""
    with extra("train"):
        from zenlib.train.evaluation import evaluate as run

    network = load_trained(arch, checkpoint, gates, averaged)
    found = run(network, data, root=root, resolution=resolution, crop=crop, batch_size=batch_size, workers=workers, device=device, dtype=dtype)
    table = Table("what", "value", title=f"{checkpoint} on {data}")
    for name, value in dataclasses.asdict(found).items():
        table.add_row({"top1": "top-1, %", "top5": "top-5, %"}.get(name, name), f"{value:,}" if isinstance(value, int) else f"{value:.3f}")
    Console().print(table)
