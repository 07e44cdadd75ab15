"""The size space of NATS-Bench: 32,768 choices of width, trained for 90 epochs on CIFAR-10.

Source: Dong et al. 2021 (arXiv 2009.00437).
"""

from __future__ import annotations

import pandas as pd

from zenlib.benchmarks.tables import read_table

FILE = "nats_sss_cifar10.csv"


def table() -> pd.DataFrame:
    """One row per choice of widths: `channels` (text, see `zenlib.spaces.nats_sizes`) and `cifar10`, test accuracy in percent.

    Raises:
        BenchmarkMissing: the file is not there; says how to make it.
    """
    rows = read_table(
        FILE, {"channels": "text such as 8:16:24:32:64", "cifar10_test": "percent"}, "the NATS-Bench size release, by its package nats_bench"
    )
    return rows.rename(columns={"cifar10_test": "cifar10"})
