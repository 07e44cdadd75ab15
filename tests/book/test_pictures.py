"""Figures in pages: two pictures of each, and marks that tell when pointed at, touched or reached by keys."""

from __future__ import annotations

import csv
import json
import re
import sys
from urllib.parse import quote

import pytest
from PIL import Image

from experiments.figures.style import SCREENS
from tests.book.test_book_sources import BOOK, CAPTIONED, STUDIES, names, prose

FIGURES = sorted((BOOK / "figures").glob("*/*.png"))
MARKS = sorted((BOOK / "figures").glob("*/*.marks.json"))
SCRIPT = (BOOK / "_static" / "figures.js").read_text(encoding="utf-8")
STYLE = (BOOK / "_static" / "book.css").read_text(encoding="utf-8")
NUMBER = re.compile(r"(?<![\w-])(?<!Table )\d[\d,]*(?:\.\d+)?(?![\w.])")


def test_every_figure_has_a_wide_and_a_tall_picture_and_the_wide_one_fits_a_desk():
    wide = [path for path in FIGURES if not path.name.endswith(".phone.png")]
    wrong = []
    for path in wide:
        for picture, screen in ((path, SCREENS["desk"]), (path.with_suffix(".phone.png"), SCREENS["phone"])):
            if not picture.is_file():
                wrong.append(f"{picture}: missing; run its notebook")
                continue
            with Image.open(picture) as opened:
                shown = opened.height * screen.shown / opened.width
                wrong += (
                    [] if opened.width >= 2 * screen.shown else [f"{picture}: {opened.width} pixels wide"]
                )
                wrong += (
                    [] if picture is not path or shown <= 900 else [f"{picture}: {shown:.0f} pixels tall"]
                )
    assert wide and not wrong, "\n".join(wrong)
    assert len(FIGURES) == 2 * len(wide)


@pytest.mark.parametrize("page", STUDIES, ids=names(STUDIES))
def test_no_caption_says_above_or_left_since_screens_differ(page):
    sides = re.compile(
        r"\b(?:above|below|left|right)(?=[:,)])|(?:upper|lower|left|right) (?:panel|column)", re.I
    )
    found = [(image, sides.findall(caption)) for image, caption in CAPTIONED.findall(prose(page))]
    assert not [(image, words) for image, words in found if words]


@pytest.mark.parametrize("path", MARKS, ids=[f"{path.parent.name}/{path.stem}" for path in MARKS])
def test_marks_tell_the_numbers_of_the_data_behind_their_figure(path):
    data = path.with_name(path.name.replace(".marks.json", ".csv"))
    with data.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wrong = []
    for *places, text in json.loads(path.read_text(encoding="utf-8")):
        name, _, told = text.partition(": ")
        known = [
            number for row in rows if name in row.values() for number in map(_float, row.values()) if number
        ]
        numbers = [number.replace(",", "") for number in NUMBER.findall(told)]
        wrong += [] if len(places) == 4 and all(0 < place < 1 for place in places) else [f"{text}: {places}"]
        wrong += [] if numbers and all(any(_says(said, n) for n in known) for said in numbers) else [text]
    assert not wrong, "\n".join(wrong)


def _float(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _says(said: str, number: float) -> bool:
    """Whether a number of the data, which has six digits, is said, rounded to the decimals that are shown."""
    decimals = len(said.partition(".")[2])
    return abs(float(said) - number) <= 0.5 * 10**-decimals + 1e-5 * abs(number)


def test_a_page_gives_the_browser_both_pictures_and_copies_them(tmp_path):
    sphinx = pytest.importorskip("sphinx.application")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for folder in "ab":  # two figures of one name
        for ending in (".png", ".phone.png"):
            Image.new("L", (2, 2)).save(tmp_path / folder / f"one{ending}")
    (tmp_path / "a" / "one.marks.json").write_text('[[0.1, 0.2, 0.3, 0.4, "</script>: 1"]]', encoding="utf-8")
    Image.new("L", (2, 2)).save(tmp_path / "alone.png")
    images = ".. figure:: a/one.png\n\n.. figure:: b/one.png\n   :alt: Two.\n\n.. image:: alone.png\n"
    (tmp_path / "index.rst").write_text(f"Title\n=====\n\n{images}", encoding="utf-8")
    extensions = str(BOOK / "_extensions")
    (tmp_path / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {extensions!r})\nextensions = ['pictures']\n", encoding="utf-8"
    )
    built = tmp_path / "html"
    before = list(sys.path)
    app = sphinx.Sphinx(tmp_path, tmp_path, built, tmp_path / "trees", "html", status=None)
    app.build()
    sys.path[:] = before
    page = (built / "index.html").read_text(encoding="utf-8")
    sources = re.findall(
        r'<picture><source media="\(max-width: 600px\)" srcset="([^"]+)"><img[^>]*></picture>', page
    )
    assert len(sources) == len(set(sources)) == 2 and all((built / source).is_file() for source in sources)
    assert page.count("<img") == 3 and 'alt="Two."' in page
    (told,) = re.findall(
        r'<script type="application/json" class="marks">(.*?)</script>', page, flags=re.DOTALL
    )
    assert json.loads(told)[0][4] == "</script>: 1"


WIDE, TALL = (
    "data:image/svg+xml,"
    + quote(f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}'/>")
    for width, height in ((600, 300), (300, 600))
)
SOURCE = f'<source media="(max-width: 600px)" srcset="{TALL}">'
PICTURE = f'<picture>{SOURCE}<img alt="Two marks." src="{WIDE}"></picture>'
TOLD = [[0.1, 0.5, 0.2, 0.1, "a: 1 nat"], [0.9, 0.5, 0.8, 0.9, "<b>b</b>: 2 nats"]]


@pytest.fixture(params=[400, 1200])
def page(request, empty_browser):
    """A figure of two marks; whatever its script complains about fails the test."""
    context = empty_browser.new_context(viewport={"width": request.param, "height": 900}, has_touch=True)
    opened, wrong = context.new_page(), []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    told = json.dumps(TOLD).replace("<", "\\u003c")
    opened.set_content(
        "<!doctype html><html lang='en'><meta name='viewport' content='width=device-width'>"
        f"<style>{STYLE}</style><article class='bd-article'><figure>{PICTURE}"
        f"<script type='application/json' class='marks'>{told}</script></figure></article>"
        f"<script>{SCRIPT}</script>"
    )
    yield opened
    context.close()
    assert not wrong, "\n".join(wrong)


def _place(page, index: int) -> tuple[float, float]:
    """Where a mark stands on the screen, by what was written for this screen."""
    box = page.locator("img").bounding_box()
    first = 2 if page.viewport_size["width"] <= 600 else 0
    across, down = TOLD[index][first : first + 2]
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


@pytest.mark.browser
def test_the_browser_takes_the_picture_of_its_screen(page):
    shown = page.locator("img").evaluate("image => image.currentSrc")
    assert shown == (TALL if page.viewport_size["width"] <= 600 else WIDE)


@pytest.mark.browser
def test_pointing_and_touching_tell_the_mark_and_pointing_beside_it_nothing(page):
    told = page.locator(".told")
    assert not told.is_visible()
    page.mouse.move(*_place(page, 0))
    assert told.inner_text() == "a: 1 nat"
    page.mouse.move(*(a / 2 + b / 2 for a, b in zip(_place(page, 0), _place(page, 1), strict=True)))
    assert not told.is_visible()
    page.touchscreen.tap(*_place(page, 1))
    assert told.inner_text() == "<b>b</b>: 2 nats"
    box = told.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= page.viewport_size["width"]


@pytest.mark.browser
def test_arrow_keys_go_from_mark_to_mark(page):
    page.locator(".pointed").focus()
    told = []
    for key in ("ArrowRight", "ArrowRight", "ArrowDown", "Home", "End", "ArrowLeft"):
        page.keyboard.press(key)
        told.append(page.locator(".told").inner_text()[:2])
    assert told == ["a:", "<b", "<b", "a:", "<b", "a:"]
    page.keyboard.press("Escape")
    assert not page.locator(".told").is_visible()


@pytest.mark.browser
def test_print_and_readers_without_scripts_see_the_picture(empty_browser):
    context = empty_browser.new_context(java_script_enabled=False, viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    opened.set_content(f"<figure>{PICTURE}</figure>")
    assert opened.locator("img").bounding_box()["width"] == 600
    context.close()
