"""The statements with their verdicts: one table, and the figure of the first page that follows it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

BOOK = Path(__file__).parents[2] / "book"
VERDICTS = {
    "holds": "success",
    "holds, otherwise": "info",
    "not shown": "secondary",
    "refuted": "danger",
    "open": "warning",
}


def claims():
    """(verdict, page) of each row, of the paper's statements and of others."""
    page = (BOOK / "claims.md").read_text(encoding="utf-8")
    paper, _, others = page.partition("## Not claimed by the paper")
    row = re.compile(r"^\| .*\{bdg-(\w+)\}`([^`]+)`.*\{doc\}`([^`]+)` \|$", re.MULTILINE)
    return row.findall(paper), row.findall(others)


def shown():
    """(colour, verdict, page) of each link of the first page."""
    page = (BOOK / "index.md").read_text(encoding="utf-8")
    card = re.compile(r"\{grid-item-card\} (.+)\n:class-card: verdict verdict-(\w+)\n\n((?:- .*\n)*)")
    return [
        (colour, verdict, link)
        for verdict, colour, links in card.findall(page)
        for link in re.findall(r"<([^>]+)>", links)
    ]


def test_every_row_has_a_verdict_of_the_list_in_its_colour_and_a_chapter():
    page = (BOOK / "claims.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!Statement )", page, re.MULTILINE)
    paper, others = claims()
    assert len(rows) == len(paper) + len(others) > 20
    assert all(VERDICTS[verdict] == colour for colour, verdict, _ in (*paper, *others))
    assert all((BOOK / f"{page}.ipynb").is_file() for *_, page in (*paper, *others))


def test_the_first_page_shows_the_papers_statements_under_the_verdicts_that_the_table_gives():
    paper, _ = claims()
    assert Counter(shown()) == Counter(paper)
