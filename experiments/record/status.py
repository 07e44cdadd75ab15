"""What is stored for every study: rows, age, code, machine, and whether this code still computes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd

from experiments.record.chapters import STUDIES, load_study
from experiments.record.described import read_json
from experiments.record.results import Store
from experiments.record.score_columns import ScoreColumns, stored_columns
from zenlib.errors import ResultsError

COLUMNS = ("rows", "last run", "age, days", "code", "machine", "state")


def status(studies: Sequence[str] | None = None, today: date | None = None) -> pd.DataFrame:
    """One line per table of these studies, stored or not.

    A table is "current" where its rows are of the version that this code computes, "stale" where they are of
    an earlier one, "unfinished" where a run was stopped and left rows in the journal, "missing" where nothing
    is stored, and "damaged" where the files cannot be read.

    Args:
        studies: names of studies; None means all.
        today: the day from which the age counts, UTC; None leaves the age out, so that the table stays the
            same from day to day.

    Returns:
        Indexed by study and table, with columns `rows`, `last run` (date of the newest run, UTC), `age,
        days`, `code` (version of zenlib and the commits of the runs), `machine` (processor or GPU, threads)
        and `state`.
    """
    lines = [line for study in studies or STUDIES for line in _lines(study, today)]
    wanted = [column for column in COLUMNS if today is not None or column != "age, days"]
    return pd.DataFrame(lines).set_index(["study", "table"])[wanted]


def today() -> date:
    """The day, UTC."""
    return datetime.now(UTC).date()


def _lines(study: str, day: date | None) -> list[dict[str, Any]]:
    lines = [_line(study, table.name, day, *_guarded(table.store)) for table in load_study(study).TABLES]
    try:
        files = stored_columns(study)
    except ResultsError as error:
        return [*lines, _line(study, "scores", day, 0, {}, f"damaged: {error}")]
    return lines + [_line(study, columns.path.name, day, *_guarded(columns)) for columns in files]


def _guarded(store: Store | ScoreColumns) -> tuple[int, dict[str, Any], str]:
    """Rows, provenance and state; an error of the files is a state."""
    try:
        return _of_columns(store) if isinstance(store, ScoreColumns) else _of_table(store)
    except ResultsError as error:
        return 0, {}, f"damaged: {error}"


def _of_columns(columns: ScoreColumns) -> tuple[int, dict[str, Any], str]:
    columns.values()  # an error where the file is damaged
    return columns.rows, columns.runs(), "current"


def _of_table(store: Store) -> tuple[int, dict[str, Any], str]:
    rows, runs = store.contents()
    sidecar = read_json(store.sidecar_path) or {}
    if sidecar.get("version", store.version) < store.version:
        return (
            sidecar["rows"],
            sidecar["runs"],
            f"stale: rows of version {sidecar['version']}, the code has {store.version}",
        )
    if not rows:
        return 0, {}, "missing"
    pending = len(rows) - sidecar.get("rows", 0)
    return (
        len(rows),
        runs,
        f"unfinished: {pending} rows in the journal" if store.journal_path.exists() else "current",
    )


def _line(
    study: str, table: str, day: date | None, rows: int, runs: dict[str, Any], state: str
) -> dict[str, Any]:
    entries = runs.values()
    last = max((run["started"] for run in entries), default="")[:10]
    versions = sorted({run["versions"]["zenlib"] for run in entries if "versions" in run})
    commits = list(
        dict.fromkeys(
            run.get("commit", "unknown")[:7] for run in sorted(entries, key=lambda run: run["started"])
        )
    )
    machines = sorted(
        {
            f"{run['device']}, {run['threads']} thread{'s' * (run['threads'] != 1)}"
            for run in entries
            if "device" in run
        }
    )
    return {
        "study": study,
        "table": table,
        "rows": rows,
        "last run": last,
        "age, days": (day - date.fromisoformat(last)).days if day and last else None,
        "code": " ".join([*versions, _some(commits)]).strip(),
        "machine": "; ".join(machines),
        "state": state,
    }


def _some(commits: list[str]) -> str:
    """One or two commits, or the first and the last of more."""
    return ", ".join(commits) if len(commits) <= 2 else f"{commits[0]} to {commits[-1]}"
