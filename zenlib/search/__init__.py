"""Searching a space for the network with the highest score within a budget.

`search` is one call; `Evolution`, `RandomSampling` and `Reinforce` are its generators, as ask and tell.
The package can be called too: `zenlib.search` names it and its function, whichever was imported first.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType

from zenlib.errors import extra

with extra("search"):
    from zenlib.search.budget import Budget, Gate
    from zenlib.search.driver import STRATEGIES, SearchResult, search
    from zenlib.search.evolution import Evolution
    from zenlib.search.history import Candidate, Outcome, front
    from zenlib.search.reinforce import Reinforce
    from zenlib.search.sampling import RandomSampling
    from zenlib.search.scores import SCORES

__all__ = [
    "SCORES",
    "STRATEGIES",
    "Budget",
    "Candidate",
    "Evolution",
    "Gate",
    "Outcome",
    "RandomSampling",
    "Reinforce",
    "SearchResult",
    "front",
    "search",
]


class _Callable(ModuleType):
    """A module that passes calls on to its function of the same name."""

    __signature__ = inspect.signature(search)
    __call__ = staticmethod(search)


sys.modules[__name__].__class__ = _Callable
