"""The sources of the book: what pages refer to exists, numbers come from results, and nothing is outdated."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from experiments.record.chapters import chapters

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
STUDIES = sorted(BOOK.glob("studies/*.ipynb"))
PAGES = sorted(BOOK.glob("*.md")) + sorted(BOOK.glob("parts/*.md")) + STUDIES
FRONT = (BOOK / "index.md", BOOK / "claims.md", *sorted(BOOK.glob("parts/*.md")))
SOURCES = {f"{stem}.ipynb": folder / "notebook.ipynb" for stem, folder in chapters(ROOT).items()}

GLUE = re.compile(r"\{glue:text\}`([^`]+)`")
CITATION = re.compile(r"\{cite(?::[a-z]+)?\}`([^`]+)`")
FIGURE = re.compile(r"```\{figure\} (\S+)\n((?::.*\n)*)")
CAPTIONED = re.compile(r"```\{figure\} (\S+)\n(?::[^\n]*\n)*\n?(.*?)```", flags=re.DOTALL)
FILE_LINK = re.compile(r"\]\((?!https?://)([^)#]+\.(?:png|csv|svg|json))\)")
DECIMAL = re.compile(r"(?<!Python )(?<![\w.-])\d+\.\d+(?![\w.])")
SETTINGS = {"0.01"}
"""Decimals that are settings of the definition, not results."""


def cells(path: Path, kind: str) -> list[str]:
    """The text of a notebook's cells of one kind."""
    return [
        "".join(cell["source"])
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == kind
    ]


def prose(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.suffix == ".md" else "\n\n".join(cells(path, "markdown"))


def facts(notebook: Path) -> dict[str, str]:
    """The facts that an executed notebook records, by name."""
    outputs = [
        output
        for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
    ]
    recorded = [output for output in outputs if "scrapbook" in output.get("metadata", {})]
    return {output["metadata"]["scrapbook"]["name"]: "".join(*output["data"].values()) for output in recorded}


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_number_taken_from_results_is_recorded_in_an_executed_notebook(page):
    missing = []
    for used in GLUE.findall(prose(page)):
        notebook, separator, name = used.rpartition("::")
        home = page.parent / notebook if separator else page
        if separator and not name.endswith(":s"):
            missing.append(f"{used}: a fact of another page is written path::name:s")
        elif not home.is_file() or name.removesuffix(":s") not in facts(home):
            missing.append(used)
    assert not missing


@pytest.mark.parametrize("notebook", STUDIES, ids=names(STUDIES))
def test_every_fact_is_shown_as_it_was_written(notebook):
    """The book reads the record of a fact as a Python literal.

    Without quotes 20,955 would become (20, 955).
    """
    assert [name for name, record in facts(notebook).items() if record[0] not in "'\""] == []


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_figure_and_data_file_exists_and_every_figure_is_described(page):
    wrong = [
        f"{link}: no such file"
        for link in FILE_LINK.findall(prose(page))
        if not (page.parent / link).is_file()
    ]
    for image, options in FIGURE.findall(prose(page)):
        wrong += [] if (page.parent / image).is_file() else [f"{image}: no such file"]
        described = re.search(r"^:alt: (.+)$", options, flags=re.MULTILINE)
        wrong += (
            []
            if described and len(described[1]) >= 20
            else [f"{image}: needs an :alt: that says what the picture shows"]
        )
    assert not wrong


@pytest.mark.parametrize("page", PAGES, ids=names(PAGES))
def test_every_caption_stands_alone_and_gives_the_data_of_its_figure(page):
    wrong = []
    for image, caption in CAPTIONED.findall(prose(page)):
        wrong += (
            []
            if f"({Path(image).with_suffix('.csv').as_posix()})" in caption
            else [f"{image}: needs a link to its data, the .csv beside it"]
        )
        wrong += (
            []
            if len(caption.split()) >= 15
            else [f"{image}: needs a caption that says what is drawn, of how many, with which spread"]
        )
    assert not wrong


def test_every_citation_has_an_entry_and_every_entry_is_cited():
    entries = re.findall(
        r"^@\w+\{([^,]+),", (BOOK / "references.bib").read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    cited = {
        key.strip() for page in PAGES for keys in CITATION.findall(prose(page)) for key in keys.split(",")
    }
    assert len(entries) == len(set(entries))
    assert set(entries) == cited


@pytest.mark.parametrize("page", [*SOURCES.values(), *FRONT], ids=[*SOURCES, *(page.name for page in FRONT)])
def test_no_measured_number_is_typed_into_the_prose(page):
    """Decimals may stand in a quotation of the paper: its column of a table, or a sentence that names it."""
    typed = []
    text = re.sub(
        r"```(?!\{figure\}).*?```|\$\$.*?\$\$|\$[^$]+\$|`[^`]+`|\]\([^)]+\)",
        " ",
        prose(page),
        flags=re.DOTALL,
    )
    for paragraph in re.split(r"\n\s*\n", re.sub(r"^:.*$", "", text, flags=re.MULTILINE)):
        if paragraph.lstrip().startswith("|"):
            header, *lines = paragraph.strip().splitlines()
            quoted = ["paper" in title.lower() for title in header.split("|")]
            parts = [
                cell
                for line in lines
                for cell, is_quoted in zip(line.split("|"), quoted, strict=True)
                if not is_quoted
            ]
        else:
            parts = re.split(r"(?<=[.:;?!])\s", paragraph)
        for part in parts:
            if not re.search(r"paper|\{cite|\bTables? \d|\bFigures? \d", part):
                typed += [number for number in DECIMAL.findall(part) if number not in SETTINGS]
    assert not typed


@pytest.mark.parametrize(("name", "source"), SOURCES.items(), ids=SOURCES)
def test_the_book_shows_the_notebooks_as_they_are_now(name, source):
    shown = BOOK / "studies" / name
    assert shown.is_file(), "run `make book`"
    assert cells(shown, "markdown") == cells(source, "markdown")
    ours = cells(source, "code")
    assert [code for code in cells(shown, "code") if code in ours] == ours


def test_every_page_stands_in_the_table_of_contents():
    contents = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
    listed = {
        contents["root"],
        *(chapter["file"] for part in contents["parts"] for chapter in part["chapters"]),
    }
    assert listed == {page.relative_to(BOOK).with_suffix("").as_posix() for page in PAGES}


def test_the_readme_shows_a_figure_of_the_study_and_commands_that_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    images = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", readme)
    assert images and all(description and (ROOT / path).is_file() for description, path in images)
    targets = set(
        re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    )
    assert set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(re.findall(r"`[^`]*`", readme)))) <= targets
    assert "TIME_" not in readme, "state how long the commands take"


def test_every_figure_function_draws_in_the_style():
    plain = []
    for module in [
        *(ROOT / "experiments" / "figures").glob("*.py"),
        *(ROOT / "experiments" / "chapters").glob("*/figures.py"),
    ]:
        if module.name in ("style.py", "__init__.py"):
            continue
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if (
                isinstance(node, ast.FunctionDef)
                and node.returns is not None
                and ast.unparse(node.returns) == "Figure"
            ):
                decorated = any(ast.unparse(decorator) == "styled" for decorator in node.decorator_list)
                plain += [] if decorated or node.name.startswith("_") else [f"{module}: {node.name}"]
    assert not plain
