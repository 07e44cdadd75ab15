"""What the chapter on the ZenNets reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from experiments.chapters.zennets.speed import compared, rank_agreement, speed_ups


@dataclass(frozen=True)
class ZenNetRows:
    """What the chapter reads."""

    sizes: pd.DataFrame  # one row per ZenNet, with the printed numbers beside ours and how they agree
    # one row per network, device, dtype and batch size: all that are stored, so that a GPU's stand beside the
    # CPU's
    latency: pd.DataFrame
    recipes: pd.DataFrame  # aggregates over recipes; empty where neither the rows nor timm's table are there
    training: pd.DataFrame  # one row per epoch

    @cached_property
    def networks(self) -> pd.DataFrame:
        """`speed.compared` of the latencies."""
        return compared(self.latency)

    @cached_property
    def speed_ups(self) -> pd.DataFrame:
        """`speed.speed_ups` of the networks."""
        return speed_ups(self.networks)

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """`speed.rank_agreement` of the networks."""
        return rank_agreement(self.networks)
