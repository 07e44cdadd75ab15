"""A chapter is one folder and one line: the one that `experiments/README.md` shows is added to a copy."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
SHOWN = {
    name: text
    for name, text in re.findall(r"^```\w+ (\S+)\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
}
LINE = re.search(r"`(- file: studies/\d+_toy)`", README)[1]


def cells(text):
    """The cells of a notebook that is written as text: `# %%` and a tag before each."""
    for head, body in re.findall(r"^# %% ?(\S*)\n(.*?)(?=^# %%|\Z)", text, flags=re.MULTILINE | re.DOTALL):
        if head == "[markdown]":
            yield nbformat.v4.new_markdown_cell(re.sub(r"^# ?", "", body.strip(), flags=re.MULTILINE))
        else:
            yield nbformat.v4.new_code_cell(body.strip(), metadata={"tags": [head]} if head else {})


@pytest.fixture
def copy(tmp_path):
    """A checkout with one more chapter."""
    shutil.copytree(
        ROOT / "experiments",
        tmp_path / "experiments",
        ignore=shutil.ignore_patterns("__pycache__", "results", "speed"),
    )
    (tmp_path / "book").mkdir()
    contents = (ROOT / "book" / "_toc.yml").read_text(encoding="utf-8")
    last = re.findall(r"^ *- file: studies/1\d_\w+\n", contents, flags=re.MULTILINE)[-1]
    (tmp_path / "book" / "_toc.yml").write_text(
        contents.replace(last, f"{last}      {LINE}\n"), encoding="utf-8"
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    folder = tmp_path / "experiments" / "chapters" / "toy"
    folder.mkdir()
    (folder / "__init__.py").touch()
    for name, text in SHOWN.items():
        if name == "notebook.ipynb":
            kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
            nbformat.write(
                nbformat.v4.new_notebook(cells=[*cells(text)], metadata={"kernelspec": kernel}), folder / name
            )
        else:
            (folder / name).write_text(text, encoding="utf-8")
    return tmp_path


def run(copy, *words, script="run.py"):
    """Output of the runner of the copy, whose own studies are found before those of this checkout."""
    return called(copy, str(copy / "experiments" / script), *words)


def called(copy, *words):
    """Output of Python with these words."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ZENLIB_")}
    environment |= {"PYTHONPATH": os.pathsep.join([str(copy), str(ROOT)]), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=copy.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_folder_and_a_line_of_the_contents_make_a_chapter(copy):
    run(copy, "--profile", "cpu", "--only", "toy")
    page = nbformat.read(copy / "book" / "studies" / "18_toy.ipynb", as_version=4)
    facts = {
        output.metadata.scrapbook.name: output.data
        for cell in page.cells
        for output in cell.get("outputs", [])
        if "scrapbook" in output.metadata
    }
    assert set(facts) == {"deepest", "zen_deepest"} and facts["deepest"] == {
        "application/papermill.record/text/plain": "'20'"
    }
    assert {path.name for path in (copy / "book" / "figures" / "toy").iterdir()} == {
        "growth.png",
        "growth.phone.png",
        "growth.csv",
    }
    assert {path.name for path in (copy / "experiments" / "chapters" / "toy" / "results").glob("[!.]*")} == {
        "scores.csv",
        "scores.json",
    }
    settings = ("extensions=myst_nb", "nb_execution_mode=off", "root_doc=studies/18_toy")
    options = [word for setting in settings for word in ("-D", setting)]
    called(copy, "-m", "sphinx", "-CWq", *options, str(copy / "book"), str(copy / "build" / "html"))
    html = (copy / "build" / "html" / "studies" / "18_toy.html").read_text(encoding="utf-8")
    assert "At a depth of 20 the score is" in re.sub("<[^>]*>", "", html)
    assert "growth.png" in html and "glue:text" not in html
    assert '"rows": 4' in run(copy, "status", "--study", "toy", "--json")
    assert "toy" in run(copy, "--only", "toy", "--rows", "2", script="verify.py")


def test_the_chapter_runs_small_and_leaves_nothing_that_is_committed(copy):
    run(copy, "--profile", "smoke", "--only", "18_toy")
    assert (copy / "build" / "smoke" / "results" / "toy" / "scores.csv").is_file()
    assert (
        not (copy / "experiments" / "chapters" / "toy" / "results").exists()
        and not (copy / "book" / "studies").exists()
    )
