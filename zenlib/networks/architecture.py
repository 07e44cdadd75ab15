"""Networks of the two Zen-NAS search spaces as plain data: parsed, printed and counted without building.

An `Architecture` is a tuple of `Block` rows. A block stands for one "super-block" of the paper (Tables 8 to
18): a convolution or a residual family, repeated. Everything that depends on the inner wiring of a block (the
trainable network, the vanilla network, parameters, FLOPs) is read from one description of it, `Block.units`.

Source: Lin et al. 2021 (arXiv 2102.01063), section 4 and Tables 8-18; the wiring of the blocks follows the
published checkpoints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
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

KINDS = ("conv", "residual", "bottleneck", "inverted")
SE_RATIO = 0.25


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

    Attributes:
        convs: the main path in order.
        projection: the 1x1 convolution of the shortcut, or None where the shortcut is the identity (or
            absent).
        residual: whether a shortcut is added before the last ReLU.
        gated: index into `convs` after which a squeeze-and-excitation gate sits in a network that uses it, or
            None.
    """

    convs: tuple[ConvSpec, ...]
    projection: ConvSpec | None = None
    residual: bool = False
    gated: int | None = None


class BlockCost(NamedTuple):
    """What a block costs without gates, so that costs of a network are sums over its blocks.

    Attributes:
        params: trainable parameters.
        before: multiply-adds per position of the map that comes in.
        after: multiply-adds per position of the map that goes out.
    """

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
        in_channels: channels coming in.
        out_channels: channels going out.
        stride: stride of the first spatial convolution, 1 or more.
        layers: how often the block is repeated, at least 1; the sum over blocks is the depth of the network.
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
        if (self.kind == "conv") != (self.bottleneck == 0):
            raise ArchitectureError(
                f"bottleneck: {self.kind} blocks need {'0' if self.kind == 'conv' else 'a positive width'}, "
                f"got {self.bottleneck}"
            )
        if (self.kind == "inverted") != (self.expansion != 0):
            raise ArchitectureError(
                f"expansion: {self.kind} blocks need {'1 or more' if self.kind == 'inverted' else '0'}, got "
                f"{self.expansion}"
            )

    def units(self) -> tuple[Unit, ...]:
        """The units of this block in order, with widths and strides resolved.

        The first unit of a residual block always projects its shortcut; later ones only where the shape
        changes.
        """
        units: list[Unit] = []
        width_in, stride = self.in_channels, self.stride
        for width_out, inner in self._unit_widths():
            units.append(self._unit(width_in, width_out, inner, stride, first=not units))
            width_in, stride = width_out, 1
        return tuple(units)

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

    def _unit_widths(self) -> Iterator[tuple[int, int]]:
        """(output width, inner width) of each unit."""
        for _ in range(self.layers):
            if self.kind == "inverted":
                yield self.bottleneck, round_to_8(self.bottleneck * self.expansion)
                yield self.out_channels, round_to_8(self.out_channels * self.expansion)
            else:
                yield self.out_channels, self.bottleneck
                if self.kind == "bottleneck":
                    yield self.out_channels, self.bottleneck

    def _unit(self, width_in: int, width_out: int, inner: int, stride: int, first: bool) -> Unit:
        k = self.kernel
        if self.kind == "conv":
            return Unit((ConvSpec(width_in, width_out, k, stride),))
        if self.kind == "residual":
            convs: tuple[ConvSpec, ...] = (
                ConvSpec(width_in, inner, k, stride),
                ConvSpec(inner, width_out, k),
            )
        else:
            groups = inner if self.kind == "inverted" else 1
            convs = (
                ConvSpec(width_in, inner, 1),
                ConvSpec(inner, inner, k, stride, groups),
                ConvSpec(inner, width_out, 1),
            )
        projects = first or stride > 1 or width_in != width_out
        return Unit(
            convs,
            projection=ConvSpec(width_in, width_out, 1, stride) if projects else None,
            residual=True,
            gated=0 if self.kind == "residual" else 1,
        )

    @cached_property
    def text(self) -> str:
        """The row as part of a structure string, such as `SuperResK3K3(8,16,1,8,1)`."""
        widths = [
            self.in_channels,
            self.out_channels,
            self.stride,
            *([self.bottleneck] if self.bottleneck else []),
            self.layers,
        ]
        return f"{_block_name(self)}({','.join(map(str, widths))})"

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

    def __str__(self) -> str:
        return self.to_string()

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

    def params(self, num_classes: int = 1000) -> int:
        """Trainable parameters of `build_network(self, num_classes)`.

        Kernels, BatchNorm, projections, gates, classifier.
        """
        num_classes = whole("num_classes", num_classes, error=ArchitectureError)
        total = (self.out_channels + 1) * num_classes + sum(block.cost.params for block in self.blocks)
        gates = [conv for unit in self.units for conv in self._gate(unit)]
        return total + sum(conv.weights + 2 * conv.out_channels for conv in gates)

    def flops(self, resolution: int = 224, num_classes: int = 1000) -> int:
        """Multiply-adds of one image through `build_network(self, num_classes)`.

        Convolutions (projections and gates included) and the classifier are counted; BatchNorm, activations,
        biases and pooling are not.

        Raises:
            ArchitectureError: the resolution is too small for the strides.
        """
        num_classes = whole("num_classes", num_classes, error=ArchitectureError)
        total = self.out_channels * num_classes
        for unit, side in self.unit_resolutions(resolution):
            for conv in unit.convs:
                side = -(-side // conv.stride)
                total += conv.weights * side**2
            if unit.projection:
                total += unit.projection.weights * side**2
            total += sum(conv.weights for conv in self._gate(unit))
        return total

    def peak_memory(self, resolution: int = 224, num_classes: int = 1000, bytes_per_value: int = 1) -> int:
        """Bytes of feature maps of one image that are alive at once, at most, in `build_network(self)`.

        The rule: operations run one after the other in the order of the structure, the projection of a
        shortcut after the main path. While one runs, what it reads, what it writes and what a later one still
        reads are alive. BatchNorm, ReLU, gating and the shortcut's sum overwrite what they read. The image
        counts; weights and the work space of an operation do not.

        Args:
            resolution: side of the images in pixels.
            num_classes: width of the classifier.
            bytes_per_value: 1 for 8-bit integers, 4 for float32.

        Raises:
            ArchitectureError: the resolution is too small for the strides.
        """
        num_classes = whole("num_classes", num_classes, error=ArchitectureError)
        bytes_per_value = whole("bytes_per_value", bytes_per_value, error=ArchitectureError)
        resolution = whole("resolution", resolution, error=ArchitectureError)
        most, side = self.out_channels + num_classes, resolution
        for block in self.blocks:
            if side < block.stride:
                raise self._too_small(resolution)
            most = max(most, _block_memory(block, side, self.use_se))
            side = -(-side // block.stride)
        return bytes_per_value * max(most, self.out_channels * (side**2 + 1))

    def unit_resolutions(self, resolution: int) -> Iterator[tuple[Unit, int]]:
        """Each unit with the side, in pixels, of the map it takes in.

        Raises:
            ArchitectureError: a strided convolution would see a map smaller than its stride.
        """
        side = resolution = whole("resolution", resolution, error=ArchitectureError)
        for unit in self.units:
            yield unit, side
            for conv in unit.convs:
                if side < conv.stride:
                    raise self._too_small(resolution)
                side = -(-side // conv.stride)

    def _too_small(self, resolution: int) -> ArchitectureError:
        return ArchitectureError(
            f"resolution: needed at least {self.minimum_resolution} pixels for the strides of this network, "
            f"got {resolution}"
        )

    @property
    def minimum_resolution(self) -> int:
        """Smallest image side, in pixels, for which no map is narrower than the stride that it meets."""
        side = 1
        for stride in reversed([conv.stride for unit in self.units for conv in unit.convs]):
            side = max(stride, stride * (side - 1) + 1)
        return side

    def _gate(self, unit: Unit) -> tuple[ConvSpec, ...]:
        """The two 1x1 convolutions of a unit's squeeze-and-excitation gate, none without it."""
        if not self.use_se or unit.gated is None:
            return ()
        width = unit.convs[unit.gated].out_channels
        squeezed = squeezed_width(width)
        return ConvSpec(width, squeezed, 1), ConvSpec(squeezed, width, 1)


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
    return max(1, round(width * SE_RATIO))


def _block_name(block: Block) -> str:
    k = block.kernel
    return {
        "conv": f"SuperConvK{k}BNRELU",
        "residual": f"SuperResK{k}K{k}",
        "bottleneck": f"SuperResK1K{k}K1",
        "inverted": f"SuperResIDWE{block.expansion}K{k}",
    }[block.kind]


# Most specific first: K1KxK1 would otherwise be read as the residual block K1K1.
_NAMES = {
    "bottleneck": r"SuperResK1K(?P<kernel>[0-9]{1,9})K1",
    "residual": r"SuperResK(?P<kernel>[0-9]{1,9})K(?P=kernel)",
    "inverted": r"SuperResIDWE(?P<expansion>[0-9]{1,9})K(?P<kernel>[0-9]{1,9})",
    "conv": r"SuperConvK(?P<kernel>[0-9]{1,9})BNRELU",
}
_DIGITS = r"[0-9]{1,9}"
_WHOLE_NAMES = {kind: re.compile(pattern + r"(?=\()") for kind, pattern in _NAMES.items()}


def _begun(pattern: str) -> re.Pattern[str]:
    """A pattern for every beginning of a name; its match ends at the first character that cannot be right."""
    nested = ""
    for token in reversed(re.findall(r"\(\?P[^)]*\)|.", pattern + "(")):
        number = token.startswith("(?P")
        nested = f"(?:{_DIGITS if number else re.escape(token)}{nested})?"
    return re.compile(nested)


_BEGUN_NAMES = tuple(_begun(pattern) for pattern in _NAMES.values())
_FIELDS = {"conv": ("in_channels", "out_channels", "stride", "layers")}
_RESIDUAL_FIELDS = ("in_channels", "out_channels", "stride", "bottleneck", "layers")
_SPACE = re.compile(r"\s*")
_UNEQUAL_KERNELS = re.compile(r"SuperResK([0-9]+)K([0-9]+)\(")
_NUMBER = re.compile(r"[0-9]{1,9}")


def _parse_blocks(text: str) -> Iterator[Block]:
    if not isinstance(text, str):
        raise ArchitectureError(f"structure string: needed text, got {type(text).__name__}")
    position = _past_space(text, 0)
    if position == len(text):
        raise ArchitectureError("structure string: needed at least one block, got an empty text", 0)
    if text.count("(") > CONVOLUTIONS:
        raise ArchitectureError(
            f"structure string: needed at most {CONVOLUTIONS:,} blocks, got {text.count('('):,}", position
        )
    width, layers, weights = None, 0, 0
    while position < len(text):
        begin = position
        kind, values, places, position = _parse_name(text, position)
        position = _parse_numbers(text, position, kind, values, places)
        if width is not None and values["in_channels"] != width:
            raise _at(
                text,
                places["in_channels"],
                f"needed {width} input channels, which is what the block before gives",
            )
        try:
            block = Block(kind=kind, **values)
        except ArchitectureError as error:  # its message begins with the name of the field
            raise _at(text, places[str(error).partition(":")[0]], str(error)) from None
        width, layers, weights = block.out_channels, layers + block.layers, weights + block.cost.params
        if layers > CONVOLUTIONS or weights > WEIGHTS:
            raise _at(
                text,
                begin,
                f"needed at most {CONVOLUTIONS:,} layers and {WEIGHTS:,} weights, got {layers:,} and "
                f"{weights:,} with this block",
            )
        yield block
        position = _past_space(text, position)


def _parse_name(text: str, position: int) -> tuple[str, dict[str, int], dict[str, int], int]:
    """Kind, numbers in the name, their places in the text, and where the name ends."""
    for kind, pattern in _WHOLE_NAMES.items():
        match = pattern.match(text, position)
        if match:
            names = match.groupdict()
            return (
                kind,
                {name: int(number) for name, number in names.items()},
                {name: match.start(name) for name in names},
                match.end(),
            )
    unequal = _UNEQUAL_KERNELS.match(text, position)
    if unequal:
        raise _at(
            text,
            unequal.start(2),
            f"needed the kernel of the first convolution, {unequal[1]}, again in the second of a residual "
            "block",
        )
    known = "SuperConvK{k}BNRELU, SuperResK{k}K{k}, SuperResK1K{k}K1 or SuperResIDWE{e}K{k}, followed by '('"
    wrong = max(begun.end() for pattern in _BEGUN_NAMES if (begun := pattern.match(text, position)))
    raise _at(text, wrong, f"needed a block name ({known})")


def _parse_numbers(
    text: str, position: int, kind: str, values: dict[str, int], places: dict[str, int]
) -> int:
    """Reads numbers in brackets into `values`, their places into `places`; returns where the block ends."""
    names = _FIELDS.get(kind, _RESIDUAL_FIELDS)
    for index, name in enumerate(names):
        opening = "(" if index == 0 else ","
        if text[position : position + 1] != opening:
            raise _at(text, position, f"needed '{opening}' before {name} ({', '.join(names)})")
        number = _NUMBER.match(text, position + 1)
        if not number:
            raise _at(text, position + 1, f"needed a whole number for {name} ({', '.join(names)})")
        values[name], places[name] = int(number.group()), number.start()
        position = number.end()
    if text[position : position + 1] != ")":
        raise _at(text, position, f"needed ')' after {names[-1]}")
    return position + 1


def _past_space(text: str, position: int) -> int:
    """The next position that is not white space."""
    space = _SPACE.match(text, position)
    return space.end() if space else position


def _at(text: str, position: int, message: str) -> ArchitectureError:
    """An error that shows the text around `position` with a mark under it."""
    begin, end = max(0, position - 40), min(len(text), position + 20)
    found = repr(text[position]) if position < len(text) else "the end of the text"
    line = re.sub(r"\s", " ", text[begin:end])
    mark = " " * (position - begin) + "^"
    return ArchitectureError(
        f"structure string, character {position}: {message}; found {found}\n  {line}\n  {mark}", position
    )
