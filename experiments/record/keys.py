"""Keys of the rows of a table, as combinations of values."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any


def crossed(fixed: dict[str, Any], **columns: Iterable[Any]) -> list[dict[str, Any]]:
    """Keys of fixed columns and every combination of values of others, the last changing fastest."""
    return [fixed | dict(zip(columns, values, strict=True)) for values in product(*columns.values())]
