"""Files that are replaced at once or not at all, and the settings that they must have been written with."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO


def replace_file(path: Path, fill: Callable[[BinaryIO], object], error: type[ValueError]) -> None:
    """Writes a file under a temporary name, waits for the disk, and renames it.

    Two writers of one folder take turns.

    Args:
        path: the file; its folder is made.
        fill: writes the content.
        error: what to raise where the disk refuses.
    """
    pending = path.with_name(path.name + ".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)  # they must not share the temporary name
            with open(pending, "wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(pending, path)
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as refused:
        raise error(
            f"{path}: needed to write this file, got {refused.strerror or refused}; what was there before is "
            "whole; "
            "free space or choose another folder"
        ) from refused


def require_same_settings(
    path: Path, stored: dict[str, Any], wanted: dict[str, Any], what: str, error: type[ValueError]
) -> None:
    """Refuses to go on with what was begun with other settings, naming every one that differs.

    Args:
        path: the file that holds them.
        stored: the settings there.
        wanted: the settings here.
        what: what wrote the file, such as "search".
        error: what to raise.
    """
    differing = [
        name for name in sorted(stored.keys() | wanted.keys()) if stored.get(name) != wanted.get(name)
    ]
    if differing:
        lines = "; ".join(
            f"{name} is {stored.get(name)!r} there and {wanted.get(name)!r} here" for name in differing
        )
        raise error(
            f"{path}: needed the settings of the {what} that wrote it, got others ({lines}); use the same "
            "settings or another file or folder"
        )
