"""Which axes of a feature map lie in which dimensions of a tensor.

Networks reshape and permute feature maps: channels last and back (ConvNeXt), tokens (attention), channel
groups (ShuffleNet). A layout follows such moves exactly. It gives, for each dimension of a tensor, the digits
it is made of, the most significant first. A digit is a part of an axis: the digit (axis, stride, size) of
index i is (i // stride) % size. An axis that is whole is the one digit (axis, 1, its size); splitting it
gives two digits, and side by side they are one again.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import NamedTuple


class Digit(NamedTuple):
    """A part of an axis: "N" images, "C" channels, "H" rows or "W" columns."""

    axis: str
    stride: int
    size: int


Dimension = tuple[Digit, ...]
Layout = tuple[Dimension, ...]


def whole(axis: str, size: int) -> Dimension:
    """A dimension that holds one axis, as it is."""
    return (Digit(axis, 1, size),) if size > 1 else ()


def extent(dimension: Dimension) -> int:
    """The size of a dimension."""
    return prod(digit.size for digit in dimension)


def arranged(order: str, **sizes: int) -> Layout:
    """The layout of a tensor with the given order of axes, such as "NCHW"."""
    return tuple(whole(axis, sizes[axis]) for axis in order)


def reshaped(layout: Layout, shape: Sequence[int]) -> Layout | None:
    """The layout after a reshape, or None where a dimension of the new shape cuts an axis unevenly."""
    digits = [digit for dimension in layout for digit in dimension]
    result = []
    for size in shape:
        dimension: list[Digit] = []
        while size > 1 and digits:
            digit = digits.pop(0)
            if digit.size > size and digit.size % size == 0:  # split
                inner = digit.size // size
                digits.insert(0, Digit(digit.axis, digit.stride, inner))
                digit = Digit(digit.axis, digit.stride * inner, size)
            if size % digit.size:
                return None
            size //= digit.size
            dimension.append(digit)
        if size > 1:
            return None
        result.append(joined(dimension))
    return None if digits else tuple(result)


def with_dimension(layout: Layout, dim: int, *others: Dimension) -> Layout:
    """The layout with others in place of one dimension."""
    return (*layout[:dim], *others, *layout[dim + 1 :])


def joined(digits: Sequence[Digit]) -> Dimension:
    """Neighbouring digits of one axis that follow each other as one digit."""
    result: list[Digit] = []
    for digit in digits:
        if result and result[-1].axis == digit.axis and result[-1].stride == digit.stride * digit.size:
            digit = Digit(digit.axis, digit.stride, result.pop().size * digit.size)
        result.append(digit)
    return tuple(result)


def shuffle_groups(dimension: Dimension, channels: int) -> int | None:
    """The groups of the channel shuffle that a dimension shows, or None where it shows none."""
    if len(dimension) != 2 or any(digit.axis != "C" for digit in dimension):
        return None
    inner, outer = dimension
    shuffled = inner.stride == 1 and outer.stride == inner.size and outer.size * inner.size == channels
    return outer.size if shuffled else None


def pooled(layout: Layout, windows: dict[str, int]) -> Layout:
    """The layout after each axis lost its innermost digit, of the size of a window."""
    return tuple(
        tuple(
            digit._replace(stride=digit.stride // windows.get(digit.axis, 1))
            for digit in dimension
            if digit.stride >= windows.get(digit.axis, 1)
        )
        for dimension in layout
    )


def pixels_in(dimension: Dimension, channels: int) -> dict[str, int] | None:
    """The window of pixels beside all channels in a dimension, or None where other things lie there."""
    digits = [digit for digit in dimension if digit.axis != "C"]
    whole_channels = tuple(digit for digit in dimension if digit.axis == "C") == whole("C", channels)
    axes = [digit.axis for digit in digits]
    if not whole_channels or "N" in axes or len(axes) > len(set(axes)) or any(d.stride > 1 for d in digits):
        return None
    return {digit.axis: digit.size for digit in digits}
