"""One table of all results: `results.csv` in the built book, and a directive `results-columns` about it.

A result is a fact that a chapter recorded and that is one number, with or without its spread.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path

from api_tables import table
from docutils import nodes
from numbers_to_cite import BOOK, recorded
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FILE = "results.csv"
COLUMNS = {
    "chapter": "page of the book, under `studies`",
    "name": "name of the result, as the chapter's notebook records it",
    "value": "the number, as the chapter rounds it; empty where only an upper limit or a span is told",
    "low": "lower end of what the number is told with",
    "high": "upper end of it; the limit where the text says less than",
    "spread": "low and high are: interval (95 %), span (of draws, networks or places), half (the value "
    "minus and plus what stands behind ±, which the chapter names), limit, count (value of n), or none",
    "unit": "unit of the value; empty for shares, correlations and counts",
    "n": "networks, cells or pairs behind a correlation or a difference, or all that were counted; empty "
    "where the page records none",
    "seeds": "seeds that the chapter's tables name; empty where they name none",
    "rows": "first digits of the SHA-256 of the chapter's tables: of their own SHA-256s, by name, one a line",
    "text": "the result as the chapter prints it",
}
"""Columns of the table and what they mean."""

MEASURES = ("tau", "rho", "over", "same", "ceiling")
"""First words of the names that have their n in a fact of the same name, or of its beginning."""

_NUMBER = r"[+-]?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
_UNIT = r"(?: ?(?P<unit>%|[a-zA-Z]{1,7}))?"
_FORMS = {
    "interval": rf"(?P<value>{_NUMBER}){_UNIT} \[(?P<low>{_NUMBER}), (?P<high>{_NUMBER})\]",
    "span": rf"(?:(?P<value>{_NUMBER}) \()?(?P<low>{_NUMBER}) to (?P<high>{_NUMBER}){_UNIT}\)?",
    "half": rf"(?P<value>{_NUMBER}) ± (?P<half>{_NUMBER}){_UNIT}",
    "count": rf"(?P<value>{_NUMBER}) of (?P<n>{_NUMBER})",
    "limit": rf"less than (?P<high>{_NUMBER}){_UNIT}",
    "none": rf"(?P<value>{_NUMBER}){_UNIT}",
}


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive, and the file that goes with the pages."""
    app.add_directive("results-columns", ResultsColumns)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class ResultsColumns(SphinxDirective):
    """The link to the table, and one row for each of its columns."""

    def run(self) -> list[nodes.Node]:
        """Builds both."""
        link = f'<p><a href="{FILE}" download>Download all results as CSV</a></p>'
        rows = [[(nodes.literal, name), (None, meaning)] for name, meaning in COLUMNS.items()]
        return [nodes.raw("", link, format="html"), table(("Column", "Meaning"), rows)]


def write(app: Sphinx, error: Exception | None) -> None:
    """Writes the table beside the pages."""
    if error or app.builder.format != "html":
        return
    new = Path(app.outdir) / f"{FILE}.new"
    with new.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for page in sorted(page for page in app.env.found_docs if page.startswith("studies/")):
            writer.writerows(results(page.removeprefix("studies/")))
    new.replace(new.with_suffix(""))


def results(page: str) -> list[dict[str, str]]:
    """The results of a chapter, by the name of its page such as "02_zen_score"."""
    facts = recorded(page)
    told = {name: parts for name, text in facts.items() if (parts := parsed(text))}
    seeds, rows = origin(page.partition("_")[2]) if told else ("", "")
    return [
        {"chapter": page, "name": name, "n": networks(facts, name), "seeds": seeds, "rows": rows, **parts}
        for name, parts in told.items()
    ]


def parsed(text: str) -> dict[str, str] | None:
    """A fact as number, spread and unit; None where it is not one number.

    Signs become ASCII, and commas of thousands go.
    """
    plain = text.replace("\N{MINUS SIGN}", "-")
    for spread, form in _FORMS.items():
        if found := re.fullmatch(form, plain):
            parts = {
                name: (part or "").replace(",", "").lstrip("+") for name, part in found.groupdict().items()
            }
            if half := parts.pop("half", ""):
                digits = len(half.partition(".")[2])
                low, high = (float(parts["value"]) + sign * float(half) for sign in (-1, 1))
                parts |= {"low": f"{low:.{digits}f}", "high": f"{high:.{digits}f}"}
            return {"value": "", "low": "", "high": "", "spread": spread} | parts | {"text": text}
    return None


def networks(facts: dict[str, str], name: str) -> str:
    """The n of a result: the fact "n_" and the rest of its name, or the longest beginning of the rest."""
    first, *words = name.split("_")
    ends = range(len(words), 0, -1) if first in MEASURES else ()
    found = next((facts[n] for end in ends if (n := "_".join(["n", *words[:end]])) in facts), "")
    return found.replace(",", "")


def origin(chapter: str) -> tuple[str, str]:
    """Seeds and digest of the stored tables of a chapter."""
    paths = sorted((BOOK.parent / "experiments" / "chapters" / chapter / "results").glob("*.json"))
    abouts = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    abouts = [about for about in abouts if "sha256" in about]
    seeds = sorted({seed for about in abouts for seed in about.get("seeds") or () if isinstance(seed, int)})
    digests = "".join(f"{about['sha256']}\n" for about in abouts)
    return " ".join(map(str, seeds)), hashlib.sha256(digests.encode()).hexdigest()[:12]
