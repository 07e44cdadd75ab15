"""The loop of a search: ask a round of candidates, score them, tell, and keep all of it in a checkpoint."""

from __future__ import annotations

import random
import time
from collections import Counter
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd
from tqdm import tqdm

from zenlib.durable import require_same_settings
from zenlib.errors import ResultsError, ScoreUndefined, whole
from zenlib.networks.architecture import Architecture
from zenlib.search import checkpoint as checkpoints
from zenlib.search.budget import Budget, Gate
from zenlib.search.evolution import Evolution
from zenlib.search.executors import Workers
from zenlib.search.history import Candidate, History, Outcome
from zenlib.search.reinforce import Reinforce
from zenlib.search.sampling import RandomSampling
from zenlib.search.scores import Score, Scorer
from zenlib.spaces import SPACES
from zenlib.spaces.space import MutationRule, Space
from zenlib.threads import cap_threads

StrategyName = Literal["evolution", "random", "reinforce"]
STRATEGIES = ("evolution", "random", "reinforce")
PROGRESS_AFTER = 2.0
"""Seconds after which the progress bar appears."""
WRITING_SHARE = 0.05
"""Largest share of the time that may go into writing checkpoints."""


class Strategy(Protocol):
    """What proposes candidates and learns from their scores."""

    def ask(self, count: int) -> list[Candidate]: ...  # noqa: D102
    def tell(self, candidates: list[Candidate], outcomes: list[Outcome], first_id: int) -> list[str]: ...  # noqa: D102
    def state(self) -> dict[str, Any]: ...  # noqa: D102
    def restore(self, state: dict[str, Any], history: History) -> None: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes:
        best: the network with the highest score, of equals the first.
        best_score: its score.
        history: every scored candidate, one row each; columns as in `zenlib.search.history.UNITS`.
        rejected: proposals that were not scored, by reason.
        proposed: all proposals, scored and rejected.
        seconds: time of the search, summed over its runs; work that a kill undid is not in it.
        settings: what determines the result.
    """

    best: Architecture
    best_score: float
    history: pd.DataFrame
    rejected: dict[str, int]
    proposed: int
    seconds: float
    settings: dict[str, Any]


def search(
    space: str | Space,
    score: str | Score,
    budget: Budget,
    *,
    evaluations: int,
    population: int = 256,
    seed: int = 0,
    resolution: int = 32,
    num_classes: int = 100,
    initial: Architecture | None = None,
    mutation: MutationRule = "paper",
    strategy: StrategyName = "evolution",
    executor: Executor | None = None,
    round_size: int = 64,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 10.0,
    progress: bool = True,
) -> SearchResult:
    """Looks for the network with the highest score within a budget.

    Candidates are asked in rounds and told in order, so the result depends on the settings alone, and neither
    on the number of workers nor on how often the search was interrupted.

    Args:
        space: a name in `SPACES`, or a `Space`.
        score: "closed-form", "zen" (Monte Carlo, one repeat of 16 images), or a function of an architecture,
            higher being better. A worker process must be able to import the function.
        budget: what a network may cost.
        evaluations: candidates to score; proposals that are turned away do not count.
        population: networks that an evolution keeps.
        seed: of all draws.
        resolution: side of the images in pixels.
        num_classes: width of the classifier, which counts in the budget.
        initial: first network of an evolution, without gates; None draws a small one within the budget.
        mutation: "paper" or "released", see `zenlib.spaces.mutation`.
        strategy: "evolution" (Algorithm 2 of the paper), "random" (uniform draws) or "reinforce" (policy
            gradient).
        executor: where to score; None for this process. The closed form takes less time than sending a
            network away.
        round_size: candidates between two updates of the population, and so the most that can be scored at a
            time.
        checkpoint: file that holds the search; where it exists the search goes on from it. `evaluations` may
            be raised later; the result is then that of one long search if the first one ended with a whole
            round.
        checkpoint_seconds: time between two writings of the checkpoint, at least; it is kept long enough that
            writing takes a twentieth of the time at most.
        progress: show a bar with the best score, the share of proposals that were scored, and candidates per
            second.

    Raises:
        ValueError: an argument is out of range, or neither the initial network nor the space can meet the
            budget.
        ResultsError: the checkpoint belongs to a search of other settings, or cannot be written.
        ScoreUndefined: no candidate has a score.

    Source: Lin et al. 2021 (arXiv 2102.01063), Algorithm 2. Differs: duplicates are not scored again, and
    iterations that end in a rejection are not counted.
    """
    run = _Run(
        space=_space(space),
        scorer=Scorer(score, resolution, seed),
        budget=_with_predictor(budget),
        seed=seed,
        num_classes=num_classes,
        population=whole("population", population, 1),
        initial=None if initial is None else Architecture(initial.blocks),
        mutation=_one_of("mutation", mutation, ("paper", "released")),
        strategy=_one_of("strategy", strategy, STRATEGIES),
        round_size=whole("round_size", round_size, 1),
        checkpoint=None if checkpoint is None else Path(checkpoint),
    )
    cap_threads()
    run.go_on_from_checkpoint(whole("evaluations", evaluations, 1))
    with Workers(run.scorer, executor) as workers:
        run.go_to(evaluations, workers, checkpoint_seconds, progress)
    return run.result()


class _Run:
    """One search with all its state."""

    def __init__(
        self,
        *,
        space: Space,
        scorer: Scorer,
        budget: Budget,
        seed: int,
        num_classes: int,
        population: int,
        initial: Architecture | None,
        mutation: MutationRule,
        strategy: str,
        round_size: int,
        checkpoint: Path | None,
    ) -> None:
        self.scorer = scorer
        self.round_size = round_size
        self.checkpoint = checkpoint
        self.settings = {
            "space": space.name,
            "score": scorer.name,
            "budget": budget.describe(),
            "population": population,
            "seed": seed,
            "resolution": whole("resolution", scorer.resolution, 1),
            "num_classes": whole("num_classes", num_classes, 1),
            "initial": None if initial is None else initial.to_string(),
            "mutation": mutation,
            "strategy": strategy,
            "round_size": round_size,
        }
        self.gate = Gate(budget, scorer.resolution, num_classes)
        rng = random.Random(whole("seed", seed, 0))
        example = initial or space.sample(random.Random(0), scorer.resolution)
        example.flops(
            scorer.resolution
        )  # refuses images that are too small for the strides, which never change
        if initial is not None:
            _require_fit(space, self.gate, initial)
        self.strategy: Strategy
        if strategy == "evolution":
            blocks = None if initial is None else initial.blocks
            self.strategy = Evolution(
                space, self.gate, rng, population=population, mutation=mutation, initial=blocks
            )
        elif initial is not None:
            raise ValueError(
                f"initial: needed None for the strategy {strategy!r}, which starts from no network; got "
                f"{initial}"
            )
        else:
            self.strategy = (
                RandomSampling(space, self.gate, rng)
                if strategy == "random"
                else Reinforce(space, self.gate, rng)
            )
        self.history = History()
        self.round = 0
        self.seconds = 0.0
        self.best = -1

    def go_on_from_checkpoint(self, evaluations: int) -> None:
        """Takes up the stored search, if there is one."""
        stored = None if self.checkpoint is None else checkpoints.read(self.checkpoint)
        if stored is None:
            return
        table, state = stored
        assert self.checkpoint is not None
        require_same_settings(self.checkpoint, state["settings"], self.settings, "search", ResultsError)
        if table.num_rows > evaluations:
            raise ValueError(
                f"evaluations: needed at least the {table.num_rows:,} that {self.checkpoint} already holds, "
                f"got {evaluations:,}; name another file"
            )
        self.history = History.from_table(table)
        for text in self.history.texts():
            self.gate.remember(text)
        self.gate.rejected, self.gate.proposed = Counter(state["rejected"]), state["proposed"]
        self.round, self.seconds = state["round"], state["seconds"]
        self.strategy.restore(state["strategy"], self.history)
        self._find_best()

    def go_to(self, evaluations: int, workers: Workers, checkpoint_seconds: float, progress: bool) -> None:
        """Scores candidates up to this number."""
        started, before = time.perf_counter(), self.seconds
        saved, pause = started, checkpoint_seconds
        with tqdm(
            total=evaluations,
            initial=len(self.history),
            unit="net",
            delay=PROGRESS_AFTER,
            disable=not progress,
            smoothing=0.05,
        ) as bar:
            while len(self.history) < evaluations:
                self._one_round(min(self.round_size, evaluations - len(self.history)), workers)
                self._show(bar)
                now = time.perf_counter()
                self.seconds = before + now - started
                if self.checkpoint is not None and (now - saved >= pause or len(self.history) >= evaluations):
                    self._save(self.checkpoint)
                    saved = time.perf_counter()
                    pause = max(checkpoint_seconds, (saved - now) / WRITING_SHARE)

    def result(self) -> SearchResult:
        """What was found."""
        if self.best < 0:
            raise ScoreUndefined(
                f"none of {len(self.history)} candidates has a score; the first one: "
                f"{self.history.frame()['reason'].iloc[0]}"
            )
        return SearchResult(
            best=self.history.architecture(self.best),
            best_score=self.history.value("score", self.best),
            history=self.history.frame(),
            rejected=dict(self.gate.rejected),
            proposed=self.gate.proposed,
            seconds=self.seconds,
            settings=self.settings,
        )

    def _one_round(self, count: int, workers: Workers) -> None:
        candidates = self.strategy.ask(count)
        outcomes = workers.score([candidate.architecture for candidate in candidates])
        first = len(self.history)
        fates = self.strategy.tell(candidates, outcomes, first)
        for candidate, outcome, fate in zip(candidates, outcomes, fates, strict=True):
            self.history.append(candidate, outcome, fate, self.round, self.gate.costs(candidate.blocks))
            if outcome.score > (self.history.value("score", self.best) if self.best >= 0 else -np.inf):
                self.best = len(self.history) - 1
        self.round += 1

    def _find_best(self) -> None:
        scores = self.history.scores()
        self.best = -1 if np.isnan(scores).all() else int(np.nanargmax(scores))

    def _show(self, bar: tqdm) -> None:
        bar.update(len(self.history) - bar.n)
        best = "none" if self.best < 0 else f"{self.history.value('score', self.best):.2f}"
        bar.set_postfix_str(
            f"best {best}, {100 * len(self.history) / max(1, self.gate.proposed):.0f} % of proposals scored",
            refresh=False,
        )

    def _save(self, path: Path) -> None:
        state = {
            "settings": self.settings,
            "rejected": dict(self.gate.rejected),
            "proposed": self.gate.proposed,
            "round": self.round,
            "seconds": self.seconds,
            "strategy": self.strategy.state(),
        }
        checkpoints.write(path, self.history.table(), state)


def _space(space: str | Space) -> Space:
    if isinstance(space, Space):
        return space
    if space not in SPACES:
        raise ValueError(f"space: needed one of {', '.join(SPACES)}, got {space!r}")
    return SPACES[space]


def _with_predictor(budget: Budget) -> Budget:
    """The budget with the predictor that its latency needs."""
    if budget.latency_ms is None or budget.latency is not None:
        return budget
    from zenlib.search.latency import LatencyPredictor

    return replace(budget, latency=LatencyPredictor())


def _require_fit(space: Space, gate: Gate, initial: Architecture) -> None:
    """Refuses an initial network that is not of the space, or exceeds the budget."""
    if not space.contains(initial):
        raise ValueError(f"initial: needed a network of the space {space.name}, got {initial}")
    over = gate.over(initial.blocks)
    if over is not None:
        cost = gate.costs(initial.blocks)["latency_ms" if over == "latency" else over]
        raise ValueError(
            f"initial: needed a network within the budget ({gate.budget}), got one with {over} {cost:,g}; "
            "give a smaller network or a larger budget"
        )


def _one_of(argument: str, given: Any, options: tuple[str, ...]) -> Any:
    if given not in options:
        raise ValueError(f"{argument}: needed one of {', '.join(options)}, got {given!r}")
    return given
