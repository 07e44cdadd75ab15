"""How commands answer: a table for people, or JSON for machines, alone on standard output."""

from __future__ import annotations

import functools
import json
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console, RenderableType

Json = Annotated[
    bool, typer.Option("--json", help="Answer with one JSON object; what has no finite value is null.")
]
_answers: list[TextIO | None] = []
"""Where a running command answers."""


def alone(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose answer has standard output to itself.

    What networks and their processes print goes to standard error; code that ends this process is an error.
    """

    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        with _standard_output() as stream, redirect_stdout(sys.stderr):
            _answers.append(stream)
            try:
                command(*arguments, **options)
            except SystemExit as ended:
                raise ValueError(
                    f"network: its code ended itself (SystemExit: {ended.code}); needed one that returns"
                ) from ended
            finally:
                _answers.pop()

    return run


@contextmanager
def _standard_output() -> Iterator[TextIO | None]:
    """Standard output for the answer, while its file descriptor leads to standard error."""
    console = sys.__stdout__
    if console is None or console is not sys.stdout:  # closed, or somebody reads it, such as a test
        yield sys.stdout
        return
    console.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(kept, "w", encoding=console.encoding, closefd=False) as stream:
            yield stream
    finally:
        console.flush()
        os.dup2(kept, 1)
        os.close(kept)


def answer(found: dict[str, Any], shown: RenderableType, as_json: bool) -> None:
    """Prints what a command found on standard output: as data, or shown for people as text or a table."""
    if as_json:
        say(as_text(found, indent=2))
    elif isinstance(shown, str):
        say(shown)
    else:
        # Names of users are text, whatever is in them.
        Console(file=_answers[-1] if _answers else None, markup=False, emoji=False).print(shown)


def say(line: str) -> None:
    """Prints one line of an answer at once."""
    print(line, file=_answers[-1] if _answers else None, flush=True)


def as_text(found: dict[str, Any], indent: int | None = None) -> str:
    """Data as JSON, null in the place of NaN and infinity."""
    return json.dumps(_plain(found), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    """The value in the types that JSON has, null in the place of NaN and infinity."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):  # a number of numpy
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
