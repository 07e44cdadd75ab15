"""The foot of each page: BibTeX, and where its notebook can be opened."""

from __future__ import annotations

import importlib.util

import pytest

from tests.site import ROOT

pytest.importorskip("sphinx")
PAGE = "studies/02_zen_score"


@pytest.fixture(scope="module")
def tools():
    found = importlib.util.spec_from_file_location(
        "chapter_tools", ROOT / "book" / "_extensions" / "chapter_tools.py"
    )
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_without_a_repository_a_notebook_is_downloaded_and_nothing_points_elsewhere(tools):
    (link,) = tools.notebook_links(PAGE, up="../")
    assert 'href="../notebooks/02_zen_score.ipynb" download' in link and "https" not in link


@pytest.mark.parametrize(
    "repository",
    [
        "https://github.com/someone/zen",
        "https://github.com/someone/zen.git",
        "https://github.com/someone/zen/",
    ],
)
def test_with_a_repository_on_github_it_opens_in_binder_and_colab(tools, repository):
    _, binder, colab = tools.notebook_links(PAGE, repository)
    assert (
        'href="https://mybinder.org/v2/gh/someone/zen/HEAD?labpath=experiments/chapters/zen_score/notebook.ipynb"'
        in binder
    )
    assert (
        'href="https://colab.research.google.com/github/someone/zen/blob/HEAD/experiments/chapters/zen_score/notebook.ipynb"'
        in colab
    )


def test_with_a_repository_elsewhere_it_is_only_downloaded(tools):
    assert len(tools.notebook_links(PAGE, "https://codeberg.org/someone/zen")) == 1


def test_a_page_of_prose_has_no_notebook(tools):
    assert tools.notebook_links("how-built") == []


def test_an_entry_escapes_what_latex_would_read_and_names_the_repository_only_when_there_is_one(tools):
    entry = tools.bibtex(PAGE, "50 % & more_", "A book", "The authors", "2026")
    assert (
        r"title = {50 \% \& more\_}" in entry
        and "url" not in entry
        and entry.startswith("@misc{zenlib:02_zen_score,")
    )
    assert "url = {https://example.org/zen}" in tools.bibtex(
        PAGE, "t", "b", "a", "2026", "https://example.org/zen"
    )
