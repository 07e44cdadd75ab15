"""The command `zenlib convert`."""

from __future__ import annotations

import dataclasses
from collections import Counter

from zenlib.cli.answer import Json, answer
from zenlib.cli.options import InChannels, Network, Resolution
from zenlib.networks.named import load_network


def convert(
    network: Network, resolution: Resolution = None, in_channels: InChannels = None, as_json: Json = False
) -> None:
    """The vanilla network that is scored: one line per step, and what was removed."""
    from zenlib.vanilla.convert import to_vcnn

    loaded = load_network(network)
    side = loaded.side(resolution)
    with loaded.at(side):
        vcnn = to_vcnn(loaded.network, side, in_channels)
    found = {
        "network": network,
        "resolution": vcnn.resolution,
        "is_chain": vcnn.is_chain,
        "weights": vcnn.weights,
        "flops": vcnn.flops,
        "steps": [
            {"operation": type(step).__name__.lower()} | dataclasses.asdict(step) for step in vcnn.steps
        ],
        "removed": dict(Counter(vcnn.removed)),
    }
    answer(found, str(vcnn), as_json)
