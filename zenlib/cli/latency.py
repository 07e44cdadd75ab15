"""The command `zenlib latency`."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from zenlib.cli.answer import Json, answer
from zenlib.cli.options import Device, Network, Resolution, one_of, optional
from zenlib.errors import whole
from zenlib.machine import chosen
from zenlib.networks.architecture import Architecture
from zenlib.networks.named import load_network

DTYPES = ("float32", "float16", "bfloat16")


def latency(
    network: Network,
    resolution: Resolution = None,
    batch_size: Annotated[int, typer.Option(help="Images per pass.")] = 1,
    dtype: Annotated[str, one_of(*DTYPES)] = "float32",
    device: Device = None,
    table: Annotated[Path | None, optional("File of measured pieces; one per device in the cache.")] = None,
    as_json: Json = False,
) -> None:
    """Latency of a network, measured and, for those of the search spaces, predicted from measured pieces."""
    import torch

    from zenlib.search.latency import LatencyPredictor, measure_latency

    loaded = load_network(network)
    side = loaded.side(resolution)
    if dtype not in DTYPES:
        raise ValueError(f"dtype: needed float32, float16 or bfloat16, got {dtype!r}")
    batch_size = whole("batch_size", batch_size)
    predictor = LatencyPredictor(batch_size=batch_size, device=device, dtype=dtype, table=table)
    module, kind = loaded.network, getattr(torch, dtype)
    if not isinstance(module, Architecture):
        module.to(chosen(device), kind)
    with loaded.at(side):
        measured = measure_latency(module, side, batch_size=batch_size, device=device, dtype=kind)
    where = predictor.describe()["device"]
    found: dict[str, Any] = {"network": network, "resolution": side, "dtype": dtype, "device": where}
    found["measured"] = dataclasses.asdict(measured)
    title = f"{network} at {side} x {side}, batch {batch_size}, {dtype}, {where}"
    shown = Table("latency", "ms per image", title=title)
    median = f"{measured.milliseconds:.4f} +- {measured.spread:.4f}"
    shown.add_row(f"measured, median of {measured.repeats}", median)
    shown.add_row("measured, lower quartile", f"{measured.undisturbed:.4f}")
    if isinstance(module, Architecture):
        found |= {"predicted_milliseconds": predictor.predict(module, side), "pieces": predictor.path}
        shown.add_row("predicted", f"{found['predicted_milliseconds']:.4f}")
        print(f"measured pieces: {predictor.path}", file=sys.stderr)
    answer(found, shown, as_json)
