"""One file that holds a search: the history as parquet, and everything else as JSON in its metadata.

The file is replaced at once or not at all, so a search that is killed finds either the old one or the new one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from zenlib.durable import replace_file
from zenlib.errors import ResultsError

FORMAT = 1
"""Version of the layout and of the meaning of a search's random draws; a file with another one is refused."""
_KEY = b"zenlib.search"


def write(path: Path, table: pa.Table, state: dict[str, Any]) -> None:
    """Replaces the file by this history and state, durably.

    Args:
        path: the file.
        table: the history.
        state: JSON data; floats keep all their digits.

    Raises:
        ResultsError: the file cannot be written.
    """
    document = json.dumps(state | {"format": FORMAT}).encode()
    described = table.replace_schema_metadata({_KEY: document})
    replace_file(
        path,
        lambda file: pq.write_table(described, file, compression="zstd", use_dictionary=["fate", "reason"]),
        ResultsError,
    )


def read(path: Path) -> tuple[pa.Table, dict[str, Any]] | None:
    """The history and the state, or None where there is no file.

    Raises:
        ResultsError: the file is not a checkpoint of this version.
    """
    if not path.exists():
        return None
    try:
        table = pq.read_table(path)
        state = json.loads((table.schema.metadata or {})[_KEY])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise ResultsError(
            f"{path}: needed the checkpoint of a search, got a file that is none ({error}); name another "
            "file or delete this one"
        ) from error
    version = state.get("format") if isinstance(state, dict) else None
    if version != FORMAT:
        raise ResultsError(
            f"{path}: needed a checkpoint of format {FORMAT}, got {version!r}; delete it to search again"
        )
    return table, state
