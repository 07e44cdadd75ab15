"""The 36 networks of pycls that were trained on ImageNet by one recipe of 100 epochs.

Source: the model zoo of pycls (Radosavovic et al. 2020, arXiv 2003.13678).
"""

from __future__ import annotations

import pandas as pd

from experiments.benchmarks.tables import read_table

FILE = "pycls_dds_imagenet.csv"


def table() -> pd.DataFrame:
    """One row per network.

    `model` (see `experiments.benchmarks.dds_space`), `top1` in percent, `params`, `flops` (multiply-adds) and
    `family`.

    Raises:
        BenchmarkMissing: the file is not there; says how to make it.
    """
    columns = {
        "model": "text such as RegNetX-200MF",
        "top1": "percent",
        "params": "count",
        "flops": "multiply-adds",
    }
    rows = read_table(FILE, columns, "the model zoo of pycls (MODEL_ZOO.md, baselines 'dds')")
    return rows.assign(family=rows["model"].str.split("-").str[0])
