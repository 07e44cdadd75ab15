"""An interactive scatter plot in one fragment of HTML: accuracy against a cost that the reader chooses.

It needs no network and no library: the data travel as JSON, a script beside this file draws them as SVG at
the width of the page. Every mark tells its name and numbers when it is pointed at, touched, or reached with
the arrow keys.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from importlib.resources import files

import pandas as pd

from experiments.chapters.zennets.figures import LINES
from experiments.figures.style import COLOURS, PALETTE

SHAPES = ("circle", "square", "up", "diamond", "down", "plus", "cross")
"""Shape of each line of families, the same as in the still figures."""


def explorer(rows: pd.DataFrame, costs: Mapping[str, str], title: str) -> str:
    """The fragment.

    Args:
        rows: one row per mark with `name`, `line`, `accuracy`, `top1` in percent, and the columns of `costs`.
        costs: column -> its name and unit, in the order of the choice.
        title: what the plot shows, for those who do not see it.
    """
    marks = [
        {
            "name": row["name"],
            "line": LINES.index(row["line"]),
            "hollow": row["accuracy"] == "V2",
            "top1": round(row["top1"], 2),
        }
        | {"costs": [_number(row[column]) for column in costs]}
        for row in rows.to_dict("records")
    ]
    colours = (*PALETTE[:-1], COLOURS["grey"])
    families = [
        {"name": name, "shape": shape, "colour": colour}
        for name, shape, colour in zip(LINES, SHAPES, colours, strict=True)
    ]
    data = json.dumps(
        {"marks": marks, "families": families, "costs": list(costs.values()), "title": title},
        ensure_ascii=True,
    ).replace("<", "\\u003c")
    script = files(__package__).joinpath("explorer.js").read_text(encoding="utf-8")
    style = files(__package__).joinpath("explorer.css").read_text(encoding="utf-8")
    return (
        f'<div class="explorer" role="group" aria-label="{html.escape(title)}"><style>{style}</style>'
        f'<script type="application/json">{data}</script><script>{script}</script></div>'
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(f"{value:.4g}")
