"""Predictions that were registered before anybody here saw an accuracy, and the table of what came out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from experiments.record.agreement import ARITHMETIC, EXACT
from experiments.record.results import export_path, is_there
from experiments.record.table import Table
from zenlib.errors import ResultsError

ALONE = "none"
"""Stands for the baseline where a score is reported alone."""


class Registration(NamedTuple):
    """A file of predictions."""

    study: str  # the chapter that wrote it
    file: str  # its name
    sha256: str  # its digest, as it was registered

    @property
    def path(self) -> Path:
        """Where the file is."""
        return export_path(self.study, self.file)

    def digest(self) -> str:
        """SHA-256 of the file; empty where there is none."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest() if self.path.exists() else ""

    def predictions(self, **types: type) -> pd.DataFrame:
        """The file, some columns of it with types that are not to be guessed.

        Raises:
            ResultsError: it is not the registered one.
        """
        if self.digest() != self.sha256:
            raise ResultsError(
                f"{self.file}: needed the registered predictions (SHA-256 {self.sha256[:16]}...), got "
                "another file; take the committed one back"
            )
        return pd.read_csv(self.path, dtype=types)

    def is_open(self, *needed: Callable[[], object]) -> bool:
        """Whether the user has brought all that is needed, and the predictions are written."""
        return all(map(is_there, needed)) and self.path.exists()


def row_of(found: Callable[[], pd.DataFrame]) -> Callable[..., dict[str, Any]]:
    """How a table computes a row of what was judged at once and is indexed by its key."""
    return lambda **key: found().loc[tuple(key.values())].to_dict()


def fill(table: Table, found: pd.DataFrame) -> pd.DataFrame:
    """All rows of that."""
    return table.fill(found.index.to_frame(index=False).to_dict("records"))


def judged_table(
    study: str, found: Callable[[], pd.DataFrame], population: str, unit: str, counted: str
) -> Table:
    """The table of the registered comparisons, indexed as its key says.

    Args:
        study: the chapter.
        found: all comparisons.
        population: what the key of that name says.
        unit: what the intervals take as one unit.
        counted: what `n` counts.
    """
    units = {
        "population": f"name: {population}",
        "score": "name: which score",
        "baseline": "name: whose tau is taken from it; none where the score stands alone",
        "kendall": "1: Kendall's tau with accuracy, or its difference from that of the baseline",
        "low": f"1: lower end of its 95 % interval, {unit} one unit",
        "high": "1: upper end of that interval",
        "n": f"count: {counted}",
    }
    key = ("population", "score", "baseline")
    return Table(study, "judged", row_of(found), units, key, agreement={"n": EXACT}, otherwise=ARITHMETIC)
