"""Numbers as the chapters write them: rounded, with a real minus sign, and never as a negative zero."""

from __future__ import annotations

import math
from typing import Any

UNKNOWN = "?"


def number(value: float, digits: int = 2, unknown: str = UNKNOWN) -> str:
    """A number with so many digits after the point; `unknown` where it is not finite."""
    if not math.isfinite(value):
        return unknown
    return f"{round(float(value), digits) + 0.0:.{digits}f}".replace(
        "-", "\N{MINUS SIGN}"
    )  # adding zero turns -0.00 into 0.00


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
