"""Keys of the rows of a table, as combinations of values."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Any


def crossed(fixed: dict[str, Any], **columns: Iterable[Any]) -> list[dict[str, Any]]:
    """Keys with every combination of values, the last column changing fastest.

    Args:
        fixed: columns that are the same in all keys.
        columns: values of each other column.
    """
    return [fixed | dict(zip(columns, values, strict=True)) for values in product(*columns.values())]
