"""Commands that `zenlib.cli` adds to its own, one module each."""

from __future__ import annotations

import typer

from zenlib.commands.evaluate import evaluate
from zenlib.commands.export import export
from zenlib.commands.train import train


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for command in (train, evaluate, export):
        app.command()(command)
