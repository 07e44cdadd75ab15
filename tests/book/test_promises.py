"""The page of promises names tests, and each of them exists."""

from __future__ import annotations

import ast
import csv
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "promises.md").read_text(encoding="utf-8").partition("## What is not promised")[0]
NAMED = re.compile(r"^  - \*([^*]+)\*, \{download\}`([^ ]+) <\.\./(tests/[^>]+)>`$", flags=re.MULTILINE)


def as_function(sentence):
    """The name of the test whose sentence this is."""
    return "test_" + re.sub(r"[^a-z0-9]+", "_", sentence.lower()).strip("_")


@pytest.mark.parametrize(("sentence", "shown", "file"), NAMED.findall(PAGE))
def test_a_named_test_exists_in_the_file_that_is_linked(sentence, shown, file):
    path = ROOT / file
    assert path.name == shown
    functions = {
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    assert as_function(sentence) in functions


def test_every_fault_that_was_put_in_held():
    with open(ROOT / "book" / "faults.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 20
    assert all(int(row["tried"]) == int(row["held"]) > 0 for row in rows)


def test_every_promise_is_followed_by_a_test():
    promises = re.findall(r"^- (.+)\n((?:  - .+\n)*)", PAGE, flags=re.MULTILINE)
    assert len(promises) > 20
    for promise, lines in promises:
        assert lines and NAMED.findall(lines) and len(NAMED.findall(lines)) == lines.count("\n"), promise
