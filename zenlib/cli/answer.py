"""How commands answer: a table for people, or JSON for machines, alone on standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.console import Console, RenderableType

Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON object; null where not finite.")]
_answers: list[TextIO | None] = [None]
"""Where commands answer, the one that runs last; None is standard output."""


@contextmanager
def alone() -> Iterator[None]:
    """Gives a command, which it decorates, standard output for its answer alone.

    What networks and their processes print goes to standard error; code that ends this process is an error.
    """
    stream, shell = sys.stdout, sys.__stdout__
    with ExitStack() as stack:
        if shell is not None and stream is shell:  # neither closed nor read by somebody, such as a test
            shell.flush()
            kept = os.dup(1)
            os.dup2(2, 1)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, 1)
            stack.callback(shell.flush)
            stream = stack.enter_context(open(kept, "w", encoding=shell.encoding, closefd=False))
        _answers.append(stream)
        stack.callback(_answers.pop)
        stack.enter_context(redirect_stdout(sys.stderr))
        try:
            yield
        except SystemExit as ended:
            raise ValueError(
                f"network: its code ended itself (SystemExit: {ended.code}); needed one that returns"
            ) from ended


def answer(found: dict[str, Any], shown: RenderableType, as_json: bool) -> None:
    """Prints what a command found on standard output: as data, or shown for people as text or a table."""
    if as_json:
        say(as_text(found, indent=2))
    elif isinstance(shown, str):
        say(shown)
    else:
        # Names of users are text, whatever is in them.
        Console(file=_answers[-1], markup=False, emoji=False).print(shown)


def say(line: str) -> None:
    """Prints one line of an answer at once."""
    print(line, file=_answers[-1], flush=True)


def as_text(found: dict[str, Any], indent: int | None = None) -> str:
    """Data as JSON, with paths and numbers of NumPy, and null in the place of NaN and infinity."""
    text = json.dumps(found, default=lambda value: str(value) if isinstance(value, Path) else value.item())
    return json.dumps(json.loads(text, parse_constant=lambda name: None), indent=indent)
