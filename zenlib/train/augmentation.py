"""From an image to a tensor: random for training, fixed for evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import methodcaller
from typing import Any

import torch
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, InterpolationMode

from zenlib.train.datasets import DataSet
from zenlib.train.recipes import Recipe

_POLICIES = {"cifar10": AutoAugmentPolicy.CIFAR10, "imagenet": AutoAugmentPolicy.IMAGENET}


_VALUES = torch.tensor([0.2175, 0.0188, 0.0045])
_VECTORS = torch.tensor([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])


def lit(image: Tensor, std: float) -> Tensor:
    """An image (3, H, W) from 0 to 1 with colour noise along the principal components of ImageNet's pixels.

    Source: Krizhevsky et al. 2012, section 4.1.
    """
    return image + (_VECTORS @ (_VALUES * torch.randn(3) * std)).view(3, 1, 1)


def training_transform(recipe: Recipe, data: DataSet, channels: int = 3) -> Callable[[Any], Tensor]:
    """PIL image to a normalised tensor (channels, side, side), drawn from torch's global generator."""
    steps: list[Any] = [_coloured(channels), *_cropped(recipe, data)]
    if recipe.flip:
        steps.append(transforms.RandomHorizontalFlip(recipe.flip))
    if recipe.auto_augment:
        steps.append(AutoAugment(_POLICIES[recipe.auto_augment]))
    steps.append(transforms.ToTensor())
    if recipe.lighting:
        steps.append(partial(lit, std=recipe.lighting))
    steps.append(_normalised(data, channels))
    if recipe.random_erasing:
        steps.append(transforms.RandomErasing(recipe.random_erasing, value=0))
    return transforms.Compose(steps)


def evaluation_transform(
    resolution: int, crop: float, data: DataSet, channels: int = 3
) -> Callable[[Any], Tensor]:
    """PIL image to a normalised tensor (channels, resolution, resolution): scaled, then the middle.

    `crop` is the share of the shorter side that is kept; channels are 3, or 1 for grey.
    """
    scaled = _scaled(round(resolution / crop), resolution, data)
    return transforms.Compose(
        [_coloured(channels), *scaled, transforms.ToTensor(), _normalised(data, channels)]
    )


def _cropped(recipe: Recipe, data: DataSet) -> list[Any]:
    side = recipe.loaded_resolution
    if recipe.crop == "resized":
        return [transforms.RandomResizedCrop(side, interpolation=InterpolationMode.BICUBIC)]
    shifted = [transforms.RandomCrop(side, padding=recipe.padding)] if recipe.crop == "padded" else []
    return _scaled(side, side, data) + shifted


def _scaled(shorter: int, side: int, data: DataSet) -> list[Any]:
    """Scales the shorter side and cuts out the middle, where the images do not have the side already."""
    if shorter == side == data.side:
        return []
    return [transforms.Resize(shorter, InterpolationMode.BICUBIC), transforms.CenterCrop(side)]


def _coloured(channels: int) -> transforms.Lambda:
    if channels not in (1, 3):
        raise ValueError(f"channels: needed a network of 1 or 3 input channels, got {channels}")
    return transforms.Lambda(methodcaller("convert", "L" if channels == 1 else "RGB"))


def _normalised(data: DataSet, channels: int) -> transforms.Normalize:
    return transforms.Normalize(data.mean[:channels], data.std[:channels])
