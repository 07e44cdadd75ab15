"""The page where a reader builds a network: its numbers, in a real browser, are those of Python."""

from __future__ import annotations

import random

import pytest

from tests.site import open_page
from zenlib import arithmetic
from zenlib.errors import ArchitectureError
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import ZENNETS, zennet_architecture, zennet_resolution
from zenlib.scores.closed_form import closed_form_terms
from zenlib.spaces import SPACES

pytestmark = pytest.mark.browser

FORMULAS = (
    "relu-units",
    "activations",
    "log-width",
    "log-fan-in",
    "naswot",
    "synflow",
    "az-expressivity",
    "intrain",
)
BAD = [
    "",
    "SuperConvK3BNRELU(3,8,1,1",
    "SuperConvK2BNRELU(3,8,1,1)",
    "SuperConvK3BNRELU(3,8,1,1)SuperResK3K5(8,16,1,8,1)",
    "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(16,16,1,8,1)",
    "SuperConvK3BNRELU(3,8,0,1)",
    "SuperConvK3BNRELU(3,,1,1)",
    "SuperConvK3BNRELU(3;8,1,1)",
    "SuperConvK3RELU(3,8,1,1)",
    "SuperResIDWE0K3(3,8,1,8,1)",
    "SuperConvK3BNRELU(3,8,1,1) resnet18",
]

COMPUTE = """([text, resolution, classes]) => {
  const blocks = zenlib.parse(text);
  const {score, logDelta, layers} = zenlib.closedForm(blocks, resolution);
  return {
    ...zenlib.formulas(blocks, resolution), text: zenlib.print(blocks),
    params: zenlib.params(blocks, classes),
    flops: zenlib.flops(blocks, resolution, classes),
    depth: zenlib.depth(blocks), score, logDelta, logSigma: layers.map(layer => layer.logSigma),
  };
}"""

SHOWN = """([text, resolution]) => {
  const number = name => Number(document.getElementById('play-' + name).dataset.value);
  return document.getElementById('play-command').value === `zenlib score "${text}" --resolution ${resolution}`
    && !document.querySelector('.play .waiting') && ['score', 'params', 'flops', 'depth'].map(number);
}"""


@pytest.fixture(scope="module")
def page(browser, address):
    opened, wrong = open_page(browser, address, "play.html", 1200)
    yield opened
    opened.context.close()
    assert not wrong, "\n".join(wrong)


def networks(count: int) -> list[tuple[Architecture, int, int]]:
    """Random networks of the two spaces with the side of their images and their classes."""
    rng = random.Random(20)
    drawn = []
    for _ in range(count):
        resolution = rng.choice([32, 32, 40, 64, 96, 160])
        drawn.append(
            (
                SPACES[rng.choice(sorted(SPACES))].sample(rng, resolution),
                resolution,
                rng.choice([10, 100, 1000]),
            )
        )
    return drawn


def test_fifty_random_networks_have_the_numbers_of_python(page):
    """The tolerance is for the patterns of 3x3 and 4x4 maps.

    Where two of their modes weigh the same, LAPACK chooses which one it keeps.
    """
    for architecture, resolution, classes in networks(50):
        text = architecture.to_string()
        terms = closed_form_terms(architecture, resolution)
        found = page.evaluate(COMPUTE, [text, resolution, classes])
        assert (found["text"], found["depth"]) == (text, architecture.depth)
        assert (found["params"], found["flops"]) == (
            architecture.params(classes),
            architecture.flops(resolution, classes),
        )
        assert found["score"] == pytest.approx(terms.score, rel=1e-6), text
        assert found["logDelta"] == pytest.approx(terms.log_delta, abs=1e-3)
        assert found["logSigma"] == pytest.approx(list(terms.log_sigma), abs=1e-3)
        for name in FORMULAS:
            assert found[name] == pytest.approx(arithmetic(name, architecture, resolution), rel=1e-9), name


def test_a_pasted_network_shows_its_numbers(page):
    for architecture, resolution in [(zennet_architecture("zennet-0.5M"), 32), (networks(1)[0][0], 32)]:
        page.select_option("#play-resolution", str(resolution))
        page.select_option("#play-classes", "100")
        page.fill("#play-string", architecture.to_string())
        score, *counts = page.wait_for_function(
            SHOWN, arg=[architecture.to_string(), resolution], timeout=60_000
        ).json_value()
        assert counts == [architecture.params(100), architecture.flops(resolution, 100), architecture.depth]
        assert score == pytest.approx(closed_form_terms(architecture, resolution).score, rel=1e-6)


def test_the_program_to_copy_prints_every_number_of_the_page(page, capsys):
    page.select_option("#play-preset", "zennet-0.5M")
    text = zennet_architecture("zennet-0.5M").to_string()
    page.wait_for_function(SHOWN, arg=[text, 32], timeout=60_000)
    exec(page.input_value("#play-python"), {})
    printed = dict(line.split() for line in capsys.readouterr().out.splitlines())
    assert list(printed) == ["score", "params", "flops", "depth", *FORMULAS]
    for name, value in printed.items():
        shown = page.locator(f"#play-{name}").get_attribute("data-value")
        assert float(shown) == pytest.approx(float(value), rel=1e-6), name
    page.get_by_role("button", name="Copy as Python").click()
    page.locator("button", has_text="Co").filter(has_text="Copied").or_(
        page.locator("button", has_text="Selected")
    ).wait_for()


def test_the_keyboard_alone_widens_a_block_and_the_numbers_follow(page):
    page.select_option("#play-preset", "small")
    slider = page.locator("#play-blocks fieldset").nth(1).get_by_label("Width", exact=True)
    before = int(slider.get_attribute("aria-valuetext"))
    slider.focus()
    page.keyboard.press("ArrowRight")
    after = int(slider.get_attribute("aria-valuetext"))
    assert after > before
    text = page.input_value("#play-string")
    assert Architecture.from_string(text).blocks[1].out_channels == after
    score, *_ = page.wait_for_function(SHOWN, arg=[text, 32], timeout=60_000).json_value()
    assert score == pytest.approx(closed_form_terms(Architecture.from_string(text), 32).score, rel=1e-6)


def test_blocks_are_added_changed_and_removed(page):
    page.select_option("#play-preset", "small")
    page.locator("#play-blocks fieldset").nth(1).get_by_role("button", name="Add").click()
    page.locator("#play-blocks fieldset").nth(2).get_by_label("Type").select_option("inverted")
    page.locator("#play-blocks fieldset").nth(0).get_by_role("button", name="Remove").click()
    blocks = Architecture.from_string(page.input_value("#play-string")).blocks
    assert [block.kind for block in blocks] == ["residual", "inverted", "residual", "conv"]


@pytest.mark.parametrize("text", BAD)
def test_a_bad_string_is_refused_at_the_character_where_python_refuses_it(page, text):
    with pytest.raises(ArchitectureError) as refused:
        Architecture.from_string(text)
    page.fill("#play-string", text or " ")
    message = page.locator("#play-string-problem").inner_text()
    assert message.startswith(f"Character {refused.value.position}:"), (message, str(refused.value))


def test_images_too_small_for_the_strides_are_refused_in_words(page):
    page.fill("#play-string", "SuperConvK3BNRELU(3,8,16,1)SuperConvK3BNRELU(8,8,16,1)")
    page.select_option("#play-resolution", "32")
    assert "at least 241 pixels" in page.locator("#play-problem").inner_text()


def test_published_networks_to_begin_with_are_those_of_python(page):
    presets = {preset["name"]: preset for preset in page.evaluate("zenlib.PRESETS")}
    for name in ZENNETS:
        assert (presets[name]["text"], presets[name]["resolution"]) == (
            zennet_architecture(name).to_string(),
            zennet_resolution(name),
        )


def test_the_address_holds_the_network(page, browser, address):
    page.select_option("#play-preset", "zennet-0.5M")
    kept = page.url
    again, wrong = open_page(browser, address, kept.removeprefix(address), 1200)
    assert again.input_value("#play-string") == zennet_architecture("zennet-0.5M").to_string()
    again.context.close()
    assert not wrong, "\n".join(wrong)
