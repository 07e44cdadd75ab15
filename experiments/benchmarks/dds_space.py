"""ResNets, ResNeXts, RegNets and EfficientNets of "designing network design spaces", trained by one recipe.

torchvision has the modules; the RegNets are given here by the five numbers that generate them, since
torchvision ships only some of the sizes.

Source: Radosavovic et al. 2020 (arXiv 2003.13678), Table 8 and appendix D, and the model zoo of pycls.
"""

from __future__ import annotations

import numpy as np
from torch import nn

REGNETS: dict[str, tuple[int, int, float, float, int]] = {
    "RegNetX-200MF": (13, 24, 36.44, 2.49, 8),
    "RegNetX-400MF": (22, 24, 24.48, 2.54, 16),
    "RegNetX-600MF": (16, 48, 36.97, 2.24, 24),
    "RegNetX-800MF": (16, 56, 35.73, 2.28, 16),
    "RegNetX-1.6GF": (18, 80, 34.01, 2.25, 24),
    "RegNetX-3.2GF": (25, 88, 26.31, 2.25, 48),
    "RegNetX-4.0GF": (23, 96, 38.65, 2.43, 40),
    "RegNetX-6.4GF": (17, 184, 60.83, 2.07, 56),
    "RegNetX-8.0GF": (23, 80, 49.56, 2.88, 120),
    "RegNetX-12GF": (19, 168, 73.36, 2.37, 112),
    "RegNetX-16GF": (22, 216, 55.59, 2.1, 128),
    "RegNetX-32GF": (23, 320, 69.86, 2.0, 168),
    "RegNetY-200MF": (13, 24, 36.44, 2.49, 8),
    "RegNetY-400MF": (16, 48, 27.89, 2.09, 8),
    "RegNetY-600MF": (15, 48, 32.54, 2.32, 16),
    "RegNetY-800MF": (14, 56, 38.84, 2.4, 16),
    "RegNetY-1.6GF": (27, 48, 20.71, 2.65, 24),
    "RegNetY-3.2GF": (21, 80, 42.63, 2.66, 24),
    "RegNetY-4.0GF": (22, 96, 31.41, 2.24, 64),
    "RegNetY-6.4GF": (25, 112, 33.22, 2.27, 72),
    "RegNetY-8.0GF": (17, 192, 76.82, 2.19, 56),
    "RegNetY-12GF": (19, 168, 73.36, 2.37, 112),
    "RegNetY-16GF": (18, 200, 106.23, 2.48, 112),
    "RegNetY-32GF": (20, 232, 115.89, 2.53, 232),
}
"""Depth, initial width, slope, width multiplier and group width; RegNetY adds gates."""

RESNETS: dict[str, tuple[list[int], int, int]] = {
    "ResNet-50": ([3, 4, 6, 3], 1, 64),
    "ResNet-101": ([3, 4, 23, 3], 1, 64),
    "ResNet-152": ([3, 8, 36, 3], 1, 64),
    "ResNeXt-50": ([3, 4, 6, 3], 32, 4),
    "ResNeXt-101": ([3, 4, 23, 3], 32, 4),
    "ResNeXt-152": ([3, 8, 36, 3], 32, 4),
}
"""Bottlenecks per stage, groups, channels per group."""

EFFICIENTNETS = tuple(f"EfficientNet-B{size}" for size in range(6))
MODELS = (*REGNETS, *RESNETS, *EFFICIENTNETS)


def regnet_stages(
    depth: int, initial: int, slope: float, multiplier: float, group: int
) -> tuple[list[int], list[int], list[int]]:
    """Blocks, width and group width of each stage of a RegNet.

    Block j has the width `initial + slope * j`, moved to the nearest `initial * multiplier^n`, then to a
    multiple of 8 and of its group width; blocks of one width are a stage. Halves are rounded to even, as in
    pycls; torchvision rounds them up, so that five of its RegNets are a little wider.
    """
    linear = initial + slope * np.arange(depth)
    steps = np.round(np.log(linear / initial) / np.log(multiplier))
    widths, depths = np.unique(
        (np.round(initial * multiplier**steps / 8) * 8).astype(int), return_counts=True
    )
    groups = np.minimum(group, widths)
    return depths.tolist(), (np.round(widths / groups) * groups).astype(int).tolist(), groups.tolist()


def build(model: str) -> nn.Module:
    """An untrained ImageNet classifier.

    Raises:
        ValueError: the name is not in `MODELS`.
    """
    from torchvision import models

    if model in RESNETS:
        blocks, cardinality, width = RESNETS[model]
        return models.ResNet(models.resnet.Bottleneck, blocks, groups=cardinality, width_per_group=width)
    if model in REGNETS:
        depths, widths, groups = regnet_stages(*REGNETS[model])
        gates = 0.25 if model.startswith("RegNetY") else None
        stages = len(depths)
        return models.RegNet(
            models.regnet.BlockParams(depths, widths, groups, [1.0] * stages, [2] * stages, gates)
        )
    if model in EFFICIENTNETS:
        return models.get_model(model.lower().replace("-", "_"), weights=None)
    raise ValueError(f"model: needed one of {', '.join(MODELS)}, got {model!r}")
