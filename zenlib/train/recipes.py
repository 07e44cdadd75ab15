"""Training recipes, the paper's and small ones for a CPU: the start, the optimiser and the learning rate.

Source: Lin et al. 2021 (arXiv 2102.01063), section 4 and the training flags of the released code.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_type_hints

import torch
from torch import nn

from zenlib.networks.module import ResidualUnit
from zenlib.train.batches import seed_of

PER_IMAGES = 256
"""The learning rate of a recipe is for steps of so many images and scales with the real number."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: by SGD with momentum, whose learning rate falls to 0 on half a cosine."""

    epochs: int  # passes over the training images
    batch_size: int  # images per step, over all devices and accumulated parts
    resolution: int  # side of the network's images in pixels
    learning_rate: float = 0.1  # highest rate, for steps of `PER_IMAGES` images
    warmup_epochs: float = 5  # epochs over which the rate rises linearly from 0
    momentum: float = 0.9  # of SGD
    nesterov: bool = True  # whether the momentum looks ahead
    weight_decay: float = 5e-4  # of kernels and matrices; biases and BatchNorms have none
    label_smoothing: float = 0.1  # share of the target spread over all classes, 0 to 1
    mixup: float = 0.0  # alpha of Beta(alpha, alpha) for the weight of a mixed pair; 0 for none
    crop: str = "none"  # "none", "padded" (shifts by up to `padding`), "resized" (a part, 8 to 100 %)
    padding: int = 0  # pixels of zeros around a "padded" image
    flip: float = 0.5  # probability of mirroring
    auto_augment: str = ""  # AutoAugment policy, "cifar10", "imagenet" or "" for none
    lighting: float = 0.0  # standard deviation of the noise along the principal colours of ImageNet
    random_erasing: float = 0.0  # probability of blanking a rectangle
    bn_momentum: float = 0.01  # share of a batch in BatchNorm's running statistics
    init_gain: float = 3.26  # gain of the Xavier normal initialisation
    zero_last_norm: bool = True  # whether a residual unit starts as its shortcut, its last BatchNorm at 0
    averaging: float = 0.0  # decay of the moving average of the weights per step; 0 for none
    evaluation_crop: float = 1.0  # share of the shorter side that the evaluation looks at
    teacher: str = ""  # name of a timm model to learn from; empty for none
    teacher_resolution: int = 0  # side of the teacher's images in pixels
    logit_weight: float = 1.0  # weight of the cross entropy with the teacher's probabilities
    feature_weight: float = 1.0  # weight of the smooth L1 distance of feature maps

    def __post_init__(self) -> None:
        shares = ("label_smoothing", "flip", "random_erasing", "averaging", "bn_momentum")
        policies = ("", "cifar10", "imagenet")
        warms = 0 <= self.warmup_epochs < self.epochs
        taught = (self.teacher_resolution > 0) == bool(self.teacher)
        for name, fine, needed in (
            ("epochs", self.epochs >= 1, "at least 1"),
            ("batch_size", self.batch_size >= 2, "at least 2, for BatchNorm"),
            ("resolution", self.resolution >= 1, "at least 1"),
            ("learning_rate", self.learning_rate > 0, "a positive number"),
            ("warmup_epochs", warms, f"0 to less than epochs ({self.epochs})"),
            ("crop", self.crop in ("none", "padded", "resized"), "one of none, padded, resized"),
            ("auto_augment", self.auto_augment in policies, "cifar10, imagenet or nothing"),
            ("teacher_resolution", taught, "a side with a teacher, else 0"),
            ("evaluation_crop", 0 < self.evaluation_crop <= 1, "more than 0 and at most 1"),
            *((name, 0 <= getattr(self, name) <= 1, "0 to 1") for name in shares),
        ):
            if not fine:
                raise ValueError(f"{name}: needed {needed}, got {getattr(self, name)!r}")

    @property
    def loaded_resolution(self) -> int:
        """Side of the images that are loaded: the teacher's, to be scaled down, else the network's."""
        return self.teacher_resolution or self.resolution


_IMAGENET = Recipe(
    epochs=480,
    batch_size=1024,
    resolution=224,
    weight_decay=4e-5,
    mixup=0.2,
    crop="resized",
    auto_augment="imagenet",
    lighting=0.1,
    random_erasing=0.5,
    evaluation_crop=0.875,
)

RECIPES: dict[str, Recipe] = {
    "cifar": Recipe(
        epochs=1440,
        batch_size=64,
        resolution=32,
        mixup=0.2,
        crop="padded",
        padding=4,
        auto_augment="cifar10",
        random_erasing=0.5,
    ),
    "imagenet": dataclasses.replace(
        _IMAGENET, teacher="tf_efficientnet_b3.ns_jft_in1k", teacher_resolution=320
    ),
    # Without the teacher: what the architecture and the augmentation reach alone.
    "imagenet-plain": _IMAGENET,
    # For one core and an hour: few epochs need little augmentation and larger steps.
    "fashion-mnist": Recipe(
        epochs=30,
        batch_size=128,
        resolution=28,
        learning_rate=0.2,
        warmup_epochs=2,
        crop="padded",
        padding=2,
        bn_momentum=0.1,
        init_gain=1.414,
        averaging=0.998,
    ),
    "digits": Recipe(epochs=20, batch_size=64, resolution=16, warmup_epochs=2, flip=0.0, bn_momentum=0.1),
}
"""Recipes by name.

"cifar" and "imagenet" are the paper's; digits are not mirrored, because a mirrored digit is none.
"""


def changed(recipe: Recipe, changes: Iterable[str]) -> Recipe:
    """A recipe with some attributes replaced, each written as "name=value"."""
    types = get_type_hints(Recipe)
    values: dict[str, Any] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or name not in types:
            raise ValueError(f"recipe: needed name=value with one of {', '.join(types)}; got {change!r}")
        kind = types[name]
        try:
            values[name] = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
        except (KeyError, ValueError):
            needed = {bool: "true or false", int: "a whole number"}.get(kind, "a number")
            raise ValueError(f"{name}: needed {needed}, got {text!r}") from None
    return dataclasses.replace(recipe, **values)


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Linear from 0 to the recipe's rate over the warm-up, then half a cosine to 0 (Loshchilov, Hutter 2017).

    Steps count from 0, the training's start; the rate scales with batch_size / 256 (Goyal et al. 2017).
    """
    highest = recipe.learning_rate * recipe.batch_size / PER_IMAGES
    warmup = recipe.warmup_epochs * steps_per_epoch
    if step < warmup:
        return highest * (step + 1) / warmup
    done = (step - warmup) / (recipe.epochs * steps_per_epoch - warmup)
    return highest / 2 * (1 + math.cos(math.pi * done))


def initialise(network: nn.Module, recipe: Recipe, seed: int) -> None:
    """Draws the weights of convolutions and linear layers from the seed alone; sets BatchNorms up, in place.

    A weight has variance gain^2 * 2 / (fan in + fan out) (Glorot, Bengio 2010). The paper's gain, 3.26, is
    far larger than usual: BatchNorm takes it out of the signal, so it lowers the effective learning rate.
    """
    generator = torch.Generator().manual_seed(seed_of(seed))
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight, recipe.init_gain, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
            module.momentum = recipe.bn_momentum
    for unit in network.modules():
        if isinstance(unit, ResidualUnit) and recipe.zero_last_norm:
            norms = [layer for layer in unit.path.modules() if isinstance(layer, nn.BatchNorm2d)]
            nn.init.zeros_(norms[-1].weight)


def optimiser_of(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD, in which kernels and matrices alone decay."""
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(
        groups,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )
