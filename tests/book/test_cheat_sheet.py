"""The cheat sheet as a PDF."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from docutils.core import publish_doctree

pypdf = pytest.importorskip("pypdf")
BOOK = Path(__file__).parents[2] / "book"
TEXT = """
Sheet
=====

First
-----

.. math:: \\sum_i \\log \\sigma_i

A formula :math:`f(x)` in words.

- one thing

===== ======
name  value
===== ======
zen   0.68
===== ======

.. code::

   zen_score(net)

Second
------

{}
"""


@pytest.fixture
def sheet(monkeypatch):
    monkeypatch.syspath_prepend(BOOK / "_extensions")
    import cheat_sheet

    yield cheat_sheet
    sys.modules.pop("cheat_sheet")


def document(words):
    return publish_doctree(TEXT.format(words), settings_overrides={"doctitle_xform": False})


def test_a_page_is_drawn_on_one_sheet_with_the_same_bytes_each_time(sheet, tmp_path):
    for name in ("one.pdf", "two.pdf"):
        sheet.draw(document("last words"), tmp_path / name)
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "two.pdf").read_bytes()
    (page,) = pypdf.PdfReader(tmp_path / "one.pdf").pages
    text = page.extract_text()
    for part in ("Sheet", "First", "• one thing", "zen 0.68", "zen_score(net)", "last words"):
        assert part in text


def test_text_that_does_not_fit_on_one_sheet_is_an_error(sheet, tmp_path):
    with pytest.raises(ValueError, match="needed text for one sheet"):
        sheet.draw(document("many words\n" * 1000), tmp_path / "long.pdf")
