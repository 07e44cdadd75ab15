"""What the chapter on the trained population reads."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from experiments.chapters.population import statistics


@dataclass(frozen=True)
class PopulationRows:
    """What the chapter reads.

    Attributes:
        members: one row per network: group, index, network, sizes, depth, `top1` (mean over seeds), `spread`
            (standard deviation over seeds, NaN for one), `seeds`, and one column per proxy (mean over seeds;
            NaN where undefined).
        trainings: the rows of all trainings, with the multiply-adds of the network.
        usual: those of them with the study's epochs and floating type.
        longer: accuracies of some networks after more epochs: network, `top1`, `other`.
        precise: the same for the other floating type.
        peak: operations per second of large matrix products in the floating type of the trainings, 1e9.
        limits: most parameters and multiply-adds of a network.
        draws: seeds over which scores are averaged.
    """

    members: pd.DataFrame
    trainings: pd.DataFrame
    usual: pd.DataFrame
    longer: pd.DataFrame
    precise: pd.DataFrame
    peak: float
    limits: tuple[float, float]
    draws: int

    @cached_property
    def correlations(self) -> pd.DataFrame:
        """`statistics.correlations` of the members."""
        return statistics.correlations(self.members)

    @cached_property
    def small_samples(self) -> pd.DataFrame:
        """`statistics.small_samples` of the members."""
        return statistics.small_samples(self.members)

    @cached_property
    def restricted(self) -> pd.DataFrame:
        """`statistics.restricted` of the members."""
        return statistics.restricted(self.members)

    @cached_property
    def noise(self) -> dict[str, float]:
        """`statistics.noise` of the trainings."""
        return statistics.noise(self.usual)
