"""Makes the built pages light: icons from the theme's font, not its script; one fold for cells in a row.

A Sphinx extension.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

ICON_SCRIPT = re.compile(r'\s*<script defer src="[^"]*scripts/fontawesome\.js[^"]*"></script>')
"""The theme has every icon twice; this script alone weighs more than all text of the book."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.connect("doctree-read", fold)
    app.connect("build-finished", lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def fold(app: Sphinx, doctree: nodes.document) -> None:
    """Moves folded code that shows nothing into the fold of the cell behind it, and names folded tables."""
    cells = [cell for cell in doctree.findall(nodes.container) if cell.get("hide_mode") == "input"]
    for cell, behind in itertools.pairwise(cells):
        beside = cell.parent is behind.parent and cell.parent.index(behind) - cell.parent.index(cell) == 1
        if beside and len(cell) == 1:
            behind[0].insert(0, cell[0].children)
            cell.parent.remove(cell)
    for cell in doctree.findall(nodes.container):
        if cell.get("hide_mode") == "all":
            cell["prompt_show"], cell["prompt_hide"] = "Show the whole table", "Hide the table"


def lighten(app: Sphinx, error: Exception | None) -> None:
    """Rewrites what was built, each file at once or not at all."""
    if error or app.builder.format != "html":
        return
    built = Path(app.outdir)
    for page in built.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        if ICON_SCRIPT.search(text):
            replace(page, ICON_SCRIPT.sub("", text).encode())


def replace(path: Path, content: bytes) -> None:
    """Writes a file under another name and renames it."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)
