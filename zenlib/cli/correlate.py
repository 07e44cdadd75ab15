"""The command `zenlib correlate`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from rich.table import Table
from typer import Argument, Option

from zenlib.cli.answer import Json, answer
from zenlib.errors import extra

LARGE = 500
"""Networks in a table beyond which intervals come from influence functions."""
RESAMPLES_HELP = "Bootstrap resamples of an interval; larger tables take influence functions."


def correlate(
    file: Annotated[Path, Argument(help="A CSV file with one network a row.", show_default=False)],
    scores: Annotated[list[str], Option("--score", help="Column of a score; may be given several times.")],
    accuracy: Annotated[str, Option(help="Column of the trained accuracy.")],
    resamples: Annotated[int, Option(help=RESAMPLES_HELP)] = 2000,
    as_json: Json = False,
) -> None:
    """Kendall's tau and Spearman's rho of your own scores with accuracies, with 95 % intervals."""
    numbers = read_columns(file, [*scores, accuracy])
    from zenlib.stats import correlate as bootstrapped
    from zenlib.stats.influence import correlate_many

    title = f"{file.name}, accuracy in {accuracy}"
    table = Table("score", "n", "Kendall tau [95 %]", "Spearman rho [95 %]", title=title)
    lines: list[dict[str, Any]] = []
    for column in scores:
        pair = numbers[column], numbers[accuracy]
        found = correlate_many(*pair) if len(pair[0]) > LARGE else bootstrapped(*pair, resamples=resamples)
        lines.append({"score": column} | dataclasses.asdict(found))
        kendall = _shown(found.kendall, *found.kendall_interval)
        table.add_row(column, str(found.n), kendall, _shown(found.spearman, *found.spearman_interval))
    answer({"file": file, "accuracy": accuracy, "correlations": lines}, table, as_json)


def _shown(value: float, low: float, high: float) -> str:
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"


def read_columns(file: Path, columns: Sequence[str]) -> dict[str, Any]:
    """Columns of a CSV file as arrays of numbers."""
    with extra("search"):
        import pandas as pd

    if not file.is_file():
        raise ValueError(f"file: needed a CSV file, found none at {file}")
    try:
        rows = pd.read_csv(file)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{file}: needed a CSV file with a header and one network a row, got none: {error}"
        ) from error
    missing = [column for column in columns if column not in rows]
    if missing:
        raise ValueError(
            f"{file}: needed the columns {', '.join(columns)}, got no {', '.join(missing)}; it has "
            f"{', '.join(map(str, rows.columns))}"
        )
    numbers: dict[str, Any] = {}
    for column in columns:
        numbers[column] = pd.to_numeric(rows[column], errors="coerce").to_numpy()
        bad = rows.index[pd.isna(numbers[column])]
        if len(bad):
            raise ValueError(
                f"{file}: needed a number in every row of {column}, got {rows[column][bad[0]]!r} in line "
                f"{bad[0] + 2}; leave out networks without one"
            )
    return numbers
