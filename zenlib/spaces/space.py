"""What the search spaces share: drawing a network, changing it, and telling whether a network belongs.

A network of a space is a 3x3 stem, inner blocks of the space's types, and a 1x1 head; all widths are
multiples of 8.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from zenlib.networks.architecture import KINDS, Architecture, Block, round_to_8
from zenlib.spaces.mutation import Blocks, altered, mutate_paper, mutate_released

MutationRule = Literal["paper", "released"]

WIDTHS = (8, 512)
"""Range of the widths and inner widths of drawn blocks, channels."""
HEAD_WIDTHS = (128, 2048)
"""Range of the width of the drawn head, channels."""
LAYERS = (1, 5)
"""Range of the number of layers of a drawn block."""
BLOCKS_PER_STAGE = (1, 2)
"""Range of the number of blocks between two reductions of the map."""
SMALL_IMAGE = 64
"""Images of fewer pixels a side keep their resolution in the stem."""

SHRINK = 0.75
"""Factor by which a network that is too large is narrowed, as in the paper's random baseline."""


class BlockType(NamedTuple):
    """What an inner block can be: its kind, the side of its kernel, its expansion (0 where it has none)."""

    kind: str
    kernel: int
    expansion: int = 0


@dataclass(frozen=True)
class Space:
    """A search space.

    Attributes:
        name: its name in `SPACES`.
        types: the inner blocks it allows, of every kind but "conv", which has no inner width.
        released_weights: how often the released rule draws each type, relative to the others.
        released_fixes_head: whether the released rule leaves the width of the head alone.
    """

    name: str
    types: tuple[BlockType, ...]
    released_weights: tuple[float, ...] = field(repr=False)
    released_fixes_head: bool = False

    def __post_init__(self) -> None:
        allowed = [kind for kind in KINDS if kind != "conv"]
        if not self.types or (unknown := [kind for kind, *_ in self.types if kind not in allowed]):
            raise ValueError(
                f"types: needed inner blocks of kind {', '.join(allowed)}, got "
                f"{', '.join(unknown) if self.types else 'none'}"
            )
        if len(self.released_weights) != len(self.types):
            raise ValueError(
                f"released_weights: needed one for each of {len(self.types)} types, got "
                f"{len(self.released_weights)}"
            )

    def sample(self, rng: random.Random, resolution: int = 32) -> Architecture:
        """One random network, of any size, for images of this side in pixels.

        Small images pass three stages after a stem of stride 1, larger ones four after a stem of stride 2; a
        stage is one or two blocks, of which the first halves the map. Types and layers are uniform, widths
        and inner widths are uniform in their logarithm.

        Source: Lin et al. 2021, section 4: three stages for CIFAR, five (stem included) for ImageNet. The
        paper does not say how its random networks are drawn.
        """
        small = resolution < SMALL_IMAGE
        blocks = [Block("conv", 3, 3, _width(rng, WIDTHS), 1 if small else 2)]
        for _ in range(3 if small else 4):
            for position in range(rng.randint(*BLOCKS_PER_STAGE)):
                kind, kernel, expansion = rng.choice(self.types)
                width, layers, inner = _width(rng, WIDTHS), rng.randint(*LAYERS), _width(rng, WIDTHS)
                shape = blocks[-1].out_channels, width, 2 if position == 0 else 1
                blocks.append(Block(kind, kernel, *shape, layers, inner, expansion))
        return Architecture((*blocks, Block("conv", 1, blocks[-1].out_channels, _width(rng, HEAD_WIDTHS))))

    def mutate(
        self, architecture: Architecture, rng: random.Random, rule: MutationRule = "paper", replaced: int = 2
    ) -> Architecture:
        """A changed copy of a network of this space; strides never change.

        The rule is "paper", see `mutate_paper`, which draws one block, or "released", see `mutate_released`,
        which draws at most `replaced`.
        """
        blocks, types = architecture.blocks, self.types
        if rule == "paper":
            return Architecture(mutate_paper(blocks, types, rng))
        if rule == "released":
            weights, fixes_head = self.released_weights, self.released_fixes_head
            return Architecture(mutate_released(blocks, types, weights, rng, replaced, fixes_head))
        raise ValueError(f"mutation: needed 'paper' or 'released', got {rule!r}")

    parse = staticmethod(Architecture.from_string)

    def contains(self, architecture: Architecture) -> bool:
        """Whether a network belongs to this space, whatever its size."""
        stem, *inner, head = architecture.blocks
        return (
            len(architecture.blocks) > 2
            and (stem.kind, stem.kernel, stem.layers) == ("conv", 3, 1)
            and (head.kind, head.kernel, head.layers, head.stride) == ("conv", 1, 1, 1)
            and all(BlockType(block.kind, block.kernel, block.expansion) in self.types for block in inner)
            and all(
                block.out_channels % 8 == 0 and block.bottleneck % 8 == 0 and block.stride <= 2
                for block in architecture.blocks
            )
        )


def narrowed(blocks: Blocks, factor: float) -> Blocks:
    """The blocks with all widths and inner widths times `factor`, rounded to multiples of 8."""
    narrow: list[Block] = []
    for block in blocks:
        inner = round_to_8(block.bottleneck * factor) if block.bottleneck else 0
        width_in = narrow[-1].out_channels if narrow else block.in_channels
        width_out = round_to_8(block.out_channels * factor)
        narrow.append(altered(block, in_channels=width_in, out_channels=width_out, bottleneck=inner))
    return tuple(narrow)


def _width(rng: random.Random, limits: tuple[int, int]) -> int:
    """A multiple of 8, uniform in its logarithm."""
    low, high = limits
    return round_to_8(math.exp(rng.uniform(math.log(low), math.log(high))))
