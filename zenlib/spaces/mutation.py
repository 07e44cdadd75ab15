"""The two mutation rules, on tuples of blocks.

A search proposes about ten networks for each one it scores, so these functions count in microseconds: blocks
that were made before are taken from a cache instead of being checked again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import fields
from functools import lru_cache

from zenlib.networks.architecture import Block, round_to_8

Blocks = tuple[Block, ...]
Type = tuple[str, int, int]

PAPER_RANGE = (0.5, 2.0)
"""Range of the factor by which the paper's rule changes widths and layers."""
RELEASED_FACTORS = (2.5, 2.0, 1.5, 1.25, 1.0, 1 / 1.25, 1 / 1.5, 1 / 2.0, 1 / 2.5)
"""Factors of the released rule for widths."""
RELEASED_STEPS = (-2, -1, 0, 1, 2)
"""Steps of the released rule for layers."""
RELEASED_LAYERS = 6
"""Blocks of this many layers or more are split in two by the released rule."""

cached_block = lru_cache(maxsize=1 << 15)(Block)
"""Makes a `Block`, or returns the one that was made of the same values: checks and costs are done once."""
FIELDS = tuple(field.name for field in fields(Block))


def altered(block: Block, **changes: int) -> Block:
    """The block with some of its numbers changed, from the cache."""
    return cached_block(*[changes.get(name, getattr(block, name)) for name in FIELDS])


def mutate_paper(blocks: Blocks, types: Sequence[Type], rng: random.Random) -> Blocks:
    """One block, chosen uniformly, is drawn again.

    Its type is uniform over `types`; its width, inner width and layers are uniform in [0.5, 2] times what
    they were, widths rounded to multiples of 8. Stem and head keep their type and their single layer.

    Source: Lin et al. 2021, Algorithm 3, where the ranges are given and the distributions are not.
    """
    position = int(rng.random() * len(blocks))
    block = blocks[position]
    low, high = PAPER_RANGE
    width = round_to_8(block.out_channels * rng.uniform(low, high))
    if block.kind == "conv":
        new = altered(block, out_channels=width)
    else:
        kind, kernel, expansion = types[int(rng.random() * len(types))]
        inner = round_to_8(block.bottleneck * rng.uniform(low, high))
        layers = rng.randint(-(-block.layers // 2), 2 * block.layers)
        new = cached_block(kind, kernel, block.in_channels, width, block.stride, layers, inner, expansion)
    return _replaced(blocks, position, new)


def mutate_released(
    blocks: Blocks,
    types: Sequence[Type],
    weights: Sequence[float],
    rng: random.Random,
    replaced: int,
    fixes_head: bool,
) -> Blocks:
    """Up to `replaced` blocks are drawn again, from lists of choices.

    A position that is drawn twice counts once. Widths and inner widths are uniform over the distinct
    multiples of 8 that `RELEASED_FACTORS` give; layers over those that `RELEASED_STEPS` give, at least 1.
    Blocks of six layers or more are split in two; `fixes_head` leaves the head's width alone. Types follow
    `weights`, which in the released code are not equal: its list of choices is extended once per type without
    being emptied, so the first of n types is listed n times and the last once.

    Source: the released code (idstcv/ZenNAS, d1d617e). Differs: no cap on the width; the released 2048 of the
    ResNet-like space excludes four of the published networks.
    """
    for position in {int(rng.random() * len(blocks)) for _ in range(replaced)}:
        keep_width = fixes_head and position == len(blocks) - 1
        new = _released_block(blocks[position], types, weights, rng, keep_width)
        blocks = _replaced(blocks, position, new)
    return tuple(part for block in blocks for part in _split(block))


def _released_block(
    block: Block, types: Sequence[Type], weights: Sequence[float], rng: random.Random, keep_width: bool
) -> Block:
    width = block.out_channels if keep_width else rng.choice(_released_widths(block.out_channels))
    if block.kind == "conv":
        return altered(block, out_channels=width)
    kind, kernel, expansion = rng.choices(types, weights)[0]
    inner = rng.choice(_released_widths(block.bottleneck))
    layers = rng.choice([block.layers + step for step in RELEASED_STEPS if block.layers + step >= 1])
    return cached_block(kind, kernel, block.in_channels, width, block.stride, layers, inner, expansion)


@lru_cache(maxsize=4096)
def _released_widths(width: int) -> tuple[int, ...]:
    return tuple(sorted({round_to_8(width * factor) for factor in RELEASED_FACTORS}))


def _split(block: Block) -> Blocks:
    """The block itself, or its two halves where it is deep and not a plain convolution."""
    if block.kind == "conv" or block.layers < RELEASED_LAYERS:
        return (block,)
    first = block.layers // 2
    second = altered(block, in_channels=block.out_channels, stride=1, layers=block.layers - first)
    return altered(block, layers=first), second


def _replaced(blocks: Blocks, position: int, new: Block) -> Blocks:
    """`blocks` with the one at `position` replaced, and the block after it reading the new width."""
    after = blocks[position + 1 :]
    if after and after[0].in_channels != new.out_channels:
        after = (altered(after[0], in_channels=new.out_channels), *after[1:])
    return (*blocks[:position], new, *after)
