"""Costs of a tuple of blocks, as sums of the blocks' own costs.

A search asks for the costs of about a million proposals, most of whose blocks it has seen before.
"""

from __future__ import annotations

from functools import lru_cache

from zenlib.networks.architecture import Block, unit_memory
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
    """`Architecture.peak_memory` of these blocks, without gates."""
    most, side = blocks[-1].out_channels + num_classes, resolution
    for block in blocks:
        most, side = max(most, _block_memory(block, side)), -(-side // block.stride)
    return max(most, blocks[-1].out_channels * (side**2 + 1))


@lru_cache(maxsize=100_000)
def _block_memory(block: Block, side: int) -> int:
    most = 0
    for unit in block.units():
        most = max(most, unit_memory(unit, side))
        for conv in unit.convs:
            side = -(-side // conv.stride)
    return most
