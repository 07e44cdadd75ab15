"""The source notebooks: a question, parameters, one run, figures, and nothing that belongs in the package."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

from experiments.benchmarks import nasbench201
from experiments.record.chapters import STUDIES, chapters, load_study
from experiments.record.notebook import changed_parameters, parameters

NOTEBOOKS = {stem: folder / "notebook.ipynb" for stem, folder in chapters(Path(__file__).parents[2]).items()}
PROFILES = ("smoke", "cpu", "gpu")
LONGEST_CELL = 40

STUDY_NOTEBOOKS = [stem for stem in NOTEBOOKS if stem.partition("_")[2] in STUDIES]

every_notebook = pytest.mark.parametrize("stem", NOTEBOOKS)
every_study_notebook = pytest.mark.parametrize("stem", STUDY_NOTEBOOKS)


def read(stem):
    return nbformat.read(NOTEBOOKS[stem], as_version=4)


def wanted(stem, profile):
    return yaml.safe_load(NOTEBOOKS[stem].with_name(f"{profile}.yaml").read_text(encoding="utf-8"))


def code_of(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(stem):
    return [cell.source for cell in read(stem).cells if cell.cell_type == "markdown"]


def headings(stem):
    return [line for source in prose(stem) for line in source.splitlines() if line.startswith("## ")]


def test_every_study_has_its_notebook():
    assert [name for name in STUDIES if name not in {stem.partition("_")[2] for stem in NOTEBOOKS}] == []


@pytest.mark.parametrize("profile", PROFILES)
@every_notebook
def test_every_parameter_of_a_profile_is_one_of_the_notebook(stem, profile):
    changed_parameters(read(stem), wanted(stem, profile))


@every_notebook
def test_the_cpu_profile_is_what_a_notebook_does_by_itself(stem):
    assert changed_parameters(read(stem), wanted(stem, "cpu")) == {}


@every_notebook
def test_papermill_sees_the_parameters_that_the_runner_checks(stem):
    assert set(papermill.inspect_notebook(NOTEBOOKS[stem])) == set(parameters(read(stem)))


@every_notebook
def test_a_source_notebook_carries_no_outputs(stem):
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code_of(read(stem)))


def forbidden_in(notebook, *kinds):
    return [
        ast.unparse(node)
        for cell in code_of(notebook)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, kinds)
    ]


@every_notebook
def test_cells_are_short_and_neither_loop_nor_draw(stem):
    cells = code_of(read(stem))
    assert max(len(cell.source.splitlines()) for cell in cells) <= LONGEST_CELL
    assert forbidden_in(read(stem), ast.For, ast.While) == []
    assert not any(
        word in cell.source for cell in cells for word in ("rcParams", "pyplot", "to_csv", "savefig")
    )


@every_study_notebook
def test_a_study_is_only_called_in_its_notebook(stem):
    assert (
        forbidden_in(
            read(stem),
            ast.FunctionDef,
            ast.ClassDef,
            ast.Lambda,
            ast.ListComp,
            ast.DictComp,
            ast.GeneratorExp,
            ast.Try,
        )
        == []
    )


@every_study_notebook
def test_a_study_has_a_cell_to_try_of_at_most_six_lines(stem):
    shown = [
        cell.source for cell in code_of(read(stem)) if cell.metadata.get("tags", []) in ([], ["wrap-output"])
    ]
    assert shown and all(len(list(filter(None, source.splitlines()))) <= 6 for source in shown)


@every_notebook
def test_a_notebook_opens_with_its_title_and_ends_with_its_sources(stem):
    assert prose(stem)[0].startswith("# ")
    assert headings(stem)[-1] == "## Sources"


@every_study_notebook
def test_a_study_says_what_would_change_our_mind(stem):
    assert "## What would change our mind" in headings(stem)


@pytest.mark.parametrize("name", STUDIES)
def test_every_table_of_a_study_can_be_verified(name):
    study = load_study(name)
    assert (
        study.TABLES or not nasbench201.is_there()
    )  # what needs the benchmark's file is not verified without it
    assert all(table.agreement_of(column) for table in study.TABLES for column in table.values)
    assert {table.study for table in study.TABLES} <= {name}
    assert len({table.name for table in study.TABLES}) == len(study.TABLES)
