"""The chapters: a folder each, in the order of the contents. A study is a chapter with rows of its own.

A chapter is `experiments/chapters/<name>` with a notebook, and a line `studies/<NN>_<name>` in
`book/_toc.yml`. Where it has a `study.py`, that computes the rows of its tables, and states its facts from
them.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import yaml

from experiments.record.results import CHAPTERS, checkout

_PAGE = re.compile(r"studies/(\d+_(\w+))")


def chapters(root: Path) -> dict[str, Path]:
    """Folder of each chapter by the name of its page, such as "02_zen_score", in the order of the contents.

    Raises:
        ValueError: a folder of a chapter has no line in the contents, or a line of the contents no folder.
    """
    contents = yaml.safe_load((root / "book" / "_toc.yml").read_text(encoding="utf-8"))
    lines = [line["file"] for part in contents["parts"] for line in part["chapters"]]
    pages = [(match[1], match[2]) for line in lines if (match := _PAGE.fullmatch(line))]
    there = {path.parent.name: path.parent for path in sorted((root / CHAPTERS).glob("*/notebook.ipynb"))}
    told = {name for _, name in pages}
    if missing := sorted(there.keys() - told):
        raise ValueError(
            f"book/_toc.yml: needed a line for each chapter, got none for {missing[0]}; add `- file: "
            f"studies/NN_{missing[0]}`"
        )
    if missing := sorted(told - there.keys()):
        raise ValueError(
            f"{CHAPTERS}: needed a folder with a notebook.ipynb for each chapter of book/_toc.yml, got none "
            f"for {missing[0]}"
        )
    return {page: there[name] for page, name in pages}


def _studies() -> dict[str, str]:
    root = checkout()
    found = chapters(root) if root else {}
    return {
        folder.name: f"experiments.chapters.{folder.name}.study"
        for folder in found.values()
        if (folder / "study.py").is_file()
    }


STUDIES = _studies()
"""Module of each study by name."""


def load_study(name: str) -> ModuleType:
    """The module of a study: it has `TABLES`, `run` and `facts`."""
    if name not in STUDIES:
        raise ValueError(f"name: needed one of {', '.join(STUDIES)}, got {name!r}")
    return import_module(STUDIES[name])
