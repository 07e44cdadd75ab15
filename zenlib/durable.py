"""Files that outlive what writes them: replaced at once or not at all, appended by line, held by one process.

What grows while it is computed, the rounds of a search and the rows of a study, is a journal: a text file
that is only appended to, a line of JSON and its digest for each piece of finished work. So every byte is
under a digest, and a line that a kill cut short lacks its end. A state, such as of a training, is one file
that is replaced as a whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, TextIO
from weakref import WeakSet

Fill = Callable[[BinaryIO], object]
SUMS = "SHA256SUMS"
"""File with the digests of published files, as `sha256sum --check` reads it."""


def replace_files(contents: Mapping[Path, Fill]) -> None:
    """Writes files of one folder, which is made, under temporary names, and renames them in this order.

    Where one cannot be written none is renamed, and no temporary file stays. Two writers take turns.
    """
    where = next(iter(contents)).parent
    where.mkdir(parents=True, exist_ok=True)
    folder = os.open(where, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # they must not share the temporary names
        try:
            for path, fill in contents.items():
                with open(pending(path), "wb") as file:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
            for path in contents:
                os.replace(pending(path), path)
        except BaseException:
            for path in contents:
                pending(path).unlink(missing_ok=True)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)


def replace_file(path: Path, fill: Fill, error: type[ValueError]) -> None:
    """Replaces one file by what `fill` writes, see `replace_files`; raises `error` where the disk refuses."""
    with refusals(path, error):
        replace_files({path: fill})


def pending(path: Path) -> Path:
    """The temporary name under which a file is written before it is renamed."""
    return path.with_name(path.name + ".new")


@contextmanager
def refusals(path: Path, error: type[ValueError]) -> Iterator[None]:
    """Turns what a disk refuses into one error that names the file."""
    try:
        yield
    except OSError as refused:
        raise error(
            f"{path}: needed to write this file, got {refused.strerror or refused}; what was there before is "
            "whole; free space or choose another folder"
        ) from refused


@contextmanager
def held(path: Path, what: str, error: type[ValueError]) -> Iterator[None]:
    """Keeps other processes out of a folder, until the end of the block or of this process.

    The file of the lock says who has it, and is gone afterwards; `what` is done there, such as "search".
    Raises `error` where another process has it, or the folder, which is made, cannot be written.
    """
    with refusals(path, error):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _locked(path, what, error)
    with lock:
        with refusals(path, error):
            lock.truncate(0)
            lock.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%F %T} UTC")
            lock.flush()
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path, what: str, error: type[ValueError]) -> TextIO:
    """The file, open and locked; it may be removed between the two, and is then opened again."""
    while True:
        lock = open(path, "a+", encoding="utf-8")  # noqa: SIM115  the caller closes it
        _HELD.add(lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                return lock
        except BlockingIOError:
            lock.seek(0)
            raise error(
                f"{path.parent}: needed a folder in which no other {what} is at work, got one that "
                f"{lock.read() or 'another process'} holds; wait for its end or choose another folder"
            ) from None
        except FileNotFoundError:
            pass
        lock.close()


_HELD: WeakSet[TextIO] = WeakSet()
# A process that was forked must not keep what its parent holds.
os.register_at_fork(after_in_child=lambda: [lock.close() for lock in _HELD])


def append_line(path: Path, entry: Any, *, wait: bool = True) -> None:
    """Adds JSON data, with all digits of its floats, to a journal, over what a kill left of a line.

    Without `wait` for the disk the entry outlives this process but not a loss of power. Where the disk
    refuses with an OSError, the journal is as it was.
    """
    with open(path, "r+b", buffering=0) as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        end = _end_of_last_line(journal)
        journal.truncate(end)
        journal.seek(end)
        rest = memoryview(line_of(entry))
        try:
            while rest:
                rest = rest[journal.write(rest) :]
            if wait:
                os.fsync(journal.fileno())
        except OSError:
            journal.truncate(end)
            raise


def line_of(entry: Any) -> bytes:
    """A line of a journal: digest, blank, JSON."""
    content = json.dumps(entry).encode()
    return _digest(content) + b" " + content + b"\n"


def lines_in(path: Path) -> Iterator[tuple[int, Any]]:
    """The entries of a journal with their numbers, from 1; what a kill left of a last line is none.

    A line that is not as it was written is None.
    """
    with open(path, "rb") as journal:
        for number, line in enumerate(journal, start=1):
            digest, _, content = line[:-1].partition(b" ")
            whole = _digest(content) == digest
            if whole and line.endswith(b"\n"):
                yield number, json.loads(content)
            elif whole or line.endswith(b"\n"):
                yield number, None


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=8).hexdigest().encode()


def _end_of_last_line(journal: Any) -> int:
    """Offset behind the last complete line."""
    end = journal.seek(0, os.SEEK_END)
    journal.seek(max(0, end - 1))
    if journal.read(1) in (b"", b"\n"):
        return end
    journal.seek(0)
    return (journal.readall() or b"").rfind(b"\n") + 1


def write_sums(paths: Sequence[Path], error: type[ValueError]) -> None:
    """Writes the digests of published files of one folder beside them."""
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in paths]
    replace_file(paths[0].with_name(SUMS), lambda file: file.write("".join(lines).encode()), error)


def require_as_published(path: Path, error: type[ValueError]) -> None:
    """Refuses a file that `SHA256SUMS` beside it describes otherwise."""
    try:
        sums = path.with_name(SUMS).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    told = {line[66:]: line[:64] for line in sums}.get(path.name)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if told not in (None, digest):
        raise error(
            f"{path}: needed the file with sha256 {told:.12} of {SUMS} beside it, got {digest:.12}, so it "
            f"was edited or damaged; give the command that wrote it again, or delete {SUMS} to read it so"
        )


def require_same_settings(
    path: Path, stored: dict[str, Any], wanted: dict[str, Any], what: str, error: type[ValueError]
) -> None:
    """Refuses to go on with what a search, or a `what`, began with other settings; names all that differ."""
    differing = [
        f"{name} is {stored.get(name)!r} there and {wanted.get(name)!r} here"
        for name in sorted(stored.keys() | wanted.keys())
        if stored.get(name) != wanted.get(name)
    ]
    if differing:
        raise error(
            f"{path}: needed the settings of the {what} that wrote it, got others ({'; '.join(differing)}); "
            "use the same settings or another file or folder"
        )
