"""The commands `experiments/run.py status` and `experiments/run.py merge`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from zenlib.cli.answer import Json, answer
from zenlib.cli.options import completion
from zenlib.errors import extra

Study = Annotated[
    list[str] | None,
    typer.Option("--study", help="A study; may be given several times. Else all.", show_default=False),
]


def status(study: Study = None, as_json: Json = False) -> None:
    """What is stored for every study: rows, age, version of the code, machine, and whether it is stale."""
    with extra("book"):
        from experiments.record.results import results_root
        from experiments.record.status import status as read
        from experiments.record.status import today

        lines = read(study, today()).reset_index()
    records = [
        {name: None if value is None or value != value else value for name, value in record.items()}
        for record in lines.to_dict(orient="records")
    ]
    table = Table(*lines.columns, title=str(results_root()))
    for record in records:
        table.add_row(
            *(
                "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
                for value in record.values()
            )
        )
    answer({"folder": results_root(), "tables": records}, table, as_json)


def merge(
    other: Annotated[
        Path, typer.Argument(help="A copy of the results folder of another machine.", show_default=False)
    ],
    keep: Annotated[
        str | None,
        typer.Option(
            help="ours or theirs: whose value stays where they disagree.",
            autocompletion=completion("ours", "theirs"),
            show_default=False,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take rows of another machine into the results, with where they came from.

    A row that both have is kept once. Where both have it and its values disagree by more than the table
    allows, nothing is merged, unless --keep says whose value stays. Afterwards `experiments/run.py status`
    shows what there is.
    """
    with extra("book"):
        from experiments.record.merging import merge_results

        if keep not in (None, "ours", "theirs"):
            raise ValueError(f"keep: needed ours or theirs, got {keep!r}")
        found = merge_results(other, keep)  # type: ignore[arg-type]  # checked above
    table = Table(
        "study", "table", "added", "had already", "disagreed", "left out because", title=f"{other} merged"
    )
    for one in found:
        table.add_row(
            one.study, one.table, f"{one.added:,}", f"{one.same:,}", f"{len(one.conflicts):,}", one.skipped
        )
    answer(
        {"other": other, "keep": keep, "tables": [dataclasses.asdict(one) for one in found]}, table, as_json
    )
    if any(one.skipped for one in found):
        Console(stderr=True).print(
            "Some tables were left out: update the checkout to merge them.", soft_wrap=True
        )


COMMANDS: dict[Callable[..., None], tuple[str, ...]] = {
    status: ("experiments/run.py status", "experiments/run.py status --study search --json"),
    merge: ("experiments/run.py merge from-the-gpu-box", "experiments/run.py merge copied --keep theirs"),
}
"""Every command with its examples."""


def main(words: Sequence[str]) -> int:
    """Runs one of the commands; returns the exit status. An error that a user can mend is one message."""
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich")
    for command, examples in COMMANDS.items():
        app.command(epilog="\n".join(["Examples:", *(f"  {example}" for example in examples)]))(command)
    try:
        app(args=list(words), prog_name="experiments/run.py")
    except SystemExit as end:
        return int(end.code or 0)
    except ValueError as error:
        Console(stderr=True).print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0
