"""Latency read from a published table of measured convolutions, for a device that is not at hand.

A row of such a table is one convolution of a whole batch with what is fused behind it: BatchNorm, ReLU
and, where `fused_add` is 1, a sum. A network takes as long as its convolutions together; pooling and the
classifier are not in such tables and are left out. Between rows, the logarithm of the time is taken to be
linear in those of the two widths and of the side: a ridge regression on the `NEIGHBOURS` nearest rows of the
same kind, kernel, stride and fusion.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from zenlib.networks.architecture import Architecture, Block

NEIGHBOURS = 12
RIDGE = 0.1
NEAR = 0.02
"""A row at a squared logarithmic distance d weighs 1 / (d + NEAR): one that is measured nearly decides."""
REACH = 2.0
"""A convolution needs a row whose widths and side are each within this factor of its own."""
TINY = 1e-9
KEY = ("kind", "kernel", "stride", "fused_add")
SIZES = ("in_channels", "out_channels", "in_height")
COLUMNS = ("batch", *KEY, *SIZES, "in_width")


class Convolution(NamedTuple):
    """A convolution on a square map, padded to keep the side; `groups` is 1 or, depthwise, the width."""

    in_channels: int
    out_channels: int
    side: int
    kernel: int
    stride: int = 1
    groups: int = 1
    fused_add: bool = False


class OutsideTable(ValueError):
    """A convolution is too far from every row for its time to be told."""


@dataclass(frozen=True)
class LatencyTable:
    """Predicts latency on the device of a table, which is read when it is first needed.

    Attributes:
        path: CSV file with the columns of `COLUMNS` and one `<precision>_ms` per precision: milliseconds of
            the batch, empty where not measured.
        precision: which of them, such as "fp16".
        batch_size: images per pass; one of the table's, as nothing is interpolated between batches.
    """

    path: Path
    precision: str = "fp16"
    batch_size: int = 64

    def predict(self, architecture: Architecture, resolution: int, num_classes: int = 1000) -> float:
        """Milliseconds per image, without the classifier.

        Raises:
            OutsideTable: a convolution is too far from every row.
            ValueError: the network has gates, of which such tables hold nothing, or maps of other sides.
        """
        if architecture.use_se:
            raise ValueError(
                "latency table: needed a network without squeeze-and-excitation, which is not in the table, "
                "got one with it; predict it without (use_se=False), and say so"
            )
        total, side = 0.0, resolution
        for block in architecture.blocks:
            total += self._block(block, side)
            side = -(-side // block.stride)
        return total

    def exceeds(
        self, limit: float, architecture: Architecture, resolution: int, num_classes: int = 1000
    ) -> bool:
        """Whether the predicted latency is above a limit, as is that of a network outside the table."""
        try:
            return self.predict(architecture, resolution, num_classes) > limit
        except OutsideTable:
            return True

    def describe(self) -> dict[str, Any]:
        """The table and what is read from it, as plain data."""
        self._slices  # noqa: B018  a file that is no table is named before a search begins
        path = Path(self.path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        settings = {"precision": self.precision, "batch_size": self.batch_size}
        return {"table": path.name, "sha256": digest} | settings

    def milliseconds(self, conv: Convolution) -> float:
        """Milliseconds per image of one convolution; `OutsideTable` if it is too far from every row."""
        depthwise = conv.groups > 1
        if depthwise and not conv.groups == conv.in_channels == conv.out_channels:
            raise OutsideTable(f"latency table: needed one group, or one for each channel, got {conv}")
        key = ("Depthwise" if depthwise else "Regular", conv.kernel, conv.stride, int(conv.fused_add))
        places, times = self._slices.get(key, (np.empty((0, 3)), np.empty(0)))
        if not len(places):
            raise OutsideTable(
                f"latency table: needed measured convolutions of the kind of {conv}, found none"
            )
        away = places - np.log([conv.in_channels, conv.out_channels, conv.side])
        inside = (away.min(axis=0) <= TINY) & (away.max(axis=0) >= -TINY)
        if not inside.all() or not (abs(away) <= math.log(REACH) + TINY).all(axis=1).any():
            ends = zip(SIZES, np.exp(places.min(axis=0)), np.exp(places.max(axis=0)), strict=True)
            ranges = ", ".join(f"{name} {low:.0f} to {high:.0f}" for name, low, high in ends)
            raise (OutsideTable if inside[2] else ValueError)(
                f"latency table: needed a measured convolution within a factor of {REACH:g} in both widths "
                f"and the side, found none for {conv}; those of its kind have {ranges}, not in all "
                "combinations" + ("" if inside[2] else "; give images of another resolution")
            )
        squares = (away**2).sum(axis=1)
        near = np.argsort(squares, kind="stable")[:NEIGHBOURS]
        weights = 1 / (squares[near] + NEAR)
        terms = np.column_stack([np.ones(len(near)), away[near]])
        normal = terms.T @ (weights[:, None] * terms) + np.diag([0, RIDGE, RIDGE, RIDGE])
        return float(np.exp(np.linalg.solve(normal, terms.T @ (weights * times[near]))[0])) / self.batch_size

    @functools.cached_property
    def _slices(self) -> dict[tuple[Any, ...], tuple[np.ndarray, np.ndarray]]:
        """Logarithms of sizes and of times, by the columns of `KEY`."""
        try:
            rows, value = pd.read_csv(self.path), f"{self.precision}_ms"
        except (OSError, ValueError) as error:
            raise ValueError(
                f"latency table: needed a CSV file with the columns {', '.join(COLUMNS)}, got {self.path}: "
                f"{error}"
            ) from error
        if missing := [name for name in COLUMNS if name not in rows]:
            raise ValueError(f"{self.path}: needed the columns {', '.join(COLUMNS)}, got none of {missing}")
        measured = [name.removesuffix("_ms") for name in rows if name.endswith("_ms")]
        if self.precision not in measured:
            raise ValueError(f"precision: needed one of {', '.join(measured)}, got {self.precision!r}")
        batches = sorted(rows["batch"].unique())
        if self.batch_size not in batches:
            raise ValueError(
                f"batch_size: needed a batch of the table, {', '.join(map(str, batches))}, "
                f"got {self.batch_size}"
            )
        rows = rows[(rows["batch"] == self.batch_size) & rows[value].notna()]
        numbers = rows[[value, *SIZES, "in_width"]].apply(pd.to_numeric, errors="coerce")
        if rows.empty or not ((numbers > 0) & (numbers < math.inf)).all(axis=None):
            raise ValueError(f"{self.path}: needed positive sizes and times of {self.precision}, got others")
        if (rows["in_height"] != rows["in_width"]).any():
            raise ValueError(f"{self.path}: needed square maps, got others; leave those rows out")
        return {
            key: (np.log(part[list(SIZES)].to_numpy(float)), np.log(part[value].to_numpy(float)))
            for key, part in rows.groupby(list(KEY))
        }

    @functools.cached_property
    def _block(self) -> Callable[[Block, int], float]:
        """Milliseconds per image of a block on a map of this side, remembered."""
        return functools.lru_cache(maxsize=100_000)(
            lambda block, side: sum(map(self.milliseconds, convolutions(block, side)))
        )


def convolutions(block: Block, side: int) -> Iterator[Convolution]:
    """The convolutions of a block; the sum is fused behind the last of a residual unit."""
    for unit in block.units():
        side_in = side
        for position, (width_in, width_out, kernel, stride, groups) in enumerate(unit.convs, 1):
            last = unit.residual and position == len(unit.convs)
            yield Convolution(width_in, width_out, side, kernel, stride, groups, last)
            side = -(-side // stride)
        if unit.projection:
            width_in, width_out, _, stride, _ = unit.projection
            yield Convolution(width_in, width_out, side_in, 1, stride)
