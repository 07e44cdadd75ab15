"""Scores by name, as a search uses them: a higher score is better."""

from __future__ import annotations

import faulthandler
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from zenlib.errors import ConversionError, ScoreUndefined
from zenlib.networks.architecture import Architecture
from zenlib.search.history import Outcome
from zenlib.spaces.choices import Point

Score = Callable[[Architecture], float]

ZEN_BATCH = 16
"""Images of the one mini-batch by which "zen" and the other proxies score a candidate, the paper's number."""
GRACE = 1.0
"""Seconds that a score has to heed its interruption."""


def _closed_form(network: Any, resolution: int, seed: int) -> float:
    from zenlib.scores.closed_form import closed_form_zen_score
    from zenlib.vanilla.convert import to_vcnn

    vanilla = network if isinstance(network, Architecture) else to_vcnn(network, resolution)
    return closed_form_zen_score(vanilla, resolution)


def _zen(network: Any, resolution: int, seed: int) -> float:
    from zenlib.scores.zen import zen_score  # torch is needed only here

    return float(zen_score(network, resolution, batch_size=ZEN_BATCH, repeats=1, seed=seed))


SCORES: dict[str, Callable[..., float]] = {"closed-form": _closed_form, "zen": _zen}
"""Scores of a network, a resolution and a seed; the names of `zenlib.PROXIES` are scores too."""


def named(name: str) -> Callable[..., float]:
    """The score of this name, a function as in `SCORES`."""
    if name in SCORES:
        return SCORES[name]
    from zenlib.proxies import PROXIES  # torch is needed only here

    if name not in PROXIES:
        names = ", ".join(dict.fromkeys((*SCORES, *PROXIES)))
        raise ValueError(
            f"score: needed one of {names}, or a callable f(architecture) -> float; got {name!r}"
        )
    return partial(PROXIES[name], batch_size=ZEN_BATCH)


@dataclass(frozen=True)
class Scorer:
    """Scores networks in any process: it travels as a name, and the score is made where it is used.

    Attributes:
        score: a name in `SCORES` or `PROXIES`, or a callable.
        resolution: side of the images in pixels.
        seed: seed of a score that draws.
        timeout: seconds after which a network fails, or None; only for workers, which it may end.
    """

    score: str | Score
    resolution: int
    seed: int
    timeout: float | None = None

    def __post_init__(self) -> None:
        limit = self.timeout
        if limit is not None and not (isinstance(limit, int | float) and 0 < limit < math.inf):
            raise ValueError(f"score_timeout: needed a positive number or None, got {limit!r}")
        self.make()

    @property
    def name(self) -> str:
        """What a checkpoint calls this score."""
        if isinstance(self.score, str):
            return self.score
        name = getattr(self.score, "__qualname__", type(self.score).__qualname__)
        return f"{getattr(self.score, '__module__', '')}.{name}"

    def make(self) -> Score:
        """The function that scores."""
        if callable(self.score):
            return self.score
        return partial(named(self.score), resolution=self.resolution, seed=self.seed)

    def __call__(self, network: Any, attempt: int = 0) -> Outcome:
        """The score of a network, or NaN and the reason where it is undefined or not finite.

        Of two attempts with one number Dask runs the first alone.
        """
        try:
            with _limit(self.timeout):
                built: Any = network.build() if isinstance(network, Point) else network
                value = float(self.make()(built))
        except (ScoreUndefined, ConversionError) as undefined:
            return Outcome(math.nan, " ".join(str(undefined).split()) or "undefined")
        except SystemExit as end:
            return Outcome(math.nan, f"the score called sys.exit({end.code!r})")
        except _TooLong as late:
            return Outcome(math.nan, str(late))
        return Outcome(value) if math.isfinite(value) else Outcome(math.nan, f"the score is {value}")


class _TooLong(BaseException):
    """Not an Exception, so that a score which swallows those does not swallow this one."""


@contextmanager
def _limit(seconds: float | None) -> Iterator[None]:
    """Interrupts what takes longer; where that is not heeded, the process ends."""
    if seconds is None:
        yield
        return

    def interrupt(*_: object) -> None:
        raise _TooLong(f"the score took longer than {seconds:g} s")

    main = threading.current_thread() is threading.main_thread()  # that of a Dask worker takes no signals
    with open(os.devnull, "w") as nowhere:
        faulthandler.dump_traceback_later(seconds + (GRACE if main else 0.0), exit=True, file=nowhere)
        if main:
            signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, seconds)
        try:
            yield
        finally:
            if main:
                signal.setitimer(signal.ITIMER_REAL, 0.0)
            faulthandler.cancel_dump_traceback_later()
