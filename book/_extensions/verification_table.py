"""What came of computing stored values again: a directive `verification-table` without arguments.

It shows the report of this machine's last `make book`, or the one that is stored with the book where there is
none yet.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from api_tables import table
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

BOOK = Path(__file__).resolve().parents[1]
REPORTS = (BOOK.parent / "build" / "verification.json", BOOK / "verification.json")
"""Where reports are, the first one that is there being shown."""


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the directive."""
    app.add_directive("verification-table", VerificationTable)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def read(path: Path) -> dict[str, Any]:
    """A report; nothing where there is none, or half of one."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}


class VerificationTable(SphinxDirective):
    """A sentence about the machine, and one row for each study."""

    def run(self) -> list[nodes.Node]:
        """Builds both."""
        from experiments.record.verification import FORMAT, summary, table_of

        for path in REPORTS:
            self.env.note_dependency(str(path))
        told = next(told for told in map(read, REPORTS) if told.get("format") == FORMAT)
        head, *lines = table_of(told["places"])
        return [
            nodes.paragraph("", summary(told)),
            table(head, [[(None, cell) for cell in line] for line in lines]),
        ]
