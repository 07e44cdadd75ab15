"""The Zen-Score of a network as a CUDA graph: one launch a repeat, on a stream of its own, with fresh draws.

A repeat by Monte Carlo is hundreds of small kernels, which the processor launches one by one. A graph holds
them all, the draws of weights and images among them. It serves one network: each new one is captured first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zenlib.scores.pairs import propagate
from zenlib.scores.zen import log_terms
from zenlib.vanilla.vcnn import VCNN

ALPHA = 0.01
WARM_UPS = 2
"""Repeats before the capture, in which libraries choose their kernels and take their memory."""


def repeat(vcnn: VCNN, batch_size: int, dtype: torch.dtype, generator: torch.Generator) -> Tensor:
    """One repeat of the released Zen-Score, a scalar that stays on the generator's device."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=dtype, device=generator.device)

    images = batch_size, vcnn.in_channels, vcnn.resolution, vcnn.resolution
    found = propagate(vcnn, lambda conv: draw(*conv.weight_shape), draw(*images), draw(*images), ALPHA)
    l1, _, _, running = log_terms(*found, ALPHA)
    return l1.double() + running.double().sum()


class ZenGraph:
    """One network, captured; every replay is another repeat.

    Args:
        vcnn: the network.
        batch_size: images of a repeat.
        dtype: of weights and feature maps.
        generator: of all draws, on the device; nobody else may use it.
    """

    def __init__(self, vcnn: VCNN, batch_size: int, dtype: torch.dtype, generator: torch.Generator) -> None:
        self.stream = torch.cuda.Stream()
        self.graph = torch.cuda.CUDAGraph()
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.no_grad():
            with torch.cuda.stream(self.stream):
                for _ in range(WARM_UPS):
                    repeat(vcnn, batch_size, dtype, generator)
            torch.cuda.synchronize()
            self.graph.register_generator_state(generator)  # else a replay would draw the same again
            with torch.cuda.graph(self.graph, stream=self.stream):
                self.score = repeat(vcnn, batch_size, dtype, generator)

    def launch(self) -> None:
        """Starts a repeat, without waiting for it."""
        with torch.cuda.stream(self.stream):
            self.graph.replay()

    def value(self) -> float:
        """The score of the repeat that was started last, once it is there."""
        self.stream.synchronize()
        return float(self.score)


def one_by_one(graphs: Sequence[ZenGraph]) -> list[float]:
    """A repeat of each network, the next one started when the last is there."""
    scores = []
    for graph in graphs:
        graph.launch()
        scores.append(graph.value())
    return scores


def together(graphs: Sequence[ZenGraph]) -> list[float]:
    """A repeat of each network, all of them started before the first is waited for."""
    for graph in graphs:
        graph.launch()
    return [graph.value() for graph in graphs]
