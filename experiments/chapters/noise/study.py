"""How much of the gap between a correlation and 1 is noise: of the score's draw, or of the training runs.

If two noisy measurements correlate with r, what they measure correlates with r / sqrt(a b), where a and b are
the correlations of each with a repetition of itself (correction for attenuation). A score is repeated by
drawing weights and images again. A trained accuracy is repeated in three ways, and each is a bound:

- "releases": the older release of the benchmark against the newer. Most runs are in both, so a is too high.
- "isomorphic": two cells of one isomorphism class, trained apart. Classes of one cell are missing.
- "validation": accuracy on one half of CIFAR-10 after training on the other. Less data, so a is too low.

Kendall's tau is taken to a correlation and back by r = sin(pi tau / 2), which is exact for normal variables
and monotone functions of them.

Sources: Spearman 1904 (attenuation); Kruskal 1958 (tau and r); Brown 1910 (repetitions).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from experiments.benchmarks import nasbench201
from experiments.benchmarks.nasbench201_cells import COUNTS, DATASETS, FOR_DATA, cells, population_of
from experiments.benchmarks.nasbench201_proxies import computed
from experiments.benchmarks.nasbench201_scores import SCORES, fill_zen, sample
from experiments.chapters.noise.parts import averaged, ceiling, parts
from experiments.chapters.noise.rows import (
    ACCURACIES,
    CORRELATIONS,
    DRAWN,
    DRAWS,
    POPULATIONS,
    REPEATED,
    NoiseRows,
)
from experiments.record.estimates import ENDS
from experiments.record.keys import crossed
from experiments.record.wording import Told

TABLES = (CORRELATIONS, DRAWS, ACCURACIES)


def run(
    *,
    datasets: Sequence[str] = DATASETS,
    seeds: Sequence[int] = (0, 1, 2),
    cells_scored: int = nasbench201.CELLS,
    repeated: Sequence[str] = REPEATED,
) -> NoiseRows:
    """Correlates scores, their repetitions, accuracies and their repetitions.

    Without the benchmark's file the stored rows are read.

    Args:
        datasets: which accuracies.
        seeds: draws of the scores; missing ones are computed for the scores of this project.
        cells_scored: how many cells, all or a random sample.
        repeated: which repetitions of the accuracies.
    """
    if not nasbench201.is_there():
        found = (table.stored() for table in TABLES)
        return NoiseRows(
            *(rows[rows["cells_scored"] == cells_scored].dropna(subset="kendall") for rows in found)
        )
    for seed in seeds:
        fill_zen(seed, sample(cells_scored))
    cells.cache_clear()  # it holds the scores of before
    population_of.cache_clear()
    scores = _drawn(seeds, cells_scored)
    sampled = {"cells_scored": cells_scored}
    where: dict[str, Any] = {"dataset": datasets, "population": POPULATIONS}
    draws = (*map(str, seeds), "+".join(map(str, seeds)))
    wanted = crossed(sampled, **where, score=scores, seeds=draws)
    wanted += crossed(sampled | {"seeds": "none"}, **where, score=COUNTS)
    pairs = [{"seed": first, "other": second} for first, second in combinations(seeds, 2)]
    twice = [key | pair for key in crossed(sampled, **where, score=scores) for pair in pairs]
    again = crossed(sampled, **where, repeated=repeated)
    asked = zip(TABLES, (wanted, twice, again), strict=True)
    return NoiseRows(*(table.fill(keys).dropna(subset="kendall") for table, keys in asked))


def _drawn(seeds: Sequence[int], cells_scored: int) -> list[str]:
    """Scores that every seed has drawn for the same cells of the sample, or for enough of them."""
    asked = sample(cells_scored)
    others = [computed(seed) for seed in seeds]
    measured = [score for score in others[0] if all(score in other for other in others)]
    together = {score: np.all([other[score][asked] for other in others], axis=0).sum() for score in measured}
    ours = [score for score in DRAWN if all(SCORES.done(f"{score}_s{seed}")[asked].all() for seed in seeds)]
    return ours + [score for score, known in together.items() if known >= FEWEST_KNOWN]


UNKNOWN = "not measured"
"""What a fact says in a run without these rows."""
SMALLEST = 0.001
"""Parts below this are not written out."""
FEWEST_KNOWN = 100
"""A score that was computed for fewer cells is left out."""
_PEOPLE = {
    "valid": "valid",
    "one per class": "class",
    "no none": "full",
    "no skip, no pool": "vanilla",
    "top 10 %": "top",
}
_SCORES = (
    "zen_l1_minibatch",
    "zen_frobenius_minibatch",
    "zen_l1_running",
    "log_delta_l1",
    "params",
    "live_convs",
)
_PARTS = ("measured", "draw", "training", "ranking", "truth")


def facts(rows: NoiseRows) -> dict[str, str]:
    """Every number of the chapter's prose; in brackets 95 % intervals."""
    return _repetition_facts(rows) | _part_facts(rows) | _formula_facts(rows)


def _repetition_facts(rows: NoiseRows) -> dict[str, str]:
    told: dict[str, str] = {}
    again = Told(rows.accuracies, ["dataset", "population", "repeated"], UNKNOWN)
    own = rows.draws.groupby(["dataset", "population", "score"])["kendall"].mean()
    for population, people in _PEOPLE.items():
        for dataset, data in FOR_DATA.items():
            for repeated in REPEATED:
                at, name = (dataset, population, repeated), f"{repeated}_{people}{data}"
                told |= {
                    f"tau_{name}": _interval(again, at, "kendall"),
                    f"n_{name}": again.text(at, "{n:,.0f}"),
                }
                highest = f"{float(ceiling(again.rows[at]['kendall'])):.2f}" if at in again.rows else UNKNOWN
                told[f"ceiling_{name}"] = highest
            for score in _SCORES:
                at = (dataset, population, score)
                told[f"own_{score}_{people}{data}"] = f"{own[at]:.3f}" if at in own.index else UNKNOWN
    return told


def _part_facts(rows: NoiseRows) -> dict[str, str]:
    told: dict[str, str] = {}
    for repeated in REPEATED:
        found = Told(parts(rows, repeated), ["dataset", "population", "score"], UNKNOWN)
        for population, people in _PEOPLE.items():
            for score in _SCORES:
                for part in _PARTS:
                    at = ("cifar10", population, score)
                    told[f"{part}_{score}_{people}_{repeated}"] = _interval(found, at, part)
    return told


def _formula_facts(rows: NoiseRows) -> dict[str, str]:
    several = rows.correlations["seeds"].str.contains("+", regex=False)
    if not several.any():
        return dict.fromkeys(("draws", "foretold_worst", "foretold_n"), UNKNOWN)
    found = averaged(rows)
    return {
        "draws": str(found["draws"].max()),
        "foretold_worst": f"{(found['measured'] - found['foretold']).abs().max():.3f}",
        "foretold_n": str(len(found)),
    }


def _interval(found: Told, at: tuple[str, ...], name: str) -> str:
    if at in found.rows and max(abs(found.rows[at][f"{name}{end}"]) for end in ENDS) < SMALLEST:
        return f"less than {SMALLEST}"
    return found.interval(at, name, digits=3)
