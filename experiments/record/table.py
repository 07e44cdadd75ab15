"""A table of results: what a row is, how it is computed, and when a recomputed value agrees with it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from experiments.record.agreement import (
    ERROR,
    Agreement,
    Line,
    NotCompared,
    OneDraw,
    StandardError,
    Within,
    agrees,
    spread_of_row,
)
from experiments.record.provenance import provenance
from experiments.record.results import FORMULA, RESERVED, Row, Store, checkout, identity, plain
from zenlib.errors import ScoreUndefined

PROGRESS_AFTER = 5.0
"""Seconds of computing after which a progress bar appears."""


CHEAPEST = 10.0
"""Seconds up to which the cheapest row of a table without cheap ones is computed again."""


@dataclass(frozen=True)
class Table:
    """Rows that are computed once, stored, and recomputed to check them."""

    study: str  # name of the study, the folder of the table
    name: str  # file name of the table
    # called with the key columns as keyword arguments; returns the value columns. It may raise
    # `ScoreUndefined`: the row then has NaN values and the reason. It may also return `seconds`, where the
    # work was done before and is only read now
    compute: Callable[..., dict[str, Any]]
    units: dict[str, str]  # "unit: meaning" of every key and value column
    # columns that determine the values of a row, seeds and settings included: where it is not given, the
    # arguments of `compute`
    key: tuple[str, ...] = ()
    version: int = 1  # raised when the meaning of the values changes, which makes the stored rows outdated
    # for each value column, how far a faithful recomputation may lie; standard errors that are named here
    # need none
    agreement: Mapping[str, Agreement] = field(default_factory=dict)
    otherwise: Agreement | None = None  # the agreement of the value columns that `agreement` does not name

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.key or tuple(signature(self.compute).parameters))
        keys, values = set(self.key), set(self.values)
        _refuse("units", "a unit for every key column", keys - set(self.units))
        _refuse("units", f"no column named {', '.join(RESERVED)}", set(self.units) & set(RESERVED))
        unclear = {name for name, unit in self.units.items() if not all(map(str.strip, unit.partition(": ")))}
        _refuse("units", '"unit: meaning" for every column', unclear)
        named = set(self.agreement) | self._errors()
        _refuse("agreement", f"value columns ({', '.join(self.values)})", named - values)
        draws = [how for how in self.agreement.values() if isinstance(how, OneDraw)]
        alike = {name for how in draws for name in (*how.alike, how.over)}
        _refuse("agreement", f"key columns ({', '.join(self.key)}) for what is alike", alike - keys)

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

    @property
    def place(self) -> str:
        """How reports name the table."""
        return f"{self.study}/{self.name}"

    def agreement_of(self, column: str) -> Agreement:
        """How far a recomputed value of a column may lie.

        Raises:
            ValueError: the table does not say it.
        """
        found = self.agreement.get(column, ERROR if column in self._errors() else self.otherwise)
        if found is None:
            raise ValueError(
                f"agreement: needed one for every value column of {self.place}, got none for {column}"
            )
        return found

    def sample(self, count: int, seconds: float, seed: int) -> tuple[list[Row], int]:
        """A random sample of the stored rows that are cheap enough to be computed again.

        Args:
            count: how many rows at most.
            seconds: a row that took longer when it was stored is too dear; where all are, the cheapest one is
                taken if it took less than `CHEAPEST`.
            seed: draws the sample.

        Returns:
            The rows, and how many stored rows are too dear; nothing of a table of which no value is compared.
        """
        if all(isinstance(self.agreement_of(column), NotCompared) for column in self.values):
            return [], 0
        stored = self.store.read()
        cheap = [row for row in stored if _cost(row) <= seconds] or [
            row for row in sorted(stored, key=_cost)[:1] if _cost(row) <= CHEAPEST
        ]
        chosen = np.random.default_rng(seed).permutation(len(cheap))[:count]
        return [cheap[index] for index in chosen], len(stored) - len(cheap)

    def recompute(self, row: Row) -> list[Line]:
        """The values of a stored row that can be compared, beside what this code computes now."""
        return self._compare(row, self._values_of({column: row[column] for column in self.key}))

    def allowed(self, stored: Row, column: str, how: Within | StandardError | OneDraw) -> float:
        """The largest difference between the stored and the recomputed value that counts as agreement."""
        value = stored[column]
        if isinstance(value, str) or value is None or not math.isfinite(value):
            return 0.0
        if isinstance(how, Within):
            return how.allowed(value)
        if isinstance(how, StandardError):
            error = stored[how.column]
            return how.allowed(value, float(error) if isinstance(error, int | float) else math.nan)
        return how.allowed(value, spread_of_row(stored, self.store.read(), self.key, column, how))

    def differences(self, ours: Row, theirs: Row) -> list[str]:
        """Where two rows of one key disagree by more than the table allows, one line for each value."""
        return [
            f"{line.row}: {line.column} is {line.stored!r} here and {line.recomputed!r} there"
            for line in self._compare(ours, theirs)
            if not line.agrees
        ]

    def _checked_key(self, index: int, key: dict[str, Any]) -> Row:
        _require_columns(f"keys[{index}]", self.key, set(key))
        checked = {column: plain(f"keys[{index}][{column!r}]", key[column]) for column in self.key}
        undefined = {column for column, value in checked.items() if value != value}
        _refuse(f"keys[{index}]", "no NaN in a key", undefined)
        return checked

    def _by_identity(self) -> dict[Any, Row]:
        return {identity(row, self.key): row for row in self.store.read()}

    def _compute_missing(self, keys: list[Row], progress: bool) -> None:
        if not keys:
            return
        store, run = self.store, provenance(checkout())
        store.require_writable()
        for key in tqdm(keys, desc=self.place, unit="row", delay=PROGRESS_AFTER, disable=not progress):
            start = time.perf_counter()
            values = self._values_of(key)
            seconds = round(time.perf_counter() - start, 4)
            store.append(key | {"seconds": seconds} | values | {"run": run["id"]}, run)

    def _values_of(self, key: Row) -> Row:
        """Value columns and reason of one row, and its seconds where the computation states them."""
        try:
            values = self.compute(**key)
        except ScoreUndefined as undefined:
            reason = " ".join(str(undefined).split()) or "undefined"
            reason = f"undefined: {reason}" if reason[0] in FORMULA else reason
            return dict.fromkeys(self.values, math.nan) | {"reason": reason}
        stated = {"seconds"} & set(values)
        _require_columns("compute", self.values, set(values) - stated)
        cells = {column: plain(column, values[column]) for column in (*self.values, *stated)}
        return cells | {"reason": None}

    def _frame(self, rows: list[Row]) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=list(self.store.columns))

    def _errors(self) -> set[str]:
        return {how.column for how in self.agreement.values() if isinstance(how, StandardError)}

    def _compare(self, stored: Row, recomputed: Row) -> list[Line]:
        named = ", ".join(f"{name}={stored[name]!r}" for name in self.key)
        lines = []
        for column in self.values:
            how = self.agreement_of(column)
            if not isinstance(how, NotCompared):
                old, new = stored[column], recomputed[column]
                allowed = self.allowed(stored, column, how)
                lines.append(Line(self.place, named, column, old, new, allowed, agrees(old, new, allowed)))
        return lines


def _cost(row: Row) -> float:
    """Seconds that a row took when it was stored."""
    return float(row["seconds"] or 0.0)


def _refuse(argument: str, needed: str, wrong: set[str]) -> None:
    if wrong:
        raise ValueError(f"{argument}: needed {needed}, got {sorted(wrong)!r}")


def _require_columns(argument: str, columns: tuple[str, ...], got: set[str]) -> None:
    missing, unknown = sorted(set(columns) - got), sorted(got - set(columns))
    if missing or unknown:
        raise ValueError(
            f"{argument}: needed exactly the columns {', '.join(columns)}, got missing {missing} and "
            f"unknown {unknown}"
        )
