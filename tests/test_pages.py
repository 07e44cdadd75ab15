"""The rendered book in a real browser: every page, at the width of a telephone and of a desk, in light and in dark.

ZENLIB_SCREENSHOTS=1 keeps a picture of every page in build/screens.
"""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

from tests.site import PAGES, ROOT, SITE, open_page

pytestmark = pytest.mark.browser

RAW_MARKUP = re.compile(r"\\[(\[]|\$\$|\\(?:frac|sum|log|sigma|mathbb|left|text)\b|\{(?:glue|cite|numref|ref|eq|figure|doc)\b|:::|\*\*WARNING")

PROBLEMS = """(width) => {
  const found = [];
  const content = document.querySelector('main') || document.body;
  const say = (what, element) => found.push(what + ': ' + element.outerHTML.slice(0, 160));
  const shown = element => element.checkVisibility({visibilityProperty: true, opacityProperty: true});

  for (const math of document.querySelectorAll('.math'))
    if (!math.querySelector('mjx-container')) say('equation not rendered', math);
  for (const error of document.querySelectorAll('mjx-merror, merror, [data-mjx-error]')) say('equation with an error', error);

  for (const image of document.images) {
    if (shown(image) && image.naturalWidth === 0) say('broken image', image);
    const alt = image.getAttribute('alt');
    if (!alt || /\\.(png|svg|jpe?g)$/.test(alt)) say('image without a description', image);
  }

  const headings = [...content.querySelectorAll('h1, h2, h3, h4, h5, h6')].filter(shown).map(h => Number(h.tagName[1]));
  if (headings[0] !== 1 || headings.filter(level => level === 1).length !== 1) found.push('needs one h1, first: ' + headings);
  for (let i = 1; i < headings.length; i++)
    if (headings[i] > headings[i - 1] + 1) found.push('heading levels jump: ' + headings);
  if (!document.documentElement.lang) found.push('page without a language');
  if ([...document.querySelectorAll('input[type=search]')].filter(shown).length > 1) found.push('more than one search field');

  if (document.scrollingElement.scrollWidth > width) found.push('page scrolls sideways: ' + document.scrollingElement.scrollWidth);
  const scrolls = element => {
    for (let up = element; up && up !== content; up = up.parentElement)
      if (/auto|scroll/.test(getComputedStyle(up).overflowX)) return true;
    return false;
  };
  for (const element of content.querySelectorAll('article *'))
    if (!element.closest('mjx-assistive-mml') && shown(element) && element.getBoundingClientRect().right > width + 1 && !scrolls(element))
      say('sticks out of the page', element);

  const parts = colour => {
    const numbers = (colour.match(/[\\d.]+/g) || []).map(Number);
    return colour.startsWith('color(srgb') ? numbers.map((n, i) => i < 3 ? 255 * n : n) : numbers;
  };
  const luminance = rgb => {
    const [r, g, b] = rgb.slice(0, 3).map(c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = element => {
    for (let up = element; up; up = up.parentElement) {
      const rgb = parts(getComputedStyle(up).backgroundColor);
      if (rgb.length === 3 || rgb[3] > 0.5) return rgb;
    }
    return [255, 255, 255];
  };
  for (const element of content.querySelectorAll('article :is(p, li, td, th, a, code, figcaption, svg text)')) {
    if (!shown(element) || !element.textContent.trim()) continue;
    const style = getComputedStyle(element);
    const ink = parts(element.closest('svg') && element.tagName === 'text' ? style.fill : style.color);
    const [a, b] = [luminance(ink), luminance(ground(element))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) say('contrast ' + ((a + 0.05) / (b + 0.05)).toFixed(1), element);
  }
  return found;
}"""

PROSE = """() => {
  const copy = (document.querySelector('article') || document.body).cloneNode(true);
  for (const element of copy.querySelectorAll('pre, code, script, style, mjx-container')) element.remove();
  return copy.textContent;
}"""


def _keep_picture(page, page_name: str, width: int, scheme: str) -> None:
    if os.environ.get("ZENLIB_SCREENSHOTS") == "1":
        target = ROOT / "build" / "screens" / f"{page_name.removesuffix('.html').replace('/', '-')}-{width}-{scheme}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=target, full_page=True)


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("page_name", PAGES or ["index.html"])
def test_a_page_loads_offline_and_reads_well_in_light_and_dark(browser, address, page_name, width):
    page, wrong = open_page(browser, address, page_name, width)
    wrong += [f"raw markup: {match.group()}" for match in RAW_MARKUP.finditer(page.evaluate(PROSE))]
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.wait_for_function("scheme => document.documentElement.dataset.theme === scheme", arg=scheme, timeout=10_000)
        wrong += [f"{scheme}: {problem}" for problem in page.evaluate(PROBLEMS, width)]
        _keep_picture(page, page_name, width, scheme)
    page.context.close()
    assert not wrong, "\n".join(wrong)


def test_the_search_page_finds_a_word_without_a_network(browser, address):
    page, wrong = open_page(browser, address, "search.html?q=expressivity", 1400)
    page.wait_for_selector("#search-results li", timeout=10_000)
    page.context.close()
    assert not wrong, "\n".join(wrong)


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
                found = (SITE / unquote(target)).is_file() and (not anchor or unquote(anchor) in pages[target].anchors)
            dead += [] if found else [f"{page_name}: {link}"]
    assert not dead, "\n".join(dead)


def test_no_two_anchors_of_a_page_share_a_name(address):
    pages = {page_name: Names(page_name).anchors for page_name in PAGES}
    assert [f"{page_name}: {name}" for page_name, anchors in pages.items() for name in set(anchors) if anchors.count(name) > 1] == []
