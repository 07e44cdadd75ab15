"""What the stored rows cost, and on which machine, read from the provenance of every table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from experiments.record.chapters import STUDIES, chapters, load_study
from experiments.record.results import checkout
from experiments.record.status import machine
from experiments.record.table import Table


def command_times() -> pd.DataFrame:
    """Minutes that the commands took, one line for each; one column a machine, empty where not measured."""
    root = checkout()
    assert root is not None  # the studies run from a checkout
    return (
        pd.read_csv(chapters(root)["90_rerun"] / "times.csv", index_col="command").astype(object).fillna("")
    )


def costs(studies: Sequence[str] | None = None) -> pd.DataFrame:
    """One line per stored table of these studies, and their sum.

    Returns:
        Indexed by study and table, with columns `rows`, `minutes` of computing (the sum over rows), `computed
        on` (processor or GPU) and `last run` (date of the newest row, UTC). Tables without stored rows are
        left out.
    """
    tables = [
        table
        for study in studies or STUDIES
        for table in load_study(study).TABLES
        if table.store.sidecar_path.exists()
    ]
    lines = [_line(table) for table in tables]
    sums = {column: sum(line[column] for line in lines) for column in ("rows", "minutes")}
    total = {"study": "all", "table": "", **sums, "computed on": "", "last run": ""}
    return (
        pd.DataFrame([*lines, total])
        .round({"minutes": 1})
        .set_index(["study", "table"])[["rows", "minutes", "computed on", "last run"]]
    )


def _line(table: Table) -> dict[str, Any]:
    about = json.loads(table.store.sidecar_path.read_text(encoding="utf-8"))
    runs = about["runs"].values()
    return {
        "study": table.study,
        "table": table.name,
        "rows": about["rows"],
        "minutes": about["seconds"] / 60,
        "computed on": ", ".join(sorted({machine(run) for run in runs})),
        "last run": max(run["started"] for run in runs)[:10],
    }
