"""Room for the texts of a figure: labels where they are needed, titles that fit, names off the marks."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

NAME = "name"
"""Group of the annotations that name a mark."""
PLACES = [
    (across * away, up * away)
    for away in (6, 10)
    for across, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
]
"""Where a name may stand, points from its mark; the first free one is taken."""
MARK = 4.5
"""Half the width of a mark, points."""


def name_mark(axes: Axes, x: float, y: float, name: str) -> None:
    """Writes a name beside a mark, where it covers no mark and no other name; nowhere if there is no room."""
    axes.annotate(name, (x, y), (0, 0), textcoords="offset points", gid=NAME).set_in_layout(False)


def make_room(figure: Figure) -> None:
    """Arranges the texts of a figure that is drawn."""
    for panel in figure.axes:
        place = panel.get_subplotspec()
        if place is None:
            continue
        xlabels = {other.get_xlabel() for other in panel.get_shared_x_axes().get_siblings(panel)} - {""}
        if not panel.get_xlabel() and place.is_last_row() and len(xlabels) == 1:
            panel.set_xlabel(xlabels.pop())
        elif not place.is_last_row() and not panel.xaxis.get_tick_params().get("labelbottom", True):
            panel.set_xlabel("")
        ylabels = {other.get_ylabel() for other in panel.get_shared_y_axes().get_siblings(panel)} - {""}
        if place.is_first_col() and not panel.get_ylabel() and len(ylabels) == 1:
            panel.set_ylabel(ylabels.pop())
        elif not place.is_first_col() and not panel.yaxis.get_tick_params().get("labelleft", True):
            panel.set_ylabel("")
    figure.draw_without_rendering()
    for panel in figure.axes:
        box = panel.get_window_extent()
        for text in (panel._left_title, panel.title, panel.xaxis.label):  # type: ignore[attr-defined]
            break_text(text, box.width)
        break_text(panel.yaxis.label, box.height)
    figure.draw_without_rendering()
    for panel in figure.axes:
        place_names(panel)


def break_text(text: Text, room: float) -> None:
    """Sets a text in as few lines as fit into the room, pixels; a single word stays whole."""
    words = text.get_text().split()
    along = "height" if text.get_rotation() == 90 else "width"
    if len(words) == 1 or getattr(text.get_window_extent(), along) <= room:
        return
    lines: list[str] = []
    for word in words:
        text.set_text(f"{lines[-1]} {word}" if lines else word)
        if lines and getattr(text.get_window_extent(), along) <= room:
            lines[-1] = text.get_text()
        else:
            lines.append(word)
    text.set_text("\n".join(lines))


def place_names(panel: Axes) -> None:
    """Moves each name of a mark to a free place, in the order in which they were written."""
    points = panel.figure.dpi / 72
    taken = [
        Bbox.from_bounds(x - MARK * points, y - MARK * points, 2 * MARK * points, 2 * MARK * points)
        for artist in panel.findobj(PathCollection)
        for x, y in centres(artist)
        if np.isfinite((x, y)).all()
    ]
    for name in panel.findobj(Annotation):
        if name.get_gid() == NAME:
            place = _free_place(name, taken, panel.get_window_extent())
            name.set_visible(place is not None)
            taken += [] if place is None else [place]


def centres(marks: PathCollection) -> np.ndarray:
    """Where marks stand in the picture, pixels from its lower left corner; nan for those not drawn."""
    places: np.ndarray = np.ma.asarray(marks.get_offsets(), float).filled(np.nan)
    return marks.get_offset_transform().transform(places)


def _free_place(name: Annotation, taken: Iterable[Bbox], frame: Bbox) -> Bbox | None:
    """Moves a name and gives the box that it covers; None where there is no room."""
    for across, up in PLACES:
        name.set_position((across, up))
        name.set_horizontalalignment("center" if not across else "left" if across > 0 else "right")
        name.set_verticalalignment("center" if not up else "bottom" if up > 0 else "top")
        box = name.get_window_extent()
        inside = frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1
        if inside and not any(box.overlaps(other) for other in taken):
            return box
    return None
