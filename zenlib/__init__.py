"""Training-free architecture search with the Zen-Score: vanilla networks, scores, studies.

Names are loaded on first use, so that importing `zenlib` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Architecture": "zenlib.architecture",
    "build_network": "zenlib.network",
    "VCNN": "zenlib.vcnn",
    "to_vcnn": "zenlib.vcnn",
    "zen_score": "zenlib.zen",
    "ScoreEstimate": "zenlib.zen",
    "closed_form_zen_score": "zenlib.closed_form",
    "phi_score": "zenlib.expressivity",
    "PROXIES": "zenlib.proxies",
    "SPACES": "zenlib.spaces",
    "Budget": "zenlib.search",
    "SearchResult": "zenlib.search",
    "search": "zenlib.search",
    "zennet": "zenlib.zennets",
    "correlate": "zenlib.stats",
    "ScoreUndefined": "zenlib.errors",
}

__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'zenlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
