"""From an image to a tensor: random for training, fixed for evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import AutoAugmentPolicy, InterpolationMode

from zenlib.train.datasets import DataSet
from zenlib.train.recipes import Recipe

_VALUES = torch.tensor([0.2175, 0.0188, 0.0045])
_VECTORS = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def lit(image: Tensor, std: float) -> Tensor:
    """An image (3, H, W) from 0 to 1 with colour noise along the principal components of ImageNet's pixels.

    Source: Krizhevsky et al. 2012, section 4.1.
    """
    return image + (_VECTORS @ (_VALUES * torch.randn(3) * std)).view(3, 1, 1)


def training_transform(recipe: Recipe, data: DataSet, channels: int = 3) -> Callable[[Any], Tensor]:
    """PIL image to a normalised tensor (channels, side, side), drawn from torch's global generator."""
    side = recipe.loaded_resolution
    steps: list[Any] = _scaled(side, side, data)
    if recipe.crop == "resized":
        steps = [transforms.RandomResizedCrop(side, interpolation=InterpolationMode.BICUBIC)]
    elif recipe.crop == "padded":
        steps.append(transforms.RandomCrop(side, padding=recipe.padding))
    if recipe.flip:
        steps.append(transforms.RandomHorizontalFlip(recipe.flip))
    if recipe.auto_augment:
        steps.append(transforms.AutoAugment(AutoAugmentPolicy(recipe.auto_augment)))
    light = [partial(lit, std=recipe.lighting)] if recipe.lighting else []
    erased = [transforms.RandomErasing(recipe.random_erasing, value=0)] if recipe.random_erasing else []
    return transforms.Compose([*_tensor(steps, light, data, channels), *erased])


def evaluation_transform(
    resolution: int, crop: float, data: DataSet, channels: int = 3
) -> Callable[[Any], Tensor]:
    """PIL image to a normalised tensor (channels, resolution, resolution): scaled, then the middle.

    `crop` is the share of the shorter side that is kept; channels are 3, or 1 for grey.
    """
    return transforms.Compose(
        _tensor(_scaled(round(resolution / crop), resolution, data), [], data, channels)
    )


def _tensor(image: list[Any], tensor: list[Any], data: DataSet, channels: int) -> list[Any]:
    """Steps on the image, then on its tensor, which is normalised."""
    if channels not in (1, 3):
        raise ValueError(f"channels: needed a network of 1 or 3 input channels, got {channels}")
    coloured = transforms.Lambda(methodcaller("convert", "L" if channels == 1 else "RGB"))
    normalised = transforms.Normalize(data.mean[:channels], data.std[:channels])
    return [coloured, *image, transforms.ToTensor(), *tensor, normalised]


def _scaled(shorter: int, side: int, data: DataSet) -> list[Any]:
    """Scales the shorter side and cuts out the middle, where the images do not have the side already."""
    if shorter == side == data.side:
        return []
    return [transforms.Resize(shorter, InterpolationMode.BICUBIC), transforms.CenterCrop(side)]
