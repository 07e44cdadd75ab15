"""The paper's random baseline: networks of random widths and depths, narrowed until they fit the budget.

Source: Lin et al. 2021 (arXiv 2102.01063), section 4: layer widths in [4, 512], stage depths in [1, 10], all
widths multiplied by 0.75 until the network has at most the allowed parameters. Differs: widths are multiples
of 8, as in the published networks, and the wiring is stated below, since the paper does not give it; a limit
on the depth can be set, as in the paper's searches.
"""

from __future__ import annotations

import random

from zenlib.networks.architecture import Architecture, Block, round_to_8

STAGES = 3
KERNELS = (3, 5, 7)
WIDTHS = (4, 512)
DEPTHS = (1, 10)
SHRINK = 0.75


def random_network(
    rng: random.Random, *, max_params: int, max_depth: int | None = None, num_classes: int = 100
) -> Architecture:
    """One random network for 32 x 32 images.

    A 3x3 stem, three stages of residual or bottleneck blocks with stride 2, and a 1x1 head. Each stage draws
    its kind, kernel, width and depth uniformly; a bottleneck is a quarter of the width.

    Args:
        rng: the source of randomness.
        max_params: parameters of the trainable network, classifier included, that must not be exceeded.
        max_depth: largest `Architecture.depth`; deeper draws are thrown away. None for no limit.
        num_classes: width of the classifier.

    Raises:
        ValueError: no network of this shape can meet the budget.
    """
    least = 2 + STAGES
    if max_depth is not None and max_depth < least:
        raise ValueError(f"max_depth: needed at least {least} (stem, {STAGES} stages, head), got {max_depth}")
    while True:
        stages = [
            (rng.choice(("residual", "bottleneck")), rng.choice(KERNELS), rng.randint(*DEPTHS))
            for _ in range(STAGES)
        ]
        widths = [float(rng.randint(*WIDTHS)) for _ in range(STAGES + 2)]
        if max_depth is None or 2 + sum(layers for *_, layers in stages) <= max_depth:
            return _narrowed(stages, widths, max_params, num_classes)


def _narrowed(
    stages: list[tuple[str, int, int]], widths: list[float], max_params: int, num_classes: int
) -> Architecture:
    while True:
        network = _network(stages, [round_to_8(width) for width in widths])
        if network.params(num_classes) <= max_params:
            return network
        if max(widths) < 4:
            raise ValueError(
                f"max_params: needed at least {network.params(num_classes):,} for the narrowest network of "
                f"depth {network.depth}, got {max_params:,}"
            )
        widths = [width * SHRINK for width in widths]


def _network(stages: list[tuple[str, int, int]], widths: list[int]) -> Architecture:
    stem, *inner, head = widths
    blocks = [Block("conv", 3, 3, stem)]
    for (kind, kernel, layers), width in zip(stages, inner, strict=True):
        bottleneck = width if kind == "residual" else round_to_8(width / 4)
        blocks.append(Block(kind, kernel, blocks[-1].out_channels, width, 2, layers, bottleneck))
    return Architecture((*blocks, Block("conv", 1, blocks[-1].out_channels, head)))
