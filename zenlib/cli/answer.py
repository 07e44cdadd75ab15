"""How commands answer: a table for people, or one JSON object for machines."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

Json = Annotated[
    bool, typer.Option("--json", help="Answer with one JSON object; what has no finite value is null.")
]


def answer(found: dict[str, Any], shown: RenderableType, as_json: bool) -> None:
    """Prints what a command found on standard output.

    Args:
        found: the answer as data.
        shown: the same for people: text, or a table.
        as_json: print the data.
    """
    if as_json:
        print(json.dumps(_plain(found), indent=2, allow_nan=False))
    elif isinstance(shown, str):
        print(shown)
    else:
        Console(markup=False, emoji=False).print(shown)  # names of users are text, whatever is in them


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
