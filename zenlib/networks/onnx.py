"""A trained network as an ONNX file that other programs run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from zenlib.errors import ExtraMissing
from zenlib.vanilla.capture import image_shape

OLDEST_TORCH = "2.7"
"""The exporter of torch 2.6 fails on BatchNorm."""
LARGEST_DIFFERENCE = 1e-3
"""Logits of the file and of the module may differ by this share of the largest logit."""


def export_onnx(network: nn.Module, path: Path, resolution: int) -> float:
    """Writes a network as ONNX, for any batch size, and tells how far its logits are from the module's.

    That is the largest difference as a share of the largest logit. The input of the file is named `images`,
    (N, C, side, side), its output `logits`. The module is left in evaluation mode on the CPU.

    Raises:
        ExtraMissing: torch is too old.
        ValueError: the file gives other logits than the module; it is deleted.
    """
    if torch.__version__ < OLDEST_TORCH:
        raise ExtraMissing(
            f"torch: needed {OLDEST_TORCH} or newer to export a network, got {torch.__version__}; "
            "pip install 'zenlib[train]'"
        )
    network = network.cpu().eval()
    shape = (2, *image_shape(network, resolution))
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        network(images)  # says in one sentence what the exporter would say in many
    pending = path.with_name(path.name + ".new")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network,
        (images,),
        str(pending),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    difference = _difference(network, pending, images)
    if difference > LARGEST_DIFFERENCE:
        pending.unlink()
        raise ValueError(
            f"{path}: needed the logits of the module, got others by {difference:.1e} of the largest; update "
            "onnxruntime or torch"
        )
    pending.replace(path)
    return difference


def _difference(network: nn.Module, path: Path, images: torch.Tensor) -> float:
    """Compared on one image and on two, since the batch size is free."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = []
    for batch in (images, images[:1]):
        wanted = network(batch).detach().numpy()
        got = session.run(["logits"], {"images": batch.numpy()})[0]
        found.append(float(np.abs(got - wanted).max() / np.abs(wanted).max()))
    return max(found)
