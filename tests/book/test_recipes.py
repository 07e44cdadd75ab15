"""Every snippet of the page of recipes is run, section by section, in an empty folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from zenlib import cli
from zenlib.search import latency

PAGE = Path(__file__).parents[2] / "book" / "recipes.md"
SECTIONS = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
SNIPPET = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


def title(section: str) -> str:
    return section.partition("\n")[0]


def status(arguments: list[str]) -> int | None:
    try:
        return cli.main(arguments)
    except SystemExit as ended:
        return ended.code


@pytest.mark.parametrize("section", SECTIONS, ids=map(title, SECTIONS))
def test_the_snippets_of_a_recipe_run(section, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        latency, "PIECE_SECONDS", 0.0
    )  # measured roughly: whether it runs is the question, not how fast
    monkeypatch.setattr(latency, "SLOW_PIECE_REPEATS", 1)
    for package in ("distributed", "optuna"):
        if re.search(rf"^(from|import) {package}\b", section, flags=re.MULTILINE):
            pytest.importorskip(package)
    snippets = SNIPPET.findall(section)
    assert snippets
    for language, text in snippets:
        if language == "python":
            exec(compile(text, f"{title(section)} in {PAGE.name}", "exec"), {"__name__": "recipe"})
        else:
            assert language == "console", f"a snippet in {language} is not run"
            for command in re.findall(r"^\$ zenlib (.+)$", text, flags=re.MULTILINE):
                assert status(shlex.split(command)) in (0, None)
                assert capsys.readouterr().out
    assert not list(tmp_path.glob("*.new"))


def test_the_recipes_are_those_that_users_ask_for():
    asked = [
        "Score your own",
        "Score many",
        "Add a proxy",
        "Add a search space",
        "Search a space of your own",
        "Search with Optuna",
        "Search for your device",
        "Correlate your own",
        "Use a cluster",
        "from a notebook",
    ]
    assert [
        found for wanted, found in zip(asked, map(title, SECTIONS), strict=True) if wanted not in found
    ] == []
