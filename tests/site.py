"""The built book for tests: opened in headless Chromium, and all that goes wrong there.

Needs a built book (`make book`) and Chromium. Without either these tests are skipped, unless
ZENLIB_REQUIRE_BROWSER=1.
"""

from __future__ import annotations

import functools
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SITE = ROOT / "_build" / "html"
PAGES = sorted(
    path.relative_to(SITE).as_posix()
    for folder in (".", "parts", "studies")
    for path in SITE.glob(f"{folder}/*.html")
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
REQUIRED = os.environ.get("ZENLIB_REQUIRE_BROWSER") == "1"

SETTLE = """async () => {
  if (window.MathJax && MathJax.startup) await MathJax.startup.promise;
  for (const image of document.images) { image.loading = 'eager'; await image.decode().catch(() => {}); }
  await document.fonts.ready;
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
}"""


@contextmanager
def serving() -> Iterator[str]:
    """The address of the built book, served on this machine only."""
    if not PAGES:
        absent(f"no built book in {SITE}; run `make book`")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def chromium() -> Iterator:
    if CHROMIUM is None:
        absent("no Chromium on this machine (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


def absent(reason: str) -> None:
    if REQUIRED:
        pytest.fail(reason)
    pytest.skip(reason)


def open_page(browser, address: str, page_name: str, width: int):
    """A page in a fresh context, with everything that goes wrong while it is open."""
    page, wrong = browser.new_context(viewport={"width": width, "height": 900}).new_page(), []
    page.on(
        "console",
        lambda message: wrong.append(f"console: {message.text}") if message.type == "error" else None,
    )
    page.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    page.on("requestfailed", lambda request: wrong.append(f"request failed: {request.url}"))
    page.on(
        "response",
        lambda response: (
            wrong.append(f"{response.status}: {response.url}") if response.status >= 400 else None
        ),
    )

    def stay_home(route) -> None:
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            wrong.append(f"foreign origin: {route.request.url}")
            route.abort()

    page.route("**/*", stay_home)
    page.goto(address + page_name, wait_until="load")
    page.evaluate(SETTLE)
    return page, wrong
