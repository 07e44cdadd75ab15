"""A file of data with a sidecar that says what they are and where from: written together, read if they fit.

The sidecar holds the digest of the data, and one of the rest of itself. The first ones had none of
themselves: of those all that follows from the data and the code is derived again and compared.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from zenlib.durable import pending, replace_files
from zenlib.errors import ResultsError

FORMAT = 1
"""Version of the file layout; a file with a higher one is refused."""


class Described(ABC):
    """The two files, and the lock that processes take in turn."""

    name: str
    ending: ClassVar[str]

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Folder of the files."""

    @property
    def data_path(self) -> Path:
        """The data."""
        return self.folder / f"{self.name}{self.ending}"

    @property
    def sidecar_path(self) -> Path:
        """What the data mean and where they came from."""
        return self.folder / f"{self.name}.json"

    @contextmanager
    def locked(self, *, writing: bool) -> Iterator[None]:
        """Hold the lock for a moment; reading goes on without it where the folder cannot be written."""
        if not writing and not os.access(self.folder, os.W_OK):
            yield
            return
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self.folder, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            lock = open(self.folder / f".{self.name}.lock", "ab")  # noqa: SIM115  closed by the next line
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def require_writable(self) -> None:
        """Raises `ResultsError` where the folder cannot be written, before anything is computed."""
        with self.locked(writing=True):
            pass

    def write(self, data: bytes, about: dict[str, Any]) -> None:
        """Replaces both files or none, the data first; `about` is the sidecar without digests."""
        described = about | {"sha256": _sha256(data), "digest": _sha256(_rendered(about))}
        with disk_errors(self.folder):
            replace_files(
                {
                    self.data_path: lambda file: file.write(data),
                    self.sidecar_path: lambda file: file.write(_rendered(described)),
                }
            )

    def sidecar(self) -> dict[str, Any] | None:
        """The sidecar that belongs to the data, or None where there is neither.

        The data are renamed before their sidecar. A kill between the two leaves the sidecar that fits under
        its temporary name.

        Raises:
            ResultsError: one of the files is missing, damaged, of a newer format, or describes another one.
        """
        if not self.data_path.exists() and not self.sidecar_path.exists():
            return None
        if not self.data_path.exists():
            raise self.damaged(
                self.data_path, f"the rows that {self.sidecar_path.name} describes, found no file"
            )
        digest = _sha256(self.data_path.read_bytes())
        waiting = read_json(pending(self.sidecar_path))
        if waiting is not None and waiting.get("sha256") == digest and _whole(waiting):
            return waiting
        if not self.sidecar_path.exists():
            raise self.damaged(self.data_path, f"{self.sidecar_path.name} beside it, found no such file")
        found = read_json(self.sidecar_path)
        if found is None or type(found.setdefault("format", self.first_format(found))) is not int:
            raise self.damaged(self.sidecar_path, "a JSON object with a format, found something else")
        if found["format"] > FORMAT:
            raise ResultsError(
                f"{self.sidecar_path}: needed format {FORMAT} or lower, got {found['format']}; update zenlib "
                "to read it"
            )
        if found.get("sha256") != digest:
            size = self.data_path.stat().st_size
            raise self.damaged(
                self.data_path,
                f"the file with sha256 {str(found.get('sha256'))[:12]} and {found.get('rows')} rows, got "
                f"{digest[:12]} ({size} bytes), so it was edited or cut short",
            )
        if not _whole(found):
            raise self.damaged(
                self.sidecar_path, "the sidecar with the digest that it names, got one that was edited"
            )
        return found

    def first_format(self, sidecar: dict[str, Any]) -> int | None:
        """The format of a sidecar that does not say it."""
        return None

    def require_derived(self, sidecar: dict[str, Any], derived: dict[str, Any]) -> None:
        """Refuses a sidecar without a digest of its own that says something else than its data do."""
        names = (derived.keys() | sidecar.keys()) - {"written", "sha256", "format"}
        wrong = sorted(name for name in names if sidecar.get(name) != derived.get(name))
        if "digest" not in sidecar and wrong:
            raise self.damaged(
                self.sidecar_path, f"what follows from {self.data_path.name}, got another {', '.join(wrong)}"
            )

    def damaged(self, path: Path, needed: str) -> ResultsError:
        """The error of a file that is not as it was written, with the way out."""
        return ResultsError(
            f"{path}: needed {needed}; restore both files with `git checkout -- {self.data_path} "
            f"{self.sidecar_path}`, or delete both to compute the rows again"
        )


def _whole(sidecar: dict[str, Any]) -> bool:
    """Whether a sidecar is as it was written, as far as it tells."""
    rest = {name: value for name, value in sidecar.items() if name not in ("sha256", "digest")}
    return "digest" not in sidecar or sidecar["digest"] == _sha256(_rendered(rest))


def _rendered(sidecar: dict[str, Any]) -> bytes:
    return (json.dumps(sidecar, indent=2, ensure_ascii=False) + "\n").encode()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def read_json(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, or None where there is none."""
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError, RecursionError):  # no JSON, or no text at all
        return None
    return value if isinstance(value, dict) else None


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn a failure to write into an error that names the folder and the ways out."""
    try:
        yield
    except OSError as error:
        raise ResultsError(
            f"{folder}: needed to write results here, got {error.strerror or error}; nothing was "
            "half-written; free space, make the folder writable, or set ZENLIB_RESULTS to another folder"
        ) from error
