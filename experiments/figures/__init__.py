"""The one visual style of the studies' figures, and what several of them draw.

Only this package and the `figures.py` of the chapters draw. A function there takes tidy rows and returns a
figure; it computes no result. Mappings give the text that is shown for each name, in the order of the figure.
"""

from __future__ import annotations

from experiments.figures.labels import label
from experiments.figures.saving import show
from experiments.figures.style import new_figure, styled

__all__ = ["label", "new_figure", "show", "styled"]
