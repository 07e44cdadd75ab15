"""What costs nothing: parameters, FLOPs and layers, the baselines that every proxy has to beat.

Source: White et al. 2022 ("A deeper look at zero-cost proxies for lightweight NAS") argue for them.
"""

from __future__ import annotations

import copy

import torch
from torch.utils.flop_counter import FlopCounterMode

from zenlib.networks.architecture import Architecture
from zenlib.proxies.query import CLASSES, Query, as_module, weighted_layers


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
    module = copy.deepcopy(as_module(query.network)).float().to("meta").eval()
    images = torch.empty(1, query.in_channels, query.resolution, query.resolution, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(images)
    return counter.get_total_flops() // 2


def layers(query: Query) -> float:
    """Number of convolutions and linear layers, projections of shortcuts included.

    More is taken for better.
    """
    with torch.device("meta"):
        return sum(1 for _ in weighted_layers(as_module(query.network)))
