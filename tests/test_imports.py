"""Who may import whom, and who may build paths: the rules of the house, read from the syntax trees."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "zenlib"
FILES = {path.relative_to(PACKAGE.parent).with_suffix("").as_posix().replace("/", "."): path for path in sorted(PACKAGE.rglob("*.py"))}
PATH_WORDS = ("experiments/", "book/", "results/", "ZENLIB_", "/work", "/tmp", "/root", "/home")


def tree_of(module):
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


def imports(module):
    """Full names of all that a module imports, inside functions too."""
    found = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively: write the full name"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def inside(name, *packages):
    return any(name == package or name.startswith(package + ".") for package in packages)


def documentation(tree):
    """The string nodes that stand as statements: docstrings."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


@pytest.mark.parametrize("module", ["zenlib.architecture", "zenlib.errors"])
def test_architectures_and_errors_need_the_standard_library_alone(module):
    others = {name for name in imports(module) if name.split(".")[0] not in sys.stdlib_module_names and not inside(name, "zenlib.errors")}
    assert others == set()


@pytest.mark.parametrize("module", [name for name in FILES if not inside(name, "zenlib.studies", "zenlib.plots", "zenlib.cli", "zenlib.commands")])
def test_computation_knows_neither_studies_nor_plots(module):
    assert {name for name in imports(module) if inside(name, "zenlib.studies", "zenlib.plots")} == set()


@pytest.mark.parametrize("module", [name for name in FILES if inside(name, "zenlib.plots")])
def test_plots_compute_nothing(module):
    computing = ("zenlib.zen", "zenlib.expressivity", "zenlib.vcnn", "zenlib.forward", "zenlib.network")
    assert {name for name in imports(module) if inside(name, *computing)} == set()


@pytest.mark.parametrize("module", [name for name in FILES if name != "zenlib.results"])
def test_only_the_store_knows_where_files_live(module):
    tree = tree_of(module)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    docstrings = documentation(tree)
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings}
    assert "__file__" not in names
    assert {text for text in texts if any(word in text for word in PATH_WORDS)} == set()


@pytest.mark.parametrize("module", [name for name in FILES if inside(name, "zenlib.search")])
def test_the_search_knows_nothing_of_training(module):
    assert {name for name in imports(module) if inside(name, "zenlib.train")} == set()
