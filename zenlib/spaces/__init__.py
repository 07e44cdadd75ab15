"""The two search spaces of the paper.

Source: Lin et al. 2021, section 4, and for the weights of the released rule the released code.
"""

from __future__ import annotations

from zenlib.spaces.space import BlockType, Space

RESNET_LIKE = Space(
    name="resnet-like",
    types=tuple(BlockType(kind, kernel) for kind in ("residual", "bottleneck") for kernel in (3, 5, 7)),
    released_weights=(3, 2, 1, 3, 2, 1),
)
"""Space I: residual and bottleneck blocks, kernels 3, 5 and 7."""
MOBILENET_LIKE = Space(
    name="mobilenet-like",
    types=tuple(
        BlockType("inverted", kernel, expansion) for kernel in (3, 5, 7) for expansion in (1, 2, 4, 6)
    ),
    released_weights=tuple(range(12, 0, -1)),
    released_fixes_head=True,
)
"""Space II: inverted (depthwise) blocks of expansion 1, 2, 4 and 6, kernels 3, 5 and 7."""
SPACES: dict[str, Space] = {space.name: space for space in (RESNET_LIKE, MOBILENET_LIKE)}
"""Search spaces by name."""
