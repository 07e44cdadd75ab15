"""Figures for two screens: beside NAME.png lies NAME.phone.png, and the browser takes what fits.

A Sphinx extension. What the marks of a figure tell, NAME.marks.json, travels in the page for `figures.js`.
"""

from __future__ import annotations

import html
from pathlib import Path, PurePosixPath

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

NARROW = "(max-width: 600px)"
"""Screens that show the tall picture."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.connect("doctree-read", collect)
    app.add_node(nodes.image, override=True, html=(visit_image, HTML5Translator.depart_image))
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def collect(app: Sphinx, doctree: nodes.document) -> None:
    """Notes the tall picture of each figure, and that the page depends on what lies beside it."""
    for image in doctree.findall(nodes.image):
        for name, ending in (("phone", ".phone.png"), ("marks", ".marks.json")):
            beside = PurePosixPath(image["uri"]).with_suffix(ending).as_posix()
            if Path(app.srcdir, beside).is_file():
                image[name] = beside
                app.env.note_dependency(beside)
        if "phone" in image:
            app.env.images.add_file(app.env.docname, image["phone"])


def visit_image(self: HTML5Translator, node: nodes.image) -> None:
    """Writes a figure as `<picture>`, and what its marks tell behind it."""
    HTML5Translator.visit_image(self, node)
    if "phone" not in node:
        return
    name = self.builder.env.images[node["phone"]][1]
    self.builder.images[node["phone"]] = name
    source = f'<source media="{NARROW}" srcset="{self.builder.imgpath}/{html.escape(name)}">'
    self.body[-1] = f"<picture>{source}{self.body[-1].strip()}</picture>\n"
    if "marks" in node:
        told = Path(self.builder.srcdir, node["marks"]).read_text(encoding="utf-8").replace("<", "\\u003c")
        self.body[-1] += f'<script type="application/json" class="marks">{told}</script>\n'
