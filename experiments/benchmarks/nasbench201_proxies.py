"""Proxies of NAS-Bench-201 cells that the study of all benchmarks measured, most of them for a sample."""

from __future__ import annotations

import numpy as np
import pandas as pd

from experiments.benchmarks.network_scores import BENCHMARKS, PEERS

PROXY_SCORES = BENCHMARKS["nasbench201"].scores
"""One row per cell, by official index; without the file no column."""
OURS = ("zen", "phi", "closed")
"""Beginnings of the columns that the study of the cells has in its own file."""


def proxy_scores(seed: int) -> pd.DataFrame:
    """The columns of one seed, (cells, proxies); NaN where a value is undefined or was not computed."""
    read = PROXY_SCORES.read()
    return read[[name for name in read if name.endswith(f"_s{seed}") and not name.startswith(OURS)]]


def computed(seed: int) -> dict[str, np.ndarray]:
    """For each proxy by name whether it was computed, by official index, without those of 2023 to 2026."""
    names = {name.removesuffix(f"_s{seed}"): name for name in proxy_scores(seed)}
    return {name: PROXY_SCORES.done(stored) for name, stored in names.items() if name not in PEERS}
