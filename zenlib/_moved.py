"""Modules that documentation showed by an older name, which works for one version, with a warning."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from types import ModuleType
from typing import Any

MOVED = {
    "zenlib.architecture": "zenlib.networks.architecture",
    "zenlib.closed_form": "zenlib.scores.closed_form",
    "zenlib.zennets": "zenlib.networks.zennets",
}


class _Moved(ModuleType):
    """Passes every name on to the module in its new place."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        place = MOVED[self.__name__]
        warnings.warn(
            f"{self.__name__} is now {place}; the old name will go with the next version",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(import_module(place), name)


def register() -> None:
    """Makes the old names importable."""
    for name in MOVED:
        sys.modules.setdefault(name, _Moved(name))
