"""Learning from a teacher: its probabilities, and its feature maps at 1/16 and 1/32 of the image.

    loss = cross entropy with the labels
           + logit_weight   * cross entropy with the teacher's probabilities
           + feature_weight * mean over the maps of smooth L1(projection of the network's map, teacher's map)

A projection is a 1x1 convolution to the teacher's width, trained along and thrown away. The teacher sees its
own resolution; that its maps are averaged down to the size of the network's is our choice.

Source: Lin et al. 2021 (arXiv 2102.01063), section 4; Hinton et al. 2015 (logits); Romero et al. 2015
(features).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from zenlib.networks.architecture import Architecture
from zenlib.networks.module import Network
from zenlib.train.datasets import DataSet, first_line
from zenlib.train.recipes import Recipe

REDUCTIONS = (16, 32)
"""By how much the compared feature maps are smaller than the image."""


class Teacher:
    """A trained timm model that is only looked at; `widths` are the channels of its compared maps."""

    def __init__(self, model: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        reductions = [info["reduction"] for info in model.feature_info]
        if not set(REDUCTIONS) <= set(reductions):
            raise ValueError(
                f"teacher: needed feature maps at 1/16 and 1/32 of the image, got 1/{reductions}"
            )
        self.indices = [reductions.index(reduction) for reduction in REDUCTIONS]
        self.widths: list[int] = [model.feature_info[index]["num_chs"] for index in self.indices]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, 3, H, W) to logits (N, K) and maps at 1/16 and 1/32."""
        last, maps = self.model.forward_intermediates(images, self.indices)
        return self.model.forward_head(last), maps


class Student(nn.Module):
    """A network that also gives its projected feature maps."""

    def __init__(self, network: Network, architecture: Architecture, widths: list[int]) -> None:
        super().__init__()
        self.network = network
        self.taps = taps(architecture)
        own = [architecture.units[tap].convs[-1].out_channels for tap in self.taps]
        self.projections = nn.ModuleList(
            nn.Conv2d(width_in, width_out, 1) for width_in, width_out in zip(own, widths, strict=True)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(N, 3, H, W) to logits (N, K) and maps of the teacher's widths."""
        maps, features = [], images
        for unit in self.network.features:
            maps.append(features := unit(features))
        logits = self.network.classifier(self.network.pool(features).flatten(1))
        return logits, [project(maps[tap]) for tap, project in zip(self.taps, self.projections, strict=True)]


def taps(architecture: Architecture) -> list[int]:
    """The last residual unit at 1/16 and at 1/32 of the image, to which the strides must lead."""
    reduction, found = 1, {}
    for position, unit in enumerate(architecture.units):
        reduction *= math.prod(conv.stride for conv in unit.convs)
        if unit.residual:
            found[reduction] = position
    if any(wanted not in found for wanted in REDUCTIONS):
        raise ValueError(
            f"architecture: needed residual units at 1/16 and 1/32 of the image, got 1/{[*found]}; use a "
            "recipe without a teacher"
        )
    return [found[wanted] for wanted in REDUCTIONS]


def load_teacher(recipe: Recipe, data: DataSet, checkpoint: Path | None = None) -> Teacher:
    """The teacher of a recipe, from timm, with the weights of a file, or of timm for None."""
    import timm

    if not timm.is_model(recipe.teacher.partition(".")[0]):
        raise ValueError(
            f"teacher: needed the name of a timm model (timm.list_models()), got {recipe.teacher}"
        )
    try:
        model: Any = timm.create_model(
            recipe.teacher, pretrained=checkpoint is None, checkpoint_path=str(checkpoint or "")
        )
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"teacher: needed the weights of {recipe.teacher}, got {first_line(error)}; go online, or fetch "
            "the file elsewhere and name it (--teacher-checkpoint), or use a recipe without a teacher"
        ) from error
    if model.num_classes != data.classes or tuple(model.pretrained_cfg["mean"]) != data.mean:
        raise ValueError(
            f"teacher: needed one for {data.classes} classes of images with mean {data.mean}, got "
            f"{recipe.teacher}, trained for others"
        )
    return Teacher(model)


def distillation_loss(
    recipe: Recipe, student: tuple[Tensor, list[Tensor]], teacher: tuple[Tensor, list[Tensor]]
) -> Tensor:
    """What a step adds to the cross entropy with the labels, from the logits and maps of both networks."""
    (logits, maps), (wanted, targets) = student, teacher
    soft = functional.cross_entropy(logits, wanted.softmax(1))
    distances = [
        functional.smooth_l1_loss(own, functional.adaptive_avg_pool2d(target, (own.shape[2], own.shape[3])))
        for own, target in zip(maps, targets, strict=True)
    ]
    return recipe.logit_weight * soft + recipe.feature_weight * torch.stack(distances).mean()
