"""NAS-Bench-201: every cell trained for 200 epochs on three data sets.

The official release is read by its own package, once:

    api = nats_bench.create(path, "tss", fast_mode=True)
    nasbench201.from_api(api).to_csv("nasbench201.csv", index=False)    # in the folder $ZENLIB_DATA

Source: Dong and Yang 2020 (arXiv 2001.00326); accuracies of the NATS-Bench release (Dong et al. 2021, arXiv
2009.00437).
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from experiments.benchmarks.tables import read_table
from experiments.record import results

FILE = "nasbench201.csv"
ACCURACIES = {"cifar10": "cifar10_test", "cifar100": "cifar100_test", "imagenet16": "imagenet16_test"}
"""Data set -> column of its test accuracy in percent, the mean over seeds."""
CELLS = 15_625
_OFFICIAL = {"cifar10": "cifar10", "cifar100": "cifar100", "imagenet16": "ImageNet16-120"}


def from_api(api: Any) -> pd.DataFrame:
    """The table that `table` reads, from the official release.

    Args:
        api: what `nats_bench.create` gives for the topology space ("tss").

    Returns:
        `index`, `arch`, the mean test accuracies after 200 epochs and `cifar10_valid`, that on the validation
        half of CIFAR-10 of networks trained on the other half, in percent.
    """
    rows = []
    for index in range(CELLS):
        row = {"index": index, "arch": api.get_net_config(index, "cifar10")["arch_str"]}
        for name, column in ACCURACIES.items():
            row[column] = api.get_more_info(index, _OFFICIAL[name], hp="200", is_random=False)[
                "test-accuracy"
            ]
        row["cifar10_valid"] = api.get_more_info(index, "cifar10-valid", hp="200", is_random=False)[
            "valid-accuracy"
        ]
        rows.append(row)
    return pd.DataFrame(rows)


def table() -> pd.DataFrame:
    """One row per cell, in the official order.

    Returns:
        Columns: `index` (official), `arch` (text of the cell, see `nasbench201_space`), and the accuracies
        by data set in percent; and whatever else the file has, among it `cifar10_test_nb201`, the older
        release, and `cifar10_valid`.

    Raises:
        BenchmarkMissing: the file is not there; says how to make it.
    """
    columns = {"index": "official index", "arch": "text of the cell"} | dict.fromkeys(
        ACCURACIES.values(), "percent"
    )
    rows = read_table(
        FILE, columns, "the NATS-Bench topology release (see experiments.benchmarks.nasbench201.from_api)"
    )
    return rows.rename(columns={column: name for name, column in ACCURACIES.items()}).sort_values(
        "index", kind="stable", ignore_index=True
    )


def is_there() -> bool:
    """Whether the user has brought the file."""
    return results.is_there(lambda: results.data_file(FILE, ""))
