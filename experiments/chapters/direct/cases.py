"""Networks that others searched in the paper's two spaces, beside the ZenNets: cases, not a correlation.

The structures are read from the user's file; what is stored are counts and scores of ours.
"""

from __future__ import annotations

import re
from functools import cache

import pandas as pd

from experiments.benchmarks.tables import read_table
from experiments.chapters.direct.scores import STUDY
from experiments.record.agreement import ARITHMETIC, EXACT
from experiments.record.table import Table
from zenlib.errors import BenchmarkMissing
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import ZENNETS, zennet_architecture
from zenlib.scores.closed_form import closed_form_zen_score
from zenlib.vanilla.convert import to_vcnn

RESOLUTIONS = {"I": 32, "II": 224}
"""Side of the images of each space, where the file says no other."""
CLASSES = (10, 1000)
"""On small images, and on others."""
PUBLISHED = ("zennet-1.0M", "zennet-400M-SE", "zennet-600M-SE")
"""ZenNets that stand beside them, of the same budgets."""


@cache
def structures() -> pd.DataFrame:
    """Structure, space and resolution of each network by its name.

    Raises:
        BenchmarkMissing: the user has not brought the file.
    """
    columns = {
        "name": "text: of the network",
        "space": "text: I or II of the paper",
        "structure": "text: its blocks",
        "published_flops": "text: as printed, or the resolution",
    }
    rows = read_table("zen_space_networks.csv", columns, "the papers and repositories that each row names")
    rows = rows.dropna(subset="structure").drop_duplicates("name").set_index("name")
    told = rows["published_flops"].fillna("").str.extract(r"resolution (\d+)")[0].astype(float)
    return rows.assign(resolution=told.fillna(rows["space"].map(RESOLUTIONS)).astype(int))


def case_row(*, name: str, resolution: int) -> dict[str, float]:
    """Counts and the score of one network."""
    text = None if name in ZENNETS else structures().loc[name, "structure"]
    network = zennet_architecture(name) if text is None else Architecture.from_string(re.sub(r"\s", "", text))
    return {
        "params": network.params(num_classes=CLASSES[resolution > 32]),
        "multiply_adds": network.flops(resolution),
        "convs": len(to_vcnn(network, resolution).convs),
        "closed_form": closed_form_zen_score(network, resolution),
    }


CASES = Table(
    study=STUDY,
    name="cases",
    compute=case_row,
    units={
        "name": "name: of the network",
        "resolution": "pixel: side of the images",
        "params": "count: parameters without gates, with 10 classes on 32 pixels and 1,000 on more",
        "multiply_adds": "count: multiply-adds of one image",
        "convs": "count: convolutions of the vanilla chain",
        "closed_form": "nat: Zen-Score in closed form",
    },
    agreement=dict.fromkeys(("params", "multiply_adds", "convs"), EXACT),
    otherwise=ARITHMETIC,
)


def run() -> pd.DataFrame:
    """All cases; those that are stored, where the user's file is not there."""
    try:
        keys = [{"name": name, "resolution": int(side)} for name, side in structures()["resolution"].items()]
    except BenchmarkMissing:
        return CASES.stored()
    beside = [{"name": name, "resolution": 32 if name == "zennet-1.0M" else 224} for name in PUBLISHED]
    return CASES.fill(beside + keys)


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """The table of the page, by multiply-adds."""
    rows = rows.sort_values("multiply_adds")
    return pd.DataFrame(
        {
            "network": rows["name"],
            "pixels": rows["resolution"],
            "parameters (M)": (rows["params"] / 1e6).round(2),
            "multiply-adds (M)": (rows["multiply_adds"] / 1e6).round(0).astype("int64"),
            "convolutions": rows["convs"],
            "Zen, closed form": rows["closed_form"].round(1),
        }
    ).reset_index(drop=True)
