"""Accuracies of timm's weights on ImageNet, to see how far recipes move one network.

Source: results/results-imagenet.csv of timm (Wightman 2019); one row per set of weights and size of the
images.
"""

from __future__ import annotations

import pandas as pd

from experiments.benchmarks.tables import read_table

FILE = "timm_imagenet.csv"
MORE_DATA = (
    *("jft", "ig1b", "yfcc", "in12k", "in21k", "in22k", "swag", "seer", "swsl", "ssl"),
    *("laion", "clip", "openai", "webli", "m38m"),
)
"""Parts of a tag that tell of images beyond ImageNet-1k."""


def table() -> pd.DataFrame:
    """One row per set of weights and size of the images.

    Returns:
        Columns: `model`, `tag` (recipe), `resolution` in pixels, `top1` in percent, `more_data` (whether
        images beyond ImageNet-1k were used).

    Raises:
        BenchmarkMissing: the file is not there; says how to make it.
    """
    columns = {
        "model": "text such as resnet50",
        "pretrain_tag": "text of the recipe",
        "img_size": "pixels",
        "top1": "percent",
    }
    rows = read_table(FILE, columns, "timm's results-imagenet.csv")
    tags = rows["pretrain_tag"].fillna("")
    return pd.DataFrame(
        {
            "model": rows["model"],
            "tag": tags,
            "resolution": rows["img_size"],
            "top1": rows["top1"],
            "more_data": tags.map(lambda tag: any(part in tag for part in MORE_DATA)),
        }
    )
