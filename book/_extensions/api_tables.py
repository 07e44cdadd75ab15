"""What the API reference needs beside autodoc: tables of `PROXIES` and `SPACES`, from their docstrings.

A Sphinx extension with two directives without arguments, `proxies-table` and `spaces-table`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

Cell = tuple[type[nodes.TextElement] | None, str]
"""What a cell is set as, None for plain text, and its text."""

BREAK = "\N{ZERO WIDTH SPACE}"
"""A long name in code may be broken behind its dots."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directives."""
    app.add_directive("proxies-table", ProxiesTable)
    app.add_directive("spaces-table", SpacesTable)
    app.connect("autodoc-process-docstring", keep_whole, priority=400)  # before napoleon
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def keep_whole(app: Sphinx, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Napoleon takes the words before a colon in the docstring of a property for its type.

    A dash keeps the sentence.
    """
    if what in ("property", "attribute", "data") and lines:
        lines[0] = lines[0].replace(": ", " – ", 1)


class ProxiesTable(Directive):
    """One row for each proxy: what it is, what a value costs, where it comes from and how it differs."""

    def run(self) -> list[nodes.Node]:
        """Builds the table."""
        from zenlib import PROXIES

        heads = ("Name", "What it is, and what it needs", "Source and label", "What differs")
        further = "The authors' code beyond: "
        rows = [
            [
                (nodes.literal, name),
                (None, f"{said['what']} Needs: {proxy.needs}."),
                (None, re.sub(r"\.(?=[a-z])", f".{BREAK}", f"{said['source']} Label: {said['label']}.")),
                (None, f"{said['differs']} {further + said['code'] if said['code'] else ''}"),
            ]
            for name, proxy in PROXIES.items()
            for said in (proxy.origin,)
        ]
        return [table(heads, rows)]


class SpacesTable(Directive):
    """One row for each search space: its name and the inner blocks that it allows."""

    def run(self) -> list[nodes.Node]:
        """Builds the table."""
        from zenlib import SPACES

        rows = []
        for space in SPACES.values():
            kinds = sorted({kind for kind, _, _ in space.types})
            kernels = sorted({kernel for _, kernel, _ in space.types})
            expansions = sorted({expansion for _, _, expansion in space.types if expansion})
            cells = (
                ", ".join(kinds),
                ", ".join(f"{k}×{k}" for k in kernels),
                ", ".join(map(str, expansions)) or "none",
            )
            rows.append([(nodes.literal, space.name), *((None, cell) for cell in cells)])
        return [table(("Name", "Inner blocks", "Kernels", "Expansions"), rows)]


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]]) -> nodes.table:
    """A table of plain cells."""
    group = nodes.tgroup(cols=len(header))
    group += [nodes.colspec(colwidth=1) for _ in header]
    group += nodes.thead("", row([(None, title) for title in header]))
    group += nodes.tbody("", *(row(cells) for cells in rows))
    return nodes.table("", group)


def row(cells: Sequence[Cell]) -> nodes.row:
    """One row. In plain text backquotes are code."""
    made = nodes.row()
    for style, text in cells:
        pieces = text.split("`") if style is None else ["", text]
        coded = style or nodes.literal
        content = [coded("", piece) if at % 2 else nodes.Text(piece) for at, piece in enumerate(pieces)]
        made += nodes.entry("", nodes.paragraph("", "", *content))
    return made
