"""The twelve networks published with Zen-NAS, as data.

Source: Lin et al. 2021 (arXiv 2102.01063), Tables 8-18, and the structure files of the released code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from zenlib.networks.architecture import Architecture

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

_TABLE = """
zennet-0.5M SuperConvK3BNRELU(3,64,1,1)SuperResK1K5K1(64,168,1,16,3)SuperResK1K3K1(168,80,2,32,4)
    SuperResK1K5K1(80,112,2,16,3)SuperResK1K5K1(112,144,1,24,3)SuperResK1K3K1(144,32,2,40,1)
    SuperConvK1BNRELU(32,512,1,1)
zennet-1.0M SuperConvK3BNRELU(3,88,1,1)SuperResK1K7K1(88,120,1,16,1)SuperResK1K7K1(120,192,2,16,3)
    SuperResK1K5K1(192,224,1,24,4)SuperResK1K5K1(224,96,2,24,2)SuperResK1K3K1(96,168,2,40,3)
    SuperResK1K3K1(168,112,1,48,3)SuperConvK1BNRELU(112,512,1,1)
zennet-2.0M SuperConvK3BNRELU(3,32,1,1)SuperResK1K5K1(32,120,1,40,1)SuperResK1K5K1(120,176,2,32,3)
    SuperResK1K7K1(176,272,1,24,3)SuperResK1K3K1(272,176,1,56,3)SuperResK1K3K1(176,176,1,64,4)
    SuperResK1K5K1(176,216,2,40,2)SuperResK1K3K1(216,72,2,56,2)SuperConvK1BNRELU(72,512,1,1)
zennet-0.1ms SuperConvK3BNRELU(3,24,2,1)SuperResK3K3(24,32,2,64,1)SuperResK5K5(32,64,2,32,1)
    SuperResK5K5(64,168,2,96,1)SuperResK1K5K1(168,320,1,120,1)SuperResK1K5K1(320,640,2,304,3)
    SuperResK1K5K1(640,512,1,384,1)SuperConvK1BNRELU(512,2384,1,1)
zennet-0.2ms SuperConvK3BNRELU(3,24,2,1)SuperResK1K5K1(24,32,2,32,1)SuperResK1K7K1(32,104,2,64,1)
    SuperResK1K5K1(104,512,2,160,1)SuperResK1K5K1(512,344,1,192,1)SuperResK1K5K1(344,688,2,320,4)
    SuperResK1K5K1(688,680,1,304,3)SuperConvK1BNRELU(680,2552,1,1)
zennet-0.3ms SuperConvK3BNRELU(3,24,2,1)SuperResK1K5K1(24,64,2,32,1)SuperResK1K3K1(64,128,2,128,1)
    SuperResK1K7K1(128,432,2,128,1)SuperResK1K5K1(432,272,1,160,1)SuperResK1K5K1(272,848,2,384,4)
    SuperResK1K5K1(848,848,1,320,3)SuperResK1K5K1(848,456,1,320,3)SuperConvK1BNRELU(456,6704,1,1)
zennet-0.5ms SuperConvK3BNRELU(3,8,2,1)SuperResK1K7K1(8,64,2,32,1)SuperResK1K3K1(64,152,2,128,1)
    SuperResK1K5K1(152,640,2,192,4)SuperResK1K5K1(640,640,1,192,2)SuperResK1K5K1(640,1536,2,384,4)
    SuperResK1K5K1(1536,816,1,384,3)SuperResK1K5K1(816,816,1,384,3)SuperConvK1BNRELU(816,5304,1,1)
zennet-0.8ms SuperConvK3BNRELU(3,16,2,1)SuperResK1K5K1(16,64,2,64,1)SuperResK1K3K1(64,240,2,128,2)
    SuperResK1K7K1(240,640,2,160,3)SuperResK1K7K1(640,768,1,192,4)SuperResK1K5K1(768,1536,2,384,5)
    SuperResK1K5K1(1536,1536,1,384,3)SuperResK1K5K1(1536,2304,1,384,5)SuperConvK1BNRELU(2304,4912,1,1)
zennet-1.2ms SuperConvK3BNRELU(3,32,2,1)SuperResK1K5K1(32,80,2,32,1)SuperResK1K7K1(80,432,2,128,5)
    SuperResK1K7K1(432,640,2,192,3)SuperResK1K7K1(640,1008,1,160,5)SuperResK1K7K1(1008,976,1,160,4)
    SuperResK1K5K1(976,2304,2,384,5)SuperResK1K5K1(2304,2496,1,384,5)SuperConvK1BNRELU(2496,3072,1,1)
zennet-400M-SE SuperConvK3BNRELU(3,16,2,1)SuperResIDWE1K7(16,40,2,40,1)SuperResIDWE1K7(40,64,2,64,1)
    SuperResIDWE4K7(64,96,2,96,5)SuperResIDWE2K7(96,224,2,224,5)SuperConvK1BNRELU(224,2048,1,1)
zennet-600M-SE SuperConvK3BNRELU(3,24,2,1)SuperResIDWE1K7(24,48,2,48,1)SuperResIDWE2K7(48,72,2,72,1)
    SuperResIDWE6K7(72,96,2,88,5)SuperResIDWE4K7(96,192,2,168,5)SuperConvK1BNRELU(192,2048,1,1)
zennet-900M-SE SuperConvK3BNRELU(3,16,2,1)SuperResIDWE1K7(16,48,2,72,1)SuperResIDWE2K7(48,72,2,64,3)
    SuperResIDWE2K7(72,152,2,144,3)SuperResIDWE2K7(152,360,2,352,4)SuperResIDWE4K7(360,288,1,264,3)
    SuperConvK1BNRELU(288,2048,1,1)
"""
_STRUCTURES = dict(row.split(maxsplit=1) for row in re.split(r"\n(?=zennet)", _TABLE.strip()))
ZENNETS = tuple(_STRUCTURES)
"""Names of the published networks."""


def zennet_architecture(name: str) -> Architecture:
    """The structure of one of `ZENNETS`; the three FLOPs networks carry gates when trained."""
    if name not in ZENNETS:
        raise ValueError(f"name: needed one of {', '.join(ZENNETS)}, got {name!r}")
    return Architecture.from_string(_STRUCTURES[name], use_se=name.endswith("-SE"))


def zennet_resolution(name: str) -> int:
    """Side in pixels of the images a published network was searched for: 32 (CIFAR) or 224 (ImageNet)."""
    zennet_architecture(name)
    return 32 if name.endswith("M") else 224


def zennet(
    name: str,
    num_classes: int | None = None,
    checkpoint: str | Path | None = None,
    *,
    averaged: bool | None = None,
) -> nn.Module:
    """A published network in training mode, untrained or with the weights of a checkpoint file.

    Reads files of the released code and of `zenlib train`, as `zenlib.networks.weights.read_checkpoint` does.

    Args:
        name: one of `ZENNETS`.
        num_classes: width of the classifier; None means that of the checkpoint, without one 1000 for ImageNet
            networks and 100 for CIFAR networks.
        checkpoint: file of weights; all must be there and nothing else.
        averaged: whether to take the moving average of the weights; None means where the file has one.

    Raises:
        CheckpointError: the file is missing, truncated, or of another network; no code in it is ever run.
    """
    from zenlib.networks.module import build_network
    from zenlib.networks.weights import classes_in, load_weights, read_checkpoint

    architecture = zennet_architecture(name)
    if checkpoint is None:
        return build_network(architecture, num_classes or (100 if zennet_resolution(name) == 32 else 1000))
    weights, _ = read_checkpoint(checkpoint, averaged)
    network = build_network(architecture, num_classes or classes_in(weights))
    load_weights(network, architecture, weights)
    return network
