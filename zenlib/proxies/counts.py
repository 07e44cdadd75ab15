"""What costs nothing, the baselines that every proxy has to beat: parameters, FLOPs, sums over layers.

Source: White et al. 2022 ("A deeper look at zero-cost proxies for lightweight NAS") argue for some of them.
"""

from __future__ import annotations

import copy
import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zenlib.networks.architecture import Architecture
from zenlib.proxies.patterns import patterns
from zenlib.proxies.query import CLASSES, Query, as_module, hooked, weighted_layers
from zenlib.scores.formulas.counts import Counts, count, counts_of
from zenlib.scores.graph_form import graph_of
from zenlib.vanilla.capture import CONVS


def params(query: Query) -> float:
    """Number of trainable parameters, classifier included. More is taken for better."""
    if isinstance(query.network, Architecture):
        return query.network.params(CLASSES)
    return sum(parameter.numel() for parameter in query.network.parameters())


def flops(query: Query) -> float:
    """Multiply-adds of one image through convolutions and matrix products. More is taken for better.

    Counted by PyTorch's counter on shapes alone; it counts two operations for a multiply-add, which are one
    here.
    """
    if isinstance(query.network, Architecture):
        return query.network.flops(query.resolution, CLASSES)
    with FlopCounterMode(display=False) as counter:
        _on_shapes(query, copy.deepcopy(as_module(query.network)))
    return counter.get_total_flops() // 2


def layers(query: Query) -> float:
    """Number of convolutions and linear layers, projections of shortcuts included.

    More is taken for better.
    """
    with torch.device("meta"):
        return sum(1 for _ in weighted_layers(as_module(query.network), query.axes))


def sums(query: Query) -> Counts:
    """Sums over convolutions and rectifiers, without gates for an `Architecture`."""
    if isinstance(query.network, Architecture):
        return counts_of(graph_of(query.network, query.resolution))
    convs: list[tuple[int, int, int]] = []
    rectified: list[int] = []

    def note(conv: Any, output: Tensor) -> None:
        convs.append((output.shape[1], output.numel(), conv.weight[0].numel()))

    module = copy.deepcopy(as_module(query.network))
    layers = (layer for layer in module.modules() if isinstance(layer, CONVS[query.axes - 1]))
    with hooked(layers, note), patterns(lambda pattern: rectified.append(pattern.numel())):
        _on_shapes(query, module)
    return count(convs, math.fsum(rectified))


def layer_sum(query: Query, name: str) -> float:
    """One of the sums over layers, by its name in `Counts`. More is taken for better."""
    return getattr(query.once(sums), name)


SUMS = {name.replace("_", "-"): partial(layer_sum, name=name) for name in Counts._fields}
"""The sums by name."""


def _on_shapes(query: Query, module: nn.Module) -> None:
    """Sends one image through a copy of the module, without weights."""
    images = torch.empty(1, *query.shape, device="meta")
    with torch.no_grad():
        module.float().to("meta").eval()(images)
