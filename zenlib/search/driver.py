"""The loop of a search: ask a round of candidates, score them, tell, and keep all of it in a checkpoint."""

from __future__ import annotations

import random
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from tqdm import tqdm

from zenlib.durable import append_line, held, refusals
from zenlib.errors import ResultsError, ScoreUndefined, whole
from zenlib.networks.architecture import Architecture
from zenlib.search import checkpoint as checkpoints
from zenlib.search.budget import Budget, ChoicesGate, Gate, SpaceExhausted, text_of
from zenlib.search.evolution import Evolution
from zenlib.search.executors import Workers
from zenlib.search.history import Candidate, History, Outcome
from zenlib.search.reinforce import Reinforce
from zenlib.search.sampling import RandomSampling
from zenlib.search.scores import Score, Scorer
from zenlib.spaces import SPACES
from zenlib.spaces.choices import Choices, Point
from zenlib.spaces.space import MutationRule, Space
from zenlib.threads import cap_threads

StrategyName = Literal["evolution", "random", "reinforce"]
STRATEGIES: tuple[str, ...] = get_args(StrategyName)
BAR: dict[str, Any] = {"unit": "net", "smoothing": 0.05, "delay": 2.0}
"""The progress bar, which appears after so many seconds."""


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes:
        best: the first network with the highest score: an `Architecture`, or of `Choices` a `Point`.
        best_score: its score.
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

    Candidates are asked in rounds and told in order, so the result depends on the settings alone, and neither
    on the number of workers nor on how often the search was interrupted.

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
        checkpoint_seconds: time between two waits for the disk, at least. A round outlives this process as
            soon as it is scored; a loss of power may take the rounds of this time.
        progress: show a bar with the best score, the share of proposals scored, and candidates per second.

    Raises:
        ValueError: an argument is out of range, or the budget cannot be met.
        ResultsError: the checkpoint is of other settings, damaged, in use, or cannot be written.
        ScoreUndefined: no candidate has a score.

    Source: Lin et al. 2021 (arXiv 2102.01063), Algorithm 2. Differs: duplicates are not scored again, and
    iterations that end in a rejection are not counted.
    """
    where = space if isinstance(space, Space | Choices) else SPACES[_one_of("space", space, tuple(SPACES))]
    timeout = _positive("score_timeout", score_timeout)
    scorer = Scorer(score, whole("resolution", resolution), whole("seed", seed, 0), timeout)
    limits = budget, scorer.resolution, whole("num_classes", num_classes)
    gate = Gate(*limits) if isinstance(where, Space) else ChoicesGate(*limits, where.size)
    first = None if initial is None else _network(where, initial)
    settings = {
        "space": where.name,
        "score": scorer.name,
        "budget": gate.budget.describe(),
        "population": whole("population", population),
        "seed": scorer.seed,
        "resolution": scorer.resolution,
        "num_classes": gate.num_classes,
        "initial": None if first is None else first.to_string(),
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


def _strategy(space: Any, gate: Gate, initial: Any, settings: dict[str, Any]) -> RandomSampling:
    """What proposes networks, unless the initial one, the images or the strategy do not suit the space."""
    name, rng = settings["strategy"], random.Random(settings["seed"])
    example = initial or space.sample(random.Random(0), gate.resolution)
    if isinstance(example, Architecture):
        example.flops(gate.resolution)  # refuses images too small for the strides, which never change
    if initial is not None:
        if isinstance(space, Space) and not space.contains(initial):
            raise ValueError(f"initial: needed a network of the space {space.name}, got {initial}")
        if over := gate.over(initial.blocks):
            cost = gate.costs(initial.blocks)["latency_ms" if over == "latency" else over]
            raise ValueError(
                f"initial: needed a network within the budget ({gate.budget}), got one with {over} "
                f"{cost:,g}; give a smaller network or a larger budget"
            )
        if name != "evolution":
            raise ValueError(
                f"initial: needed None for the strategy {name!r}, which starts from no network; got {initial}"
            )
    if name == "evolution":
        blocks = None if initial is None else initial.blocks
        population, mutation = settings["population"], settings["mutation"]
        return Evolution(space, gate, rng, population=population, mutation=mutation, initial=blocks)
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
    round: int = 0
    seconds: float = 0.0
    best: int = -1
    known: dict[str, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        space = self.space
        self.history = History(Architecture.from_string if isinstance(space, Space) else space.parse)

    def go_on_from_checkpoint(self, evaluations: int) -> None:
        """Takes up the stored search, or begins one; a last round that is too short is asked again."""
        path = self.checkpoint
        if path is None:
            return
        checkpoints.begin(path, self.settings)
        try:
            scored = self._take_up(checkpoints.read_rounds(path), evaluations)
        except ResultsError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ResultsError(
                f"{path}: needed the rounds of a search, got others ({type(error).__name__}: {error}); "
                "restore the file, or delete it to search again"
            ) from error
        if scored > evaluations:
            raise ValueError(
                f"evaluations: needed at least the {scored:,} that {path} already holds, got "
                f"{evaluations:,}; name another file"
            )

    def _take_up(self, rounds: Iterator[dict[str, Any]], evaluations: int) -> int:
        """Takes in stored rounds; returns how many candidates they have."""
        scored, taken = 0, None
        for entry, after in pairwise(chain(rounds, [None])):
            assert entry is not None  # only the last one is
            rows = entry["rows"]
            scored += len(rows["score"])
            self.seconds = float(entry["seconds"])
            if after is None and entry["asked"] < self.settings["round_size"] and scored < evaluations:
                outcomes = map(Outcome, rows["score"], rows["reason"])
                self.known = dict(zip(rows["architecture"], outcomes, strict=True))
                break
            for text in rows["architecture"]:
                self.gate.remember(text)
            self._extend(rows)
            taken = entry
        if taken is not None:
            self.gate.rejected, self.gate.proposed = Counter(taken["rejected"]), taken["proposed"]
            if taken["proposed"] != len(self.history) + self.gate.rejected.total():
                raise ValueError(f"{taken['proposed']} proposals, {len(self.history)} of them scored")
            self.strategy.restore(taken["strategy"], self.history)
        return scored

    def _extend(self, rows: dict[str, list[Any]]) -> None:
        """Adds the candidates of a round to the history."""
        first = len(self.history)
        self.history.extend(rows, self.round)
        self.round += 1
        for index, score in enumerate(rows["score"], first):
            if score > (self.history.value("score", self.best) if self.best >= 0 else -np.inf):
                self.best = index

    def go_to(self, evaluations: int, workers: Workers, checkpoint_seconds: float, progress: bool) -> None:
        """Scores candidates up to this number."""
        started = waited = time.perf_counter()
        before = self.seconds
        with tqdm(total=evaluations, initial=len(self.history), disable=not progress, **BAR) as bar:
            while len(self.history) < evaluations:
                count = min(self.settings["round_size"], evaluations - len(self.history))
                rows = self._one_round(count, workers)
                if rows is None:
                    warnings.warn(
                        f"evaluations: asked for {evaluations:,}, got all {len(self.history):,} networks "
                        "that the search finds within the budget",
                        stacklevel=4,
                    )
                    break
                self._show(bar)
                now = time.perf_counter()
                self.seconds = before + now - started
                if self.checkpoint is not None:
                    wait = now - waited >= checkpoint_seconds or len(self.history) >= evaluations
                    waited = now if wait else waited
                    entry = {
                        "round": self.round - 1,
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

    def _one_round(self, count: int, workers: Workers) -> dict[str, list[Any]] | None:
        """Asks, scores and tells a round; returns its columns, None where there is no other network."""
        candidates = self._asked(count)
        if not candidates:
            return None
        texts = [text_of(candidate.blocks) for candidate in candidates]
        new: list[Any] = [
            one.architecture for one, text in zip(candidates, texts, strict=True) if text not in self.known
        ]
        scored = iter(workers.score(new))
        outcomes = [self.known.get(text) or next(scored) for text in texts]
        fates = self.strategy.tell(candidates, outcomes, len(self.history))
        costs = [self.gate.costs(candidate.blocks) for candidate in candidates]
        rows: dict[str, list[Any]] = {
            "generation": [candidate.generation for candidate in candidates],
            "parent": [candidate.parent for candidate in candidates],
            "architecture": texts,
            **{name: [cost[name] for cost in costs] for name in costs[0]},
            "score": [outcome.score for outcome in outcomes],
            "fate": fates,
            "reason": [outcome.reason for outcome in outcomes],
        }
        self._extend(rows)
        self.known = {}
        return rows

    def _asked(self, count: int) -> list[Candidate]:
        """The candidates of a round; fewer where a space of one's own has no more."""
        if isinstance(self.space, Space) or (self.settings["initial"] and not len(self.history)):
            return self.strategy.ask(count)
        asked: list[Candidate] = []
        while len(asked) < count:
            before = self.gate.rejected.copy(), self.gate.proposed
            try:
                asked += self.strategy.ask(1)
            except SpaceExhausted:
                if not asked and not len(self.history):
                    raise
                self.gate.rejected, self.gate.proposed = before
                break
        return asked

    def _show(self, bar: tqdm) -> None:
        bar.update(len(self.history) - bar.n)
        best = "none" if self.best < 0 else f"{self.history.value('score', self.best):.2f}"
        share = len(self.history) / max(1, self.gate.proposed)
        bar.set_postfix_str(f"best {best}, {100 * share:.0f} % of proposals scored", refresh=False)


def _network(space: Space | Choices, initial: Any) -> Architecture | Point:
    """The initial network as the space has it, without gates."""
    if isinstance(space, Space):
        return Architecture(initial.blocks)
    return initial if isinstance(initial, Point) else space.point(initial)


def _one_of(argument: str, given: Any, options: tuple[str, ...]) -> Any:
    if given not in options:
        raise ValueError(f"{argument}: needed one of {', '.join(options)}, got {given!r}")
    return given


def _positive(argument: str, value: float | None) -> float | None:
    if value is not None and not (isinstance(value, int | float) and 0 < value < np.inf):
        raise ValueError(f"{argument}: needed a positive number or None, got {value!r}")
    return value
