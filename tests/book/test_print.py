"""The book as one PDF."""

from __future__ import annotations

import importlib.util

import pytest

from tests.site import PAGES, ROOT, SITE, absent

pypdf = pytest.importorskip("pypdf")
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def print_book():
    if not PAGES:
        absent(f"no built book in {SITE}; run `make book`")
    found = importlib.util.spec_from_file_location("print_book", ROOT / "book" / "print_book.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_chapters_are_joined_with_bookmarks_and_links_between_them(print_book, browser, tmp_path):
    out = tmp_path / "book.pdf"
    names = ["symbols.html", "glossary.html"]
    print_book.print_book(browser, SITE, names, out)
    printed = pypdf.PdfReader(out)
    starts = {entry.title: printed.get_destination_page_number(entry) for entry in printed.outline}
    assert list(starts) == ["Symbols", "Glossary"] and starts["Glossary"] > 0
    for title, start in starts.items():
        assert title in printed.pages[start].extract_text()
    assert all(len(sheet.extract_text()) > 20 for sheet in printed.pages), "an empty sheet"
    links = [annotation.get_object() for sheet in printed.pages for annotation in sheet.get("/Annots", ())]
    assert any(
        "/Dest" in link and link["/Dest"][0].get_object() == printed.pages[starts["Glossary"]]
        for link in links
    )
    assert not [link for link in links if str(link.get("/A", {}).get("/URI", "")).startswith("file:")]


def test_every_page_of_the_contents_is_printed(print_book):
    without_contents = {"genindex.html", "search.html"}
    assert set(print_book.page_names()) == set(PAGES) - without_contents


def test_a_folder_without_a_book_is_refused(print_book, tmp_path, capsys):
    assert print_book.main([str(tmp_path), str(tmp_path / "book.pdf")]) == 1
    assert "make book" in capsys.readouterr().err
