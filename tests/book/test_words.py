"""The words of the book: short sentences, and the meanings that the page of symbols gives to signs."""

from __future__ import annotations

import re

import pytest

from tests.book.test_book_sources import PAGES, ROOT, facts, names, prose

FIGURES = sorted((ROOT / "experiments" / "chapters").glob("*/figures.py"))
LONGEST_MEAN = 30
"""Words a sentence, in the mean over a page."""

NO_PROSE = re.compile(
    r"^(```|:::+|\$\$).*?^\1|^\s*\|[^\n]*$|^#[^\n]*$|^ {4,}\S[^\n]*$|^:[a-z]+:[^\n]*$|<[^>]+>|\]\([^)]*\)",
    re.DOTALL | re.MULTILINE,
)
"""Code, directives, displayed equations, tables, titles and the addresses of links."""

DEFINED = {
    "± is one standard error": r"±[^.;|]{0,40}?\b(?:is|are|half)\b(?! one standard error)",
    "brackets are 95 % intervals": r"\b[Bb]rackets(?::| are) (?!95 %)|in brackets",
    "linear layers are no convolutions": r'"convolutions" counts convolutions and linear|"layers": "conv',
    "depth is that of a structure string": r"\bdepth, the convolutions and",
}
"""What the page of symbols says, and a pattern of words that say otherwise."""


def sentences(text: str) -> list[str]:
    """The sentences of the prose of a page; an item of a list or a paragraph ends one."""
    text = NO_PROSE.sub(" ", text)
    text = re.sub(r"\{[a-z:]+\}`[^`]*`|`[^`]*`|\$[^$]*\$", "word", text)
    blocks = re.split(r"\n\s*(?:[-*]|\d+\.)\s|\n\s*\n", text)
    return [
        sentence
        for block in blocks
        for sentence in re.split(r"(?<=[.?!])[\s*_]+", " ".join(block.split()))
        if len(sentence.split()) > 2
    ]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_sentences_are_short(page):
    found = sentences(prose(page))
    longest = sorted(found, key=lambda sentence: -len(sentence.split()))[:3]
    mean = sum(len(sentence.split()) for sentence in found) / max(len(found), 1)
    assert mean < LONGEST_MEAN, f"{mean:.1f} words a sentence; the longest: {longest}"


def test_a_sentence_ends_at_its_stop_and_code_is_none_of_it():
    text = (
        "# Title\n\nOne two three. Four `five. six` seven!\n\n- of some words\n\n```python\nno. prose\n```\n"
    )
    assert sentences(text) == ["One two three.", "Four word seven!", "of some words"]


REGISTERED = "## The page as it was registered"
"""What stands below this title keeps its words."""


def told_otherwise(text: str) -> list[str]:
    """Which entries of the page of symbols a text goes against."""
    return [name for name, words in DEFINED.items() if re.search(words, " ".join(text.split()))]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_signs_and_counts_mean_what_the_page_of_symbols_says(page):
    assert told_otherwise(prose(page).partition(REGISTERED)[0]) == []


@pytest.mark.parametrize("module", FIGURES, ids=lambda path: path.parent.name)
def test_figures_say_the_same(module):
    assert told_otherwise(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_a_page_that_tells_a_number_with_its_spread_says_what_the_spread_is(page):
    text = prose(page)
    own = facts(page) if page.suffix == ".ipynb" else {}
    shown = " ".join(own.get(name, "") for name in re.findall(r"\{glue:text\}`(\w+)`", text))
    wanted = {"±": "standard error", "[": "95 %"}
    assert [sign for sign, words in wanted.items() if sign in shown and words not in text] == []


@pytest.mark.parametrize(
    "words",
    [
        "± is half of the 95 % interval",
        "Brackets are the smallest and the largest ratio",
        "and in brackets the middle 80 %",
        '"convolutions" counts convolutions and linear layers',
    ],
)
def test_another_meaning_is_found(words):
    assert told_otherwise(words)
