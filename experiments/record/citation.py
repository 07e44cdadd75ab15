"""How to cite a chapter: one BibTeX entry, made of the notebook's own title and the package's version."""

from __future__ import annotations

from importlib.metadata import version


def citation(stem: str, title: str) -> None:
    """Print the BibTeX entry of a chapter.

    Args:
        stem: of its notebook, such as "08_benchmarks"; the key is made of it.
        title: of the chapter.

    Raises:
        ValueError: an argument is empty.
    """
    for argument, given in (("stem", stem), ("title", title)):
        if not given.strip():
            raise ValueError(f"{argument}: needed text, got {given!r}")
    lines = {
        "author": "{The zenlib authors}",
        "title": f"{{{title}}}",
        "booktitle": "Zen-NAS, measured",
        "note": f"zenlib {version('zenlib')}, studies/{stem}",
    }
    entries = ",\n".join(f"  {name:<9} = {{{text}}}" for name, text in lines.items())
    print(f"@incollection{{zenlib_{stem.partition('_')[2] or stem},\n{entries}\n}}")
