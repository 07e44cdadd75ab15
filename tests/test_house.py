"""Who may import whom, and who may build paths: the rules of the house, read from the syntax trees."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def modules(folder):
    """Files by the full names of their modules; a package has the name of its folder."""
    names = {
        path: path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in sorted((ROOT / folder).rglob("*.py"))
    }
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


FILES = modules("zenlib")
STUDIES = modules("experiments")
HOUSE = FILES | STUDIES
CHAPTERS = sorted(path.parent for path in (ROOT / "experiments" / "chapters").glob("*/notebook.ipynb"))
PLACES = (
    *(
        "zenlib.machine",
        "experiments.record.described",
        "experiments.record.results",
        "experiments.record.chapters",
        "experiments.run",
        "experiments.verify",
        "experiments.same_bytes",
        "experiments.speed",
    ),
    *("experiments.record.results_command", "experiments.record.provenance"),
)
"""What may name folders: the stores, the runner, scripts, and messages that say how to call the runner."""
PATH_WORDS = ("experiments/", "book/", "results/", "ZENLIB_", "/work", "/tmp", "/root", "/home")


def tree_of(module):
    return ast.parse(HOUSE[module].read_text(encoding="utf-8"))


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


@pytest.mark.parametrize("module", ["zenlib.networks.architecture", "zenlib.errors"])
def test_architectures_and_errors_need_the_standard_library_alone(module):
    others = {
        name
        for name in imports(module)
        if name.split(".")[0] not in sys.stdlib_module_names and not inside(name, "zenlib.errors")
    }
    assert others == set()


@pytest.mark.parametrize("module", FILES)
def test_the_library_knows_nothing_of_the_studies(module):
    assert {name for name in imports(module) if inside(name, "experiments", "tests")} == set()


@pytest.mark.parametrize("module", [name for name in STUDIES if inside(name, "experiments.record")])
def test_the_record_knows_no_chapter_no_benchmark_and_no_figure(module):
    assert {
        name
        for name in imports(module)
        if inside(name, "experiments.chapters", "experiments.benchmarks", "experiments.figures")
    } == set()


@pytest.mark.parametrize("module", [name for name in STUDIES if inside(name, "experiments.figures")])
def test_the_style_of_figures_knows_no_chapter_and_no_benchmark(module):
    assert {
        name for name in imports(module) if inside(name, "experiments.chapters", "experiments.benchmarks")
    } == set()


@pytest.mark.parametrize("module", [name for name in STUDIES if inside(name, "experiments.benchmarks")])
def test_the_benchmarks_know_no_chapter_and_no_figure(module):
    assert {
        name for name in imports(module) if inside(name, "experiments.chapters", "experiments.figures")
    } == set()


@pytest.mark.parametrize(
    "module", [name for name in STUDIES if inside(name, "experiments.chapters") and name.count(".") > 2]
)
def test_a_chapter_imports_no_other_chapter(module):
    own = ".".join(module.split(".")[:3])
    assert {
        name for name in imports(module) if inside(name, "experiments.chapters") and not inside(name, own)
    } == set()


@pytest.mark.parametrize("folder", CHAPTERS, ids=lambda folder: folder.name)
def test_a_notebook_imports_no_other_chapter(folder):
    cells = json.loads((folder / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    found = set(
        re.findall(
            r"experiments\.chapters\.(\w+)",
            "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"),
        )
    )
    assert found <= {folder.name}


def files_read_by(module):
    """The modules of the house whose files an import statement of this one reads."""
    found = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {
                full if (full := f"{node.module}.{alias.name}") in HOUSE else node.module
                for alias in node.names
            }
    return found & HOUSE.keys()


def test_there_is_no_circle_of_files():
    left = {module: files_read_by(module) for module in HOUSE}
    while leaves := [module for module, names in left.items() if not names & left.keys()]:
        for module in leaves:
            del left[module]
    assert {module: names & left.keys() for module, names in left.items()} == {}


@pytest.mark.parametrize("folder", CHAPTERS, ids=lambda folder: folder.name)
def test_a_chapter_is_one_folder_and_one_line_of_the_contents(folder):
    assert {path.name for path in folder.iterdir()} >= {
        "notebook.ipynb",
        "smoke.yaml",
        "cpu.yaml",
        "gpu.yaml",
    }
    contents = (ROOT / "book" / "_toc.yml").read_text(encoding="utf-8")
    assert len(re.findall(rf"- file: studies/\d+_{folder.name}$", contents, flags=re.MULTILINE)) == 1


@pytest.mark.parametrize(
    "module", [name for name in STUDIES if inside(name, "experiments.figures") or name.endswith(".figures")]
)
def test_figures_compute_nothing(module):
    computing = ("zenlib.scores", "zenlib.vanilla", "zenlib.networks.module", "zenlib.train", "zenlib.search")
    assert {name for name in imports(module) if inside(name, *computing)} == set()


@pytest.mark.parametrize("module", [name for name in HOUSE if not inside(name, *PLACES)])
def test_only_the_store_knows_where_files_live(module):
    tree = tree_of(module)
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    docstrings = documentation(tree)
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
    }
    assert "__file__" not in names
    assert {text for text in texts if any(word in text for word in PATH_WORDS)} == set()


@pytest.mark.parametrize("module", [name for name in FILES if inside(name, "zenlib.search")])
def test_the_search_knows_nothing_of_training(module):
    assert {name for name in imports(module) if inside(name, "zenlib.train")} == set()
