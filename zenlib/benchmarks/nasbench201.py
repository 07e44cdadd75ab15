"""NAS-Bench-201: every cell trained for 200 epochs on three data sets.

Source: Dong and Yang 2020 (arXiv 2001.00326); accuracies of the NATS-Bench release (Dong et al. 2021, arXiv 2009.00437).
"""

from __future__ import annotations

import pandas as pd

from zenlib.benchmarks.tables import read_table
from zenlib.errors import BenchmarkMissing
from zenlib.results import data_file

FILE = "nasbench201.csv"
ACCURACIES = {"cifar10": "cifar10_test", "cifar100": "cifar100_test", "imagenet16": "imagenet16_test"}
"""Data set -> column of its test accuracy in percent, the mean over seeds."""
CELLS = 15_625


def table() -> pd.DataFrame:
    """One row per cell, in the official order.

    Returns:
        Columns: `index` (official), `arch` (text of the cell, see `zenlib.spaces.nasbench201`), and the accuracies by data
        set in percent; and whatever else the file has, among it `cifar10_test_nb201`, the older release, and `cifar10_valid`.

    Raises:
        BenchmarkMissing: the file is not there; says how to make it.
    """
    columns = {"index": "official index", "arch": "text of the cell"} | dict.fromkeys(ACCURACIES.values(), "percent")
    rows = read_table(FILE, columns, "the NATS-Bench topology release, by its package nats_bench (get_more_info, hp='200', is_random=False)")
    return rows.rename(columns={column: name for name, column in ACCURACIES.items()}).sort_values("index", ignore_index=True)


def is_there() -> bool:
    """Whether the user has brought the file."""
    try:
        data_file(FILE, "")
    except BenchmarkMissing:
        return False
    return True
