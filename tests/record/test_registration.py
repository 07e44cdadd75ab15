"""Registered predictions: the page states their digest, and no other file is judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.chapters.blind import opened as blind
from experiments.chapters.direct import opened as direct
from zenlib.errors import ResultsError

STUDIES = Path(__file__).parents[2] / "book" / "studies"
REGISTERED = {"13_blind": blind.REGISTERED, "17_direct": direct.REGISTERED}


@pytest.mark.parametrize("stem", REGISTERED)
def test_the_page_states_the_digest_of_the_file(stem):
    page = STUDIES / f"{stem}.ipynb"
    if not page.exists():
        pytest.skip("the page is not built yet")
    outputs = [output for cell in json.loads(page.read_text())["cells"] for output in cell.get("outputs", [])]
    stated = [
        "".join(*output["data"].values()).strip("'\"")
        for output in outputs
        if output.get("metadata", {}).get("scrapbook", {}).get("name") == "sha256"
    ]
    assert stated == [REGISTERED[stem].sha256] == [REGISTERED[stem].digest()]


@pytest.mark.parametrize("stem", REGISTERED)
def test_predictions_that_were_changed_after_the_registration_are_refused(stem, tmp_path, monkeypatch):
    content = REGISTERED[stem].path.read_bytes()
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    path = REGISTERED[stem].path
    assert not REGISTERED[stem].digest() and not REGISTERED[stem].is_open()
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert len(REGISTERED[stem].predictions()) == content.count(b"\n") - 1
    path.write_bytes(content.replace(b"1", b"2", 1))
    with pytest.raises(ResultsError, match="needed the registered predictions"):
        REGISTERED[stem].predictions()
