"""Facts of a study for its prose: numbers are formatted once, and text refers to them by name."""

from __future__ import annotations

import re

from myst_nb import glue

_NAME = re.compile(r"[A-Za-z0-9_]+")


def publish(facts: dict[str, str]) -> None:
    """Record each fact in the executed notebook, where prose shows it by ``{glue:text}`name` ``.

    Raises:
        ValueError: for another name, or a value that is not text on one line.
    """
    for name, text in facts.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"facts: needed names of letters, digits and underscores, got {name!r}")
        if type(text) is not str or not text.strip() or "\n" in text:
            raise ValueError(
                f"facts[{name!r}]: needed one line of text, got {text!r}; format the number where the fact "
                "is stated"
            )
    for name, text in facts.items():
        # Recorded with its quotes: the book reads the record as a literal, and would make (20, 955) of
        # 20,955.
        glue(name, text, display=False)
