"""The errors that users meet, each a `ValueError` that says what was needed, what came and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Integral
from typing import Any


class ArchitectureError(ValueError):
    """A structure string, wrong at the character of this position, or blocks that describe no network."""

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class ConversionError(ValueError):
    """A module that cannot become a vanilla convolutional network, and the operation in the way."""


class ScoreUndefined(ValueError):
    """A score that has no finite value for this network, and in one line why; it is never ranked."""


class ResultsError(ValueError):
    """A stored table that is truncated, edited by hand, or was written by a newer version."""


class BenchmarkMissing(ValueError):
    """A published table that the user has to bring and that is not in the data folder."""


class CheckpointError(ValueError):
    """A file of weights that cannot be read, or whose weights are not those of the network."""


class DataMissing(ValueError):
    """Files of a data set that are not where they are looked for, with how to fetch them."""


class TrainingDiverged(ValueError):
    """A training whose loss or weights are no longer finite, with the last checkpoint that is good."""


class ProcessLost(ValueError):
    """One of the processes that compute together ended before the others."""


class ExtraMissing(ImportError, ValueError):
    """A package that this part needs and the base installation does not bring, with the extra that does."""


def whole(argument: str, value: Any, least: int = 1, error: type[ValueError] = ValueError) -> int:
    """A whole number of any library, at least `least`, as an `int`; else raises `error`."""
    if type(value) is int and value >= least:  # nearly always; an abstract class is slow to ask
        return value
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        square = "; images are square, so give one side" if isinstance(value, tuple | list) else ""
        raise error(f"{argument}: needed a whole number of at least {least}, got {value!r}{square}")
    return int(value)


def of_kind(argument: str, value: Any, kinds: type | tuple[type, ...], needed: str) -> None:
    """Raises where a value is of another kind; `needed` says in words which ones are taken."""
    if not isinstance(value, kinds):
        raise ValueError(f"{argument}: needed {needed}, got {type(value).__name__}")


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Says which extra, by its name in `pyproject.toml`, is missing where an import inside fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ExtraMissing(
            f"{error.name}: needed the extra [{name}] of this package; pip install 'zenlib[{name}]'"
        ) from error
