"""Published tables of trained accuracies that a user brings: simple CSV files in the folder $ZENLIB_DATA.

They are read, never copied into the project: what we store are scores of our own and aggregates, which are
shown where a file is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from experiments.record.results import data_file
from experiments.record.table import Table
from zenlib.errors import ResultsError


def read_table(name: str, columns: Mapping[str, str], source: str) -> pd.DataFrame:
    """One table, checked for the columns that its reader needs.

    Args:
        name: file name in the data folder.
        columns: columns that are needed, with their meaning.
        source: where the official numbers come from, for the error.

    Raises:
        BenchmarkMissing: there is no such file; says how to make it.
        ResultsError: a column is missing, or has no values.
    """
    wanted = "; ".join(f"{column}: {meaning}" for column, meaning in columns.items())
    path = data_file(
        name,
        f"it is not part of the project: take the numbers from {source} and write them as CSV with the "
        f"columns {wanted}",
    )
    rows = pd.read_csv(
        path, dtype={column: str for column, meaning in columns.items() if meaning.startswith("text")}
    )
    missing = [column for column in columns if column not in rows]
    if missing or rows.empty:
        raise ResultsError(
            f"{path}: needed rows with the columns {', '.join(columns)}, got {len(rows)} rows without "
            f"{', '.join(missing) or 'values'}"
        )
    return rows


def filled(
    table: Table, keys: Sequence[dict[str, Any]], there: Callable[[dict[str, Any]], bool]
) -> pd.DataFrame:
    """The rows of these keys, in their order: computed where `there` says so of a key, else as stored."""
    able = [key for key in keys if there(key)]
    computed = table.fill(able)
    if len(able) == len(keys):
        return computed
    stored = table.stored()
    both = pd.concat([computed, stored], ignore_index=True) if able else stored
    found = both.drop_duplicates(list(table.key))
    return pd.DataFrame(keys, columns=list(table.key)).merge(found, on=list(table.key))[stored.columns]
