"""Numbers as the chapters write them: rounded, with a real minus sign, and never as a negative zero."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

UNKNOWN = "?"
MINUS = "\N{MINUS SIGN}"


def number(value: float, digits: int = 2, unknown: str = UNKNOWN) -> str:
    """A number with so many digits after the point; `unknown` where it is not finite."""
    if not math.isfinite(value):
        return unknown
    rounded = round(float(value), digits) + 0.0  # adding zero turns -0.00 into 0.00
    return f"{rounded:.{digits}f}".replace("-", MINUS)


def interval(row: Any, column: str, digits: int = 2, unknown: str = UNKNOWN) -> str:
    """`bracketed` of a row, series, dict or named tuple: its `column`, `column_low` and `column_high`."""
    estimate, low, high = (
        getattr(row, name) if isinstance(row, tuple) else row[name]
        for name in (column, f"{column}_low", f"{column}_high")
    )
    return bracketed(estimate, low, high, digits, unknown)


def bracketed(estimate: float, low: float, high: float, digits: int = 2, unknown: str = UNKNOWN) -> str:
    """An estimate and its interval: "estimate [low, high]"."""
    return "{} [{}, {}]".format(*(number(value, digits, unknown) for value in (estimate, low, high)))


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, also where that is plus; what rounds to zero has a plus."""
    return f"{value:+z.{digits}f}".replace("-", MINUS)


def span(values: Iterable[float], pattern: str = "{}") -> str:
    """The smallest and the largest value: "low to high", or the one where both read alike."""
    values = list(values)
    low, high = pattern.format(min(values)), pattern.format(max(values))
    return (low if low == high else f"{low} to {high}").replace("-", MINUS)


def ends(values: Sequence[float], digits: int = 2, unknown: str = UNKNOWN) -> str:
    """The smallest and the largest value with so many digits, also where both read alike."""
    return f"{number(min(values), digits)} to {number(max(values), digits)}" if len(values) else unknown


def row_at(rows: pd.DataFrame, **at: Any) -> pd.Series | None:
    """The first row with these values; None where there is none."""
    for name, value in at.items():
        rows = rows[rows[name] == value] if len(rows) else rows
    return rows.iloc[0] if len(rows) else None


class Told:
    """The rows of a table by their key, as text: `missing` where there is no such row.

    Args:
        rows: of the table.
        by: columns of the key, in the order in which the methods take it as a tuple.
        missing: what is said of a row that is not there, and of a value that is not a number.

    Raises:
        ValueError: two rows have one key.
    """

    def __init__(self, rows: pd.DataFrame, by: Sequence[str], missing: str) -> None:
        self.missing = missing
        self.rows = {tuple(row[name] for name in by): row for row in rows.to_dict("records")}
        if len(self.rows) != len(rows):
            raise ValueError(f"by: needed one row for each {', '.join(by)}, got {len(rows)} rows for fewer")

    def text(self, at: tuple[Any, ...], pattern: str) -> str:
        """A row in a pattern that names its columns, such as "{n:,.0f}"."""
        return pattern.format_map(self.rows[at]) if at in self.rows else self.missing

    def number(self, at: tuple[Any, ...], column: str, digits: int = 2) -> str:
        """One value of a row."""
        return number(self.rows[at][column], digits, self.missing) if at in self.rows else self.missing

    def interval(self, at: tuple[Any, ...], column: str, digits: int = 2) -> str:
        """One estimate of a row with its interval."""
        if at not in self.rows or math.isnan(self.rows[at][column]):
            return self.missing
        return interval(self.rows[at], column, digits)
