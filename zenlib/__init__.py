"""Training-free architecture search with the Zen-Score: vanilla networks, scores, studies.

Names are loaded on first use, so that importing `zenlib` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from zenlib._moved import register

_HOMES = {
    "Architecture": "zenlib.networks.architecture",
    "build_network": "zenlib.networks.module",
    "VCNN": "zenlib.vanilla.vcnn",
    "to_vcnn": "zenlib.vanilla.convert",
    "zen_score": "zenlib.scores.zen",
    "ScoreEstimate": "zenlib.scores.zen",
    "closed_form_zen_score": "zenlib.scores.closed_form",
    "phi_score": "zenlib.scores.phi",
    "arithmetic": "zenlib.scores.formulas",
    "ARITHMETIC": "zenlib.scores.formulas",
    "PROXIES": "zenlib.proxies",
    "SPACES": "zenlib.spaces",
    "Budget": "zenlib.search",
    "Choices": "zenlib.spaces.choices",
    "SearchResult": "zenlib.search",
    "search": "zenlib.search",
    "zennet": "zenlib.networks.zennets",
    "correlate": "zenlib.stats",
    "score_many": "zenlib.scores.many",
    "ScoreUndefined": "zenlib.errors",
}

__all__ = sorted(_HOMES)
__version__ = "0.2.0"


register()


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'zenlib' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
