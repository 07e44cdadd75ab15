"""One file that holds a search: the history as parquet, and everything else as JSON in its metadata.

The file is replaced at once or not at all, so a search that is killed finds either the old one or the new one.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

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
    pending = path.with_name(path.name + ".new")
    document = json.dumps(state | {"format": FORMAT}).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # two searches on one file must not share the pending file
            with open(pending, "wb") as file:
                pq.write_table(table.replace_schema_metadata({_KEY: document}), file, compression="zstd", use_dictionary=["fate", "reason"])
                file.flush()
                os.fsync(file.fileno())
            os.replace(pending, path)
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise ResultsError(
            f"{path}: needed to write the checkpoint, got {error.strerror or error}; the last one is whole; free space or choose another file"
        ) from error


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
    except (pa.ArrowInvalid, OSError, KeyError, json.JSONDecodeError) as error:
        raise ResultsError(
            f"{path}: needed the checkpoint of a search, got a file that is none ({error}); name another file or delete this one"
        ) from error
    if state.get("format") != FORMAT:
        raise ResultsError(f"{path}: needed a checkpoint of format {FORMAT}, got {state.get('format')!r}; delete it to search again")
    return table, state


def require_same(path: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Refuses to go on with a search of other settings.

    Raises:
        ResultsError: naming every setting that differs.
    """
    differing = [name for name in sorted(stored.keys() | wanted.keys()) if stored.get(name) != wanted.get(name)]
    if differing:
        lines = "; ".join(f"{name} is {stored.get(name)!r} there and {wanted.get(name)!r} here" for name in differing)
        raise ResultsError(f"{path}: needed the settings of the search that wrote it, got others ({lines}); use the same settings or another file")
