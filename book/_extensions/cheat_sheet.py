"""The cheat sheet to print: a role `sheet` that links to `cheat-sheet.pdf`, which is drawn from the page.

Matplotlib draws it, so that it is there wherever the book is built, with the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib
from docutils import nodes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

PAGE = "cheat-sheet"
FILE = f"{PAGE}.pdf"
A4 = (8.27, 11.69)
LEFT, RIGHT, TOP, BOTTOM = 0.08, 0.92, 0.955, 0.04
SIZE = 8.2
"""Size of the text in points."""
LETTERS = 122
"""Letters that a line holds."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the role, and the file that goes with the pages."""
    app.add_role("sheet", SheetRole())
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class SheetRole(SphinxRole):
    """A link to the sheet."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Builds it."""
        link = f'<a href="{FILE}" download>{self.text} (PDF, one page)</a>'
        return [nodes.raw("", link, format="html", classes=["sheet"])], []


def write(app: Sphinx, error: Exception | None) -> None:
    """Draws the sheet beside the pages."""
    if error or app.builder.format != "html" or PAGE not in app.env.found_docs:
        return
    draw(app.env.get_and_resolve_doctree(PAGE, app.builder), Path(app.outdir) / FILE)


def draw(page: nodes.document, out: Path) -> None:
    """Draws the text of a page on one sheet.

    Raises:
        ValueError: it does not fit.
    """
    with matplotlib.rc_context({"font.family": "DejaVu Sans", "text.usetex": False, "pdf.fonttype": 3}):
        figure = Figure(figsize=A4)
        FigureCanvasPdf(figure)
        y = TOP
        for text, style in lines(page):
            height = style.pop("height", 1.0) * 1.75 * SIZE / 72 / A4[1]
            y -= height
            for x, part in text:
                figure.text(
                    LEFT + x * (RIGHT - LEFT), y, part, **{"fontsize": SIZE, "va": "baseline"} | style
                )
        if y < BOTTOM:
            raise ValueError(f"{PAGE}: needed text for one sheet, got {(BOTTOM - y) * A4[1]:.1f} inches more")
        new = out.with_suffix(".new")
        figure.savefig(new, format="pdf", metadata={"CreationDate": None, "Title": "Zen-Score cheat sheet"})
    new.replace(out)


Line = tuple[list[tuple[float, str]], dict[str, Any]]
"""Parts of a line, each with its place from 0 at the left to 1, and how they look."""


def lines(page: nodes.document) -> Iterator[Line]:
    """What stands on the sheet, from top to bottom."""
    for node in page.findall():
        match node:
            case nodes.title() if isinstance(node.parent.parent, nodes.document):
                yield [(0, node.astext())], {"fontsize": 2 * SIZE, "weight": "bold", "height": 2}
            case nodes.title():
                yield [(0, node.astext())], {"fontsize": 1.2 * SIZE, "weight": "bold", "height": 1.9}
            case nodes.math_block():
                yield [(0.03, f"${node.astext().strip()}$")], {"fontsize": 1.3 * SIZE, "height": 1.7}
            case nodes.literal_block():
                for line in node.astext().splitlines():
                    yield [(0.03, line)], {"family": "DejaVu Sans Mono", "fontsize": 0.9 * SIZE}
            case nodes.table():
                yield from columns(
                    [[cell.astext() for cell in row.children] for row in node.findall(nodes.row)]
                )
            case nodes.list_item():
                for number, line in enumerate(wrapped(node.children[0], LETTERS - 3)):
                    yield [(0.0, "" if number else "•"), (0.02, line)], {}
            case nodes.paragraph() if isinstance(node.parent, nodes.section):
                for line in wrapped(node, LETTERS):
                    yield [(0, line)], {}
                yield [], {"height": 0.3}


def columns(rows: list[list[str]]) -> Iterator[Line]:
    """A table, each column as wide as its longest cell asks."""
    asked = [2 + max(map(len, column)) for column in zip(*rows, strict=True)]
    scale = max(1, sum(asked) / LETTERS)
    starts = [sum(asked[:column]) / scale / LETTERS for column in range(len(asked))]
    for number, row in enumerate(rows):
        cells = [wrap(cell, int(width / scale) - 1) for cell, width in zip(row, asked, strict=True)]
        for line in zip_longest(*cells, fillvalue=""):
            yield list(zip(starts, line, strict=True)), {} if number else {"weight": "bold"}
    yield [], {"height": 0.3}


def wrapped(paragraph: nodes.Element, letters: int) -> list[str]:
    """The lines of a paragraph; formulas are set, and links to the sheet itself are left out."""
    text = "".join(
        f"${part.astext()}$" if isinstance(part, nodes.math) else part.astext()
        for part in paragraph.children
        if not isinstance(part, nodes.raw)
    )
    return wrap(text, letters, break_long_words=False, break_on_hyphens=False)
