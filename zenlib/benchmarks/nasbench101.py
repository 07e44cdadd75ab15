"""NAS-Bench-101: a sample of its cells, trained on CIFAR-10.

Source: Ying et al. 2019 (arXiv 1902.09635).
"""

from __future__ import annotations

import pandas as pd

from zenlib.benchmarks.tables import read_table

FILE = "nasbench101.csv"


def table() -> pd.DataFrame:
    """One row per cell: `hash`, `ops` and `adj_upper` (texts, see `zenlib.spaces.nasbench101`), `params`, and `cifar10`.

    `cifar10` is the *validation* accuracy in percent after 108 epochs of one run, not a test accuracy.

    Raises:
        BenchmarkMissing: the file is not there; says how to make it.
    """
    columns = {
        "hash": "text",
        "ops": "text of letters 3, 1, M",
        "adj_upper": "text of zeros and ones",
        "cifar10_valid_ep108": "percent",
        "params": "count",
    }
    rows = read_table(FILE, columns, "the NAS-Bench-101 release nasbench_full.tfrecord, by its package nasbench")
    return rows.rename(columns={"cifar10_valid_ep108": "cifar10"}).assign(ops=rows["ops"].fillna(""))
