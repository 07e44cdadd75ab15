"""The size space of NATS-Bench: 32,768 choices of width, trained for 90 epochs on CIFAR-10.

The official release is read by its own package, once:

    api = nats_bench.create(path, "sss", fast_mode=True)
    nats_sizes.from_api(api).to_csv("nats_sss_cifar10.csv", index=False)    # in the folder $ZENLIB_DATA

Source: Dong et al. 2021 (arXiv 2009.00437).
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from experiments.benchmarks.tables import read_table

FILE = "nats_sss_cifar10.csv"
SIZES = 32_768


def from_api(api: Any) -> pd.DataFrame:
    """The table that `table` reads, from the official release.

    Args:
        api: what `nats_bench.create` gives for the size space ("sss").
    """
    configs = (api.get_net_config(index, "cifar10")["channels"] for index in range(SIZES))
    infos = (api.get_more_info(index, "cifar10", hp="90", is_random=False) for index in range(SIZES))
    return pd.DataFrame(
        {"channels": text, "cifar10_test": info["test-accuracy"]}
        for text, info in zip(configs, infos, strict=True)
    )


def table() -> pd.DataFrame:
    """One row per choice of widths.

    `channels` (text, see `experiments.benchmarks.nats_sizes_space`) and `cifar10`, test accuracy in percent.

    Raises:
        BenchmarkMissing: the file is not there; says how to make it.
    """
    rows = read_table(
        FILE,
        {"channels": "text such as 8:16:24:32:64", "cifar10_test": "percent"},
        "the NATS-Bench size release (see experiments.benchmarks.nats_sizes.from_api)",
    )
    return rows.rename(columns={"cifar10_test": "cifar10"})
