"""The file that a training goes on from, replaced at once or not at all, and the log beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from zenlib.durable import replace_file
from zenlib.errors import CheckpointError
from zenlib.networks.weights import load_file

FORMAT = 1
"""Version of the layout and of the meaning of a training's draws; a file with another one is refused."""


def write(path: Path, state: dict[str, Any]) -> None:
    """Replaces the checkpoint durably by tensors and plain data; weights are under `state_dict`."""
    replace_file(path, lambda file: torch.save(state | {"format": FORMAT}, file), CheckpointError)


def read(path: Path, *needed: str) -> dict[str, Any] | None:
    """The state, which must have these names, or None where there is no file; else a CheckpointError."""
    if not path.exists():
        return None
    found = load_file(path)
    state = found if isinstance(found, dict) else {}
    missing = [name for name in needed if name not in state]
    if missing or state.get("format") != FORMAT:
        lacks = "".join(f" without {name}" for name in missing)
        raise CheckpointError(
            f"{path}: needed the checkpoint of a training, of format {FORMAT}, got format "
            f"{state.get('format')!r}{lacks}; choose another folder, or delete it to train again"
        )
    return state


def write_log(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes one line per epoch, as CSV."""
    lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
    replace_file(path, lambda file: file.write(("\n".join(lines) + "\n").encode()), CheckpointError)
