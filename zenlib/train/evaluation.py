"""Accuracy of a network on the test images of a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from zenlib.errors import whole
from zenlib.machine import chosen
from zenlib.networks.architecture import Architecture
from zenlib.train.augmentation import evaluation_transform
from zenlib.train.batches import Transformed
from zenlib.train.datasets import data_set, load_data
from zenlib.train.devices import Devices
from zenlib.vanilla.capture import image_shape


@dataclass(frozen=True)
class Evaluation:
    """What a network reaches on so many images."""

    top1: float  # percentage of images whose class has the highest logit
    top5: float  # percentage of images whose class is among the five highest logits
    loss: float  # mean cross entropy with the labels in nats
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
    where = chosen(device)
    transform = evaluation_transform(side, crop, about, channels_of(network))
    images = Transformed(load_data(data, root, training=False), transform)
    batch_size, workers = whole("batch_size", batch_size), whole("workers", workers, 0)
    devices = Devices(where, dtype)
    return evaluate_images(network.to(where), images, about.classes, devices, batch_size, workers, progress)


def evaluate_images(
    network: nn.Module,
    images: Transformed,
    classes: int,
    devices: Devices,
    batch_size: int,
    workers: int = 0,
    progress: bool = False,
) -> Evaluation:
    """`evaluate` on tensors, shared between the processes; leaves the network in evaluation mode."""
    own = range(devices.rank, len(images), devices.count)
    batches = [own[start : start + batch_size] for start in range(0, len(own), batch_size)]
    # Images right at first, images right among five, sum of the loss, images.
    totals = torch.zeros(4, dtype=torch.float64, device=devices.device)
    network.eval()
    with (
        torch.inference_mode(),
        tqdm(total=len(own), unit=" images", desc="evaluation", disable=not progress) as bar,
    ):
        for inputs, labels in devices.loaded(images, batches, workers):
            with devices.autocast():
                logits = network(inputs).float()
            require_classes(logits, classes)
            ranked = logits.topk(min(5, classes)).indices == labels[:, None]
            loss = functional.cross_entropy(logits, labels, reduction="sum")
            count = torch.tensor(len(labels), device=devices.device)
            totals += torch.stack([ranked[:, 0].sum(), ranked.sum(), loss, count]).double()
            bar.update(len(labels))
    first, five, loss, count = devices.sum(totals).tolist()
    return Evaluation(100 * first / count, 100 * five / count, loss / count, int(count))


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
