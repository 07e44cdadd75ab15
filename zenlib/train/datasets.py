"""The data sets that networks are trained on, and what to do where their files are missing.

Nothing is downloaded: a missing data set says which files belong where and which command fetches them.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zenlib.errors import DataMissing
from zenlib.machine import IMAGES, images_root

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts its files."""


@dataclass(frozen=True)
class DataSet:
    """A data set for classification, whose images are loaded as a sequence of (PIL image, label)."""

    classes: int  # number of classes
    side: int  # side of its images in pixels; 0 where they differ
    mean: tuple[float, float, float]  # mean of each colour channel, on a scale from 0 to 1
    std: tuple[float, float, float]  # standard deviation of each colour channel
    load: Callable[[Path | None, bool], Any]  # the images, from (folder or None, training)


class Images:
    """A sequence of (PIL image, label) over arrays in memory."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        if len(pixels) != len(labels):
            raise ValueError(
                f"labels: needed one per image ({len(pixels):,}), got {len(labels):,}; fetch the files again"
            )
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.pixels[index]), int(self.labels[index])


def load_data(name: str, root: Path | None, training: bool) -> Any:
    """The training or test images (of ImageNet those for validation), a sequence of (PIL image, label).

    Without a root they are looked for in $ZENLIB_IMAGES (CIFAR, ImageNet) or where Debian's package puts them
    (Fashion-MNIST). A DataMissing names the files that are needed and how to fetch them.
    """
    load = data_set(name).load
    try:
        return load(root, training)
    except (OSError, RuntimeError) as error:
        folder = root or images_root()
        needs = _NEEDS[name].format(root=folder or "FOLDER")
        how = "" if folder else f"; say where with --root FOLDER or {IMAGES}=FOLDER"
        raise DataMissing(f"{name}: needed {needs}; got {first_line(error)}{how}") from error


def first_line(error: Exception) -> str:
    """What an error says, in short."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def data_set(name: str) -> DataSet:
    """A data set by name."""
    if name not in DATASETS:
        raise ValueError(f"data: needed one of {', '.join(DATASETS)}, got {name!r}")
    return DATASETS[name]


def _require_root(root: Path | None) -> Path:
    if (folder := root or images_root()) is None:
        raise FileNotFoundError("no folder")
    return folder


def _cifar(kind: str, root: Path | None, training: bool) -> Any:
    import torchvision.datasets

    return getattr(torchvision.datasets, kind)(_require_root(root), train=training)


def _image_folder(root: Path | None, training: bool) -> Any:
    from torchvision.datasets import ImageFolder

    folder = _require_root(root) / ("train" if training else "val")
    found = ImageFolder(str(folder))
    if len(found.classes) != DATASETS["imagenet"].classes:
        raise FileNotFoundError(f"{len(found.classes)} folders of classes in {folder}")
    return found


def _fashion_mnist(root: Path | None, training: bool) -> Images:
    """From the folder itself, from where torchvision puts the files in it, or where Debian's package does."""
    folders = [root, root / "FashionMNIST" / "raw"] if root else [DEBIAN_FASHION_MNIST]
    part = "train" if training else "t10k"
    for folder in folders:
        if (images := folder / f"{part}-images-idx3-ubyte.gz").is_file():
            return Images(_idx(images), _idx(folder / f"{part}-labels-idx1-ubyte.gz"))
    raise FileNotFoundError(f"none in {' or '.join(map(str, folders))}")


def _idx(path: Path) -> np.ndarray:
    """An array of bytes in IDX format: four bytes, the last the number of axes; their lengths; values."""
    try:
        with gzip.open(path) as file:
            content = file.read()
    except EOFError as error:
        raise OSError(f"{path}, which is truncated") from error
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def _digits(root: Path | None, training: bool) -> Images:
    from sklearn.datasets import load_digits

    digits = load_digits()
    chosen = (np.arange(len(digits.target)) % 5 != 4) == training  # they come without a split
    return Images((digits.images[chosen] * (255 / 16)).astype(np.uint8), digits.target[chosen])


DATASETS: dict[str, DataSet] = {
    "cifar10": DataSet(
        10, 32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), partial(_cifar, "CIFAR10")
    ),
    "cifar100": DataSet(
        100, 32, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), partial(_cifar, "CIFAR100")
    ),
    "imagenet": DataSet(1000, 0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), _image_folder),
    "fashion-mnist": DataSet(10, 28, (0.2860,) * 3, (0.3530,) * 3, _fashion_mnist),
    "digits": DataSet(10, 8, (0.3050,) * 3, (0.3764,) * 3, _digits),
}
"""Data sets by name."""
_FETCH = "python -c \"import torchvision; torchvision.datasets.%s('{root}', download=True)\""
_NEEDS = {
    "cifar10": "the folder cifar-10-batches-py in {root}, which this fetches (170 MB): " + _FETCH % "CIFAR10",
    "cifar100": "the folder cifar-100-python in {root}, which this fetches (170 MB): " + _FETCH % "CIFAR100",
    "imagenet": "1,000 folders of JPEG files, one per class, in {root}/train and in {root}/val (ILSVRC 2012, "
    "150 GB, from https://image-net.org after registration; torchvision.datasets.ImageNet sorts the two "
    "archives into such folders)",
    "fashion-mnist": "the four files train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, "
    "t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz in {root} (apt-get install "
    f"dataset-fashion-mnist, and no --root; or {_FETCH % 'FashionMNIST'})",
    "digits": "scikit-learn, which brings the images along (pip install scikit-learn)",
}
"""Which files belong where, and how to fetch them."""
