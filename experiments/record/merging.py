"""Rows of another machine, taken into this results folder: nothing is lost, counted twice or half-written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.record.chapters import STUDIES, load_study
from experiments.record.results import results_root, studies_in, tables_in
from experiments.record.score_columns import ScoreColumns, stored_columns
from experiments.record.table import Table
from zenlib.errors import ResultsError

Keep = Literal["ours", "theirs"]

SHOWN = 10
"""Conflicts that an error lists; it counts the others."""

ROUNDING = 1e-4
"""Relative difference of two scores in a parquet file that is rounding on another device."""


@dataclass(frozen=True)
class Merged:
    """What merging does to one table."""

    study: str  # name of the study
    table: str  # name of the table, or the file of score columns
    added: int = 0  # rows, or values of score columns, that were there only
    same: int = 0  # those that both have, equal or within the agreement of the table; ours stay
    conflicts: tuple[str, ...] = ()  # one line for each that both have and that differs
    skipped: str = ""  # why the table was left out, empty where it was not


def merge_results(other: Path, keep: Keep | None = None) -> list[Merged]:
    """Merges another results folder into ours.

    Every table is read and compared before the first is written, and each is written at once or not at all;
    so a merge that is killed is finished by running it again. Rows carry the provenance entry of their own
    run.

    Args:
        other: a folder with a folder for each study, such as a copy of `experiments/chapters`.
        keep: whose value stays where both have one and they disagree; None refuses.

    Raises:
        ResultsError: values disagree and `keep` is None; or files of either folder are damaged or of a newer
            version. Nothing is written then.
    """
    if not other.is_dir() or not studies_in(other):
        raise ResultsError(
            f"other: needed a results folder, with a folder for each study and JSON files in it, got {other}"
        )
    if other.resolve() == results_root():
        raise ResultsError(f"other: needed the results of another machine, got our own folder {other}")
    plans = [plan for study in studies_in(other) for plan in _plans(other, study, keep)]
    conflicts = [line for merged, _ in plans for line in merged.conflicts]
    if conflicts and keep is None:
        more = f"\n  and {len(conflicts) - SHOWN} more" if len(conflicts) > SHOWN else ""
        raise ResultsError(
            f"{other}: needed the same values where both folders have a row, got {len(conflicts)} that "
            "disagree; nothing was merged. Compute these rows again to see who is right, then say --keep "
            "ours or --keep theirs:\n  " + "\n  ".join(conflicts[:SHOWN]) + more
        )
    for _, write in plans:
        write()
    return [merged for merged, _ in plans]


def _plans(other: Path, study: str, keep: Keep | None) -> list[tuple[Merged, Callable[[], object]]]:
    """What to do for each table of a study, and how; reads only."""
    known = {table.name: table for table in load_study(study).TABLES} if study in STUDIES else {}
    why = "this version of the studies has no such table"
    plans: list[tuple[Merged, Callable[[], object]]] = [
        _table_plan(other, known[name], keep) if name in known else (Merged(study, name, skipped=why), bool)
        for name in tables_in(other, study)
    ]
    return plans + [_columns_plan(theirs, keep) for theirs in stored_columns(study, other)]


def _table_plan(other: Path, table: Table, keep: Keep | None) -> tuple[Merged, Callable[[], None]]:
    theirs, runs = replace(table.store, root=other).contents()
    ours = table.store.contents()[0]
    new = {key: row for key, row in theirs.items() if key not in ours}
    differing = {
        key: lines
        for key in theirs.keys() & ours.keys()
        if (lines := table.differences(ours[key], theirs[key]))
    }
    conflicts = tuple(f"{table.study}/{table.name}: {line}" for lines in differing.values() for line in lines)
    merged = Merged(table.study, table.name, len(new), len(theirs) - len(new) - len(differing), conflicts)
    taken = new | ({key: theirs[key] for key in differing} if keep == "theirs" else {})

    def write() -> None:
        if taken:
            table.store.absorb(taken, runs, replace=keep == "theirs")

    return merged, write


def _columns_plan(theirs: ScoreColumns, keep: Keep | None) -> tuple[Merged, Callable[[], None]]:
    own_files = (columns for columns in stored_columns(theirs.study) if columns.name == theirs.name)
    ours = next(own_files, replace(theirs, root=None))
    if ours.rows != theirs.rows:
        raise ResultsError(
            f"{theirs.path}: needed the {ours.rows} networks of {ours.path}, got {theirs.rows}; it is of "
            "another benchmark"
        )
    here = ours.values()
    merged = Merged(theirs.study, theirs.path.name)
    taken = {}
    for column, (values, done) in theirs.values().items():
        own, computed = here.get(column, (np.full_like(values, np.nan), np.zeros_like(done)))
        differs = done & computed & ~np.isclose(own, values, rtol=ROUNDING, atol=0, equal_nan=True)
        lines = tuple(
            f"{theirs.study}/{theirs.path.name}: {column}[{index}] is {own[index]} here and {values[index]} "
            "there"
            for index in np.flatnonzero(differs)
        )
        merged = replace(
            merged,
            added=merged.added + int((done & ~computed).sum()),
            same=merged.same + int((done & computed & ~differs).sum()),
            conflicts=merged.conflicts + lines,
        )
        taken[column] = values, (done & ~computed) | (differs & (keep == "theirs"))
    units: dict[str, Any] = theirs.units | ours.units

    def write() -> None:
        if any(chosen.any() for _, chosen in taken.values()):
            runs = _contributing(theirs.runs(), taken)
            replace(ours, units=units).absorb(taken, runs, replace=keep == "theirs")

    return merged, write


def _contributing(runs: dict[str, Any], taken: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """The runs that may have made some of the values that are taken over."""
    columns = {name for name, (_, chosen) in taken.items() if chosen.any()}
    return {name: run for name, run in runs.items() if columns & set(run["columns"])}
