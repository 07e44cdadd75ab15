"""A table of results: what a row is, how it is computed, and when a recomputed value agrees with the stored one."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from experiments.record.provenance import provenance
from experiments.record.results import RESERVED, Row, Store, checkout, identity, plain
from zenlib.errors import ResultsError, ScoreUndefined

PROGRESS_AFTER = 5.0
"""Seconds of computing after which a progress bar appears."""

STANDARD_ERRORS = 4.0
"""How many standard errors of the difference two estimates may lie apart."""

ROUNDING = 1e-6
"""Relative difference that is rounding and nothing else."""

NEGLIGIBLE = 1e-12
"""Numbers below this are zero up to rounding, so their ratio says nothing."""


@dataclass(frozen=True)
class Table:
    """Rows that are computed once, stored, and recomputed to check them.

    Attributes:
        study: name of the study, the folder of the table.
        name: file name of the table.
        key: columns that determine the values of a row, seeds and settings included.
        compute: called with the key columns as keyword arguments; returns the value columns. It may raise
            `ScoreUndefined`: the row then has NaN values and the reason. It may also return `seconds`, where the work was
            done before and is only read now.
        units: "unit: meaning" of every key and value column.
        version: raised when the meaning of the values changes, which makes the stored rows outdated.
        agreement: for each value that is checked, the column of its standard error, or a relative tolerance.
            Columns not named here are not compared.
    """

    study: str
    name: str
    key: tuple[str, ...]
    compute: Callable[..., dict[str, Any]]
    units: dict[str, str]
    version: int = 1
    agreement: dict[str, str | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(bool(self.key), "key", "at least one column", self.key)
        _require(set(self.key) <= set(self.units), "units", "a unit for every key column", sorted(set(self.key) - set(self.units)))
        _require(not set(self.units) & set(RESERVED), "units", f"no column named {', '.join(RESERVED)}", sorted(self.units))
        unclear = [column for column, unit in self.units.items() if not all(part.strip() for part in unit.partition(": "))]
        _require(not unclear, "units", '"unit: meaning" for every column', unclear)
        named = set(self.agreement) | {error for error in self.agreement.values() if isinstance(error, str)}
        _require(named <= set(self.values), "agreement", f"value columns ({', '.join(self.values)})", sorted(named - set(self.values)))

    @property
    def values(self) -> tuple[str, ...]:
        """The value columns."""
        return tuple(column for column in self.units if column not in self.key)

    @property
    def store(self) -> Store:
        """Where the rows are kept."""
        return Store(self.study, self.name, self.key, self.units, self.version)

    def stored(self) -> pd.DataFrame:
        """All stored rows, sorted by key."""
        return self._frame(self.store.read())

    def fill(self, keys: Sequence[dict[str, Any]], progress: bool = True) -> pd.DataFrame:
        """The rows of these keys, computing and storing those that are missing.

        A run that is interrupted keeps every row it finished and goes on from there when it is started again.

        Args:
            keys: one dict per row, with exactly the key columns.
            progress: show a progress bar once it takes longer than a few seconds.

        Returns:
            One row per key, in the order of `keys`: key columns, value columns, reason, seconds, run.
        """
        wanted = [self._checked_key(index, key) for index, key in enumerate(keys)]
        stored = self._by_identity()
        missing = {identity(key, self.key): key for key in wanted if identity(key, self.key) not in stored}
        try:
            self._compute_missing(list(missing.values()), progress)
        finally:
            self.store.merge()
        rows = self._by_identity() if missing else stored
        return self._frame([rows[identity(key, self.key)] for key in wanted])

    def verify(self, rows: int, seconds: float, seed: int) -> pd.DataFrame:
        """Recompute a random sample of the stored rows and compare.

        Args:
            rows: how many rows at most.
            seconds: time for it; a row that took longer than what is left when it was stored is passed over.
            seed: draws the sample.

        Returns:
            One line per compared value: the key columns, then column, stored, recomputed, allowed, agrees. Empty where
            nothing is stored, or where every row takes longer than `seconds`.

        Raises:
            ResultsError: naming every row that was not reproduced.
        """
        _require(bool(self.agreement), "agreement", "at least one column to compare", self.agreement)
        lines: list[dict[str, Any]] = []
        start = time.perf_counter()
        for row in self._sample(rows, seconds, seed):
            if time.perf_counter() - start > seconds:
                break
            lines += self._compare(row, self._values_of({column: row[column] for column in self.key}))
        compared = pd.DataFrame(lines, columns=[*self.key, "column", "stored", "recomputed", "allowed", "agrees"])
        failed = [line for line in lines if not line["agrees"]]
        if failed:
            raise ResultsError(self._not_reproduced(failed))
        return compared

    def differences(self, ours: Row, theirs: Row) -> list[str]:
        """Where two rows of one key disagree by more than the agreement of the table allows, one line for each value."""
        return [
            f"{_named(line, self.key)}: {line['column']} is {line['stored']!r} here and {line['recomputed']!r} there"
            for line in self._compare(ours, theirs)
            if not line["agrees"]
        ]

    def _checked_key(self, index: int, key: dict[str, Any]) -> Row:
        if set(key) != set(self.key):
            missing, unknown = sorted(set(self.key) - set(key)), sorted(set(key) - set(self.key))
            raise ValueError(f"keys[{index}]: needed exactly the columns {', '.join(self.key)}, got missing {missing} and unknown {unknown}")
        checked = {column: plain(f"keys[{index}][{column!r}]", key[column]) for column in self.key}
        undefined = [column for column, value in checked.items() if value != value]
        _require(not undefined, f"keys[{index}]", "no NaN in a key", undefined)
        return checked

    def _by_identity(self) -> dict[Any, Row]:
        return {identity(row, self.key): row for row in self.store.read()}

    def _compute_missing(self, keys: list[Row], progress: bool) -> None:
        if not keys:
            return
        store, run = self.store, provenance(checkout())
        for key in tqdm(keys, desc=f"{self.study}/{self.name}", unit="row", delay=PROGRESS_AFTER, disable=not progress):
            start = time.perf_counter()
            values = self._values_of(key)
            store.append(key | {"seconds": round(time.perf_counter() - start, 4)} | values | {"run": run["id"]}, run)

    def _values_of(self, key: Row) -> Row:
        """Value columns and reason of one row, and its seconds where the computation states them."""
        try:
            values = self.compute(**key)
        except ScoreUndefined as undefined:
            return dict.fromkeys(self.values, math.nan) | {"reason": " ".join(undefined.reason.split()) or "undefined"}
        stated = {"seconds"} & set(values)
        if set(values) - stated != set(self.values):
            missing, unknown = sorted(set(self.values) - set(values)), sorted(set(values) - set(self.values) - stated)
            raise ValueError(f"compute: needed exactly the columns {', '.join(self.values)}, got missing {missing} and unknown {unknown}")
        return {column: plain(column, values[column]) for column in (*self.values, *stated)} | {"reason": None}

    def _frame(self, rows: list[Row]) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=list(self.store.columns))

    def _sample(self, rows: int, seconds: float, seed: int) -> list[Row]:
        """Stored rows in random order, as many as were wanted and fit into the time."""
        stored = self.store.read()
        chosen: list[Row] = []
        left = seconds
        for index in np.random.default_rng(seed).permutation(len(stored)):
            cost = float(stored[index]["seconds"] or 0.0)
            if len(chosen) < rows and cost <= left:
                chosen.append(stored[index])
                left -= cost
        return chosen

    def _compare(self, stored: Row, recomputed: Row) -> list[dict[str, Any]]:
        lines = []
        for column, agreement in self.agreement.items():
            old, new = stored[column], recomputed[column]
            allowed = _allowed(old, stored[agreement] if isinstance(agreement, str) else None, agreement)
            line = {"column": column, "stored": old, "recomputed": new, "allowed": allowed, "agrees": _agrees(old, new, allowed)}
            lines.append({name: stored[name] for name in self.key} | line)
        return lines

    def _not_reproduced(self, failed: list[dict[str, Any]]) -> str:
        lines = [
            f"  {_named(line, self.key)}: {line['column']} stored {line['stored']!r}, "
            f"recomputed {line['recomputed']!r}, allowed difference {line['allowed']:.3g}"
            for line in failed
        ]
        return "\n".join(
            [
                f"{self.store.data_path}: needed stored values that this code reproduces, got {len(failed)} that differ; "
                "undo the change of the code, or raise the version of the table to compute its rows again:",
                *lines,
            ]
        )


def _named(line: dict[str, Any], key: Sequence[str]) -> str:
    return ", ".join(f"{name}={line[name]!r}" for name in key)


def _allowed(old: Any, error: Any, agreement: str | float) -> float:
    """The largest difference between the stored and the recomputed value that counts as agreement."""
    if isinstance(old, str) or old is None or not math.isfinite(old):
        return 0.0
    if not isinstance(agreement, str):
        return agreement * abs(old)
    spread = 0.0 if error is None or not math.isfinite(error) else float(error)
    return STANDARD_ERRORS * math.sqrt(2) * spread + ROUNDING * abs(old)


def _agrees(old: Any, new: Any, allowed: float) -> bool:
    """Whether two values are one: undefined with undefined, infinite with infinite, text with the same text."""
    undefined = [value is None or value != value for value in (old, new)]
    if any(undefined):
        return all(undefined)
    if old == new:
        return True
    if isinstance(old, str) or isinstance(new, str) or not math.isfinite(new):
        return False
    return abs(new - old) <= max(allowed, NEGLIGIBLE)


def _require(holds: bool, argument: str, needed: str, got: Any) -> None:
    if not holds:
        raise ValueError(f"{argument}: needed {needed}, got {got!r}")
