"""The command line: `main`, which `zenlib` and `python -m zenlib.cli` call."""

from zenlib.cli.app import main

__all__ = ["main"]
