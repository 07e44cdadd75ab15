"""Small vanilla networks that between them have every kind of step."""

from __future__ import annotations

from zenlib import VCNN, Architecture, to_vcnn
from zenlib.networks.architecture import Block
from zenlib.vanilla.vcnn import Add, ChannelShuffle, ChannelSlice, Concat, Conv, Pool, Step


def plain(depth: int, width: int, resolution: int, kernel: int = 3) -> VCNN:
    return to_vcnn(Architecture((Block("conv", kernel, 3, width, layers=depth),)), resolution)


def _step(
    operation: type[Step],
    inputs: tuple[int, ...],
    channels: tuple[int, int],
    sides: tuple[int, int],
    /,
    **rest,
) -> Step:
    (in_channels, out_channels), (before, after) = channels, sides
    return operation(
        name=operation.__name__.lower(),
        inputs=inputs,
        in_channels=in_channels,
        out_channels=out_channels,
        in_resolution=(before, before),
        out_resolution=(after, after),
        **rest,
    )


def pooled() -> VCNN:
    """A chain with strided, grouped and unevenly padded convolutions and both kinds of pooling."""
    return VCNN(
        (
            _step(Conv, (-1,), (3, 4), (8, 8), kernel=(3, 3), padding=(1, 1, 1, 1)),
            _step(
                Pool,
                (0,),
                (4, 4),
                (8, 5),
                kind="max",
                kernel=(3, 3),
                stride=(2, 2),
                padding=(1, 1),
                ceil_mode=True,
            ),
            _step(Conv, (1,), (4, 6), (5, 3), kernel=(2, 2), stride=(2, 2), padding=(0, 1, 0, 1), groups=2),
            _step(Pool, (2,), (6, 6), (3, 2), kind="avg", kernel=(2, 2), stride=(1, 1)),
        ),
        resolution=8,
        name="pooled",
    )


def branched() -> VCNN:
    """A graph: slices, a concatenation, a shuffle and a sum."""
    return VCNN(
        (
            _step(Conv, (-1,), (3, 4), (6, 6), kernel=(3, 3), padding=(1, 1, 1, 1)),
            _step(ChannelSlice, (0,), (4, 2), (6, 6), start=2),
            _step(Conv, (1,), (2, 4), (6, 6), kernel=(1, 1)),
            _step(Concat, (0, 2), (4, 8), (6, 6)),
            _step(ChannelShuffle, (3,), (8, 8), (6, 6), groups=2),
            _step(Conv, (4,), (8, 4), (6, 6), kernel=(3, 3), padding=(1, 1, 1, 1)),
            _step(Add, (0, 5), (4, 4), (6, 6)),
        ),
        resolution=6,
        name="branched",
    )
