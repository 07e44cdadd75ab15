"""Makes the built pages light: figures with 256 colours, and icons from the theme's font, not its script.

A Sphinx extension. The files in book/figures stay as they are.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image
from sphinx.application import Sphinx

ICON_SCRIPT = re.compile(r'\s*<script defer src="[^"]*scripts/fontawesome\.js[^"]*"></script>')
"""The theme has every icon twice; this script alone weighs more than all text of the book."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.connect("build-finished", lighten)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def lighten(app: Sphinx, error: Exception | None) -> None:
    """Rewrites what was built, each file at once or not at all."""
    if error or app.builder.format != "html":
        return
    built = Path(app.outdir)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(reduce_colours, (built / "_images").glob("*.png")))
    for page in [*built.glob("*.html"), *built.glob("studies/*.html")]:
        text = page.read_text(encoding="utf-8")
        if ICON_SCRIPT.search(text):
            replace(page, ICON_SCRIPT.sub("", text).encode())


def reduce_colours(path: Path) -> None:
    """Gives a picture the 256 colours that suit it best; one that has a palette already is left alone."""
    with Image.open(path) as picture:
        if picture.mode == "P":
            return
        reduced = picture.convert("RGB").quantize(
            256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
        )
    new = path.with_suffix(".new")
    reduced.save(new, "PNG", optimize=True)
    new.replace(path)


def replace(path: Path, content: bytes) -> None:
    """Writes a file under another name and renames it."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.replace(path)
