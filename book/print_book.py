"""Prints the built book to one PDF: every page in the order of the contents, with bookmarks and links.

    python book/print_book.py _build/html _build/zen-nas-measured.pdf

Needs a built book (`make book`) and Chromium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urldefrag

import yaml
from pypdf import PdfWriter
from pypdf.generic import ArrayObject, NameObject
from tqdm import tqdm

CONTENTS = Path(__file__).with_name("_toc.yml")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

READY = """async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  for (const image of document.images) { image.loading = 'eager'; await image.decode().catch(() => {}); }
  await document.fonts.ready;
  for (const equation of document.querySelectorAll('mjx-container[display="true"]')) {
    const inner = equation.querySelector('mjx-math');
    const room = equation.parentElement.clientWidth / inner.getBoundingClientRect().width;
    const size = parseFloat(equation.style.fontSize || 100);
    if (room < 1) equation.style.fontSize = `${Math.floor(97 * room * size / 100)}%`;
  }
}"""

PRINTED = """
  .bd-header, .bd-header-article, .bd-sidebar-primary, .bd-sidebar-secondary, .prev-next-footer, .bd-footer,
  .bd-footer-content, .headerlink, .copybtn, .chapter-tools, #jb-print-toc, .skip-link,
  .pst-async-banner-revealer, #pst-back-to-top { display: none !important; }
  .bd-main, .bd-content, .bd-article-container, .bd-article { display: block !important;
    max-width: none !important; margin: 0 !important; padding: 0 !important; width: 100% !important; }
  html { font-size: 13px; }
  pre { white-space: pre-wrap !important; overflow: visible !important; max-height: none !important;
    overflow-wrap: anywhere; }
  figure, svg.flow, tr, fieldset { break-inside: avoid; }
  figure img { max-height: 15cm; width: auto; }
  h1, h2, h3 { break-after: avoid; }
  .pst-scrollable-table-container, .cell_output, .play-scroll { overflow: visible !important;
    max-height: none !important; }
  table { font-size: 0.8rem; } th, td { overflow-wrap: anywhere; white-space: normal !important; }
  .play-top { position: static !important; }
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("site", type=Path, help="folder of the built book")
    parser.add_argument("out", type=Path, help="the PDF to write")
    options = parser.parse_args(arguments)
    site = options.site.resolve()
    missing = [name for name in page_names() if not (site / name).is_file()]
    if missing:
        print(f"error: {site}: needed a built book, found no {missing[0]}; run `make book`", file=sys.stderr)
        return 1
    with chromium() as browser:
        print_book(browser, site, page_names(), options.out)
    return 0


def page_names() -> list[str]:
    """The pages in the order of the contents."""
    contents = yaml.safe_load(CONTENTS.read_text(encoding="utf-8"))
    return [
        f"{name}.html"
        for name in (
            contents["root"],
            *(chapter["file"] for part in contents["parts"] for chapter in part["chapters"]),
        )
    ]


def print_book(browser, site: Path, names: Sequence[str], out: Path) -> None:
    """Prints pages of the built book to one file, which is written under another name and renamed.

    Args:
        browser: Chromium, driven by playwright.
        site: folder of the built book, absolute.
        names: its pages in order.
        out: the PDF.
    """
    writer = PdfWriter()
    starts: dict[str, int] = {}
    for name in tqdm(names, desc="printing", unit="page"):
        title, printed = print_page(browser, (site / name).as_uri())
        starts[(site / name).as_uri()] = len(writer.pages)
        writer.append(io.BytesIO(printed), outline_item=title, import_outline=False)
    join_links(writer, starts)
    writer.compress_identical_objects(remove_duplicates=True, remove_unreferenced=True)
    new = out.with_suffix(".new")
    writer.write(new)
    new.replace(out)


@contextmanager
def chromium() -> Iterator:
    """Headless Chromium of the system."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        raise SystemExit("error: needed Chromium, found none; apt-get install chromium")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


def print_page(browser, address: str) -> tuple[str, bytes]:
    """Title and PDF of one page, in light colours."""
    page = browser.new_page(
        color_scheme="light", viewport={"width": 672, "height": 1000}
    )  # an A4 sheet without its margins
    page.emulate_media(media="print")
    page.goto(address, wait_until="load")
    page.add_style_tag(content=PRINTED)
    page.evaluate(READY)
    title = page.locator("h1").first.inner_text().removesuffix("#").strip()
    margins = {"top": "16mm", "bottom": "18mm", "left": "16mm", "right": "16mm"}
    printed = page.pdf(format="A4", margin=margins, print_background=True, tagged=True)
    page.close()
    return title, printed


def join_links(writer: PdfWriter, starts: dict[str, int]) -> None:
    """Makes links to another page lead to its chapter, and drops those to files that a PDF does not carry."""
    for sheet in writer.pages:
        kept = ArrayObject()
        for annotation in sheet.get("/Annots", ()):
            link = annotation.get_object()
            address = str(link.get("/A", {}).get("/URI", ""))
            target = unquote(urldefrag(address).url)
            if target in starts:
                del link[NameObject("/A")]
                link[NameObject("/Dest")] = ArrayObject(
                    [writer.pages[starts[target]].indirect_reference, NameObject("/Fit")]
                )
            elif address.startswith("file:"):
                continue
            kept.append(annotation)
        if "/Annots" in sheet:
            sheet[NameObject("/Annots")] = kept


if __name__ == "__main__":
    sys.exit(main())
