"""Estimates as columns, with the ends of an interval or a standard error, and the units of these."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from experiments.record.agreement import Agreement, StandardError
from zenlib.stats import Correlation

ENDS = ("", "_low", "_high")
END = "1: {} end of its 95 % interval"
"""Unit of the ends of an interval; the braces stand for "lower" and "upper"."""


def with_ends(name: str, estimate: float, interval: Iterable[float]) -> dict[str, float]:
    """An estimate and the ends of its interval as three columns."""
    return dict(zip((f"{name}{end}" for end in ENDS), (estimate, *interval), strict=True))


def ends_units(name: str, unit: str, end: str = END) -> dict[str, str]:
    """Units of the columns of `with_ends`."""
    return dict(
        zip((f"{name}{e}" for e in ENDS), (unit, end.format("lower"), end.format("upper")), strict=True)
    )


def explained_units(name: str, unit: str) -> dict[str, str]:
    """The same, where the ends say again of what they are."""
    return ends_units(name, unit, unit + ", {} end of its 95 % interval")


def kendall(found: Correlation, name: str = "kendall") -> dict[str, float]:
    """Kendall's tau with its interval as three columns."""
    return with_ends(name, found.kendall, found.kendall_interval)


def both_coefficients(found: Correlation, prefix: str = "") -> dict[str, Any]:
    """Both coefficients with their intervals as six columns."""
    spearman = with_ends(f"{prefix}spearman", found.spearman, found.spearman_interval)
    return kendall(found, f"{prefix}kendall") | spearman


def mean_and_error(name: str, values: np.ndarray) -> dict[str, float]:
    """The mean of independent draws and, as `<name>_stderr`, its standard error; NaN for one draw."""
    error = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
    return {name: float(np.mean(values)), f"{name}_stderr": error}


def means_and_errors(samples: Mapping[str, np.ndarray]) -> dict[str, float]:
    """`mean_and_error` of several quantities."""
    return {
        key: value for name, values in samples.items() for key, value in mean_and_error(name, values).items()
    }


def by_error(*columns: str, **others: Agreement) -> dict[str, Agreement]:
    """Agreement of means that have a standard error beside them, and of other columns."""
    return {column: StandardError(f"{column}_stderr") for column in columns} | others
