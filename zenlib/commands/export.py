"""The command `zenlib export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zenlib.commands.options import Arch, Averaged, Gates, Side, extra, load_architecture, load_trained
from zenlib.zennets import ZENNETS, zennet_resolution


def export(
    arch: Arch,
    out: Annotated[Path, typer.Option(help="The ONNX file.")],
    checkpoint: Annotated[Path | None, typer.Option(help="File of weights; random ones without.", show_default=False)] = None,
    gates: Gates = False,
    averaged: Averaged = None,
    num_classes: Annotated[int, typer.Option(help="Classes of a network without a checkpoint.")] = 1000,
    resolution: Side = None,
) -> None:
    """Write a network as ONNX and check with onnxruntime that it gives the same logits."""
    from zenlib.network import build_network
    from zenlib.onnx import export_onnx

    network = load_trained(arch, checkpoint, gates, averaged) if checkpoint else build_network(load_architecture(arch, gates), num_classes)
    with extra("train"):
        difference = export_onnx(network, out, resolution or (zennet_resolution(arch) if arch in ZENNETS else 224))
    print(f"{out}: {out.stat().st_size:,} bytes; logits differ by at most {difference:.1e} of the largest")
