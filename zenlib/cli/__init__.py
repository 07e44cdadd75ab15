"""The command line: `main`, which `zenlib` and `python -m zenlib.cli` call."""

from __future__ import annotations

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command."""
    from zenlib.cli.app import main as run

    run(arguments)
