"""The interactive figure in a real browser: pointer, touch and keyboard, two widths, light and dark, without a network.

Needs Chromium; without it these tests are skipped, unless ZENLIB_REQUIRE_BROWSER=1.
"""

from __future__ import annotations

import pandas as pd
import pytest

from experiments.chapters.zennets.explorer import explorer

pytestmark = pytest.mark.browser

ROWS = pd.DataFrame(
    {
        "name": ["ZenNet-a", "EfficientNet-b", "ResNet-c", "ResNet-c V2"],
        "line": ["ZenNets", "EfficientNets", "ResNets", "ResNets"],
        "accuracy": ["paper", "paper", "V1", "V2"],
        "top1": [80.0, 82.0, 76.0, 81.0],
        "v100": [1.0, 10.0, 3.0, 3.0],
        "flops": [float("nan"), 2e9, 4e9, 4e9],
    }
)


@pytest.fixture(params=[400, 1200])
def page(request, empty_browser):
    """A page that holds the figure alone; whatever it asks of a network or complains about fails the test."""
    opened, wrong = (
        empty_browser.new_context(
            viewport={"width": request.param, "height": 800}, has_touch=True
        ).new_page(),
        [],
    )
    opened.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("request", lambda asked: wrong.append(asked.url))
    figure = explorer(
        ROWS, {"v100": "V100 (ms per image)", "flops": "FLOPs (multiply-adds)"}, "Accuracy against a cost"
    )
    viewport = "<meta name='viewport' content='width=device-width'>"
    opened.set_content(
        f"<!doctype html><html lang='en' data-theme='light'>{viewport}<body>{figure}</body></html>"
    )
    yield opened
    opened.context.close()
    assert not wrong, "\n".join(wrong)


def told(page):
    return page.locator(".told").text_content()


def place(page, index):
    """The middle of a mark on the screen."""
    box = page.locator(".explorer > svg .mark").nth(index).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_pointing_at_a_mark_tells_its_name_and_numbers(page):
    assert page.locator(".explorer > svg .mark").count() == 4
    page.mouse.move(*place(page, 0))
    assert told(page) == "ZenNet-a (ZenNets): top-1 80.0 %, V100 (ms per image): 1; on the front"


def test_touching_a_mark_tells_it_too(page):
    page.touchscreen.tap(*place(page, 3))
    assert told(page).startswith("EfficientNet-b (EfficientNets): top-1 82.0 %")


def test_arrow_keys_go_from_the_cheapest_to_the_dearest(page):
    page.locator(".explorer > svg").focus()
    names = []
    for _ in range(5):
        page.keyboard.press("ArrowRight")
        names.append(told(page).partition(" (")[0])
    assert names == ["ZenNet-a", "ResNet-c V2", "ResNet-c", "EfficientNet-b", "EfficientNet-b"]
    page.keyboard.press("Escape")
    assert "arrow keys" in told(page)


def test_another_cost_and_other_weights_can_be_chosen(page):
    page.locator("select").select_option(label="FLOPs (multiply-adds)")
    assert page.locator(".explorer > svg .mark").count() == 3
    page.locator("input[type=checkbox]").uncheck()
    assert page.locator(".explorer > svg .mark").count() == 2


def test_the_figure_fits_the_page_and_its_letters_are_legible(page):
    page.mouse.move(*place(page, 1))
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    sizes = page.evaluate(
        "[...document.querySelectorAll('.explorer > svg text')].map(text => "
        "text.getBoundingClientRect().height)"
    )
    assert sizes and min(sizes) >= 11


@pytest.mark.parametrize(
    "name", ["</script><script>window.hit=1</script>", "<img src=x onerror='window.hit=1'>"]
)
def test_names_are_text_and_not_run(empty_browser, name):
    rows = ROWS.assign(name=[name, *ROWS["name"][1:]])
    opened = empty_browser.new_context().new_page()
    title = f"Accuracy {name}"
    opened.set_content(f"<!doctype html><body>{explorer(rows, {'v100': name}, title)}</body>")
    opened.locator(".explorer > svg").focus()
    opened.keyboard.press("ArrowRight")
    assert name in told(opened)
    assert opened.evaluate("window.hit") is None
    opened.context.close()
