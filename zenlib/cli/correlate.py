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

    from zenlib.stats import Correlation

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
    table = Table(
        "score",
        "n",
        "Kendall tau [95 %]",
        "Spearman rho [95 %]",
        title=f"{file.name}, accuracy in {accuracy}",
    )
    lines = []
    for column in scores:
        found = correlate_columns(rows[column].to_numpy(), rows[accuracy].to_numpy(), resamples)
        lines.append(
            {
                "score": column,
                "n": found.n,
                "kendall": found.kendall,
                "kendall_interval": found.kendall_interval,
            }
        )
        lines[-1] |= {"spearman": found.spearman, "spearman_interval": found.spearman_interval}
        ends = zip(
            (found.kendall, found.spearman), (found.kendall_interval, found.spearman_interval), strict=True
        )
        table.add_row(
            column, str(found.n), *(f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, (low, high) in ends)
        )
    answer({"file": file, "accuracy": accuracy, "correlations": lines}, table, as_json)


def read_columns(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Columns of a CSV file as numbers.

    Raises:
        ValueError: no such file, a column is missing or holds text, or a value is missing.
    """
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


def correlate_columns(scores: Any, accuracies: Any, resamples: int) -> Correlation:
    """By bootstrap where that is quick, else by influence functions."""
    from zenlib.stats import correlate
    from zenlib.stats.influence import correlate_many

    if len(scores) > LARGE:
        return correlate_many(scores, accuracies)
    return correlate(scores, accuracies, resamples=resamples)
