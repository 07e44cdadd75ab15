"""The command line: answers go to standard output; progress, errors and what networks print to the other."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Console

from zenlib import __version__
from zenlib.cli import commands
from zenlib.threads import cap_threads

EXIT_CODES = """Exit codes: 0 done, 1 refused, 2 wrong usage, 70 failed unexpectedly, 130 interrupted.

A network of your own, such as my_module.py:Net, is imported from its file, which runs the code in it.

A command that was interrupted goes on where it was when it is given again.
`zenlib COMMAND --help` shows examples; `zenlib --install-completion` teaches your shell the commands.
"""

app = typer.Typer(
    name="zenlib",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog=EXIT_CODES,
)
commands.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error, and where it arose.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Training-free architecture search with the Zen-Score."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; an error that a user can mend is one message, not a traceback."""
    cap_threads()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]  # it may stand anywhere
    try:
        app(args=words, prog_name="zenlib")
    except SystemExit as end:
        if end.code == 130:
            _tell("", "interrupted; the same command goes on from the last checkpoint")
        raise
    except Exception as error:
        if debug:
            raise
        if isinstance(error, ValueError):
            _tell("error: ", str(error))
            sys.exit(1)
        _tell(
            "error: ",
            f"{type(error).__name__}: {error}\nThis was not foreseen; `zenlib --debug {' '.join(words)}` "
            "shows where it arose.",
        )
        sys.exit(70)


def _tell(what: str, message: str) -> None:
    console = Console(stderr=True, emoji=False)
    console.print(what, style="bold red", end="")
    console.print(message, markup=False, highlight=False, soft_wrap=True)
