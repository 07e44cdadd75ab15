"""Accuracy of a network on the test images of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from zenlib.errors import whole
from zenlib.networks.architecture import Architecture
from zenlib.train.augmentation import evaluation_transform
from zenlib.train.batches import Transformed, loader
from zenlib.train.datasets import data_set, load_data
from zenlib.train.devices import Devices, Precision
from zenlib.vanilla.capture import image_shape


@dataclass(frozen=True)
class Evaluation:
    """What a network reaches on so many images.

    `top1` is the percentage of images whose class has the highest logit, `top5` of those whose class is among
    the five highest, `loss` the mean cross entropy with the labels in nats.
    """

    top1: float
    top5: float
    loss: float
    images: int


def evaluate(
    network: nn.Module,
    data: str,
    *,
    root: Path | None = None,
    resolution: int | None = None,
    crop: float | None = None,
    batch_size: int = 100,
    workers: int = 0,
    device: str | torch.device | None = None,
    dtype: str = "float32",
    progress: bool = True,
) -> Evaluation:
    """Accuracy on the test images (for ImageNet the validation images), each scaled and cut to its middle.

    Args:
        network: maps images to logits; moved to the device and put into evaluation mode.
        data: name of the data set.
        root: its folder.
        resolution: side in pixels; None means that of the data set, 224 for ImageNet.
        crop: share of the shorter side that is looked at; None means all, 0.875 for ImageNet.
        batch_size: images per pass.
        workers: processes that load images; 0 for this one.
        device: where to run; None means CUDA if there is one.
        dtype: "float32", "bfloat16" or "float16" (autocast).
        progress: whether to show it on standard error.

    Raises:
        ValueError: the network has another number of classes than the data set, or a setting is out of range.
    """
    about = data_set(data)
    side = whole("resolution", (about.side or 224) if resolution is None else resolution)
    crop = (1.0 if about.side else 0.875) if crop is None else crop
    if not 0 < crop <= 1:
        raise ValueError(f"crop: needed more than 0 and at most 1, got {crop!r}")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    transform = evaluation_transform(side, crop, about, channels_of(network))
    images = Transformed(load_data(data, root, training=False), transform)
    return evaluate_images(
        network.to(where),
        images,
        about.classes,
        batch_size=whole("batch_size", batch_size),
        workers=whole("workers", workers, 0),
        devices=Devices(where),
        precision=Precision(where, dtype),
        progress=progress,
    )


def evaluate_images(
    network: nn.Module,
    images: Transformed,
    classes: int,
    *,
    batch_size: int,
    workers: int,
    devices: Devices,
    precision: Precision,
    progress: bool = False,
) -> Evaluation:
    """`evaluate` on tensors, shared between the processes; leaves the network in evaluation mode."""
    own = range(devices.rank, len(images), devices.count)
    batches = [own[start : start + batch_size] for start in range(0, len(own), batch_size)]
    totals = torch.zeros(4, dtype=torch.float64, device=devices.device)
    network.eval()
    loaded = loader(images, batches, workers, pinned=devices.device.type == "cuda")
    with (
        torch.inference_mode(),
        tqdm(total=len(own), unit=" images", desc="evaluation", disable=not progress) as bar,
    ):
        for inputs, labels in loaded:
            inputs, labels = precision.moved(inputs), labels.to(devices.device)
            with precision.autocast():
                logits = network(inputs)
            require_classes(logits, classes)
            totals += _counts(logits.float(), labels)
            bar.update(len(labels))
            if progress:
                bar.set_postfix_str(f"top-1 {100 * totals[0] / totals[3]:.2f} %", refresh=False)
    first, five, loss, count = devices.sum(totals)
    return Evaluation(float(100 * first / count), float(100 * five / count), float(loss / count), int(count))


def _counts(logits: Tensor, labels: Tensor) -> Tensor:
    """Images right at first, images right among five, sum of the loss, images."""
    ranked = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
    loss = functional.cross_entropy(logits, labels, reduction="sum")
    count = torch.tensor(len(labels), device=logits.device)
    return torch.stack([ranked[:, 0].sum(), ranked.sum(), loss, count]).double()


def require_classes(logits: Tensor, classes: int) -> None:
    """Refuses logits of another number of classes than a data set has."""
    if logits.shape[1] != classes:
        raise ValueError(
            f"network: needed {classes} classes, as the data set has, got {logits.shape[1]}; build it with "
            "as many, or choose weights that were trained on the data set"
        )


def channels_of(network: Architecture | nn.Module) -> int:
    """Channels of the images that a network takes."""
    if isinstance(network, Architecture):
        return network.in_channels
    channels, *sides = image_shape(network)
    if len(sides) != 2:
        raise ValueError(f"network: needed 2-d convolutions, as images have, got {len(sides)}-d ones")
    return channels
