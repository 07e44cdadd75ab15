"""The same bytes on any processor: of executed notebooks, of figures and of the numbers behind them."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHORT = ("02_zen_score", "05_search")


def load():
    spec = importlib.util.spec_from_file_location("same_bytes", ROOT / "experiments" / "same_bytes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("kernels", ["own", "sse"])
def test_two_notebooks_come_out_as_committed_on_this_processor_and_on_an_old_one(kernels, tmp_path, capfd):
    status = load().main(["--kernels", kernels, "--only", *SHORT, "--output", str(tmp_path / "again")])
    assert status == 0, capfd.readouterr().err
    written = [path.suffix for path in (tmp_path / "again").rglob("*")]
    assert written.count(".ipynb") == len(SHORT)
    assert written.count(".png") == 2 * written.count(".csv") > 10  # for two screens


def test_every_file_that_differs_is_named(tmp_path, monkeypatch, capsys):
    tool = load()
    monkeypatch.setattr(tool, "BOOK", tmp_path / "book")
    again = tmp_path / "again"
    for root, numbers in ((tmp_path / "book", b"1"), (again, b"2")):
        for name in (
            "studies/05_search.ipynb",
            "figures/search/same.csv",
            "figures/search/other.csv",
            f"figures/search/{root.name}.csv",
        ):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(numbers if name.endswith("other.csv") else b"0")
    expected = [f"figures/search/{name}.csv" for name in ("again", "book", "other")]
    assert tool.differences("05_search", again) == expected

    monkeypatch.setattr(tool.shutil, "rmtree", lambda *_, **__: None)
    monkeypatch.setattr(tool, "execute", lambda stem, *_: stem != "02_zen_score")
    assert tool.main(["--only", "05_search", "02_zen_score", "--output", str(again)]) == 1
    said = capsys.readouterr()
    assert [line.partition(":")[0] for line in said.err.splitlines()] == [*expected, "02_zen_score"]
    assert "2 notebooks, 1 failed, 3 files differ" in said.out


def unstable(path):
    """Lines that sort a table or give its order without saying what happens to equals."""
    calls = [
        node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)
    ]
    sorts = [
        call
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("sort_values", "argsort")
    ]
    return [
        f"{path.name}:{call.lineno}"
        for call in sorts
        if not any(word.arg == "kind" for word in call.keywords)
    ]


def test_equals_keep_their_order_wherever_a_study_or_a_figure_sorts():
    assert [
        line
        for folder in ("studies", "plots", "benchmarks")
        for path in sorted((ROOT / "zenlib" / folder).glob("*.py"))
        for line in unstable(path)
    ] == []
