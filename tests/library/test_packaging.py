"""The package as others get it: built, installed with its base dependencies alone, used from elsewhere."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from functools import partial
from pathlib import Path

import pytest

from tests.test_house import FILES, HOUSE, inside, tree_of
from zenlib.cli.app import app

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
IMPORTED_AS = {
    "scikit-learn": "sklearn",
    "pyyaml": "yaml",
    "jupyter-book": "jupyter_book",
    "pytest-timeout": "pytest_timeout",
    "pytest-cov": "pytest_cov",
}

NET = """
from torch import nn

class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.path = nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(),
                                  nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, features):
        return (self.path(features) + features).relu()

class ResNet(nn.Sequential):
    def __init__(self):
        stem = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()
        super().__init__(*stem, Block(8), Block(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))
"""


COMES_WITH = {
    **{"cycler": "matplotlib", "PIL": "torchvision", "myst_nb": "jupyter_book", "IPython": "ipykernel"},
    **{"nbclient": "papermill", "traitlets": "nbformat"},
}
"""Packages that are imported but not required themselves, as another one always brings them."""


def modules_of(requirements):
    """Names under which packages are imported."""
    names = [re.split(r"[><=!~\[; ]", requirement)[0].lower() for requirement in requirements]
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in names}


BASE = modules_of(PROJECT["dependencies"])
EXTRAS = {name: modules_of(requirements) for name, requirements in PROJECT["optional-dependencies"].items()}
AREAS = {
    "experiments": "book",
    "zenlib.train": "train",
    "zenlib.search": "search",
    "zenlib.cli.figure": "search",
}
"""Parts of the house that are there for an extra, and may need it as soon as they are imported."""


def third_party(nodes):
    """Packages, other than the standard library and our own, that these statements import."""
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    packages = (
        {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"zenlib", "experiments"}
    )
    return {COMES_WITH.get(package, package) for package in packages}


@pytest.mark.parametrize("module", [name for name in HOUSE if not inside(name, "experiments.speed")])
def test_a_module_needs_the_base_dependencies_and_its_own_extra_alone(module):
    allowed = BASE.union(*(EXTRAS[extra] for area, extra in AREAS.items() if inside(module, area)))
    assert third_party(tree_of(module).body) <= allowed
    assert third_party(ast.walk(tree_of(module))) <= BASE.union(*EXTRAS.values()), (
        "inside functions an extra may be needed too"
    )


def test_importing_the_package_and_asking_for_help_load_no_torch():
    check = """
import sys, zenlib
assert not {"torch", "numpy", "pandas", "matplotlib"} & set(sys.modules), "import zenlib"
from zenlib.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
assert "torch" not in sys.modules, "zenlib --help"
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel that is built from it, as the names of their files."""
    folder = tmp_path_factory.mktemp("built")
    source = folder / "source"
    source.mkdir()
    shutil.copytree(ROOT / "zenlib", source / "zenlib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build(source, "sdist", folder)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    build(unpacked, "wheel", folder)
    (wheel,) = folder.glob("*.whl")
    return sdist, wheel


def build(source, kind, out):
    command = f"import setuptools.build_meta as backend; backend.build_{kind}({str(out)!r})"
    done = subprocess.run(
        [sys.executable, "-c", command], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_packages_hold_the_package_its_types_and_its_licence_and_nothing_else(built):
    sdist, wheel = built
    modules = {path.relative_to(ROOT).as_posix() for path in FILES.values()}
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    assert {name for name in in_wheel if name.endswith(".py")} == modules
    assert "zenlib/py.typed" in in_wheel and any(name.endswith("licenses/LICENSE") for name in in_wheel)
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    assert modules | {"pyproject.toml", "README.md", "LICENSE", "zenlib/py.typed"} <= in_sdist


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory):
    """A fresh environment with the wheel, in which packages of the extras cannot be imported."""
    home = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    python = home / "bin" / "python"
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        str(built[1]),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (packages,) = home.glob("lib/python3*/site-packages")
    # The dependencies are those of this environment; its own editable zenlib is not seen through a .pth file.
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    hidden = sorted(set.union(*EXTRAS.values()) - BASE - {"setuptools"})
    (packages / "sitecustomize.py").write_text(
        f"import sys\nfor name in {hidden}:\n    sys.modules[name] = None\n"
    )
    return home


def clean_environment():
    """The environment without what leads Python or the package elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "ZENLIB"))}


def run_python(home, folder, code):
    """Python of that environment, in a folder."""
    return subprocess.run(
        [home / "bin" / "python", "-c", code],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )


def run_installed(home, folder, *arguments):
    """The installed command, in a folder."""
    command = [home / "bin" / "zenlib", *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False
    )


def test_the_installed_command_scores_a_network_in_another_folder_without_any_extra(installed, tmp_path):
    (tmp_path / "mine.py").write_text(NET)
    start = partial(run_installed, installed, tmp_path)
    scored = start("score", "mine.py:ResNet", "--resolution", "16", "--batch-size", "4", "--json")
    assert scored.returncode == 0, scored.stderr
    found = json.loads(scored.stdout)["scores"]
    assert abs(found["zen"]["value"] - found["closed-form"]["value"]) < 1
    refused = start("score", "resnet18")
    assert (
        refused.returncode == 1
        and "pip install torchvision" in refused.stderr
        and "Traceback" not in refused.stderr
    )
    where = run_python(installed, tmp_path, "import zenlib; print(zenlib.__file__)")
    assert where.stdout.startswith(str(installed))
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["mine.py"]


def test_an_editable_installation_finds_the_studies_from_any_folder_and_the_wheel_has_none(built, tmp_path):
    source, home = tmp_path / "checkout", tmp_path / "environment"
    for package in ("zenlib", "experiments"):
        shutil.copytree(
            ROOT / package,
            source / package,
            ignore=shutil.ignore_patterns("__pycache__", "results", "*.ipynb"),
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    (packages,) = home.glob("lib/python3*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    command = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(home / "bin" / "python"),
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [*command, "--editable", str(source)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    asked = "import zenlib, experiments.figures; print(zenlib.__file__, experiments.__file__)"
    told = subprocess.run(
        [home / "bin" / "python", "-c", asked],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout.split() == [
        str(source / "zenlib" / "__init__.py"),
        str(source / "experiments" / "__init__.py"),
    ], told.stderr
    assert not [name for name in zipfile.ZipFile(built[1]).namelist() if name.startswith("experiments")]


WITHOUT_EXTRA = {
    "score": ("zennet-1.0M", "--resolution", "32", "--batch-size", "2"),
    "proxies": (),
    "convert": ("zennet-0.1ms",),
    "rank": ("zennet-0.1ms", "--resolution", "32"),
}
WITH_EXTRA = {
    "search": (
        "search",
        ("--space", "resnet-like", "--params", "1e6", "--evaluations", "10", "--out", "found"),
    ),
    "latency": ("search", ("zennet-0.1ms",)),
    "correlate": ("search", ("rows.csv", "--score", "zen", "--accuracy", "top1")),
    "train": ("train", ("--arch", "zennet-0.5M", "--data", "digits", "--out", "trained")),
    "evaluate": ("train", ("--arch", "zennet-0.5M", "--data", "digits", "--checkpoint", "last.pth")),
    "export": ("train", ("--arch", "zennet-0.5M", "--out", "net.onnx")),
}


def test_each_command_needs_an_extra_or_none():
    assert {*WITHOUT_EXTRA, *WITH_EXTRA} == {
        command.name or command.callback.__name__ for command in app.registered_commands if not command.hidden
    }


@pytest.mark.parametrize("command", WITHOUT_EXTRA)
def test_a_command_that_needs_no_extra_works_without_any(installed, tmp_path, command):
    done = run_installed(installed, tmp_path, command, *WITHOUT_EXTRA[command])
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", WITH_EXTRA)
def test_a_command_that_needs_an_extra_names_it(installed, tmp_path, command):
    extra, arguments = WITH_EXTRA[command]
    done = run_installed(installed, tmp_path, command, *arguments)
    assert done.returncode == 1 and f"pip install 'zenlib[{extra}]'" in " ".join(done.stderr.split()), (
        done.stderr
    )
    assert "Traceback" not in done.stderr


def test_a_library_without_the_extra_of_the_search_says_so(installed, tmp_path):
    done = run_python(
        installed,
        tmp_path,
        "import zenlib\ntry:\n    zenlib.search\nexcept ImportError as error:\n    print(error)",
    )
    assert done.stdout == "pandas: needed the extra [search] of this package; pip install 'zenlib[search]'\n"
