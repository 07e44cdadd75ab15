"""NAS-Bench-101: its cells, or a sample of them, trained on CIFAR-10.

The official release is read by its own package, once (it needs an old TensorFlow):

    from nasbench import api
    bench = api.NASBench("nasbench_only108.tfrecord")
    nasbench101.from_api(bench).to_csv("nasbench101.csv", index=False)    # in the folder $ZENLIB_DATA

Source: Ying et al. 2019 (arXiv 1902.09635).
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from experiments.benchmarks.tables import read_table

FILE = "nasbench101.csv"


_LETTERS = {"conv3x3-bn-relu": "3", "conv1x1-bn-relu": "1", "maxpool3x3": "M"}


def from_api(api: Any) -> pd.DataFrame:
    """The table that `table` reads, from the official release.

    Args:
        api: what `nasbench.api.NASBench` gives.

    Returns:
        `hash`, `ops`, `adj_upper`, `params`, and `cifar10_valid_ep108`, the validation accuracy after 108
        epochs in percent; of the three runs of a cell, the first.
    """
    return pd.DataFrame(_row(api, name) for name in sorted(api.hash_iterator()))


def _row(api: Any, name: str) -> dict[str, Any]:
    fixed, computed = api.get_metrics_from_hash(name)
    matrix = fixed["module_adjacency"]
    size = len(matrix)
    return {
        "hash": name,
        "ops": "".join(_LETTERS[op] for op in fixed["module_operations"][1:-1]),
        "adj_upper": "".join(str(int(matrix[i][j])) for i in range(size) for j in range(i + 1, size)),
        "params": fixed["trainable_parameters"],
        "cifar10_valid_ep108": 100 * computed[108][0]["final_validation_accuracy"],
    }


def table() -> pd.DataFrame:
    """One row per cell.

    `hash`, `ops` and `adj_upper` (texts, see `experiments.benchmarks.nasbench101_space`), `params`, and
    `cifar10`.

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
    rows = read_table(
        FILE, columns, "the NAS-Bench-101 release nasbench_full.tfrecord, by its package nasbench"
    )
    return rows.rename(columns={"cifar10_valid_ep108": "cifar10"}).assign(ops=rows["ops"].fillna(""))
