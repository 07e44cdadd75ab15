"""The command `zenlib export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zenlib.cli.answer import Json, answer
from zenlib.cli.options import Arch, Averaged, Gates, Positional, Resolution, load_trained, the_network
from zenlib.errors import extra, whole
from zenlib.networks.architecture import Architecture
from zenlib.networks.named import Named, load_network


def export(
    out: Annotated[Path, typer.Option(help="The ONNX file.")],
    network: Positional = None,
    arch: Arch = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File of weights; random ones without.", show_default=False)
    ] = None,
    gates: Gates = False,
    averaged: Averaged = None,
    num_classes: Annotated[
        int, typer.Option(help="Classes of a ZenNet or structure without a checkpoint.")
    ] = 1000,
    resolution: Resolution = None,
    as_json: Json = False,
) -> None:
    """Write a network as ONNX and check with onnxruntime that it gives the same logits."""
    from zenlib.networks.module import build_network
    from zenlib.networks.onnx import export_onnx

    name = the_network(network, arch)
    if checkpoint:
        named, training = load_trained(name, checkpoint, gates, averaged)
    else:
        named, training = load_network(name), {}
    if isinstance(named.network, Architecture):
        classes, gated = whole("num_classes", num_classes), named.network.use_se or gates
        named = Named(build_network(named.network, classes, gated), named.meant)
    side = named.side(resolution, training.get("resolution"))
    with extra("train"), named.at(side):
        difference = export_onnx(named.network, out, side)
    found = {
        "network": name,
        "file": out,
        "bytes": out.stat().st_size,
        "resolution": side,
        "largest_difference": difference,
    }
    answer(
        found,
        f"{out}: {found['bytes']:,} bytes; logits differ by at most {difference:.1e} of the largest",
        as_json,
    )
