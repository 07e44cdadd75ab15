"""Costs of a tuple of blocks, as sums of the blocks' own costs.

A search asks for the costs of about a million proposals, most of whose blocks it has seen before.
"""

from __future__ import annotations

from functools import lru_cache

from zenlib.networks.architecture import Block
from zenlib.spaces.mutation import Blocks


def count_depth(blocks: Blocks) -> int:
    """`Architecture.depth` of these blocks."""
    return sum([block.layers for block in blocks])


def count_params(blocks: Blocks, num_classes: int) -> int:
    """`Architecture.params` of these blocks, without gates."""
    return (blocks[-1].out_channels + 1) * num_classes + sum([block.cost.params for block in blocks])


def count_flops(blocks: Blocks, resolution: int, num_classes: int) -> int:
    """`Architecture.flops` of these blocks, without gates."""
    total, side = blocks[-1].out_channels * num_classes, resolution
    for block in blocks:
        _, before, after = block.cost
        total += before * side**2
        side = -(-side // block.stride)
        total += after * side**2
    return total


def count_memory(blocks: Blocks, resolution: int, num_classes: int) -> int:
    """Bytes of one image in float32: all parameters, and the input and the output of the largest layer."""
    largest, side = 0, resolution
    for block in blocks:
        maps, side = _largest_maps(block, side)
        largest = max(largest, maps)
    return 4 * (count_params(blocks, num_classes) + largest)


@lru_cache(maxsize=1 << 15)
def _largest_maps(block: Block, side: int) -> tuple[int, int]:
    """Numbers in the input and the output of a block's largest convolution, and the side that it gives."""
    largest = 0
    for unit in block.units():
        for conv in unit.convs:
            before, side = side, -(-side // conv.stride)
            largest = max(largest, conv.in_channels * before**2 + conv.out_channels * side**2)
    return largest, side
