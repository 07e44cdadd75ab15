"""Does a score find the best cells of NAS-Bench-201? nDCG@P, told beside tau where the top is asked about."""

from __future__ import annotations

import pandas as pd

from experiments.benchmarks import nasbench201
from experiments.benchmarks.nasbench201_cells import WITHOUT_SCORE
from experiments.benchmarks.nasbench201_terms import SCORES as TERMS
from experiments.benchmarks.nasbench201_variants import CHOSEN, COUNTS, DATASETS, MEASURED, cells
from experiments.benchmarks.tables import filled
from experiments.record.agreement import ARITHMETIC
from experiments.record.keys import crossed
from experiments.record.table import Table
from experiments.record.wording import UNKNOWN, Told
from zenlib.stats import ndcg

SCORES = (*MEASURED, "zen", "gain", CHOSEN, *COUNTS)
HALVES = {"all": 1000, "report": 500}
"""Half of the isomorphism classes -> how many of the cells ranked first count."""


def best_row(*, dataset: str, half: str, score: str, top: int) -> dict[str, float]:
    """How much of the possible gain the cells have that a score ranks first."""
    rows = cells()
    rows = rows if half == "all" else rows[rows["half"] == half]
    return {"n": len(rows), "ndcg": ndcg(rows[score].fillna(WITHOUT_SCORE), rows[dataset], top)}


BEST = Table(
    study="cells",
    name="best",
    compute=best_row,
    units={
        "dataset": "name: cifar10, cifar100 or imagenet16, test accuracy after 200 epochs",
        "half": "name: half of the isomorphism classes, or all",
        "score": "name: a variant of the score, or a count",
        "top": "count: cells that the score ranks first and whose gain counts",
        "n": "count: cells",
        "ndcg": "1: nDCG@P, see zenlib.stats.ndcg",
    },
    otherwise=ARITHMETIC,
)


def best_facts() -> dict[str, str]:
    """nDCG@P of every score, by data set and half; the stored values without the benchmark's file."""
    keys: list[dict[str, str | int]] = [
        key | {"top": HALVES[str(key["half"])]}
        for key in crossed({}, dataset=DATASETS, half=HALVES, score=SCORES)
    ]
    there = nasbench201.is_there() and TERMS.path.exists()  # a run of some cells has no scores of all
    rows: pd.DataFrame = filled(BEST, keys, lambda _: there)
    found = Told(rows, ["dataset", "half", "score"], UNKNOWN)
    told = {f"best_{half}": f"{top:,}" for half, top in HALVES.items()}
    return told | {
        f"ndcg_{key['score']}_{key['half']}_{key['dataset']}": found.number(
            (key["dataset"], key["half"], key["score"]), "ndcg", 3
        )
        for key in keys
    }
