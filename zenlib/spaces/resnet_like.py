"""The paper's search space I: residual and bottleneck blocks, kernels 3, 5 and 7.

Source: Lin et al. 2021, section 4. The released rule draws the kernels of a family with weights 3, 2, 1.
"""

from __future__ import annotations

from zenlib.spaces.space import BlockType, Space

RESNET_LIKE = Space(
    name="resnet-like",
    types=tuple(BlockType(kind, kernel) for kind in ("residual", "bottleneck") for kernel in (3, 5, 7)),
    released_weights=(3, 2, 1, 3, 2, 1),
)
