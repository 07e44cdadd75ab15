"""What stands at the foot of every page: how to cite it, its notebook; and links from words to the glossary.

A Sphinx extension. Addresses are given only when `repository.url` is set in `_config.yml`.
"""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from docutils import nodes
from sphinx.application import Sphinx

from zenlib import __version__

ROOT = Path(__file__).parents[2]
CHAPTERS = "experiments/chapters"
"""Folder of the chapters, each with its notebook without outputs, which papermill and Jupyter run."""
DOWNLOADS = "notebooks"
"""Folder of the built book in which their copies lie."""
PLAIN_WORDS = {"depth", "budget", "latency"}
"""Terms that pages also use as plain words: only an explicit {term} links them."""
UNLINKED_PAGES = {"glossary", "symbols", "references", "api", "recipes"}
SPECIAL = {"&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "$": r"\$"}


def setup(app: Sphinx) -> dict[str, bool]:
    """Registers the extension."""
    app.connect("doctree-resolved", link_terms)
    app.connect("html-page-context", add_tools)
    app.connect("build-finished", copy_notebooks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add_tools(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Appends the foot to a page of the book; search and index have none."""
    if doctree is None:
        return
    repository = repository_url()
    entry = bibtex(
        page,
        plain(context["title"]),
        app.config.html_title,
        app.config.author,
        app.config.copyright,
        repository,
    )
    links = notebook_links(page, repository, up="../" * page.count("/"))
    context["body"] += (
        '<div class="chapter-tools">'
        + (f"<p>This page is a notebook: {', '.join(links)}.</p>" if links else "")
        + "<details><summary>Cite this page</summary>"
        + (
            '<div class="highlight-bibtex notranslate"><div '
            f'class="highlight"><pre>{html.escape(entry)}</pre></div></div></details></div>\n'
        )
    )


def repository_url() -> str:
    """The address of the project in `_config.yml`, if it is set there.

    Read from the file: jupyter-book drops it where `html_theme_options` are given, and plain Sphinx has none.
    """
    return (
        yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
        .get("repository", {})
        .get("url", "")
    )


def plain(title: str) -> str:
    """The title without its markup."""
    return html.unescape(re.sub(r"<[^>]+>", "", title))


def bibtex(page: str, title: str, book: str, author: str, year: str, repository: str = "") -> str:
    """The BibTeX entry of a page.

    Args:
        page: its name, such as "studies/02_zen_score".
        title: its title, plain text.
        book: title of the book.
        author: author of the book, one name.
        year: of its publication.
        repository: address of the project, or empty.
    """
    fields = {
        "author": "{" + latex(author) + "}",
        "title": latex(title),
        "howpublished": latex(book),
        "note": f"zenlib {__version__}",
        "year": year,
    }
    if page == "index":
        del fields["howpublished"]
    if repository:
        fields["url"] = repository
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@misc{{zenlib:{page.rpartition('/')[2]},", *lines, "}"])


def latex(text: str) -> str:
    """The text with LaTeX's special characters escaped."""
    return "".join(SPECIAL.get(character, character) for character in text)


def source_of(page: str) -> str:
    """Where the notebook of a page lies in the checkout, if it has one.

    That of "studies/02_zen_score" in the folder zen_score.
    """
    folder, _, name = page.rpartition("/")
    return f"{CHAPTERS}/{name.partition('_')[2]}/notebook.ipynb" if folder == "studies" else ""


def notebook_links(page: str, repository: str = "", up: str = "") -> list[str]:
    """Links to the notebook of a chapter, none for a page that is prose.

    Args:
        page: its name, such as "studies/02_zen_score".
        repository: address of the project; on GitHub it can be opened in Binder and Colab.
        up: the way from the page to the top of the book.
    """
    name = f"{page.rpartition('/')[2]}.ipynb"
    source = source_of(page)
    if not source or not (ROOT / source).is_file():
        return []
    links = [f'<a href="{up}{DOWNLOADS}/{quote(name)}" download>download it</a>']
    place = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", repository)
    if place:
        links.append(
            f'<a href="https://mybinder.org/v2/gh/{place[1]}/HEAD?labpath={quote(source)}">open it in '
            "Binder</a>"
        )
        links.append(
            f'<a href="https://colab.research.google.com/github/{place[1]}/blob/HEAD/{quote(source)}">open '
            "it in Colab</a>"
        )
    return links


def copy_notebooks(app: Sphinx, error: Exception | None) -> None:
    """Puts the notebooks of all chapters beside the pages."""
    if error or app.builder.format != "html":
        return
    target = Path(app.outdir) / DOWNLOADS
    target.mkdir(exist_ok=True)
    for page in app.env.found_docs:
        if notebook_links(page):
            shutil.copyfile(ROOT / source_of(page), target / f"{page.rpartition('/')[2]}.ipynb")


def link_terms(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Links the first use of each glossary term in the paragraphs of a page."""
    if page in UNLINKED_PAGES or app.builder.format != "html":
        return
    waiting = {
        name.lower(): (home, anchor)
        for name, _, kind, home, anchor, _ in app.env.get_domain("std").get_objects()
        if kind == "term" and name.lower() not in PLAIN_WORDS
    }
    for paragraph in list(doctree.findall(nodes.paragraph)):
        for text in list(paragraph.findall(nodes.Text)):
            if waiting and links_may_stand_in(text):
                pieces = with_links(app, page, text.astext(), waiting)
                if len(pieces) > 1:
                    text.parent.replace(text, pieces)


def links_may_stand_in(text: nodes.Text) -> bool:
    """Whether a text is ordinary prose: in no link, code, equation, title, caption or table."""
    parent = text.parent
    while parent is not None:
        if isinstance(
            parent,
            (
                nodes.reference,
                nodes.literal,
                nodes.math,
                nodes.title,
                nodes.caption,
                nodes.table,
                nodes.literal_block,
            ),
        ):
            return False
        parent = parent.parent
    return True


def with_links(app: Sphinx, page: str, text: str, waiting: dict[str, tuple[str, str]]) -> list[nodes.Node]:
    """The text in pieces, with a link at each term that was waiting for its first use.

    Such terms wait no longer.
    """
    pattern = "|".join(rf"{re.escape(name)}s?" for name in sorted(waiting, key=len, reverse=True)).replace(
        "'", "['’]"
    )
    pieces: list[nodes.Node] = []
    begin = 0
    for match in re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w-])", text, flags=re.IGNORECASE):
        found = match.group().lower().replace("’", "'")
        name = found if found in waiting else found.removesuffix("s")
        if name not in waiting:
            continue
        home, anchor = waiting.pop(name)
        address = f"{app.builder.get_relative_uri(page, home)}#{anchor}"
        link = nodes.reference("", match.group(), internal=True, refuri=address, classes=["glossary-term"])
        pieces += [nodes.Text(text[begin : match.start()]), link]
        begin = match.end()
    return [*pieces, nodes.Text(text[begin:])]
