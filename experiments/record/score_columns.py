"""Scores of every network of a benchmark: one row per network, one column per score, in one parquet file.

The rows of a `Table` would repeat the text and the settings of a network for each of some hundred thousand
values, and take mebibytes of CSV. Here a row is the official index of a network and a column says what was
computed, seed included; a sidecar says what each column means and where its values came from. A value that
was not computed yet is missing (null), one that is undefined is NaN, and a run that is killed goes on with
what is missing.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from experiments.record.described import FORMAT, Described
from experiments.record.provenance import provenance
from experiments.record.results import checkout, results_root, scores_in, study_folder
from zenlib.errors import ResultsError, ScoreUndefined

SAVE_AFTER = 30.0
"""Seconds of computing after which finished values are written; a killed run loses at most these."""

PROGRESS_AFTER = 5.0
"""Seconds of computing after which a progress bar appears."""

Values = dict[str, float]
Group = tuple[Sequence[str], Callable[[int], Values]]
"""Columns that are computed together, and what computes them from the index of a network."""


@dataclass(frozen=True)
class ScoreColumns(Described):
    """The scores of one study."""

    study: str  # folder of the file
    rows: int  # number of networks, indexed from 0
    units: dict[str, str]  # "unit: meaning" by the name of a column without the seed, "zen" for "zen_s2"
    root: Path | None = None  # another results folder, such as a copy; None means `results_root()`
    name: str = "scores"  # of the file, without its ending
    ending: ClassVar[str] = ".parquet"

    @property
    def folder(self) -> Path:
        """Folder of the files."""
        return study_folder(self.study, self.root)

    @property
    def path(self) -> Path:
        """The file."""
        return self.data_path

    def read(self) -> pd.DataFrame:
        """All columns, `index` first; NaN where a value is undefined or not computed yet (see `done`)."""
        columns = {name: values for name, (values, _) in self.values().items()}
        return pd.DataFrame({"index": np.arange(self.rows)} | columns)

    def done(self, column: str) -> np.ndarray:
        """For each row, whether its value was computed, be it undefined."""
        return self.values().get(column, self._empty())[1]

    def fill(
        self,
        columns: Sequence[str],
        compute: Callable[[int], Values],
        indices: Sequence[int] | None = None,
        progress: bool = True,
    ) -> None:
        """Computes the missing values of some columns, for these networks, or all.

        They are what `compute` returns together by the index of a network; `ScoreUndefined` makes them NaN.
        """
        unknown = [column for column in columns if self._unit(column) is None]
        if unknown:
            raise ValueError(
                f"columns: needed names of {', '.join(self.units)}, with _s and a seed, got "
                f"{', '.join(unknown)}"
            )
        done = np.all([self.done(column) for column in columns], axis=0)
        missing = [index for index in (range(self.rows) if indices is None else indices) if not done[index]]
        if not missing:
            return
        self.require_writable()
        run = provenance(checkout())
        finished: dict[int, Values] = {}
        saved = time.monotonic()
        try:
            for index in tqdm(
                missing,
                desc=f"{self.study}: {', '.join(columns)}",
                unit="network",
                delay=PROGRESS_AFTER,
                mininterval=5.0,
                disable=not progress,
            ):
                finished[index] = _values(columns, compute, index)
                if time.monotonic() - saved > SAVE_AFTER:
                    self._save(columns, finished, run)
                    finished, saved = {}, time.monotonic()
        finally:
            if finished:
                self._save(columns, finished, run)

    def _save(self, columns: Sequence[str], finished: dict[int, Values], run: dict[str, Any]) -> None:
        with self.locked(writing=True):
            table = self._load()
            for column in columns:
                values, done = table.setdefault(column, self._empty())
                for index, found in finished.items():
                    values[index], done[index] = found[column], True
            self._write(table, self._runs(columns, len(finished), run))

    def _write(self, table: dict[str, tuple[np.ndarray, np.ndarray]], runs: dict[str, Any]) -> None:
        arrays = {name: _array(values, done) for name, (values, done) in sorted(table.items())}
        index = {"index": pa.array(np.arange(self.rows, dtype=np.int32))}
        data = io.BytesIO()
        pq.write_table(pa.table(index | arrays), data, compression="zstd")
        self.write(data.getvalue(), self._about(arrays) | {"runs": runs})

    def _about(self, arrays: dict[str, pa.Array]) -> dict[str, Any]:
        """The sidecar without runs and digests."""
        columns = {name: self._describe(name, array) for name, array in arrays.items()}
        return {"format": FORMAT, "study": self.study, "rows": self.rows, "columns": columns}

    def _runs(self, columns: Sequence[str], finished: int, run: dict[str, Any]) -> dict[str, Any]:
        """Where values came from, with what a run added."""
        runs = self.runs()
        before = runs.get(run["id"], run | {"columns": list(columns), "rows": 0})
        return runs | {run["id"]: before | {"rows": before["rows"] + finished}}

    def runs(self) -> dict[str, Any]:
        """Where the values came from: the provenance entries by id, with columns and rows."""
        return (self.sidecar() or {"runs": {}})["runs"]

    def absorb(
        self,
        columns: dict[str, tuple[np.ndarray, np.ndarray]],
        runs: dict[str, Any],
        *,
        replace: bool = False,
    ) -> None:
        """Take in values of another file, and whether they were computed, by column, with its runs, or none.

        Where both have a value the one here stays, or with `replace` the one from there.
        """
        with self.locked(writing=True):
            table = self._load()
            for column, (values, done) in columns.items():
                own, computed = table.setdefault(column, self._empty())
                taken = done if replace else done & ~computed
                own[taken], computed[taken] = values[taken], True
            self._write(table, runs | self.runs())

    def values(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Values and whether they were computed, by column, each of shape (rows,)."""
        with self.locked(writing=False):
            return self._load()

    def first_format(self, sidecar: dict[str, Any]) -> int | None:
        """The first files do not say it."""
        return FORMAT if "columns" in sidecar else None

    def _load(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Values and whether they were computed, by column."""
        sidecar = self.sidecar()  # first, so that a damaged file is not parsed
        if sidecar is None:
            return {}
        try:
            table = pq.read_table(self.path)
        except (pa.ArrowException, OSError) as error:
            raise ResultsError(
                f"{self.path}: needed a parquet file of scores, got another one ({error}); restore it or "
                "delete it"
            ) from error
        if table.num_rows != self.rows:
            raise ResultsError(
                f"{self.path}: needed {self.rows} rows, got {table.num_rows}; restore the file or delete it "
                "to compute it again"
            )
        columns = {name: table[name].combine_chunks() for name in table.column_names if name != "index"}
        if "digest" not in sidecar:
            self.require_derived(sidecar, self._about(columns) | {"runs": sidecar.get("runs")})
        return {
            name: (array.to_numpy(zero_copy_only=False).copy(), np.asarray(array.is_valid()))
            for name, array in columns.items()
        }

    def _empty(self) -> tuple[np.ndarray, np.ndarray]:
        return np.full(self.rows, np.nan, dtype=np.float32), np.zeros(self.rows, dtype=bool)

    def _unit(self, column: str) -> str | None:
        return self.units.get(column.rpartition("_s")[0] or column, self.units.get(column))

    def _describe(self, name: str, array: pa.Array) -> dict[str, Any]:
        return {
            "unit": self._unit(name),
            "computed": len(array) - array.null_count,
            "undefined": int(np.isnan(array.drop_null().to_numpy()).sum()),
        }


def stored_columns(study: str, root: Path | None = None) -> list[ScoreColumns]:
    """The files of score columns of a study, as their sidecars, which they must have, describe them."""
    return [_described(study, name, root) for name in scores_in(root or results_root(), study)]


def _described(study: str, name: str, root: Path | None) -> ScoreColumns:
    found = ScoreColumns(study, 0, {}, root, name)
    sidecar = found.sidecar()
    rows, columns = (sidecar or {}).get("rows"), (sidecar or {}).get("columns")
    if (
        type(rows) is not int
        or not isinstance(columns, dict)
        or not all(isinstance(entry, dict) for entry in columns.values())
    ):
        needed = f"{found.sidecar_path.name} with rows and columns beside it, found none"
        raise found.damaged(found.data_path, needed)
    units = {column: entry.get("unit") or "1: a score" for column, entry in columns.items()}
    return ScoreColumns(study, rows, units, root, name)


def _array(values: np.ndarray, done: np.ndarray) -> pa.Array:
    """Not from pandas: an undefined value stays a NaN, and only what was not computed is null."""
    return pa.array(values, mask=~done, from_pandas=False)


def _values(columns: Sequence[str], compute: Callable[[int], Values], index: int) -> Values:
    """The values of one network, NaN where they are undefined."""
    try:
        values = compute(index)
    except ScoreUndefined:
        return dict.fromkeys(columns, math.nan)
    if set(values) != set(columns):
        raise ValueError(f"compute: needed exactly the columns {', '.join(columns)}, got {', '.join(values)}")
    return values
