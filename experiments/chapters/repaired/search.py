"""Does the repaired score find better cells of NAS-Bench-201? Searches by one score, judged afterwards.

A search sees scores alone and keeps the cell of the highest score among those it has evaluated. Its regret is
the best accuracy of the space minus that of this cell. Searches with one seed see the same cells in one
order, so they are compared seed by seed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from experiments.benchmarks import stored_scores as proxy_study
from experiments.benchmarks.nasbench201_cells import cells as zen_cells
from experiments.benchmarks.nasbench201_scores import sample
from experiments.benchmarks.nasbench201_space import OPS
from experiments.benchmarks.nasbench201_variants import CHOSEN, cells
from experiments.chapters.repaired.other_scores import STUDY
from experiments.record.agreement import ARITHMETIC
from experiments.record.estimates import with_ends
from experiments.record.table import Table

SCORES = {
    "repaired": CHOSEN,
    "zen-running": "zen_l1_running_s0",
    "zen": "zen_l1_minibatch_s0",
    "zen-frobenius": "zen_frobenius_minibatch_s0",
    "params": "params",
    "convs": "live_convs",
}
"""Scores of all cells, and their columns: of Zen the released one, Table 5's, and Algorithm 1."""
RANDOM = "random"
AZ_NAS = "az-nas"
POOL = 500
"""Cells for which the benchmark study has the proxies that AZ-NAS joins."""
SPACES = {"all cells": (*SCORES, RANDOM), "drawn cells": (*SCORES, AZ_NAS, RANDOM)}
STRATEGIES = {"all cells": ("draws", "evolution"), "drawn cells": ("draws",)}
"""A mutation leaves the drawn cells, so that there is no evolution among them."""
POPULATION = 64
TOURNAMENT = 10
STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 15_625)
EVOLVED = 2000
"""Longest evolution, evaluations."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@cache
def scores(score: str) -> Floats:
    """One number per cell, by official index; cells without a score are below all others.

    AZ-NAS ranks its parts among the drawn cells, so that it is known for them alone, and knows all of them at
    every step.
    """
    if score == AZ_NAS:
        found = proxy_study.scores("nasbench201", AZ_NAS, 0, POOL)
        return found.reindex(range(len(cells()))).to_numpy(float)
    table = cells() if score in ("repaired", "params", "convs") else zen_cells()
    return np.nan_to_num(table[SCORES[score]].to_numpy(float), nan=proxy_study.WITHOUT_SCORE)


@cache
def _texts() -> dict[tuple[str, ...], int]:
    return {cell.ops: index for index, cell in enumerate(cells()["cell"])}


def places(space: str) -> Ints:
    """Official indices of the cells of a space."""
    return np.array(sorted(sample(POOL))) if space == "drawn cells" else np.arange(len(cells()))


def drawn(space: str, seed: int) -> Ints:
    """The cells of a space in random order, without repetition."""
    return np.random.default_rng([1, seed]).permutation(places(space))


def evolved(values: Floats, seed: int, evaluations: int) -> Ints:
    """The cells that regularised evolution evaluates, in order, repetitions included.

    It starts with `POPULATION` random cells; then the best of `TOURNAMENT` random members has one edge
    changed, the result joins and the oldest member leaves.

    Source: Real et al. 2019, Algorithm 1.
    """
    rng = np.random.default_rng([2, seed])
    index_of, of_index = _texts(), cells()["cell"]
    members: deque[int] = deque(drawn("all cells", seed)[:POPULATION].tolist())
    seen = list(members)
    while len(seen) < evaluations:
        chosen = [members[place] for place in rng.choice(len(members), TOURNAMENT, replace=False)]
        ops = list(of_index[max(chosen, key=lambda index: values[index])].ops)
        edge = int(rng.integers(len(ops)))
        ops[edge] = str(rng.choice([op for op in OPS if op != ops[edge]]))
        members.append(index_of[tuple(ops)])
        members.popleft()
        seen.append(members[-1])
    return np.array(seen[:evaluations])


@cache
def kept(space: str, strategy: str, score: str, seed: int) -> Ints:
    """The cell of the highest score after each evaluation, the first one of equals."""
    order = drawn(space, seed)
    if score == RANDOM:
        return np.full(len(order), order[0])
    values = scores(score)
    if strategy == "evolution":
        order = evolved(values, seed, EVOLVED)
    best = np.maximum.accumulate(values[order])
    improved = np.concatenate([[True], values[order][1:] > best[:-1]])
    return order[np.maximum.accumulate(np.where(improved, np.arange(len(order)), 0))]


def search_row(
    *, dataset: str, space: str, strategy: str, score: str, evaluations: int, seeds: int
) -> dict[str, float]:
    """Regret of a search after some evaluations, over seeds, and its accuracy minus that of `OTHERS`."""
    accuracies = cells()[dataset].to_numpy(float)

    def found(by: str) -> Floats:
        how = "draws" if by == RANDOM else strategy
        return np.array([accuracies[kept(space, how, by, seed)[evaluations - 1]] for seed in range(seeds)])

    ours = found(score)
    told = _ends("regret", accuracies[places(space)].max() - ours) | _ends("accuracy", ours)
    for name, other in OTHERS.items():
        told |= _ends(name, ours - found(other))
    ended = {int(kept(space, strategy, score, seed)[evaluations - 1]) for seed in range(seeds)}
    return told | {"different": float(len(ended))}


OTHERS = {"over_params": "params", "over_zen": "zen-running", "over_random": RANDOM}


def _ends(name: str, values: Floats) -> dict[str, float]:
    """Mean over seeds with its 95 % interval by Student's t."""
    mean = float(values.mean())
    reach = (
        float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
        if len(values) > 1
        else float("nan")
    )
    return with_ends(name, mean, (mean - reach, mean + reach))


def _units(name: str, text: str) -> dict[str, str]:
    return {
        name: f"percent: {text}, mean over seeds",
        f"{name}_low": "percent: lower end of its 95 % interval over seeds",
        f"{name}_high": "percent: upper end of it",
    }


SEARCHES = Table(
    study=STUDY,
    name="searches",
    compute=search_row,
    units={
        "dataset": "name: cifar10, cifar100 or imagenet16, test accuracy after 200 epochs",
        "space": "name: all cells, or the cells for which the benchmark study has proxies",
        "strategy": "name: random draws without repetition, or regularised evolution",
        "score": "name: what the search goes by",
        "evaluations": "count: cells that were scored",
        "seeds": "count: searches",
        "different": "count: different cells that the searches ended with",
    }
    | _units("regret", "best accuracy of the space minus that of the cell of the highest score")
    | _units("accuracy", "accuracy of that cell")
    | _units("over_params", "its accuracy minus that of the search by parameters")
    | _units("over_zen", "its accuracy minus that of the search by the released Zen-Score")
    | _units("over_random", "its accuracy minus that of a random cell"),
    otherwise=ARITHMETIC,
)


def asked(datasets: Sequence[str], seeds: int) -> list[dict[str, Any]]:
    """Every search and budget."""
    found = []
    for dataset in datasets:
        for space, names in SPACES.items():
            for strategy in STRATEGIES[space]:
                most = EVOLVED if strategy == "evolution" else POOL if space == "drawn cells" else max(STEPS)
                for score in names:
                    for evaluations in STEPS:
                        if evaluations <= most and not (strategy == "evolution" and score == RANDOM):
                            key = (dataset, space, strategy, score, evaluations, seeds)
                            found.append(dict(zip(SEARCHES.key, key, strict=True)))
    return found


def forget() -> None:
    """Reads the scores anew."""
    for cached in (scores, kept):
        cached.cache_clear()
