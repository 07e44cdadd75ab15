"""Latency: measured on this device, and predicted from a table of measured pieces.

A network is a sum of pieces: a convolution with its BatchNorm and ReLU, a shortcut's addition, the head. Each
is measured once, at widths 8, 16, 32, ..., and kept in a table on disk; widths between are interpolated,
exactly for a + b * in + c * out + d * in * out. A piece that is measured alone finds its weights in the
cache, inside a network it does not: so the sum is multiplied by one factor per resolution, fitted on
`CALIBRATION` random networks and kept in the table too. `latency_table` is for devices not at hand.
"""

from __future__ import annotations

import functools
import hashlib
import math
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from zenlib.durable import append_line, lines_in, refusals
from zenlib.errors import ResultsError
from zenlib.machine import cache_root, chosen, processor
from zenlib.networks.architecture import Architecture, Block
from zenlib.networks.module import BN_EPS, build_network
from zenlib.spaces import SPACES
from zenlib.spaces.space import SHRINK, narrowed
from zenlib.vanilla.capture import image_shape

WARM_UPS = 3
REPEATS = 15
PIECE_REPEATS = 24
SLOW_PIECE_REPEATS = 5
PIECE_SECONDS = 0.25
"""A piece is timed between `SLOW_PIECE_REPEATS` and `PIECE_REPEATS` times, as many as fit into this."""
SHORTEST = 2e-3
"""Seconds that one timed repeat of a network lasts at least; quick networks run several times in it."""
SHORTEST_PIECE = 1e-4
"""The same for a piece."""
CALIBRATION = 8
"""Random networks, of widths that shrink from one to the next, on which the factor of a table is fitted."""
SMALLEST_GRID_WIDTH = 8
HEADROOM = 2.0
"""A network that would be too slow even at this many times the rate of the fastest piece is not measured."""
_FACTOR = "factor"


class Piece(NamedTuple):
    """What is measured: a "conv" with BatchNorm and ReLU, a "plain" one without ReLU, an "add", a "head".

    The kind "factor" stands for the factor of a resolution, with groups 1 for networks of depthwise blocks.
    """

    kind: str
    kernel: int
    in_channels: int
    out_channels: int
    stride: int
    groups: int
    side: int


@dataclass(frozen=True)
class Latency:
    """A measured latency.

    Attributes:
        milliseconds: per image, median of the repeats.
        undisturbed: per image, lower quartile of the repeats: other jobs on the machine only lengthen them.
        spread: half the distance between the quartiles of the repeats, milliseconds per image.
    """

    milliseconds: float
    undisturbed: float
    spread: float
    repeats: int
    batch_size: int


def measure_latency(
    network: Architecture | nn.Module,
    resolution: int,
    *,
    batch_size: int = 1,
    num_classes: int = 1000,
    repeats: int = REPEATS,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    channels_last: bool = False,
) -> Latency:
    """Time of a forward pass in evaluation mode, after warming up, with the device waited for.

    On a CPU with one thread the clock counts processor time, so that other jobs on the machine do not
    lengthen it; with several threads and on other devices it is wall time.

    Args:
        network: an `Architecture`, or a module that is on the device, in the dtype.
        resolution: side of the images in pixels.
        batch_size: images per pass.
        num_classes: width of the classifier of an `Architecture`.
        repeats: timed repeats, of which the median is taken.
        device: None means CUDA if there is one, else the CPU.
        dtype: None means float32.
        channels_last: layout of the images, and of the weights of an `Architecture`; most devices prefer it.
    """
    where, kind = chosen(device), dtype or torch.float32
    layout = torch.channels_last if channels_last else torch.contiguous_format
    module: Any = network
    if isinstance(network, Architecture):
        module = build_network(network, num_classes)
        module.to(where, kind, memory_format=layout)
    shape = image_shape(module, resolution)
    if len(shape) != 3:
        raise ValueError(
            f"network: needed 2-d convolutions, got {len(shape) - 1}-d ones, which are not timed"
        )
    images = torch.randn(batch_size, *shape, device=where).to(kind, memory_format=layout)
    return _timed(module.eval(), (images,), repeats, batch_size)


def measure_latencies(
    networks: Sequence[Architecture],
    resolution: int,
    *,
    batch_size: int = 1,
    repeats: int = PIECE_REPEATS,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> list[Latency]:
    """`measure_latency` of several networks: every repeat passes over all, so that a slow minute hits all."""
    where, kind = chosen(device), dtype or torch.float32
    modules = [build_network(network).to(where, kind).eval() for network in networks]
    shape = batch_size, networks[0].in_channels, resolution, resolution
    images = torch.randn(shape, device=where).to(kind)
    with torch.inference_mode():
        for module in modules:
            module(images)
        rounds = [[_seconds(module, (images,), 1) for module in modules] for _ in range(repeats)]
    return [_summary(times, batch_size) for times in zip(*rounds, strict=True)]


@torch.inference_mode()
def _timed(
    module: nn.Module, inputs: tuple[Tensor, ...], repeats: int, batch_size: int, shortest: float = SHORTEST
) -> Latency:
    once = [_seconds(module, inputs, 1) for _ in range(WARM_UPS)][-1]
    count = max(1, math.ceil(shortest / max(once, 1e-7)))
    return _summary([_seconds(module, inputs, count) for _ in range(repeats)], batch_size)


def _seconds(module: nn.Module, inputs: tuple[Tensor, ...], count: int) -> float:
    """Time of one pass, averaged over `count` of them."""
    device = inputs[0].device
    clock = time.thread_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    wait = functools.partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None
    wait()
    start = clock()
    for _ in range(count):
        module(*inputs)
    wait()
    return (clock() - start) / count


def _summary(seconds: Sequence[float], batch_size: int) -> Latency:
    times = [1e3 * one / batch_size for one in seconds]
    low, median, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    return Latency(median, low, (high - low) / 2, len(times), batch_size)


@dataclass(frozen=True)
class LatencyPredictor:
    """Predicts latency on one device from pieces measured there.

    A piece is measured when it is first needed and written to the table before it is used, so that a search
    that is started again predicts the same. `OMP_NUM_THREADS` and the device decide which table is read.

    Attributes:
        batch_size: images per pass.
        device: where to measure; None means CUDA if there is one, else the CPU.
        dtype: name of a torch dtype.
        table: file of the measured pieces; None means one per device, batch and dtype in the cache folder.
    """

    batch_size: int = 1
    device: str | None = None
    dtype: str = "float32"
    table: Path | None = None

    def predict(self, architecture: Architecture, resolution: int, num_classes: int = 1000) -> float:
        """Milliseconds per image."""
        factor = self._factor_for(architecture, resolution)
        return factor * self.sum_of_pieces(architecture, resolution, num_classes)

    def exceeds(
        self, limit: float, architecture: Architecture, resolution: int, num_classes: int = 1000
    ) -> bool:
        """Whether the predicted latency is above a limit in milliseconds per image.

        The answer is that of `predict`, but a network whose multiply-adds alone are too many is not measured:
        a device is taken to do at most `HEADROOM` times as many a second as in the fastest piece so far.
        """
        factor = self._factor_for(architecture, resolution)
        flops = Architecture(architecture.blocks).flops(resolution, num_classes)
        least = factor * flops / (HEADROOM * self._fastest)
        return least > limit or self.predict(architecture, resolution, num_classes) > limit

    def describe(self) -> dict[str, Any]:
        """Device and settings, as plain data."""
        where = chosen(self.device)
        name = f"{processor()}, {torch.get_num_threads()} threads"
        return {
            "device": torch.cuda.get_device_name(where) if where.type == "cuda" else name,
            "batch_size": self.batch_size,
            "dtype": self.dtype,
            "torch": torch.__version__,
        }

    @property
    def path(self) -> Path:
        """The table."""
        if self.table is not None:
            return Path(self.table)
        about = self.describe()
        words = re.findall(r"[^\W_]+", f"{about['device']} batch {self.batch_size} {self.dtype}".lower())
        version = hashlib.sha256(about["torch"].encode()).hexdigest()[:6]
        return cache_root() / "latency" / f"{'-'.join(words)}-{version}.journal"

    def sum_of_pieces(self, architecture: Architecture, resolution: int, num_classes: int = 1000) -> float:
        """Milliseconds per image of all pieces, each measured alone, without the factor."""
        total, side = 0.0, resolution
        for block in architecture.blocks:
            total += self._block(block, side)
            side = -(-side // block.stride)
        return total + self._interpolated(
            Piece("head", 1, architecture.out_channels, num_classes, 1, 1, side)
        )

    @functools.cached_property
    def measured(self) -> dict[Piece, float]:
        """The pieces of the table, with their milliseconds per image; a last line cut short is no piece."""
        pieces: dict[Piece, float] = {}
        for number, entry in lines_in(self.path) if self.path.exists() else ():
            try:
                *piece, milliseconds = entry
                pieces.setdefault(Piece(*piece), float(milliseconds))
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{self.path}: line {number}: needed a table of measured pieces, got a line that is none "
                    "or was damaged; name another table, or delete this one to measure again"
                ) from error
        return pieces

    @functools.cached_property
    def _fastest(self) -> float:
        """Multiply-adds in a millisecond of the fastest piece of the table."""
        return max(_multiply_adds(piece) / milliseconds for piece, milliseconds in self.measured.items())

    @functools.cached_property
    def _block(self) -> Callable[[Block, int], float]:
        """Milliseconds per image of the pieces of a block on a map of this side, remembered."""
        return functools.lru_cache(maxsize=100_000)(
            lambda block, side: sum(map(self._interpolated, _pieces_of(block, side)))
        )

    def _interpolated(self, piece: Piece) -> float:
        """The time of a piece, between the grid widths around its own."""
        ins, outs = _grid(piece.in_channels), _grid(piece.out_channels)
        if piece.groups > 1 or piece.kind == "add":
            corners = [(width, width, share) for width, share in ins]
        elif piece.kind == "head":
            corners = [(width, piece.out_channels, share) for width, share in ins]
        else:
            corners = [(a, b, p * q) for a, p in ins for b, q in outs]
        return sum(
            share
            * self._time(piece._replace(in_channels=a, out_channels=b, groups=a if piece.groups > 1 else 1))
            for a, b, share in corners
        )

    def _time(self, piece: Piece) -> float:
        if piece not in self.measured:
            milliseconds = self._measure(piece)
            with refusals(self.path, ResultsError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.path.touch()
                append_line(self.path, [*piece, milliseconds])
            self.measured[piece] = milliseconds
            self.__dict__.pop("_fastest", None)
        return self.measured[piece]

    def _measure(self, piece: Piece) -> float:
        if piece.kind == _FACTOR:
            return self._factor("mobilenet-like" if piece.groups else "resnet-like", piece.side)
        where, dtype = chosen(self.device), getattr(torch, self.dtype)
        module = _module_of(piece).eval().to(where, dtype)
        maps = torch.randn(self.batch_size, piece.in_channels, piece.side, piece.side, device=where).to(dtype)
        inputs = (maps, maps.clone()) if piece.kind == "add" else (maps,)
        with torch.inference_mode():
            module(*inputs)
            affordable = int(PIECE_SECONDS / _seconds(module, inputs, 1))
        repeats = min(PIECE_REPEATS, max(SLOW_PIECE_REPEATS, affordable))
        return _timed(module, inputs, repeats, self.batch_size, SHORTEST_PIECE).undisturbed

    def _factor_for(self, architecture: Architecture, resolution: int) -> float:
        depthwise = any(block.kind == "inverted" for block in architecture.blocks)
        return self._time(Piece(_FACTOR, 0, 0, 0, 0, int(depthwise), resolution))

    def _factor(self, space: str, resolution: int) -> float:
        """Median over the calibration networks of measured time over the sum of their pieces."""
        networks = calibration_networks(space, resolution)
        settings = {"device": self.device, "dtype": getattr(torch, self.dtype)}
        measured = measure_latencies(networks, resolution, batch_size=self.batch_size, **settings)
        sums = [self.sum_of_pieces(network, resolution) for network in networks]
        return statistics.median(one.undisturbed / total for one, total in zip(measured, sums, strict=True))


def calibration_networks(space: str, resolution: int) -> list[Architecture]:
    """The random networks of a space on which the factor of a resolution is fitted, from wide to narrow."""
    rng = random.Random(CALIBRATION)
    networks = []
    for times in range(2, 2 + CALIBRATION):
        blocks = SPACES[space].sample(rng, resolution).blocks
        for _ in range(times):
            blocks = narrowed(blocks, SHRINK)
        networks.append(Architecture(blocks))
    return networks


class _AddReLU(nn.Module):
    def forward(self, path: Tensor, shortcut: Tensor) -> Tensor:
        return torch.relu(path + shortcut)


def _module_of(piece: Piece) -> nn.Module:
    kind, kernel, width_in, width_out, stride, groups, _ = piece
    if kind == "add":
        return _AddReLU()
    if kind == "head":
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width_in, width_out))
    conv = nn.Conv2d(width_in, width_out, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False)
    relu = [nn.ReLU()] if kind == "conv" else []
    return nn.Sequential(conv, nn.BatchNorm2d(width_out, eps=BN_EPS), *relu)


def _pieces_of(block: Block, side: int) -> Iterator[Piece]:
    for unit in block.units():
        side_in, last = side, unit.convs[-1]
        for position, (width_in, width_out, kernel, stride, groups) in enumerate(unit.convs, 1):
            kind = "plain" if unit.residual and position == len(unit.convs) else "conv"
            yield Piece(kind, kernel, width_in, width_out, stride, groups, side)
            side = -(-side // stride)
        if unit.projection:
            width_in, width_out, _, stride, _ = unit.projection
            yield Piece("plain", 1, width_in, width_out, stride, 1, side_in)
        if unit.residual:
            yield Piece("add", 1, last.out_channels, last.out_channels, 1, 1, side)


def _multiply_adds(piece: Piece) -> float:
    if piece.kind in (_FACTOR, "add"):
        return 0.0
    positions = 1 if piece.kind == "head" else (-(-piece.side // piece.stride)) ** 2
    return piece.kernel**2 * piece.in_channels // piece.groups * piece.out_channels * positions


@functools.lru_cache(maxsize=8192)
def _grid(width: int) -> tuple[tuple[int, float], ...]:
    """The grid widths, 8, 16, 32, ..., around a width with their shares; narrower ones are on it too."""
    if width <= SMALLEST_GRID_WIDTH:
        return ((width, 1.0),)
    below = 1 << (width.bit_length() - 1)
    share = width / below - 1
    return ((below, 1.0),) if share == 0 else ((below, 1 - share), (2 * below, share))
