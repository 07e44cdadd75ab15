"""Makes the built pages light: icons come from the theme's font, and folded cells in a row are one fold.

A Sphinx extension.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

ICON_SCRIPT = re.compile(r'\s*<script defer src="[^"]*scripts/fontawesome\.js[^"]*"></script>')
"""The theme has every icon twice; this script alone weighs more than all text of the book."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.connect("doctree-read", join_folds)
    app.connect("build-finished", lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def join_folds(app: Sphinx, doctree: nodes.document) -> None:
    """Puts a folded cell that shows nothing into the folded cell behind it."""
    for cell in list(doctree.findall(nodes.container)):
        follower = cell.next_node(descend=False, siblings=True)
        if _folded(cell) and _folded(follower) and len(cell) == 1:
            follower[0].insert(0, cell[0].children)
            cell.parent.remove(cell)


def _folded(node: nodes.Node | None) -> bool:
    return isinstance(node, nodes.container) and node.get("hide_mode") == "input"


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
