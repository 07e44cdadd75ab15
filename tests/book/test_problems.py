"""The problems: each has one hidden answer, each part of the book at least three, and every answer is run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "book" / "problems.md").read_text(encoding="utf-8")
ANSWERS = re.findall(
    r"^\*\*(\d+)\.\*\* .*?^:::\{dropdown\} Answer\n(.*?)^:::$", TEXT, re.DOTALL | re.MULTILINE
)
PARTS = re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]


def test_every_part_of_the_book_has_at_least_three_problems_and_each_an_answer():
    assert [number for number, _ in ANSWERS] == re.findall(r"^\*\*(\d+)\.\*\*", TEXT, re.MULTILINE)
    assert len(PARTS) == 4 and all(len(re.findall(r"^\*\*\d+\.", part, re.MULTILINE)) >= 3 for part in PARTS)


@pytest.mark.parametrize(("number", "answer"), ANSWERS, ids=[number for number, _ in ANSWERS])
def test_an_answer_holds_when_it_is_run(number, answer, monkeypatch):
    monkeypatch.chdir(ROOT)
    code = re.findall(r"^```python\n(.*?)^```$", answer, re.DOTALL | re.MULTILINE)
    assert code and "assert" in code[0]
    exec(compile(code[0], f"answer {number}", "exec"), {"__name__": "answer"})
