"""What a network may cost, and the gate that turns away those that cost more."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zenlib.search.history import Candidate
from zenlib.spaces.choices import Point

if TYPE_CHECKING:
    from zenlib.search.latency import LatencyPredictor
    from zenlib.search.latency_table import LatencyTable


LIMITS = ("params", "flops", "depth", "latency_ms", "memory")
UNKNOWN = {
    "latency_ms": "pieces nobody knows; raise a ValueError in `build` for what is too slow, or let the score "
    "measure it",
    "memory": "order of operations nobody knows; raise a ValueError in `build` for what is too large",
}
"""Limits that a space of one's own cannot have, and why."""
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
        if self.latency_ms is not None and self.latency is None:
            from zenlib.search.latency import LatencyPredictor  # torch is needed only here

            object.__setattr__(self, "latency", LatencyPredictor())

    def describe(self) -> dict[str, Any]:
        """The limits as plain data."""
        limits = {name: getattr(self, name) for name in LIMITS}
        if self.memory is None:  # as in the journals of searches before this limit
            del limits["memory"]
        if self.latency_ms is not None and self.latency is not None:
            limits["latency"] = self.latency.describe()
        return limits

    def __str__(self) -> str:
        told = [f"{name} <= {limit:g}" for name in LIMITS if (limit := getattr(self, name)) is not None]
        return ", ".join(told) or "no limit"


class Gate:
    """Lets a proposal in when it keeps the budget and is new, and counts the others by reason.

    Attributes:
        rejected: proposals by the first reason: depth, params, flops, memory, latency, duplicate.
        proposed: number of proposals.
    """

    patience = 100_000
    """Proposals in a row that may be turned away before a search gives up."""

    def __init__(self, budget: Budget, resolution: int, num_classes: int) -> None:
        self.budget = budget
        self.resolution = resolution
        self.num_classes = num_classes
        self.rejected: Counter[str] = Counter()
        self.proposed = 0
        self._seen: set[int] = set()  # hashes, of which two of a million are equal with a chance of 3e-8
        limits = {name: getattr(budget, name) for name in ("depth", "params", "flops", "memory")}
        self._limits = {name: limit for name, limit in limits.items() if limit is not None}

    def first_admitted(self, propose: Callable[[], Candidate], what: str) -> Candidate:
        """The first proposal that may be scored; a ValueError where `patience` in a row may not."""
        before = self.rejected.copy(), self.proposed
        for _ in range(self.patience):
            candidate = propose()
            if self.admits(candidate.network):
                return candidate
            if self._is_exhausted():
                break
        turned_away = self.rejected - before[0]
        self.rejected, self.proposed = before  # as if none had been looked for
        raise self._none_found(what, turned_away)

    def admits(self, network: Any) -> bool:
        """Whether the proposal may be scored; it is then remembered, so that it is let in once only."""
        self.proposed += 1
        reason = self.over(network)
        if reason is None:
            own = hash(str(network))
            reason = "duplicate" if own in self._seen else None
            self._seen.add(own)
        if reason is not None:
            self.rejected[reason] += 1
        return reason is None

    def remember(self, text: str) -> None:
        """Count the network of this structure string as seen."""
        self._seen.add(hash(text))

    def over(self, network: Any) -> str | None:
        """The first limit that the network exceeds, or None; counts nothing."""
        over = (name for name, limit in self._limits.items() if self._cost(name, network) > limit)
        limit, predictor = self.budget.latency_ms, self.budget.latency
        if (first := next(over, None)) or limit is None or predictor is None:
            return first
        return "latency" if predictor.exceeds(limit, network, self.resolution, self.num_classes) else None

    def costs(self, network: Any) -> dict[str, float]:
        """All costs; latency and memory are NaN where the budget does not limit them."""
        free = [name for name in ("latency_ms", "memory") if getattr(self.budget, name) is None]
        return {name: math.nan if name in free else self._cost(name, network) for name in LIMITS}

    def _cost(self, name: str, network: Any) -> float:
        if name == "depth":
            return network.depth
        if name == "params":
            return network.params(self.num_classes)
        if name == "latency_ms":
            assert self.budget.latency is not None  # the budget has one where it limits the latency
            return self.budget.latency.predict(network, self.resolution, self.num_classes)
        count = network.flops if name == "flops" else network.peak_memory
        return count(self.resolution, self.num_classes)

    def _is_exhausted(self) -> bool:
        """Whether there is no other network, as far as this is known."""
        return False

    def _none_found(self, what: str, turned_away: Counter[str]) -> ValueError:
        told = ", ".join(f"{count:,} for {name}" for name, count in turned_away.most_common())
        return ValueError(
            f"budget: needed one that new networks can meet, got {self.budget}; of {self.patience:,} {what} "
            f"at {self.resolution} pixels all were turned away ({told}); allow more, or ask for fewer "
            "evaluations"
        )


class ChoicesGate(Gate):
    """The gate of a space of one's own, whose networks are built and counted on the meta device, each once.

    What cannot be built or run is "impossible". The depth is the number of convolutions and linear layers.
    """

    patience = 10_000

    def __init__(self, budget: Budget, resolution: int, num_classes: int, size: int) -> None:
        for name, why in UNKNOWN.items():
            if getattr(budget, name) is not None:
                raise ValueError(f"budget: needed no {name} for a space of one's own, whose {why}")
        super().__init__(budget, resolution, num_classes)
        self.size = size
        self._counts: dict[str, dict[str, int]] = {}  # nothing where it cannot be built or run
        self._error: Exception | None = None

    def over(self, network: Point) -> str | None:
        """The first limit that the network exceeds, or None; counts nothing."""
        if network.text not in self._counts:
            try:
                self._counts[network.text] = _count(network, self.resolution)
            except Exception as error:  # of the user's function and network, whatever it is
                self._counts[network.text], self._error = {}, error
        return super().over(network) if self._counts[network.text] else "impossible"

    def _cost(self, name: str, network: Point) -> float:
        return self._counts[network.text][name]

    def _is_exhausted(self) -> bool:
        hopeless = len(self._counts) == HOPELESS and not any(self._counts.values())
        return hopeless or len(self._seen) >= self.size

    def _none_found(self, what: str, turned_away: Counter[str]) -> ValueError:
        why = f"; one cannot be built or run: {self._error}" if self._error else ""
        return SpaceExhausted(
            f"budget: needed one that new networks can meet, got {self.budget}; of {self.size:,} "
            f"networks at {self.resolution} pixels no other than {len(self._seen):,} was found{why}"
        )


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
