"""Costs of a tuple of blocks, as sums of the blocks' own costs.

A search asks for the costs of about a million proposals, most of whose blocks it has seen before.
"""

from __future__ import annotations

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
