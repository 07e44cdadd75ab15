"""The only place that saves figures: both pictures, what their marks tell, and the numbers behind them."""

from __future__ import annotations

import io
import json

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from PIL import Image

from experiments.figures.room import centres
from experiments.figures.style import STYLE, phone
from zenlib.durable import replace_file
from zenlib.errors import ResultsError

DIGITS = 6
"""Significant digits of a number behind a figure: as many as scores in float32 carry."""
ROUNDING = 1e-12
"""A difference of numbers near 1 that is smaller than this is 0 up to rounding."""


def show(figure: Figure, study: str, name: str, data: pd.DataFrame | None = None) -> None:
    """Save a figure with the numbers behind it, and display it when a notebook runs.

    Writes `<figures>/<study>/<name>.png`, the tall picture as `<name>.phone.png`, what the marks of both tell
    as `<name>.marks.json` and, with `data`, `<name>.csv`. The same figure gives the same bytes: a picture
    carries no date and no version. So do the same rows on another processor: see `tidy`. Each file is
    replaced at once or not at all.
    """
    screens = {"desk": figure, "phone": phone(figure)}
    pictures = {screen: _png(drawn) for screen, drawn in screens.items()}
    _write(study, f"{name}.png", pictures["desk"])
    _write(study, f"{name}.phone.png", pictures["phone"])
    told = sorted(
        [*wide, *tall, text]
        for (*wide, text), (*tall, _) in zip(*map(marks_of, screens.values()), strict=True)
    )
    if told:
        lines = ",\n".join(json.dumps(mark, ensure_ascii=False) for mark in told)
        _write(study, f"{name}.marks.json", f"[{lines}]\n".encode())
    if data is not None:
        written = tidy(data).to_csv(index=False, float_format=f"%.{DIGITS}g", lineterminator="\n")
        _write(study, f"{name}.csv", written.encode())
    _display(pictures["desk"])


def marks_of(figure: Figure) -> list[tuple[float, float, str]]:
    """Where the marks that tell something stand, as shares of the picture's width and height, and what.

    A mark's text travels in the place that matplotlib has for its link; a PNG shows no links.
    """
    return [
        (round(float(x), 4), round(float(1 - y), 4), text)
        for artist in figure.findobj(PathCollection)
        if any(artist.get_urls())
        for (x, y), text in zip(
            figure.transFigure.inverted().transform(centres(artist)), artist.get_urls(), strict=True
        )
        if text is not None and np.isfinite((x, y)).all()
    ]


def tidy(data: pd.DataFrame) -> pd.DataFrame:
    """The rows behind a figure as they are written.

    Numbers have the digits that carry meaning: the last ones differ between processors, which add in
    different orders. Whole numbers are whole. Rows are in the order of their key, which is the first columns:
    by the first column, then the second and so on.
    """
    rounded = data.infer_objects().apply(
        lambda column: _rounded(column) if pd.api.types.is_float_dtype(column) else column
    )
    return rounded.sort_values(list(rounded.columns), kind="stable", key=_comparable)


def _comparable(column: pd.Series) -> pd.Series:
    return column if pd.api.types.is_numeric_dtype(column) else column.astype(str)


def _rounded(column: pd.Series) -> pd.Series:
    """A column of floats with `DIGITS` significant digits, as integers where all are whole."""
    finite = column[np.isfinite(column)]
    least = ROUNDING * min(1.0, finite.abs().max())
    if (
        len(finite) == column.notna().sum()
        and finite.abs().lt(2**53).all()
        and np.isclose(finite, finite.round(), rtol=ROUNDING, atol=least).all()
    ):
        return column.round().astype("Int64")
    return column.map(lambda value: 0.0 if abs(value) < least else float(f"{value:.{DIGITS}g}"))


def _png(figure: Figure) -> bytes:
    """A picture of 256 colours, a third as heavy as with all."""
    full, reduced = io.BytesIO(), io.BytesIO()
    # Ticks are made while drawing, so they need the style once more.
    with matplotlib.rc_context(STYLE):
        figure.savefig(full, format="png", metadata={"Software": None})
    palette = Image.open(full).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    palette.save(reduced, "PNG", optimize=True, dpi=(figure.dpi, figure.dpi))
    return reduced.getvalue()


def _write(study: str, file_name: str, content: bytes) -> None:
    from experiments.record.results import figures_root

    replace_file(figures_root() / study / file_name, lambda file: file.write(content), ResultsError)


def _display(picture: bytes) -> None:
    from IPython.core.getipython import get_ipython
    from IPython.display import Image, display

    if get_ipython() is not None:
        display(Image(data=picture, format="png", width=700))
