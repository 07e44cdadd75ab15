"""The command `zenlib correlate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from zenlib.cli.answer import Json, answer
from zenlib.errors import extra

if TYPE_CHECKING:
    import pandas as pd

LARGE = 500
"""Networks in a table beyond which intervals come from influence functions."""


def correlate(
    file: Annotated[Path, typer.Argument(help="A CSV file with one network a row.", show_default=False)],
    scores: Annotated[
        list[str], typer.Option("--score", help="Column of a score; may be given several times.")
    ],
    accuracy: Annotated[str, typer.Option(help="Column of the trained accuracy.")],
    resamples: Annotated[
        int, typer.Option(help="Bootstrap resamples of an interval; larger tables take influence functions.")
    ] = 2000,
    as_json: Json = False,
) -> None:
    """Kendall's tau and Spearman's rho of your own scores with accuracies, with 95 % intervals."""
    rows = read_columns(file, [*scores, accuracy])
    from zenlib.stats import correlate as bootstrapped
    from zenlib.stats.influence import correlate_many

    title = f"{file.name}, accuracy in {accuracy}"
    table = Table("score", "n", "Kendall tau [95 %]", "Spearman rho [95 %]", title=title)
    lines: list[dict[str, Any]] = []
    for column in scores:
        pair = rows[column].to_numpy(), rows[accuracy].to_numpy()
        found = correlate_many(*pair) if len(rows) > LARGE else bootstrapped(*pair, resamples=resamples)
        lines.append({"score": column, "n": found.n})
        cells = []
        for name in ("kendall", "spearman"):
            value, (low, high) = getattr(found, name), getattr(found, f"{name}_interval")
            lines[-1] |= {name: value, f"{name}_interval": (low, high)}
            cells.append(f"{value:.3f} [{low:.3f}, {high:.3f}]")
        table.add_row(column, str(found.n), *cells)
    answer({"file": file, "accuracy": accuracy, "correlations": lines}, table, as_json)


def read_columns(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Columns of a CSV file as numbers."""
    with extra("search"):
        import pandas as pd

    if not file.is_file():
        raise ValueError(f"file: needed a CSV file, found none at {file}")
    try:
        rows = pd.read_csv(file)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{file}: needed a CSV file with a header and one network a row, got a file that is none "
            f"({error})"
        ) from error
    missing = [column for column in columns if column not in rows]
    if missing:
        raise ValueError(
            f"{file}: needed the columns {', '.join(columns)}, got no {', '.join(missing)}; it has "
            f"{', '.join(map(str, rows.columns))}"
        )
    for column in columns:
        numbers = pd.to_numeric(rows[column], errors="coerce")
        bad = rows.index[numbers.isna()]
        if len(bad):
            found = rows[column][bad[0]]
            raise ValueError(
                f"{file}: needed a number in every row of {column}, got {found!r} in line {bad[0] + 2}; "
                "leave out networks without one"
            )
        rows[column] = numbers
    return rows
