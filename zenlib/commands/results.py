"""The commands `zenlib results status` and `zenlib results merge`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from zenlib.commands.answer import Json, answer
from zenlib.commands.options import completion, extra

Study = Annotated[list[str] | None, typer.Option("--study", help="A study; may be given several times. Else all.", show_default=False)]


def status(study: Study = None, as_json: Json = False) -> None:
    """What is stored for every study: rows, age, version of the code, machine, and whether it is stale."""
    with extra("book"):
        from zenlib.results import results_root
        from zenlib.studies.status import status as read
        from zenlib.studies.status import today

        lines = read(study, today()).reset_index()
    records = [
        {name: None if value is None or value != value else value for name, value in record.items()} for record in lines.to_dict(orient="records")
    ]
    table = Table(*lines.columns, title=str(results_root()))
    for record in records:
        table.add_row(*("" if value is None else f"{value:g}" if isinstance(value, float) else str(value) for value in record.values()))
    answer({"folder": results_root(), "tables": records}, table, as_json)


def merge(
    other: Annotated[Path, typer.Argument(help="A results folder of another machine, such as its experiments/results.", show_default=False)],
    keep: Annotated[
        str | None,
        typer.Option(help="ours or theirs: whose value stays where they disagree.", autocompletion=completion("ours", "theirs"), show_default=False),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take rows of another machine into the results, with where they came from.

    A row that both have is kept once. Where both have it and its values disagree by more than the table allows, nothing is merged,
    unless --keep says whose value stays. Afterwards `zenlib results status` shows what there is.
    """
    with extra("book"):
        from zenlib.studies.merging import merge_results

        if keep not in (None, "ours", "theirs"):
            raise ValueError(f"keep: needed ours or theirs, got {keep!r}")
        found = merge_results(other, keep)  # type: ignore[arg-type]  # checked above
    table = Table("study", "table", "added", "had already", "disagreed", "left out because", title=f"{other} merged")
    for one in found:
        table.add_row(one.study, one.table, f"{one.added:,}", f"{one.same:,}", f"{len(one.conflicts):,}", one.skipped)
    answer({"other": other, "keep": keep, "tables": [dataclasses.asdict(one) for one in found]}, table, as_json)
    if any(one.skipped for one in found):
        Console(stderr=True).print("Some tables were left out: update zenlib to merge them.", soft_wrap=True)
