"""The paper's search space II: inverted (depthwise) blocks of expansion 1, 2, 4 and 6, kernels 3, 5 and 7.

Source: Lin et al. 2021, section 4. The released rule draws its twelve types with weights 12, 11, ..., 1 in
the order of kernels, and leaves the head alone.
"""

from __future__ import annotations

from zenlib.spaces.space import BlockType, Space

MOBILENET_LIKE = Space(
    name="mobilenet-like",
    types=tuple(
        BlockType("inverted", kernel, expansion) for kernel in (3, 5, 7) for expansion in (1, 2, 4, 6)
    ),
    released_weights=tuple(range(12, 0, -1)),
    released_fixes_head=True,
)
