"""How alike scores order the same networks: a triangle of fields."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.figures.style import COLOURS, SMALL, new_figure, styled

LIGHT_TEXT = 0.6
"""Size of tau from which the text of a field is white."""
ROOM = 26.0
"""Points across a field from which its number fits into it; about two thirds of the width are fields."""


def agreement(scores: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau between every two columns.

    Returns:
        One line per ordered pair: `score`, `other`, `kendall`.
    """
    matrix = scores.corr(method="kendall")
    return pd.DataFrame(
        [{"score": a, "other": b, "kendall": matrix.loc[a, b]} for a in scores for b in scores]
    )


@styled
def triangle(rows: pd.DataFrame, texts: Mapping[str, str]) -> Figure:
    """Kendall's tau between every two scores, as a triangle of fields.

    Args:
        rows: what `agreement` gives.
        texts: what each score is called, in the order of the rows.
    """
    names = [name for name in texts if name in set(rows["score"])]
    matrix = rows.pivot(index="score", columns="other", values="kendall").loc[names, names].to_numpy()
    shown = np.where(np.tri(len(names), dtype=bool), matrix, np.nan)
    figure, ((axes,),) = new_figure(height=9.0)
    image = axes.imshow(shown, cmap="PuOr", vmin=-1, vmax=1, aspect="auto")
    fits = 72 * figure.get_figwidth() * 2 / 3 / len(names) > ROOM
    if not fits:
        figure.colorbar(image, ax=axes, location="top", label="Kendall's tau", shrink=0.6)
    for row, column in zip(*np.tril_indices(len(names), -1), strict=True) if fits else ():
        value = matrix[row, column]
        text = f"{value:.2f}".replace("1.00", "1").replace("0.", ".").replace("-", "\N{MINUS SIGN}")
        axes.text(
            column,
            row,
            text,
            ha="center",
            va="center",
            fontsize=SMALL - 1,
            color="white" if abs(value) > LIGHT_TEXT else COLOURS["black"],
        )
    axes.set_xticks(
        range(len(names)), [texts[name] for name in names], rotation=60, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(names)), [texts[name] for name in names])
    axes.grid(visible=False)
    return figure
