"""Settings of all tests."""

import csv
import os
import signal

from zenlib.threads import ONE_THREAD

# Before anything loads numpy or torch, and for every process that a test starts: each worker has a core to
# itself.
os.environ.update(ONE_THREAD)

from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import settings

from tests.site import chromium, serving
from zenlib.threads import cores

torch.set_num_threads(1)

# A shell that starts the tests in the background has them ignore Ctrl-C, and so the programs to which a test
# sends it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is slow now and then: no test is about time.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Of `-n auto`: as many as there are cores for this process, which may be fewer than the machine has."""
    return cores()


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest -n 0 --faults book/faults.csv` writes what the page of promises shows."""
    parser.addoption("--faults", metavar="FILE", help="write how often each fault was tried and held")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--faults` only the tests that put some in run."""
    if config.getoption("--faults"):
        items[:] = [item for item in items if "tried" in getattr(item, "fixturenames", ())]


_FAULTS: dict[str, list[int]] = {}


@pytest.fixture
def tried(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Counts faults that a test puts in; they held where it passes."""
    request.node.faults = []
    return lambda fault, times=1: request.node.faults.append((fault, times))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo) -> Iterator[None]:
    """Adds up the faults of a test when its end is known."""
    report = yield
    for fault, times in getattr(item, "faults", ()) if call.when == "call" else ():
        counts = _FAULTS.setdefault(fault, [0, 0])
        counts[0] += times
        counts[1] += times * report.passed
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the counts."""
    path = session.config.getoption("--faults")
    if path:
        with open(path, "w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            lines.writerow(["fault", "tried", "held"])
            lines.writerows([fault, *counts] for fault, counts in sorted(_FAULTS.items()))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is measured once and kept lies in a folder of this worker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZENLIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the built book is served."""
    with serving() as where:
        yield where


@pytest.fixture(scope="module")
def empty_browser() -> Iterator:
    """Headless Chromium for pages that a test makes itself.

    Closed after each module: an open event loop would disturb Dask.
    """
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def browser(address: str, empty_browser):
    """Headless Chromium, where there is a built book to look at."""
    return empty_browser
