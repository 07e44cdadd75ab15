"""Names of before modules moved: they work for one version, with a warning that says the new place."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from zenlib._moved import MOVED


@pytest.mark.parametrize(
    ("old", "name"),
    [
        ("zenlib.architecture", "Block"),
        ("zenlib.closed_form", "closed_form_terms"),
        ("zenlib.zennets", "zennet_architecture"),
    ],
)
def test_a_module_can_be_imported_by_its_old_name_with_a_warning(old, name):
    with pytest.warns(DeprecationWarning, match=f"{old} is now {MOVED[old]}"):
        found = getattr(import_module(old), name)
    assert found is getattr(import_module(MOVED[old]), name)


def test_an_old_name_is_imported_like_any_other_and_warns_at_the_import():
    check = "from zenlib.closed_form import closed_form_terms\nimport zenlib.zennets as old\nold.ZENNETS\n"
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", check], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stderr.count("DeprecationWarning") == 2, done.stderr
    assert (
        "<string>:1: DeprecationWarning: zenlib.closed_form is now zenlib.scores.closed_form" in done.stderr
    )


def test_the_command_line_starts_as_a_module_as_before():
    done = subprocess.run(
        [sys.executable, "-m", "zenlib.cli", "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stdout.strip()
