"""What a network may cost, and the gate that turns away those that cost more."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from zenlib.networks.architecture import Architecture
from zenlib.search.costs import count_depth, count_flops, count_params
from zenlib.spaces.choices import Point
from zenlib.spaces.mutation import Blocks

if TYPE_CHECKING:
    from zenlib.search.latency import LatencyPredictor
    from zenlib.search.latency_table import LatencyTable


COUNTED = ("params", "flops", "depth")
LIMITS = (*COUNTED, "latency_ms", "memory")
CHOICES_PATIENCE = 10_000
"""Proposals in a row that may be turned away before a space of one's own counts as exhausted."""
HOPELESS = 100
"""Networks after which a space of one's own is given up if none can be built."""


@dataclass(frozen=True)
class Budget:
    """Upper limits, any combination; None means no limit.

    Attributes:
        params: trainable parameters, classifier included, gates not.
        flops: multiply-adds of one image, classifier included, gates not.
        depth: the paper's number of layers, `Architecture.depth`.
        memory: `Architecture.peak_memory` of one image, bytes of 8-bit values.
        latency_ms: predicted milliseconds per image.
        latency: what predicts the latency; None means `LatencyPredictor()`, which measures on this machine.
    """

    params: float | None = None
    flops: float | None = None
    depth: int | None = None
    latency_ms: float | None = None
    latency: LatencyPredictor | LatencyTable | None = None
    memory: float | None = None

    def __post_init__(self) -> None:
        for name in LIMITS:
            limit = getattr(self, name)
            if limit is not None and not (isinstance(limit, int | float) and 0 < limit < math.inf):
                raise ValueError(f"budget: {name} needed a positive number or None, got {limit!r}")

    def describe(self) -> dict[str, Any]:
        """The limits as plain data."""
        limits = {name: getattr(self, name) for name in LIMITS}
        if self.memory is None:  # as in the journals of searches before this limit
            del limits["memory"]
        if self.latency_ms is not None and self.latency is not None:
            limits["latency"] = self.latency.describe()
        return limits

    def __str__(self) -> str:
        limits = {name: getattr(self, name) for name in LIMITS}
        told = [f"{name} <= {limit:g}" for name, limit in limits.items() if limit is not None]
        return ", ".join(told) or "no limit"


class Gate:
    """Lets a proposal in when it keeps the budget and is new, and counts the others by reason.

    Attributes:
        rejected: proposals by the first reason: depth, params, flops, memory, duplicate, latency.
        proposed: number of proposals.
    """

    def __init__(self, budget: Budget, resolution: int, num_classes: int) -> None:
        if budget.latency_ms is not None and budget.latency is None:
            from zenlib.search.latency import LatencyPredictor  # torch is needed only here

            budget = replace(budget, latency=LatencyPredictor())
        self.budget = budget
        self.resolution = resolution
        self.num_classes = num_classes
        self.rejected: Counter[str] = Counter()
        self.proposed = 0
        self._seen: set[int] = set()
        limits = {name: getattr(budget, name) for name in ("depth", "params", "flops", "memory")}
        self._cheap_limits = {name: limit for name, limit in limits.items() if limit is not None}

    def admits(self, blocks: Blocks) -> bool:
        """Whether the proposal may be scored; it is then remembered, so that it is let in once only."""
        self.proposed += 1
        reason, own = self._cheap_reason(blocks), digest(text_of(blocks))
        if reason is None and own in self._seen:
            reason = "duplicate"
        if reason is None and self._too_slow(blocks):
            reason = "latency"
        if reason is None:
            self._seen.add(own)
        else:
            self.rejected[reason] += 1
        return reason is None

    def remember(self, text: str) -> None:
        """Count the network of this structure string as seen."""
        self._seen.add(digest(text))

    def over(self, blocks: Blocks) -> str | None:
        """The first limit that these blocks exceed, or None; counts nothing."""
        return self._cheap_reason(blocks) or ("latency" if self._too_slow(blocks) else None)

    def costs(self, blocks: Blocks) -> dict[str, float]:
        """All costs; latency and memory are NaN where the budget does not limit them."""
        told = [name for name in LIMITS if name in COUNTED or getattr(self.budget, name) is not None]
        return dict.fromkeys(LIMITS, math.nan) | {name: self._cost(name, blocks) for name in told}

    def _cost(self, name: str, blocks: Blocks) -> float:
        if name == "depth":
            return count_depth(blocks)
        if name == "params":
            return count_params(blocks, self.num_classes)
        if name == "flops":
            return count_flops(blocks, self.resolution, self.num_classes)
        predictor: Any = self.budget.latency
        count = Architecture.peak_memory if name == "memory" else predictor.predict
        return count(Architecture(blocks), self.resolution, self.num_classes)

    def _cheap_reason(self, blocks: Blocks) -> str | None:
        over = (name for name, limit in self._cheap_limits.items() if self._cost(name, blocks) > limit)
        return next(over, None)

    def _too_slow(self, blocks: Blocks) -> bool:
        limit, predictor = self.budget.latency_ms, self.budget.latency
        if limit is None or predictor is None:
            return False
        return predictor.exceeds(limit, Architecture(blocks), self.resolution, self.num_classes)


class ChoicesGate(Gate):
    """The gate of a space of one's own, whose networks are built and counted on the meta device, each once.

    What cannot be built or run is "impossible". The depth is the number of convolutions and linear layers.
    """

    def __init__(self, budget: Budget, resolution: int, num_classes: int, size: int) -> None:
        if budget.latency_ms is not None:
            raise ValueError(
                "budget: needed no latency_ms for a space of one's own, whose pieces nobody knows; "
                "raise a ValueError in `build` for what is too slow, or let the score measure it"
            )
        if budget.memory is not None:
            raise ValueError(
                "budget: needed no memory for a space of one's own, whose order of operations nobody knows; "
                "raise a ValueError in `build` for what is too large"
            )
        super().__init__(budget, resolution, num_classes)
        self.size = size
        self._counts: dict[str, dict[str, int]] = {}
        self._missed = 0
        self._error: Exception | None = None

    def admits(self, blocks: Any) -> bool:
        """Whether the proposal may be scored; `SpaceExhausted` where no other one is found."""
        if len(self._seen) < self.size and super().admits(blocks):
            self._missed = 0
            return True
        self._missed += 1
        hopeless = len(self._counts) == HOPELESS and not any(self._counts.values())
        if self._missed >= CHOICES_PATIENCE or len(self._seen) >= self.size or hopeless:
            self._missed = 0
            why = f"; one cannot be built or run: {self._error}" if self._error else ""
            raise SpaceExhausted(
                f"budget: needed one that new networks can meet, got {self.budget}; of {self.size:,} "
                f"networks at {self.resolution} pixels no other than {len(self._seen):,} was found{why}"
            )
        return False

    def _cost(self, name: str, blocks: Any) -> float:
        return self._counted(blocks[0])[name]

    def _cheap_reason(self, blocks: Any) -> str | None:
        return super()._cheap_reason(blocks) if self._counted(blocks[0]) else "impossible"

    def _counted(self, point: Point) -> dict[str, int]:
        """Depth, parameters and multiply-adds, nothing where it cannot be built or run."""
        if point.text not in self._counts:
            try:
                self._counts[point.text] = _count(point, self.resolution)
            except Exception as error:  # of the user's function and network, whatever it is
                self._counts[point.text], self._error = {}, error
        return self._counts[point.text]


class SpaceExhausted(ValueError):
    """There is no other network within the budget, as far as the search can find."""


def _count(point: Point, resolution: int) -> dict[str, int]:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from zenlib.networks.named import on_meta
    from zenlib.proxies.query import weighted_layers
    from zenlib.vanilla.capture import image_shape

    network = on_meta(point.build).to("meta").eval()
    shape = image_shape(network, resolution)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, *shape, device="meta"))
    return {
        "params": sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad),
        "flops": counter.get_total_flops() // 2,  # it counts two operations for a multiply-add
        "depth": sum(1 for _ in weighted_layers(network, len(shape) - 1)),
    }


def text_of(blocks: Blocks) -> str:
    """The structure string of these blocks."""
    return "".join([block.text for block in blocks])


def digest(text: str) -> int:
    """A number of 64 bits for a structure string; two of a million share one with a chance of 3e-8."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
