"""The loop of a search: ask a round of candidates, score them, tell, and keep all of it in a checkpoint."""

from __future__ import annotations

import math
import random
import time
import warnings
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import pandas as pd
from tqdm import tqdm

from zenlib.durable import append_line, held, refusals
from zenlib.errors import ResultsError, ScoreUndefined, of_kind, whole
from zenlib.networks.architecture import Architecture
from zenlib.search import checkpoint as checkpoints
from zenlib.search.budget import Budget, ChoicesGate, Gate, SpaceExhausted
from zenlib.search.evolution import Evolution
from zenlib.search.executors import Workers
from zenlib.search.history import Candidate, Outcome, history_of
from zenlib.search.reinforce import Reinforce
from zenlib.search.sampling import RandomSampling
from zenlib.search.scores import Score, Scorer
from zenlib.spaces import SPACES
from zenlib.spaces.choices import Choices, Point
from zenlib.spaces.space import MutationRule, Space
from zenlib.threads import cap_threads

StrategyName = Literal["evolution", "random", "reinforce"]
STRATEGIES: tuple[str, ...] = get_args(StrategyName)


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes:
        best: the first network with the highest score: an `Architecture`, or of `Choices` a `Point`.
        history: every scored candidate, one row each; columns as in `zenlib.search.history.UNITS`.
        rejected: proposals that were not scored, by reason.
        proposed: all proposals, scored and rejected.
        seconds: time of the search, summed over its runs; work that a kill undid is not in it.
        settings: what determines the result.
    """

    best: Any
    best_score: float
    history: pd.DataFrame
    rejected: dict[str, int]
    proposed: int
    seconds: float
    settings: dict[str, Any]


def search(
    space: str | Space | Choices,
    score: str | Score,
    budget: Budget,
    *,
    evaluations: int,
    population: int = 256,
    seed: int = 0,
    resolution: int = 32,
    num_classes: int = 100,
    initial: Architecture | Mapping[str, Any] | None = None,
    mutation: MutationRule = "paper",
    strategy: StrategyName = "evolution",
    executor: Executor | None = None,
    score_timeout: float | None = None,
    round_size: int = 64,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 1.0,
    progress: bool = True,
) -> SearchResult:
    """Looks for the network with the highest score within a budget.

    The result depends neither on the number of workers nor on how often the search was interrupted.

    Args:
        space: a name in `SPACES`, a `Space`, or `Choices` of one's own.
        score: "closed-form", "zen" (Monte Carlo, one repeat of 16 images), or a function of an architecture,
            higher being better. A worker process must be able to import the function.
        budget: what a network may cost.
        evaluations: candidates to score; proposals that are turned away do not count.
        population: networks that an evolution keeps.
        seed: of all draws.
        resolution: side of the images in pixels.
        num_classes: width of the classifier, which counts in the budget.
        initial: first network of an evolution, without gates, or its choices; None draws a small one.
        mutation: "paper" or "released", see `zenlib.spaces.mutation`.
        strategy: "evolution" (Algorithm 2), "random" (uniform draws) or "reinforce" (policy gradient).
        executor: where to score; None for this process, which suits the closed form.
        score_timeout: seconds after which a network counts as failed; needs an executor of processes.
        round_size: candidates between two updates of the population: the most that are scored at a time.
        checkpoint: journal of the search, which goes on from it where it exists; for one search at a time.
            `evaluations` may be raised later; the result is then that of one long search.
        checkpoint_seconds: least time between two waits for the disk; a loss of power may take what was
            scored in it, the end of this process nothing.
        progress: show a bar with the best score, the share of proposals scored, and candidates per second.

    Raises:
        ValueError: an argument is out of range, or the budget cannot be met.
        ResultsError: the checkpoint is of other settings, damaged, in use, or cannot be written.
        ScoreUndefined: no candidate has a score.

    Source: Lin et al. 2021 (arXiv 2102.01063), Algorithm 2. Differs: duplicates are not scored again, and
    iterations that end in a rejection are not counted.
    """
    of_kind("budget", budget, Budget, "a Budget")
    of_kind("executor", executor, (Executor, type(None)), "an Executor of concurrent.futures or None")
    where = space if isinstance(space, Space | Choices) else SPACES[_one_of("space", space, tuple(SPACES))]
    scorer = Scorer(score, whole("resolution", resolution), whole("seed", seed, 0), score_timeout)
    limits = budget, scorer.resolution, whole("num_classes", num_classes)
    gate = Gate(*limits) if isinstance(where, Space) else ChoicesGate(*limits, where.size)
    first = None if initial is None else _given(where, initial)
    settings = {
        "space": where.name,
        "score": scorer.name,
        "budget": budget.describe(),
        "population": whole("population", population),
        "seed": scorer.seed,
        "resolution": scorer.resolution,
        "num_classes": gate.num_classes,
        "initial": None if first is None else str(first),
        "mutation": _one_of("mutation", mutation, ("paper", "released")),
        "strategy": _one_of("strategy", strategy, STRATEGIES),
        "round_size": whole("round_size", round_size),
    }
    path = None if checkpoint is None else Path(checkpoint)
    run = _Run(where, gate, _strategy(where, gate, first, settings), settings, path)
    cap_threads()
    whole("evaluations", evaluations)
    # Other searches are kept from the checkpoint.
    alone = held(path.with_name(f".{path.name}.lock"), "search", ResultsError) if path else nullcontext()
    with alone, Workers(scorer, executor) as workers:
        run.go_on_from_checkpoint(evaluations)
        run.go_to(evaluations, workers, checkpoint_seconds, progress)
        return run.result()


def _given(space: Space | Choices, initial: Any) -> Any:
    """The initial network as the space has it, without gates."""
    if isinstance(space, Choices):
        return initial if isinstance(initial, Point) else space.point(initial)
    of_kind("initial", initial, Architecture, "an Architecture or None")
    if not space.contains(initial):
        raise ValueError(f"initial: needed a network of the space {space.name}, got {initial}")
    return Architecture(initial.blocks)


def _strategy(space: Any, gate: Gate, initial: Any, settings: dict[str, Any]) -> RandomSampling:
    """What proposes networks, unless the initial one, the images or the strategy do not suit the space."""
    name, rng = settings["strategy"], random.Random(settings["seed"])
    example = initial or space.sample(random.Random(0), gate.resolution)
    if isinstance(example, Architecture):
        example.flops(gate.resolution)  # refuses images too small for the strides, which never change
    if initial is not None:
        if (over := gate.over(initial)) == "impossible":
            raise ValueError(f"initial: needed a network that can be built and run, got {initial}")
        if over is not None:
            cost = gate.costs(initial)["latency_ms" if over == "latency" else over]
            raise ValueError(
                f"initial: needed a network within the budget ({gate.budget}), got one with {over} "
                f"{cost:,g}; give a smaller network or a larger budget"
            )
        if name != "evolution":
            raise ValueError(
                f"initial: needed None for the strategy {name!r}, which starts from no network; got {initial}"
            )
    if name == "evolution":
        population, mutation = settings["population"], settings["mutation"]
        return Evolution(space, gate, rng, population=population, mutation=mutation, initial=initial)
    if name == "random":
        return RandomSampling(space, gate, rng)
    if isinstance(space, Space):
        return Reinforce(space, gate, rng)
    raise ValueError("strategy: needed evolution or random in a space of one's own, got 'reinforce'")


@dataclass
class _Run:
    """One search with all its state."""

    space: Space | Choices
    gate: Gate
    strategy: RandomSampling
    settings: dict[str, Any]
    checkpoint: Path | None
    seconds: float = 0.0
    scored: int = 0
    best: float = -math.inf
    rounds: list[dict[str, list[Any]]] = field(default_factory=list)
    known: dict[str, Outcome] = field(default_factory=dict)

    def go_on_from_checkpoint(self, evaluations: int) -> None:
        """Takes up the stored search, or begins one; a last round that is too short is asked again."""
        path = self.checkpoint
        if path is None:
            return
        checkpoints.begin(path, self.settings)
        try:
            self._take_up(checkpoints.read_rounds(path), evaluations)
        except ResultsError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ResultsError(
                f"{path}: needed the rounds of a search, got others ({type(error).__name__}: {error}); "
                "restore the file, or delete it to search again"
            ) from error
        if self.scored > evaluations:
            raise ValueError(
                f"evaluations: needed at least the {self.scored:,} that {path} already holds, got "
                f"{evaluations:,}; name another file"
            )

    def _take_up(self, stored: list[dict[str, Any]], evaluations: int) -> None:
        if stored:
            self.seconds = float(stored[-1]["seconds"])
            scored = sum(len(entry["rows"]["score"]) for entry in stored)
            if stored[-1]["asked"] < self.settings["round_size"] and scored < evaluations:
                rows = stored.pop()["rows"]
                outcomes = map(Outcome, rows["score"], rows["reason"])
                self.known = dict(zip(rows["architecture"], outcomes, strict=True))
        for entry in stored:
            self._extend(entry["rows"])
            for text in entry["rows"]["architecture"]:
                self.gate.remember(text)
        if stored:
            state = stored[-1]
            self.gate.rejected, self.gate.proposed = Counter(state["rejected"]), state["proposed"]
            if self.gate.proposed != self.scored + self.gate.rejected.total():
                raise ValueError(f"{self.gate.proposed} proposals, {self.scored} of them scored")
            self.strategy.restore(state["strategy"], history_of(self.rounds))

    def _extend(self, rows: dict[str, list[Any]]) -> None:
        """Adds the candidates of a round to the history."""
        self.rounds.append(rows)
        self.scored += len(rows["score"])
        self.best = max([self.best, *(score for score in rows["score"] if not math.isnan(score))])

    def go_to(self, evaluations: int, workers: Workers, checkpoint_seconds: float, progress: bool) -> None:
        """Scores candidates up to this number."""
        started = waited = time.perf_counter()
        before = self.seconds
        look = {"unit": "net", "smoothing": 0.05, "delay": 2.0, "disable": not progress}
        with tqdm(total=evaluations, initial=self.scored, **look) as bar:
            while self.scored < evaluations:
                count = min(self.settings["round_size"], evaluations - self.scored)
                candidates = self._asked(count)
                if not candidates:
                    warnings.warn(
                        f"evaluations: asked for {evaluations:,}, got all {self.scored:,} networks "
                        "that the search finds within the budget",
                        stacklevel=4,
                    )
                    break
                rows = self._scored(candidates, workers)
                self._extend(rows)
                self._show(bar)
                now = time.perf_counter()
                self.seconds = before + now - started
                if self.checkpoint is not None:
                    wait = now - waited >= checkpoint_seconds or self.scored >= evaluations
                    waited = now if wait else waited
                    entry = {
                        "round": len(self.rounds) - 1,
                        "asked": count,
                        "rows": rows,
                        "rejected": dict(self.gate.rejected),
                        "proposed": self.gate.proposed,
                        "seconds": self.seconds,
                        "strategy": self.strategy.state(),
                    }
                    with refusals(self.checkpoint, ResultsError):
                        append_line(self.checkpoint, entry, wait=wait)

    def result(self) -> SearchResult:
        """What was found."""
        history = history_of(self.rounds)
        if self.best == -math.inf:
            raise ScoreUndefined(
                f"none of {self.scored} candidates has a score; the first one: {history['reason'].iloc[0]}"
            )
        return SearchResult(
            best=self.space.parse(history["architecture"][history["score"].idxmax()]),
            best_score=self.best,
            history=history,
            rejected=dict(self.gate.rejected),
            proposed=self.gate.proposed,
            seconds=self.seconds,
            settings=self.settings,
        )

    def _asked(self, count: int) -> list[Candidate]:
        """The candidates of a round; fewer where a space of one's own has no more."""
        if isinstance(self.space, Space) or (self.settings["initial"] and not self.scored):
            return self.strategy.ask(count)
        asked: list[Candidate] = []
        try:
            while len(asked) < count:
                asked += self.strategy.ask(1)
        except SpaceExhausted:
            if not asked and not self.scored:
                raise
        return asked

    def _scored(self, candidates: list[Candidate], workers: Workers) -> dict[str, list[Any]]:
        """Scores and tells a round; returns its columns."""
        texts = [str(candidate.network) for candidate in candidates]
        new = [one.network for one, text in zip(candidates, texts, strict=True) if text not in self.known]
        scored = iter(workers.score(new))
        outcomes = [self.known.get(text) or next(scored) for text in texts]
        self.known = {}
        fates = self.strategy.tell(candidates, outcomes, self.scored)
        costs = [self.gate.costs(candidate.network) for candidate in candidates]
        return {
            "generation": [candidate.generation for candidate in candidates],
            "parent": [candidate.parent for candidate in candidates],
            "architecture": texts,
            **{name: [cost[name] for cost in costs] for name in costs[0]},
            "score": [outcome.score for outcome in outcomes],
            "fate": fates,
            "reason": [outcome.reason for outcome in outcomes],
        }

    def _show(self, bar: tqdm) -> None:
        bar.update(self.scored - bar.n)
        best = "none" if self.best == -math.inf else f"{self.best:.2f}"
        share = self.scored / max(1, self.gate.proposed)
        bar.set_postfix_str(f"best {best}, {100 * share:.0f} % of proposals scored", refresh=False)


def _one_of(argument: str, given: Any, options: tuple[str, ...]) -> Any:
    if given not in options:
        raise ValueError(f"{argument}: needed one of {', '.join(options)}, got {given!r}")
    return given
