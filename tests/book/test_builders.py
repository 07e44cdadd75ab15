"""The book by jupyter-book and by plain Sphinx: a small one, with an address of the project and without."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("jupyter_book")
ROOT = Path(__file__).parents[2]
ADDRESS = "https://github.com/someone/zen"
BUILDERS = {
    "jupyter-book": "from jupyter_book.cli.main import main; "
    "main(['build', 'book', '--config', '_config.yml', '--path-output', '.', '--quiet'])",
    "sphinx": "from sphinx.cmd.build import main; raise SystemExit(main(['-q', 'book', '_build/html']))",
}


@pytest.fixture
def small(tmp_path):
    """A book of its glossary and one chapter, with all settings and extensions of the whole one."""
    shutil.copy(ROOT / "_config.yml", tmp_path)
    for folder in ("book/_extensions", "book/_static"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in (
        *("book/conf.py", "book/glossary.md", "book/symbols.md", "book/references.bib"),
        *("book/studies/02_zen_score.ipynb", "book/figures/zen_score"),
        "experiments/chapters/zen_score/notebook.ipynb",
    ):
        source, target = ROOT / file, tmp_path / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    (tmp_path / "book" / "_extra").mkdir()
    contents = "format: jb-book\nroot: glossary\nchapters:\n- file: symbols\n- file: studies/02_zen_score\n"
    (tmp_path / "book" / "_toc.yml").write_text(contents)
    return tmp_path


def built(folder, builder):
    """The chapter's page; `PYTHONPATH` has the library, as the extensions read its version."""
    shutil.rmtree(folder / "_build", ignore_errors=True)
    command = [sys.executable, "-c", BUILDERS[builder]]
    done = subprocess.run(
        command, cwd=folder, env={"PYTHONPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return (folder / "_build" / "html" / "studies" / "02_zen_score.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("builder", BUILDERS)
def test_badges_of_binder_and_colab_appear_when_the_address_of_the_project_is_set(small, builder):
    with (small / "_config.yml").open("a") as settings:
        settings.write(f"repository:\n  url: {ADDRESS}\n")
    page = built(small, builder)
    path = "experiments/chapters/zen_score/notebook.ipynb"
    assert f"mybinder.org/v2/gh/someone/zen/HEAD?labpath={path}" in page
    assert f"colab.research.google.com/github/someone/zen/blob/HEAD/{path}" in page
    assert f"url = {{{ADDRESS}}}" in page


def test_both_show_the_same_chapter_and_no_badges_without_an_address(small):
    by_sphinx, by_jupyter_book = (
        built(small, builder).partition("<article")[2].partition("</article>")[0] for builder in BUILDERS
    )
    assert by_sphinx == by_jupyter_book and "Table 5" in by_sphinx
    assert 'href="../notebooks/02_zen_score.ipynb" download' in by_sphinx
    assert "mybinder.org" not in by_sphinx and "colab.research" not in by_sphinx


def test_the_folded_cells_before_the_first_figure_are_one_fold_with_all_their_code(small):
    opening = built(small, "sphinx").partition("<article")[2].partition("<figure")[0]
    assert opening.count("<details") == 1
    assert all(name in opening for name in ("table5_models", "import", "publish", "show"))
