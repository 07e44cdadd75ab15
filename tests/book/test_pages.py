"""The rendered book in a real browser: every page, as wide as a telephone and a desk, in light and in dark.

ZENLIB_SCREENSHOTS=1 keeps a picture of every page in build/screens.
"""

from __future__ import annotations

import os
import re
from html import unescape
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

from experiments.record.chapters import chapters
from tests.site import PAGES, ROOT, SITE, open_page

pytestmark = pytest.mark.browser

RAW_MARKUP = re.compile(
    r"\\[(\[]|\$\$|\\(?:frac|sum|log|sigma|mathbb|left|text)\b|\{(?:glue|cite|numref|ref|eq|figure|doc)\b|:::|\*\*WARNING"
)

PROBLEMS = """(width) => {
  const found = [];
  const content = document.querySelector('main') || document.body;
  const say = (what, element) => found.push(what + ': ' + element.outerHTML.slice(0, 160));
  const shown = element => element.checkVisibility({visibilityProperty: true, opacityProperty: true});

  for (const math of document.querySelectorAll('.math'))
    if (!math.querySelector('mjx-container')) say('equation not rendered', math);
  for (const error of document.querySelectorAll('mjx-merror, merror, [data-mjx-error]'))
    say('equation with an error', error);

  for (const image of document.images) {
    if (shown(image) && image.naturalWidth === 0) say('broken image', image);
    const alt = image.getAttribute('alt');
    if (!alt || /\\.(png|svg|jpe?g)$/.test(alt)) say('image without a description', image);
  }

  const titles = [...content.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter(shown);
  const headings = titles.map(title => Number(title.tagName[1]));
  if (headings[0] !== 1 || headings.filter(level => level === 1).length !== 1)
    found.push('needs one h1, first: ' + headings);
  for (let i = 1; i < headings.length; i++)
    if (headings[i] > headings[i - 1] + 1) found.push('heading levels jump: ' + headings);
  if (!document.documentElement.lang) found.push('page without a language');
  if ([...document.querySelectorAll('input[type=search]')].filter(shown).length > 1)
    found.push('more than one search field');

  const wide = document.scrollingElement.scrollWidth;
  if (wide > width) found.push('page scrolls sideways: ' + wide);
  const scrolls = element => {
    for (let up = element; up && up !== content; up = up.parentElement)
      if (/auto|scroll/.test(getComputedStyle(up).overflowX)) return true;
    return false;
  };
  const sticksOut = element => element.getBoundingClientRect().right > width + 1 && !scrolls(element);
  for (const element of content.querySelectorAll('article *'))
    if (!element.closest('mjx-assistive-mml') && shown(element) && sticksOut(element))
      say('sticks out of the page', element);

  const parts = colour => {
    const numbers = (colour.match(/[\\d.]+/g) || []).map(Number);
    return colour.startsWith('color(srgb') ? numbers.map((n, i) => i < 3 ? 255 * n : n) : numbers;
  };
  const luminance = rgb => {
    const linear = c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.slice(0, 3).map(linear);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    for (let up = element; up; up = up.parentElement) {
      const rgb = parts(getComputedStyle(up).backgroundColor);
      if (rgb.length === 3 || rgb[3] > 0.5) return rgb;
    }
    return [255, 255, 255];
  };
  const faint = element => {
    let part = 1;
    for (let up = element; up; up = up.parentElement) part *= Number(getComputedStyle(up).opacity);
    return part;
  };
  const checked = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (checked.has(element) || !walker.currentNode.data.trim()) continue;
    checked.add(element);
    if (!shown(element) || element.closest('script, style, option, mjx-container, :disabled')) continue;
    const style = getComputedStyle(element);
    const back = ground(element);
    const part = faint(element);
    const colour = parts(element.closest('svg') ? style.fill : style.color).slice(0, 3);
    const ink = colour.map((c, i) => part * c + (1 - part) * back[i]);
    const [a, b] = [luminance(ink), luminance(back)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < (large ? 3 : 4.5)) say('contrast ' + contrast.toFixed(1), element);
  }

  for (const field of content.querySelectorAll('input, select, textarea'))
    if (shown(field) && !field.labels.length && !field.getAttribute('aria-label'))
      say('field without a label', field);
  return found;
}"""

LOADED = """() => [location.href, ...performance.getEntriesByType('resource').map(entry => entry.name)]
  .filter(url => url.startsWith(location.origin))"""

PROSE = """() => {
  const copy = (document.querySelector('article') || document.body).cloneNode(true);
  for (const element of copy.querySelectorAll('pre, code, script, style, mjx-container')) element.remove();
  return copy.textContent;
}"""


def _too_heavy(loaded: list[str]) -> list[str]:
    """What a page weighs beyond 1 MB of its own files, and 4 MB with styles, scripts and fonts."""
    sizes = {
        name: (SITE / unquote(name)).stat().st_size
        for name in {urlsplit(url).path.lstrip("/") or "index.html" for url in loaded}
    }
    own = sum(size for name, size in sizes.items() if not name.startswith(("_static/", "mathjax/")))
    whole = sum(sizes.values())
    return [
        f"{what}: {size:,} bytes"
        for what, size, most in (("its own", own, 1e6), ("with scripts", whole, 4e6))
        if size > most
    ]


def _keep_picture(page, page_name: str, width: int, scheme: str) -> None:
    if os.environ.get("ZENLIB_SCREENSHOTS") == "1":
        target = (
            ROOT
            / "build"
            / "screens"
            / f"{page_name.removesuffix('.html').replace('/', '-')}-{width}-{scheme}.png"
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=target, full_page=True)


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("page_name", PAGES or ["index.html"])
def test_a_page_loads_offline_and_reads_well_in_light_and_dark(browser, address, page_name, width):
    page, wrong = open_page(browser, address, page_name, width)
    wrong += _too_heavy(page.evaluate(LOADED))
    wrong += [f"raw markup: {match.group()}" for match in RAW_MARKUP.finditer(page.evaluate(PROSE))]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_function(
            "scheme => document.documentElement.dataset.theme === scheme", arg=scheme, timeout=10_000
        )
        wrong += [f"{scheme}: {problem}" for problem in page.evaluate(PROBLEMS, width)]
        _keep_picture(page, page_name, width, scheme)
    page.context.close()
    assert not wrong, "\n".join(wrong)


def test_the_search_page_finds_a_word_without_a_network(browser, address):
    page, wrong = open_page(browser, address, "search.html?q=expressivity", 1400)
    page.wait_for_selector("#search-results li", timeout=10_000)
    page.context.close()
    assert not wrong, "\n".join(wrong)


def test_the_search_works_from_a_folder_too(browser):
    page, wrong = open_page(browser, SITE.as_uri() + "/", "search.html?q=expressivity", 1400)
    page.wait_for_selector("#search-results li a", timeout=10_000)
    assert page.locator("#search-results li").count() > 1
    page.context.close()
    assert not [problem for problem in wrong if problem.startswith(("script", "foreign"))], "\n".join(wrong)


def test_every_page_leads_to_the_next_and_the_one_before(address):
    order = [page_name for page_name in PAGES if "chapter-tools" in _source(page_name)]
    linked = {
        direction: {page for page in order if f'class="{direction}-' in _source(page)}
        for direction in ("left", "right")
    }
    assert len(order) - len(linked["left"]) == 1, "only the first page has none before"
    assert len(order) - len(linked["right"]) == 1, "only the last page has none after"


def test_every_page_says_how_to_cite_it_in_bibtex_that_parses(address):
    database = pytest.importorskip("pybtex.database")
    keys = []
    for page_name in PAGES:
        for entry in re.findall(
            r"<summary>Cite this page</summary>.*?<pre>(.*?)</pre>", _source(page_name), flags=re.DOTALL
        ):
            (key, parsed), *more = database.parse_string(unescape(entry), "bibtex").entries.items()
            assert (
                not more and {"title", "note", "year"} <= set(parsed.fields) and parsed.persons["author"]
            ), page_name
            keys.append(key)
    assert (
        len(keys)
        == len(set(keys))
        == len([page_name for page_name in PAGES if page_name not in ("genindex.html", "search.html")])
    )


def test_every_notebook_can_be_downloaded_as_it_is_run(address):
    for stem, folder in chapters(ROOT).items():
        page = SITE / "studies" / f"{stem}.html"
        if page.is_file():
            assert f'href="../notebooks/{stem}.ipynb" download' in page.read_text(encoding="utf-8")
            assert (SITE / "notebooks" / f"{stem}.ipynb").read_bytes() == (
                folder / "notebook.ipynb"
            ).read_bytes()


def test_a_long_table_is_sorted_and_filtered(browser, address):
    page, wrong = open_page(browser, address, "symbols.html", 1400)
    first = "#letters tbody tr:first-child td:nth-child(2)"
    meanings = page.locator("#letters tbody td:nth-child(2)").all_inner_texts()
    button = page.get_by_role("button", name="Meaning")
    for expected, order in ((min, "ascending"), (max, "descending")):
        button.press("Enter")
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == order
        assert page.locator(first).inner_text() == expected(meanings, key=str.lower)
    page.get_by_label("Rows with").fill("kernel")
    shown = page.locator("#letters tbody tr:visible").all_inner_texts()
    assert shown and all("kernel" in row.lower() for row in shown)
    page.context.close()
    assert not wrong, "\n".join(wrong)


def _source(page_name: str) -> str:
    return (SITE / page_name).read_text(encoding="utf-8")


class Names(HTMLParser):
    """The links and the anchors of one page."""

    def __init__(self, page_name: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.feed((SITE / page_name).read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.anchors.append(given["id"])
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])


def test_every_link_and_anchor_leads_somewhere(address):
    pages = {page_name: Names(page_name) for page_name in PAGES}
    dead = []
    for page_name, names in pages.items():
        for link in sorted({urljoin(page_name, link) for link in names.links}):
            target, anchor = urldefrag(link)
            if urlsplit(link).scheme:
                found = urlsplit(link).scheme in ("https", "mailto")
            else:
                found = (SITE / unquote(target)).is_file() and (
                    not anchor or unquote(anchor) in pages[target].anchors
                )
            dead += [] if found else [f"{page_name}: {link}"]
    assert not dead, "\n".join(dead)


def test_no_two_anchors_of_a_page_share_a_name(address):
    pages = {page_name: Names(page_name).anchors for page_name in PAGES}
    assert [
        f"{page_name}: {name}"
        for page_name, anchors in pages.items()
        for name in set(anchors)
        if anchors.count(name) > 1
    ] == []
