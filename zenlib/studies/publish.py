"""Facts of a study for its prose: numbers are formatted once, and text refers to them by name."""

from __future__ import annotations

import re

from myst_nb import glue

_NAME = re.compile(r"[a-z0-9_]+")


class Fact(str):
    """Text that a notebook records as it is, without quotes."""

    def __repr__(self) -> str:
        return str(self)


def publish(facts: dict[str, str]) -> None:
    """Record each fact in the executed notebook, where prose shows it by ``{glue:text}`name` ``.

    Args:
        facts: formatted text by name; names are lower-case letters, digits and underscores.

    Raises:
        ValueError: for another name, or a value that is not text on one line.
    """
    for name, text in facts.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"facts: needed names of lower-case letters, digits and underscores, got {name!r}")
        if not isinstance(text, str) or not text.strip() or "\n" in text:
            raise ValueError(f"facts[{name!r}]: needed one line of text, got {text!r}; format the number where the fact is stated")
    for name, text in facts.items():
        glue(name, Fact(text), display=False)
