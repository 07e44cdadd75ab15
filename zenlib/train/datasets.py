"""The data sets that networks are trained on, and what to do where their files are missing.

Nothing is downloaded: a missing data set says which files belong where and which command fetches them.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zenlib.errors import DataMissing
from zenlib.machine import IMAGES, images_root

DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts its files."""
_IDX = {True: "train", False: "t10k"}
_DIGITS_TEST = 5
"""Every fifth of scikit-learn's digits is a test image; the data come without a split."""


@dataclass(frozen=True)
class DataSet:
    """A data set for classification.

    Attributes:
        classes: number of classes.
        side: side of its images in pixels; 0 where they differ.
        mean: mean of each colour channel, on a scale from 0 to 1.
        std: standard deviation of each colour channel.
        load: (folder or None, training) to a sequence of (PIL image, label).
        needs: which files belong where and how to fetch them, with {root} for the folder.
    """

    classes: int
    side: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    load: Callable[[Path | None, bool], Any]
    needs: str


class Images:
    """A sequence of (PIL image, label) over arrays in memory."""

    def __init__(self, pixels: np.ndarray, labels: np.ndarray) -> None:
        if len(pixels) != len(labels):
            raise ValueError(
                f"labels: needed one per image ({len(pixels):,}), got {len(labels):,}; one of the files is "
                "damaged: fetch them again"
            )
        self.pixels, self.labels = pixels, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self.pixels[index]), int(self.labels[index])


def load_data(name: str, root: Path | None, training: bool) -> Any:
    """The training or test images of a data set, as a sequence of (PIL image, label).

    Args:
        name: one of `DATASETS`.
        root: its folder; None for $ZENLIB_IMAGES (CIFAR, ImageNet), or where none is needed (Fashion-MNIST of
            Debian's package, digits).
        training: True for the training part, False for the test part (for ImageNet the validation part).

    Raises:
        DataMissing: naming the files that are needed and how to fetch them.
    """
    data = data_set(name)
    try:
        return data.load(root, training)
    except (OSError, RuntimeError) as error:
        folder = root or images_root()
        needs = data.needs.format(root=folder or "FOLDER")
        how = "" if folder else f"; say where with --root FOLDER or {IMAGES}=FOLDER"
        raise DataMissing(f"{name}: needed {needs}; got {_first_line(error)}{how}") from error


def data_set(name: str) -> DataSet:
    """A data set by name."""
    if name not in DATASETS:
        raise ValueError(f"data: needed one of {', '.join(DATASETS)}, got {name!r}")
    return DATASETS[name]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _require_root(root: Path | None) -> Path:
    if (folder := root or images_root()) is None:
        raise FileNotFoundError("no folder")
    return folder


def _cifar(kind: str) -> Callable[[Path | None, bool], Any]:
    def load(root: Path | None, training: bool) -> Images:
        import torchvision.datasets

        found = getattr(torchvision.datasets, kind)(str(_require_root(root)), train=training, download=False)
        return Images(found.data, np.asarray(found.targets))

    return load


def _image_folder(root: Path | None, training: bool) -> Any:
    from torchvision.datasets import ImageFolder

    folder = _require_root(root) / ("train" if training else "val")
    found = ImageFolder(str(folder))
    if len(found.classes) != DATASETS["imagenet"].classes:
        raise FileNotFoundError(f"{len(found.classes)} folders of classes in {folder}")
    return found


def _fashion_mnist(root: Path | None, training: bool) -> Images:
    folder = next(
        (
            place
            for place in _fashion_mnist_folders(root)
            if (place / _idx_name("images", training)).is_file()
        ),
        None,
    )
    if folder is None:
        raise FileNotFoundError(f"none in {' or '.join(map(str, _fashion_mnist_folders(root)))}")
    return Images(_idx(folder / _idx_name("images", training)), _idx(folder / _idx_name("labels", training)))


def _fashion_mnist_folders(root: Path | None) -> list[Path]:
    """The folder itself, where torchvision puts the files in it, or where Debian's package does."""
    return [root, root / "FashionMNIST" / "raw"] if root else [DEBIAN_FASHION_MNIST]


def _idx_name(kind: str, training: bool) -> str:
    return f"{_IDX[training]}-{kind}-idx{3 if kind == 'images' else 1}-ubyte.gz"


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
    chosen = (np.arange(len(digits.target)) % _DIGITS_TEST != _DIGITS_TEST - 1) == training
    return Images((digits.images[chosen] * (255 / 16)).astype(np.uint8), digits.target[chosen])


_IMAGENET_COLOURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_FETCH = "python -c \"import torchvision; torchvision.datasets.{kind}('{{root}}', download=True)\""

DATASETS: dict[str, DataSet] = {
    "cifar10": DataSet(
        10,
        32,
        (0.4914, 0.4822, 0.4465),
        (0.2470, 0.2435, 0.2616),
        _cifar("CIFAR10"),
        "the folder cifar-10-batches-py in {root}, which this fetches (170 MB): "
        + _FETCH.format(kind="CIFAR10"),
    ),
    "cifar100": DataSet(
        100,
        32,
        (0.5071, 0.4865, 0.4409),
        (0.2673, 0.2564, 0.2762),
        _cifar("CIFAR100"),
        "the folder cifar-100-python in {root}, which this fetches (170 MB): "
        + _FETCH.format(kind="CIFAR100"),
    ),
    "imagenet": DataSet(
        1000,
        0,
        *_IMAGENET_COLOURS,
        _image_folder,
        "1,000 folders of JPEG files, one per class, in {root}/train and in {root}/val (ILSVRC 2012, 150 GB, "
        "from https://image-net.org "
        "after registration; torchvision.datasets.ImageNet sorts the two archives into such folders)",
    ),
    "fashion-mnist": DataSet(
        10,
        28,
        (0.2860,) * 3,
        (0.3530,) * 3,
        _fashion_mnist,
        "the four files train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz "
        "and t10k-labels-idx1-ubyte.gz in {root} "
        "(apt-get install dataset-fashion-mnist, and no --root; or "
        + _FETCH.format(kind="FashionMNIST")
        + ")",
    ),
    "digits": DataSet(
        10,
        8,
        (0.3050,) * 3,
        (0.3764,) * 3,
        _digits,
        "scikit-learn, which brings the images along (pip install scikit-learn)",
    ),
}
"""Data sets by name."""
