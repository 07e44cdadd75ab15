"""The journal of a search, from which it goes on, and the table of all its candidates that it leaves.

A line holds one round: its candidates with their scores, and the strategy's state after it. However a search
ends, it loses the round that it was computing.
"""

from __future__ import annotations

import json
import math
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from zenlib.durable import line_of, lines_in, replace_file, require_as_published, require_same_settings
from zenlib.errors import ResultsError, extra

FORMAT = 2
"""Version of the layout and of the meaning of a search's random draws; a file with another one is refused."""
JOURNAL = "search.journal"
HISTORY = "history.parquet"
_KEY = b"zenlib.search"
_FIELDS = {"round", "asked", "rows", "rejected", "proposed", "seconds", "strategy"}


def begin(path: Path, settings: dict[str, Any]) -> None:
    """Makes the journal of a search where there is none; one of other settings is refused."""
    if path.exists():
        require_same_settings(path, read_settings(path), settings, "search", ResultsError)
    else:
        header = line_of({"format": FORMAT, "settings": settings})
        replace_file(path, lambda file: file.write(header), ResultsError)


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of a search; a file that is no journal of this version is refused."""
    try:
        header, why = next(lines_in(path), (0, None))[1], "its first line is none or damaged"
    except OSError as error:
        header, why = None, error.strerror or str(error)
    if not isinstance(header, dict) or not isinstance(header.get("settings"), dict):
        raise ResultsError(
            f"{path}: needed the checkpoint of a search, got a file that is none ({why}); name another file "
            "or delete this one"
        )
    if header.get("format") != FORMAT:
        raise ResultsError(
            f"{path}: needed a checkpoint of format {FORMAT}, got {header.get('format')!r}; delete it to "
            "search again"
        )
    return header["settings"]


def read_rounds(path: Path) -> list[dict[str, Any]]:
    """The rounds of a search, the last two with their states; of two with one number, the second."""
    read_settings(path)
    rounds: list[dict[str, Any]] = []
    for number, entry in islice(lines_in(path), 1, None):
        if entry is None:
            raise ResultsError(
                f"{path}: line {number}: needed the round that was written there, got a line whose digest is "
                "another one, so it was edited or damaged; restore the file, or delete it to search again"
            )
        if missing := _FIELDS - entry.keys():
            raise ResultsError(
                f"{path}: line {number}: needed a round of a search, got one without "
                f"{', '.join(sorted(missing))}; delete the file to search again"
            )
        if rounds and entry["round"] == len(rounds) - 1:  # it was made longer
            rounds.pop()
        if entry["round"] != len(rounds):
            raise ResultsError(
                f"{path}: line {number}: needed round {len(rounds)}, got {entry['round']!r}, so lines were "
                "taken out; restore the file, or delete it to search again"
            )
        rounds.append(entry)
        for old in rounds[-3:-2]:
            old.pop("strategy", None)  # ten times as long as the rows
    return rounds


def write_history(path: Path, history: pd.DataFrame, settings: dict[str, Any]) -> None:
    """Writes the candidates of a search as parquet, with its settings."""
    with extra("search"):
        import pyarrow as pa
        import pyarrow.parquet as pq
    table = pa.Table.from_pandas(history, preserve_index=False)
    table = table.replace_schema_metadata({**table.schema.metadata, _KEY: json.dumps(settings).encode()})
    replace_file(
        path,
        lambda file: pq.write_table(table, file, compression="zstd", use_dictionary=["fate", "reason"]),
        ResultsError,
    )


def best_in(path: Path) -> tuple[str, int]:
    """The best network so far, as text, and the resolution of a search, by folder, journal or history."""
    if path.is_dir():
        path = path / (JOURNAL if (path / JOURNAL).exists() else HISTORY)
    if path.suffix == ".parquet":
        with extra("search"):
            import pyarrow as pa
            import pyarrow.parquet as pq
        require_as_published(path, ResultsError)
        try:
            table = pq.read_table(path, columns=["score", "architecture"])
            resolution = json.loads((table.schema.metadata or {})[_KEY])["resolution"]
            pairs = [*zip(table["score"].to_pylist(), table["architecture"].to_pylist(), strict=True)]
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise ResultsError(
                f"{path}: needed the history that a search leaves, got another file ({error}); give the "
                "command of the search again"
            ) from error
    else:
        resolution = read_settings(path)["resolution"]
        rows = [entry["rows"] for entry in read_rounds(path)]
        pairs = [pair for row in rows for pair in zip(row["score"], row["architecture"], strict=True)]
    scored = [pair for pair in pairs if pair[0] is not None and math.isfinite(pair[0])]
    if not scored:
        raise ResultsError(f"{path}: needed a search with a network that has a score, got none")
    return max(scored, key=lambda pair: pair[0])[1], resolution
