"""The numbers that are cited most, from `numbers.yml`: a directive `numbers-to-cite` without arguments.

A value is the fact that a chapter recorded when it was executed. Beside it stand the first digits of the
SHA-256 of the stored rows, so that a citation says which rows it rests on.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import html
import json
from pathlib import Path

import yaml
from api_tables import table
from chapter_tools import bibtex
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

BOOK = Path(__file__).resolve().parents[1]
NUMBERS = BOOK / "numbers.yml"
HEAD = ("What", "Value", "n", "Definition; draws", "Rows")


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("numbers-to-cite", NumbersToCite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class NumbersToCite(SphinxDirective):
    """One row for each number, and below the table its BibTeX entry."""

    def run(self) -> list[nodes.Node]:
        """Builds both."""
        self.env.note_dependency(str(NUMBERS))
        rows, entries = [], []
        for number in yaml.safe_load(NUMBERS.read_text(encoding="utf-8")):
            value, n = fact(number["fact"]), fact(number["n"])
            digest = row_hash(number["rows"])
            label, how = f"[{len(rows) + 1}]", f"{number['definition']}; {number['seeds']}"
            file = number["rows"].replace("/results/", "/") + f" {digest}"
            cells = (f"{label} {number['says']}", value, n, how, file)
            rows.append([(None, cell) for cell in cells])
            page = "studies/" + number["fact"].partition("::")[0]
            self.env.note_dependency(str(BOOK / f"{page}.ipynb"))
            title = f"{number['says']}: {value} (n = {n}; {number['definition']}; rows {digest})"
            config = self.config
            entries.append(
                f"% {label}\n" + bibtex(page, title, config.html_title, config.author, config.copyright)
            )
        listing = html.escape("\n\n".join(entries))
        text = f"<details><summary>BibTeX of each number</summary><pre>{listing}</pre></details>"
        shown = table(HEAD, rows)
        shown["classes"].append("claims")
        return [shown, nodes.raw("", text, format="html")]


def fact(name: str) -> str:
    """The value of a fact, such as "03_imagenet_zoo::tau_v1_zen".

    Raises:
        KeyError: the executed notebook has no such fact.
    """
    page, _, key = name.partition("::")
    return recorded(page)[key]


@functools.cache
def recorded(page: str) -> dict[str, str]:
    """All facts of an executed notebook."""
    cells = json.loads((BOOK / "studies" / f"{page}.ipynb").read_text(encoding="utf-8"))["cells"]
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    records = [output for output in outputs if "scrapbook" in output.get("metadata", {})]
    return {
        record["metadata"]["scrapbook"]["name"]: ast.literal_eval("".join(*record["data"].values()))
        for record in records
    }


def row_hash(path: str) -> str:
    """The first digits of the SHA-256 of stored rows, by their path under experiments/chapters."""
    content = (BOOK.parent / "experiments" / "chapters" / path).read_bytes()
    return hashlib.sha256(content).hexdigest()[:12]
