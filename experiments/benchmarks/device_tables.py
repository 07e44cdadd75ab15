"""Published measurements on devices that are not at hand; the user brings the files.

They are read, never copied into the project: we store predictions, correlations and other aggregates.

Sources: the convolutions of a V100 under TensorRT were released with TinyNAS
(github.com/alibaba/lightweight-neural-architecture-search); the cells of NAS-Bench-201 on six devices are
HW-NAS-Bench (Li et al. 2021, arXiv 2103.10584); the throughputs are timm's inference tables
(github.com/huggingface/pytorch-image-models).
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from experiments.benchmarks.tables import read_table
from experiments.record import results
from zenlib.search.latency_table import COLUMNS

CONVOLUTIONS = "v100_convolutions.csv.gz"
CELLS = "hw_nasbench201.csv.gz"
SPEED = "timm_speed.csv.gz"
CELL_DEVICES = ("edgegpu", "raspi4", "edgetpu", "pixel3", "eyeriss", "fpga")


def convolutions() -> Path:
    """The file of the V100's convolutions, in the form that `zenlib.search.latency_table` reads.

    Raises:
        BenchmarkMissing: it is not there; says how to make it.
    """
    return results.data_file(
        CONVOLUTIONS,
        "take the operator table of TinyNAS and write it as CSV with the columns "
        f"{', '.join(COLUMNS)}, fp32_ms, fp16_ms and int8_ms (milliseconds of a batch, empty where not "
        "measured)",
    )


def cells(dataset: str) -> pd.DataFrame:
    """Milliseconds of every cell of NAS-Bench-201 on six devices, by official index.

    A cell that a device could not run has NaN there; the file says -1. Data sets as in NAS-Bench-201.
    """
    columns = {f"{dataset}_{device}_latency": "milliseconds of one image" for device in CELL_DEVICES}
    rows = read_table(CELLS, {"index": "official index"} | columns, "HW-NAS-Bench")
    found = rows.sort_values("index", ignore_index=True)[list(columns)].set_axis(CELL_DEVICES, axis=1)
    return found.where(found > 0)


def speed() -> pd.DataFrame:
    """Throughputs that timm measured, one row per network, size of the images and setting of a device."""
    columns = {
        "model": "text of timm's name",
        "img_size": "pixels",
        "device": "text",
        "precision": "text",
        "layout": "text",
        "compiled": "True or False",
        "torch": "version",
        "batch": "images",
        "images_per_second": "images/s",
        "gmacs": "1e9 multiply-adds",
        "params_M": "millions",
    }
    return read_table(SPEED, columns, "timm's benchmark-infer-*.csv")


def is_there(name: str) -> bool:
    """Whether the user has brought this file."""
    return results.is_there(lambda: results.data_file(name, ""))
