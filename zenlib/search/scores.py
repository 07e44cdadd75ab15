"""Scores by name, as a search uses them: a higher score is better."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from zenlib.errors import ScoreUndefined
from zenlib.networks.architecture import Architecture
from zenlib.search.history import Outcome

Score = Callable[[Architecture], float]

ZEN_BATCH = 16
"""Images of the one mini-batch by which "zen" and the other proxies score a candidate, the paper's number."""


def _closed_form(resolution: int, seed: int) -> Score:
    from zenlib.scores.closed_form import closed_form_zen_score

    return lambda architecture: closed_form_zen_score(architecture, resolution)


def _zen(resolution: int, seed: int) -> Score:
    from zenlib.scores.zen import zen_score  # torch is needed only here

    return lambda architecture: float(
        zen_score(architecture, resolution, batch_size=ZEN_BATCH, repeats=1, seed=seed)
    )


SCORES: dict[str, Callable[[int, int], Score]] = {"closed-form": _closed_form, "zen": _zen}
"""Makers of scores by name, called with the resolution and the seed.

The names of `zenlib.PROXIES` are scores too.
"""


def maker(name: str) -> Callable[[int, int], Score]:
    """The maker of a score by name.

    Raises:
        ValueError: neither `SCORES` nor `PROXIES` has such a name.
    """
    if name in SCORES:
        return SCORES[name]
    from zenlib.proxies import PROXIES  # torch is needed only here

    if name not in PROXIES:
        names = ", ".join(dict.fromkeys((*SCORES, *PROXIES)))
        raise ValueError(
            f"score: needed one of {names}, or a callable f(architecture) -> float; got {name!r}"
        )
    return lambda resolution, seed: partial(
        PROXIES[name], resolution=resolution, batch_size=ZEN_BATCH, seed=seed
    )


@dataclass(frozen=True)
class Scorer:
    """Scores networks in any process: it travels as a name, and the score is made where it is used.

    Attributes:
        score: a name in `SCORES` or `PROXIES`, or a callable.
        resolution: side of the images in pixels.
        seed: seed of a score that draws.
    """

    score: str | Score
    resolution: int
    seed: int

    def __post_init__(self) -> None:
        if not callable(self.score):
            maker(self.score)

    @property
    def name(self) -> str:
        """What a checkpoint calls this score."""
        if isinstance(self.score, str):
            return self.score
        return f"{getattr(self.score, '__module__', '')}.{getattr(self.score, '__qualname__', type(self.score).__qualname__)}"

    def make(self) -> Score:
        """The function that scores."""
        return maker(self.score)(self.resolution, self.seed) if isinstance(self.score, str) else self.score

    def __call__(self, architecture: Architecture) -> Outcome:
        """The outcome of one network."""
        return outcome(self.make(), architecture)


def outcome(score: Score, architecture: Architecture) -> Outcome:
    """The score of a network, or NaN and the reason where it is undefined or not finite."""
    try:
        value = float(score(architecture))
    except ScoreUndefined as undefined:
        return Outcome(math.nan, " ".join(undefined.reason.split()) or "undefined")
    return Outcome(value) if math.isfinite(value) else Outcome(math.nan, f"the score is {value}")
