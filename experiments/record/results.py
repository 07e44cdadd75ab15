"""Where files live, and the store that keeps the finished rows of one table.

This is the only module of the studies that builds paths. A table is two files in the results of its chapter,
`<name>.csv` with the rows and `<name>.json` beside it with what the rows mean and where they came from.
Finished rows go first, one by one, to the journal `<name>.journal.jsonl`, so that a run can be killed at any
moment and loses at most the row that it was computing.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from experiments.record.described import FORMAT, Described, disk_errors
from zenlib.durable import append_line, lines_in, pending
from zenlib.errors import BenchmarkMissing, ResultsError
from zenlib.machine import cache_root

RESERVED = {
    "reason": "text: why the row has no value, empty where it has one",
    "seconds": "s: wall time of computing the row",
    "run": "text: the entry of `runs` in the sidecar that made the row",
}
"""Columns that every table has, with their units."""

FORMULA = "=+-@\t"
"""What text begins with that a spreadsheet runs as a formula."""

CHAPTERS = "experiments/chapters"
"""Folder of the chapters in the checkout."""

Cell = bool | int | float | str | None
Row = dict[str, Cell]
Identity = tuple[tuple[bool, Cell], ...]


def checkout() -> Path | None:
    """Root of the source checkout this package runs from, or None when it is installed elsewhere."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else None


def results_root() -> Path:
    """Folder with a folder for each study.

    $ZENLIB_RESULTS, else the chapters in the checkout, else `results` in the current folder.
    """
    return _root("ZENLIB_RESULTS", CHAPTERS, "results")


def study_folder(study: str, root: Path | None = None) -> Path:
    """Folder of the stored rows of a study: that of its name, or `results` in it where it is a chapter's.

    `root` is another results folder, such as that of another machine; None means `results_root()`.
    """
    root = root or results_root()
    here = checkout()
    inside = root / study / "results"
    return inside if inside.is_dir() or (here and root == here / CHAPTERS) else root / study


def figures_root() -> Path:
    """Folder of the figures.

    $ZENLIB_FIGURES, else `book/figures` in the checkout, else `figures` in the current folder.
    """
    return _root("ZENLIB_FIGURES", "book/figures", "figures")


def training_folder(name: str) -> Path:
    """Folder of a training that a study runs, with its checkpoint and log."""
    return cache_root() / "training" / name


def data_root() -> Path | None:
    """Folder of published tables that we read.

    $ZENLIB_DATA, else `shared/data` beside the checkout, else None.
    """
    if os.environ.get("ZENLIB_DATA"):
        return Path(os.environ["ZENLIB_DATA"]).resolve()
    root = checkout()
    beside = root.parent / "shared" / "data" if root else None
    return beside if beside and beside.is_dir() else None


def scores_in(root: Path, study: str) -> list[str]:
    """Names of the files of scores of a study in a results folder."""
    return sorted(path.stem for path in study_folder(study, root).glob("*.parquet"))


def studies_in(root: Path) -> list[str]:
    """Names of the studies that have files in a results folder."""
    return sorted(
        path.name
        for path in root.iterdir()
        if path.is_dir() and any(study_folder(path.name, root).glob("*.json"))
    )


def tables_in(root: Path, study: str) -> list[str]:
    """Names of the tables of a study in a results folder, finished or not."""
    names = {
        path.name.removesuffix(ending)
        for ending in (".csv", ".journal.jsonl")
        for path in study_folder(study, root).glob(f"*{ending}")
    }
    return sorted(names)


def export_path(study: str, file: str) -> Path:
    """A file of a study that others read, beside its tables."""
    return study_folder(study) / file


def data_file(name: str, remedy: str) -> Path:
    """A published table in the data folder; else a BenchmarkMissing that says by what remedy one makes it."""
    root = data_root()
    if root is None or not (root / name).is_file():
        raise BenchmarkMissing(
            f"{name}: needed this file in the folder $ZENLIB_DATA ({root or 'not set'}), found none; {remedy}"
        )
    return root / name


def is_there(read: Callable[[], object]) -> bool:
    """Whether the user has brought what this reads."""
    try:
        read()
    except BenchmarkMissing:
        return False
    return True


def _root(variable: str, in_checkout: str, elsewhere: str) -> Path:
    if os.environ.get(variable):
        return Path(os.environ[variable]).resolve()
    root = checkout()
    return root / in_checkout if root else Path(elsewhere).resolve()


def plain(column: str, value: Any) -> Cell:
    """A value as one of the types a cell can hold; numpy scalars become Python ones.

    Raises:
        ValueError: for anything that does not come back from a text file as it was, and for text that a
            spreadsheet would run as a formula.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str) and value and "\r" not in value and value[0] not in FORMULA:
        return value
    raise ValueError(
        f"{column}: needed a number, a boolean, non-empty text without carriage returns that begins with "
        f"none of {FORMULA!r}, or None, got {value!r} ({type(value).__name__})"
    )


def identity(row: Row, key: Sequence[str]) -> Identity:
    """What makes two rows one: equal keys, whole floats being equal to integers and booleans to neither."""
    return tuple((isinstance(row[column], bool), row[column]) for column in key)


@dataclass(frozen=True)
class Store(Described):
    """The rows of one table on disk.

    Several processes may use one store: every access holds a file lock for a moment only, and of two rows
    with one key the first stays.
    """

    study: str  # folder of the table
    name: str  # file name of the table without ending
    key: tuple[str, ...]  # columns that tell one row from another
    units: dict[str, str]  # "unit: meaning" of every key and value column, in the order of the file
    version: int = 1  # of the meaning of the values; rows of a lower one are replaced, a higher is refused
    root: Path | None = None  # another results folder, such as a copy; None means `results_root()`
    ending: ClassVar[str] = ".csv"

    @property
    def folder(self) -> Path:
        """Folder of the files."""
        return study_folder(self.study, self.root)

    @property
    def journal_path(self) -> Path:
        """Finished rows that are not yet in the CSV."""
        return self.folder / f"{self.name}.journal.jsonl"

    @property
    def columns(self) -> dict[str, str]:
        """Units of all columns in file order: key, values, then the reserved ones."""
        return {column: self.units[column] for column in self.key} | self.units | RESERVED

    def read(self) -> list[Row]:
        """All finished rows, sorted by key; writes nothing."""
        return _sorted(self.contents()[0], self.key)

    def contents(self) -> tuple[dict[Identity, Row], dict[str, Any]]:
        """All finished rows by identity, and the provenance entries by id; writes nothing."""
        with self.locked(writing=False):
            return self._load()

    def absorb(self, rows: dict[Identity, Row], runs: dict[str, Any], *, replace: bool = False) -> None:
        """Take in rows of another store, by identity, with the runs that they name, all or none.

        Of two with one key the one here stays, or with `replace` the one from there.
        """
        with self.locked(writing=True), disk_errors(self.folder):
            mine, known = self._load()
            self._replace(_sorted(mine | rows if replace else rows | mine, self.key), runs | known)
            for path in self._leftovers():
                path.unlink(missing_ok=True)

    def append(self, row: Row, run: dict[str, Any]) -> None:
        """Record one finished row, with the run that it names, durably."""
        with self.locked(writing=True), disk_errors(self.folder):
            self.journal_path.touch()
            append_line(self.journal_path, {"version": self.version, "row": row, "run": run})

    def merge(self) -> None:
        """Move the journal's rows into the CSV and its sidecar, and finish a merge that was killed."""
        if not any(path.exists() for path in self._leftovers()):
            return
        with self.locked(writing=True):
            rows, runs = self._load()
            with disk_errors(self.folder):
                if rows:
                    self._replace(_sorted(rows, self.key), runs)
                for path in self._leftovers():
                    path.unlink(missing_ok=True)

    def _leftovers(self) -> tuple[Path, Path, Path]:
        return self.journal_path, pending(self.data_path), pending(self.sidecar_path)

    def _load(self) -> tuple[dict[Identity, Row], dict[str, Any]]:
        """Rows by key and provenance by run, from the CSV and then the journal."""
        rows: dict[Identity, Row] = {}
        runs: dict[str, Any] = {}
        sidecar = self.sidecar()
        with self._readable():
            if sidecar is not None and self._current(sidecar["version"], self.sidecar_path):
                runs |= sidecar["runs"]
                stored = list(self._csv_rows(sidecar))
                rows |= {identity(row, self.key): row for row in stored}
                kinds = {column: entry["type"] for column, entry in sidecar["columns"].items()}
                if "digest" not in sidecar:
                    self.require_derived(sidecar, self._describe(stored, runs, kinds))
        for row, run in self._journal_rows():
            rows.setdefault(identity(row, self.key), row)
            runs.setdefault(run["id"], run)
        return rows, runs

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Whatever a file raises that was written by hand or by another program becomes one error."""
        try:
            yield
        except ResultsError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError, csv.Error) as error:
            raise self.damaged(
                self.data_path,
                f"a table that {self.sidecar_path.name} describes, got one that cannot be read "
                f"({type(error).__name__}: {error})",
            ) from error

    def _current(self, version: int, path: Path) -> bool:
        """Whether rows of this version count: lower ones are outdated, higher ones an error."""
        if version > self.version:
            raise ResultsError(
                f"{path}: needed version {self.version} of table {self.study}/{self.name}, got {version}; "
                "update zenlib to read it"
            )
        return version == self.version

    def _csv_rows(self, sidecar: dict[str, Any]) -> Iterator[Row]:
        if list(sidecar["columns"]) != list(self.columns):
            changed = sorted(set(sidecar["columns"]) ^ set(self.columns)) or "their order"
            raise ResultsError(
                f"{self.data_path}: needed the columns {', '.join(self.columns)}, got a table that differs "
                f"in {changed}; "
                "raise the version of the table, or delete both files to compute the rows again"
            )
        kinds = {column: entry["type"] for column, entry in sidecar["columns"].items()}
        reader = csv.reader(io.StringIO(self.data_path.read_bytes().decode(), newline=""), strict=True)
        if next(reader, None) != list(kinds):
            raise ValueError(f"line 1: needed the columns {', '.join(kinds)}")
        for cells in reader:
            if len(cells) != len(kinds):
                raise ValueError(f"line {reader.line_num}: needed {len(kinds)} cells, got {len(cells)}")
            yield {
                column: _decode(cell, kind) for (column, kind), cell in zip(kinds.items(), cells, strict=True)
            }

    def _journal_rows(self) -> Iterator[tuple[Row, dict[str, Any]]]:
        """The journal's rows; a last line that was cut short is not one."""
        if not self.journal_path.exists():
            return
        for number, entry in lines_in(self.journal_path):
            if not _is_entry(entry, set(self.columns)) and not self._is_outdated(entry):
                raise ResultsError(
                    f"{self.journal_path}: line {number}: needed one row of {self.study}/{self.name} as it "
                    "was written, got another line; delete the line to compute its row again, or the file to "
                    "compute all of its rows again"
                )
            if self._current(entry["version"], self.journal_path):
                yield entry["row"], entry["run"]

    def _is_outdated(self, entry: Any) -> bool:
        """Whether a line says that it is of another version, whose rows may have other columns."""
        return (
            isinstance(entry, dict) and type(entry.get("version")) is int and entry["version"] != self.version
        )

    def _replace(self, rows: list[Row], runs: dict[str, Any]) -> None:
        """Write both files under temporary names, then rename them, the CSV first."""
        kinds = {column: _kind([row[column] for row in rows]) for column in self.columns}
        self.write(self._csv_text(rows, kinds).encode(), self._describe(rows, runs, kinds))

    def _csv_text(self, rows: list[Row], kinds: dict[str, str]) -> str:
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(kinds)
        writer.writerows([_encode(row[column], kind) for column, kind in kinds.items()] for row in rows)
        return text.getvalue()

    def _describe(self, rows: list[Row], runs: dict[str, Any], kinds: dict[str, str]) -> dict[str, Any]:
        """The sidecar without digests."""
        used = {row["run"] for row in rows}
        return {
            "format": FORMAT,
            "study": self.study,
            "table": self.name,
            "version": self.version,
            "data": self.data_path.name,
            "rows": len(rows),
            "seconds": round(sum(_seconds(row) for row in rows), 3),
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "key": list(self.key),
            "columns": {
                column: {"type": kinds[column], "unit": unit} for column, unit in self.columns.items()
            },
            "parameters": {column: _range([row[column] for row in rows]) for column in self.key},
            "seeds": sorted({row["seed"] for row in rows}, key=_order) if "seed" in self.key else [],
            "runs": {name: _of_run(run, rows) for name, run in sorted(runs.items()) if name in used},
        }


def _is_entry(entry: Any, columns: set[str]) -> bool:
    """Whether a line of a journal holds a row with these columns, and the provenance entry that it names."""
    if not isinstance(entry, dict) or type(entry.get("version")) is not int:
        return False
    row, run = entry.get("row"), entry.get("run")
    if not (isinstance(row, dict) and set(row) == columns and isinstance(run, dict)):
        return False
    return (
        all(value is None or isinstance(value, Cell) for value in row.values())
        and isinstance(row["run"], str)
        and run.get("id") == row["run"]
    )


def _sorted(rows: dict[Identity, Row], key: Sequence[str]) -> list[Row]:
    return sorted(rows.values(), key=lambda row: [_order(row[column]) for column in key])


def _order(value: Cell) -> tuple[int, Any]:
    """Sort key of a cell: None, then numbers, then text."""
    return (0, 0) if value is None else (2, value) if isinstance(value, str) else (1, value)


def _missing(value: Cell) -> bool:
    return value is None or value != value


def _kind(values: Sequence[Cell]) -> str:
    """The type of a column: "integer", "number", "boolean", "text", or "json" where types mix."""
    types = {type(value) for value in values if not _missing(value)}
    if not types:
        return "number" if any(value is not None for value in values) else "text"
    if types <= {int, float}:
        return "integer" if types == {int} else "number"
    return "boolean" if types == {bool} else "text" if types == {str} else "json"


def _encode(value: Cell, kind: str) -> str:
    """A cell as text that gives the same value back; undefined is "nan" among numbers, empty elsewhere."""
    if value is None or (_missing(value) and kind in ("integer", "boolean", "text")):
        return ""
    if kind == "json":
        return json.dumps(value)
    return repr(float(value)) if kind == "number" else str(value)


def _decode(text: str, kind: str) -> Cell:
    if text == "":
        return None
    readers: dict[str, Any] = {
        "integer": int,
        "number": float,
        "boolean": "True".__eq__,
        "text": str,
        "json": json.loads,
    }
    return readers[kind](text)


def _range(values: Sequence[Cell]) -> list[Cell] | dict[str, Cell | int]:
    """The distinct values of a column, or of more than 20 their number, the first and the last."""
    distinct = sorted(set(values), key=_order)
    if len(distinct) <= 20:
        return distinct
    return {"distinct": len(distinct), "first": distinct[0], "last": distinct[-1]}


def _seconds(row: Row) -> float:
    seconds = row["seconds"]
    return float(seconds) if seconds is not None else 0.0


def _of_run(run: dict[str, Any], rows: list[Row]) -> dict[str, Any]:
    """A provenance entry with what it contributed."""
    mine = [row for row in rows if row["run"] == run["id"]]
    return run | {"rows": len(mine), "seconds": round(sum(_seconds(row) for row in mine), 3)}
