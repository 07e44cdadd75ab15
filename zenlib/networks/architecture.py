"""Networks of the two Zen-NAS search spaces as plain data: parsed, printed and counted without building.

An `Architecture` is a tuple of `Block` rows, each a "super-block" of the paper: a convolution or a residual
family, repeated. All that depends on the wiring inside a block (the trainable and the vanilla network,
parameters, FLOPs) is read from one description of it, `Block.units`.

Source: Lin et al. 2021 (arXiv 2102.01063), section 4 and Tables 8-18; the wiring of the blocks follows the
published checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from string import Formatter
from typing import NamedTuple

from zenlib.errors import ArchitectureError, whole

LAYERS = 10_000
"""Most layers of a block: beyond any network, and within the patience of whoever counts them."""
KERNEL = 999
"""Largest side of a kernel."""
CONVOLUTIONS = 50_000
"""Most blocks, and most layers of all blocks, that a structure string may have."""
WEIGHTS = 10**10
"""Most weights of a network that is written as a structure string: 40 GB."""

_WIDTHS = "({in_channels},{out_channels},{stride},{bottleneck},{layers})"
_ROWS = {
    "conv": "SuperConvK{kernel}BNRELU({in_channels},{out_channels},{stride},{layers})",
    "residual": "SuperResK{kernel}K{kernel}" + _WIDTHS,
    "bottleneck": "SuperResK1K{kernel}K1" + _WIDTHS,
    "inverted": "SuperResIDWE{expansion}K{kernel}" + _WIDTHS,
}
"""How a block is written, by its kind."""
KINDS = tuple(_ROWS)


def round_to_8(width: float) -> int:
    """Nearest multiple of 8 (halves to the even one), at least 8: what published widths are."""
    return max(8, 8 * round(width / 8))


class ConvSpec(NamedTuple):
    """One square convolution, padded by (kernel - 1) / 2; a BatchNorm follows in the trainable network."""

    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    groups: int = 1

    @property
    def weights(self) -> int:
        """Number of kernel entries, without bias."""
        return self.out_channels * (self.in_channels // self.groups) * self.kernel**2


class Unit(NamedTuple):
    """The smallest piece a block repeats: a plain convolution, or one residual unit.

    The shortcut ends before the last ReLU; without a 1x1 `projection` it is the identity. A gate, in networks
    that have them, is behind the convolution of index `gated`.
    """

    convs: tuple[ConvSpec, ...]
    projection: ConvSpec | None = None
    residual: bool = False
    gated: int | None = None


class BlockCost(NamedTuple):
    """Trainable parameters of a block without gates; multiply-adds per position coming in and going out."""

    params: int
    before: int
    after: int


@dataclass(frozen=True)
class Block:
    """One row of a structure table.

    Attributes:
        kind: "conv" (convolution, BatchNorm, ReLU), "residual" (two k x k convolutions), "bottleneck" (1x1, k
            x k, 1x1, twice per layer) or "inverted" (1x1 expansion, depthwise k x k, 1x1, twice per layer).
        kernel: side k of the kernel, odd.
        in_channels, out_channels: channels coming in and going out.
        stride: stride of the first spatial convolution.
        layers: how often the block is repeated; the sum over blocks is the depth of the network.
        bottleneck: inner width, 0 for "conv".
        expansion: depthwise expansion of "inverted", 0 for the others.
    """

    kind: str
    kernel: int
    in_channels: int
    out_channels: int
    stride: int = 1
    layers: int = 1
    bottleneck: int = 0
    expansion: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ArchitectureError(f"kind: needed one of {', '.join(KINDS)}, got {self.kind!r}")
        for name in ("kernel", "in_channels", "out_channels", "stride", "layers", "bottleneck", "expansion"):
            least = 0 if name in ("bottleneck", "expansion") else 1
            object.__setattr__(self, name, whole(name, getattr(self, name), least, ArchitectureError))
        if self.layers > LAYERS:
            raise ArchitectureError(f"layers: needed at most {LAYERS:,}, got {self.layers:,}")
        if self.kernel % 2 == 0 or self.kernel > KERNEL:
            raise ArchitectureError(f"kernel: needed an odd side of at most {KERNEL}, got {self.kernel:,}")
        for name, has, needed in (
            ("bottleneck", self.kind != "conv", "a positive width"),
            ("expansion", self.kind == "inverted", "1 or more"),
        ):
            if has != (getattr(self, name) > 0):
                raise ArchitectureError(
                    f"{name}: {self.kind} blocks need {needed if has else 0}, got {getattr(self, name)}"
                )

    def units(self) -> tuple[Unit, ...]:
        """The units in order; a shortcut projects in the first one and where the shape changes."""
        of_a_layer = [self.out_channels]
        if self.kind in ("bottleneck", "inverted"):
            of_a_layer.insert(0, self.bottleneck if self.kind == "inverted" else self.out_channels)
        units: list[Unit] = []
        width_in, stride = self.in_channels, self.stride
        for width_out in of_a_layer * self.layers:
            units.append(self._unit(width_in, width_out, stride, first=not units))
            width_in, stride = width_out, 1
        return tuple(units)

    def _unit(self, width_in: int, width_out: int, stride: int, first: bool) -> Unit:
        k, inner = self.kernel, self.bottleneck
        if self.kind == "conv":
            return Unit((ConvSpec(width_in, width_out, k, stride),))
        projects = first or stride > 1 or width_in != width_out
        projection = ConvSpec(width_in, width_out, 1, stride) if projects else None
        if self.kind == "residual":
            convs = (ConvSpec(width_in, inner, k, stride), ConvSpec(inner, width_out, k))
            return Unit(convs, projection, residual=True, gated=0)
        groups = 1
        if self.kind == "inverted":
            inner = groups = round_to_8(width_out * self.expansion)
        middle = ConvSpec(inner, inner, k, stride, groups)
        path = (ConvSpec(width_in, inner, 1), middle, ConvSpec(inner, width_out, 1))
        return Unit(path, projection, residual=True, gated=1)

    @cached_property
    def cost(self) -> BlockCost:
        """Costs of all units."""
        units = self.units()
        convs = [conv for unit in units for conv in unit.convs]
        projections = [unit.projection for unit in units if unit.projection]
        weights = sum([conv.weights for conv in convs + projections])
        norms = sum([2 * conv.out_channels for conv in convs])
        norms += sum([3 * conv.out_channels for conv in projections])  # which have a bias
        before = convs[0].weights if len(units[0].convs) > 2 else 0
        return BlockCost(weights + norms, before, weights - before)

    @cached_property
    def text(self) -> str:
        """The row as part of a structure string, such as `SuperResK3K3(8,16,1,8,1)`."""
        return _ROWS[self.kind].format(**vars(self))

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Architecture:
    """A network of the Zen-NAS search spaces.

    Attributes:
        blocks: the rows from stem to head; each takes what the one before gives.
        use_se: whether the trainable network carries squeeze-and-excitation gates. Structure strings do not
            say it, and scores and conversions ignore it, as in the paper.
    """

    blocks: tuple[Block, ...]
    use_se: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        if not self.blocks:
            raise ArchitectureError("blocks: needed at least one block, got none")
        for index, (before, after) in enumerate(zip(self.blocks, self.blocks[1:], strict=False), start=1):
            if before.out_channels != after.in_channels:
                raise ArchitectureError(
                    f"block {index} ({after}): needed {before.out_channels} input channels, "
                    f"which is what the block before gives; got {after.in_channels}"
                )

    @classmethod
    def from_string(cls, text: str, *, use_se: bool = False) -> Architecture:
        """Reads a published structure string, such as `SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,1,8,1)`.

        White space between blocks is ignored.

        Raises:
            ArchitectureError: with the character that is wrong, and its `position`.
        """
        return cls(tuple(_parse_blocks(text)), use_se=use_se)

    def to_string(self) -> str:
        """The structure string; `Architecture.from_string` reads it back."""
        return "".join(map(str, self.blocks))

    __str__ = to_string

    @property
    def depth(self) -> int:
        """The paper's number of layers: the sum of `layers` over all blocks, stem and head included."""
        return sum(block.layers for block in self.blocks)

    @property
    def in_channels(self) -> int:
        """Channels of the image."""
        return self.blocks[0].in_channels

    @property
    def out_channels(self) -> int:
        """Channels of the feature map before global pooling."""
        return self.blocks[-1].out_channels

    @cached_property
    def units(self) -> tuple[Unit, ...]:
        """All units from stem to head."""
        return tuple(unit for block in self.blocks for unit in block.units())

    @property
    def minimum_resolution(self) -> int:
        """Smallest image side, in pixels, for which no map is narrower than the stride that it meets."""
        side = 1
        for block in reversed(self.blocks):
            side = max(block.stride, block.stride * (side - 1) + 1)
        return side

    def params(self, num_classes: int = 1000) -> int:
        """Trainable parameters of `build_network(self, num_classes)`, those of gates included."""
        num_classes = whole("num_classes", num_classes, error=ArchitectureError)
        total = (self.out_channels + 1) * num_classes + sum(block.cost.params for block in self.blocks)
        return total + sum(conv.weights + 2 * conv.out_channels for conv in self._gates())

    def flops(self, resolution: int = 224, num_classes: int = 1000) -> int:
        """Multiply-adds of one image through `build_network(self, num_classes)`.

        Convolutions (projections and gates included) and the classifier count; BatchNorm, activations, biases
        and pooling do not. An ArchitectureError if the resolution is too small for the strides.
        """
        num_classes = whole("num_classes", num_classes, error=ArchitectureError)
        side = self._large_enough(resolution)
        total = self.out_channels * num_classes + sum(conv.weights for conv in self._gates())
        for block in self.blocks:
            total += block.cost.before * side**2
            side = -(-side // block.stride)
            total += block.cost.after * side**2
        return total

    def peak_memory(self, resolution: int = 224, num_classes: int = 1000, bytes_per_value: int = 1) -> int:
        """Bytes of feature maps of one image that are alive at once, at most, in `build_network(self)`.

        Operations run one after the other in the order of the structure, a projection after the main path.
        What one reads, what it writes and what a later one still reads are alive; BatchNorm, ReLU, gating and
        the shortcut's sum overwrite what they read. The image counts; weights and work space do not.
        A value has 1 byte as an 8-bit integer, 4 in float32. Raises what `flops` does.
        """
        num_classes = whole("num_classes", num_classes, error=ArchitectureError)
        bytes_per_value = whole("bytes_per_value", bytes_per_value, error=ArchitectureError)
        side, most = self._large_enough(resolution), self.out_channels + num_classes
        for block in self.blocks:
            most = max(most, _block_memory(block, side, self.use_se))
            side = -(-side // block.stride)
        return bytes_per_value * max(most, self.out_channels * (side**2 + 1))

    def unit_resolutions(self, resolution: int) -> Iterator[tuple[Unit, int]]:
        """Each unit with the side, in pixels, of the map it takes in; raises what `flops` does."""
        side = self._large_enough(resolution)
        for unit in self.units:
            yield unit, side
            for conv in unit.convs:
                side = -(-side // conv.stride)

    def _large_enough(self, resolution: int) -> int:
        resolution = whole("resolution", resolution, error=ArchitectureError)
        if resolution < self.minimum_resolution:
            needed = f"at least {self.minimum_resolution} pixels for the strides of this network"
            raise ArchitectureError(f"resolution: needed {needed}, got {resolution}")
        return resolution

    def _gates(self) -> Iterator[ConvSpec]:
        """The two 1x1 convolutions of each squeeze-and-excitation gate."""
        for unit in self.units if self.use_se else ():
            if unit.gated is not None:
                width = unit.convs[unit.gated].out_channels
                yield ConvSpec(width, squeezed_width(width), 1)
                yield ConvSpec(squeezed_width(width), width, 1)


@lru_cache(maxsize=100_000)
def _block_memory(block: Block, side: int, use_se: bool) -> int:
    """Values alive at once, at most, while a block runs on a map of this side; see `peak_memory`."""
    most = 0
    for unit in block.units():
        image, kept, written = unit.convs[0].in_channels * side**2, 0, 0
        for position, conv in enumerate(unit.convs):
            read = conv.in_channels * side**2
            side = -(-side // conv.stride)
            written = conv.out_channels * side**2
            most = max(most, kept + read + written)
            kept = image if unit.residual else 0
            if use_se and position == unit.gated:
                most = max(most, kept + written + conv.out_channels + squeezed_width(conv.out_channels))
        if unit.projection:
            most = max(most, image + 2 * written)
    return most


def squeezed_width(width: int) -> int:
    """Inner width of a squeeze-and-excitation gate on `width` channels: a quarter, rounded, at least 1."""
    return max(1, round(width / 4))


_NUMBER = re.compile("[0-9]{1,9}")
_NAMES = "SuperConvK{k}BNRELU, SuperResK{k}K{k}, SuperResK1K{k}K1 or SuperResIDWE{e}K{k}"
_A_NAME = f"a block name ({_NAMES}, followed by '(')"


def _parse_blocks(text: str) -> Iterator[Block]:
    if not isinstance(text, str):
        raise ArchitectureError(f"structure string: needed text, got {type(text).__name__}")
    position = len(text) - len(text.lstrip())
    if position == len(text):
        raise ArchitectureError("structure string: needed at least one block, got an empty text", 0)
    if text.count("(") > CONVOLUTIONS:
        raise ArchitectureError(
            f"structure string: needed at most {CONVOLUTIONS:,} blocks, got {text.count('('):,}", position
        )
    width, layers, weights = None, 0, 0
    while position < len(text):
        read = [(*_read(row, text, position), kind) for kind, row in _ROWS.items()]
        end, needed, numbers, kind = max(read, key=lambda found: found[:2])  # what read furthest
        if needed:
            raise _at(text, end, f"needed {needed}")
        if width is not None and int(numbers["in_channels"][0]) != width:
            needed = f"needed {width} input channels, which is what the block before gives"
            raise _at(text, numbers["in_channels"].start(), needed)
        try:
            block = Block(kind=kind, **{name: int(number[0]) for name, number in numbers.items()})
        except ArchitectureError as error:  # its message begins with the name of the field
            raise _at(text, numbers[str(error).partition(":")[0]].start(), str(error)) from None
        width, layers, weights = block.out_channels, layers + block.layers, weights + block.cost.params
        if layers > CONVOLUTIONS or weights > WEIGHTS:
            needed = f"needed at most {CONVOLUTIONS:,} layers and {WEIGHTS:,} weights"
            raise _at(text, position, f"{needed}, got {layers:,} and {weights:,} with this block")
        yield block
        position = end
        while text[position : position + 1].isspace():
            position += 1


def _read(row: str, text: str, at: int) -> tuple[int, str, dict[str, re.Match[str]]]:
    """How far a text is such a row, what the row needs there, "" for nothing, and its numbers."""
    names = re.findall(r"\w+", row.partition("(")[2])
    numbers: dict[str, re.Match[str]] = {}
    for literal, name, *_ in Formatter().parse(row):
        wrong = next((at for at, letter in enumerate(literal, at) if text[at : at + 1] != letter), None)
        if wrong is not None:
            inside = {",": f"',' before {name} ({', '.join(names)})", ")": f"')' after {names[-1]}"}
            return wrong, inside.get(literal, _A_NAME), numbers
        at += len(literal)
        if name is None:
            break
        number = _NUMBER.match(text, at)
        if not number:
            needed = f"a whole number for {name} ({', '.join(names)})" if name in names else _A_NAME
            return at, needed, numbers
        first = numbers.setdefault(name, number)[0]
        if number[0] != first:
            needed = f"the kernel of the first convolution, {first}, again in the second of a residual block"
            return at, needed, numbers
        at = number.end()
    return at, "", numbers


def _at(text: str, position: int, message: str) -> ArchitectureError:
    """An error that shows the text around `position` with a mark under it."""
    begin, end = max(0, position - 40), min(len(text), position + 20)
    found = repr(text[position]) if position < len(text) else "the end of the text"
    line = re.sub(r"\s", " ", text[begin:end])
    mark = " " * (position - begin) + "^"
    return ArchitectureError(
        f"structure string, character {position}: {message}; found {found}\n  {line}\n  {mark}", position
    )
