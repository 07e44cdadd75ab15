"""Settings of all tests."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.site import chromium, serving

# A busy machine is slow now and then: no test is about time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the built book is served."""
    with serving() as where:
        yield where


@pytest.fixture(scope="module")
def empty_browser() -> Iterator:
    """Headless Chromium for pages that a test makes itself; closed after each module: an open event loop would disturb Dask."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def browser(address: str, empty_browser):
    """Headless Chromium, where there is a built book to look at."""
    return empty_browser
