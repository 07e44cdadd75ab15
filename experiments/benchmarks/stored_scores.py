"""What is stored of every proxy on every benchmark, and how correlations with it are taken."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from experiments.benchmarks import nasbench201_scores
from experiments.benchmarks.layer_sums import network_sums
from experiments.benchmarks.nasbench201_space import CONVS, Cell, costs
from experiments.benchmarks.network_scores import (
    AS_BUILT,
    BENCHMARKS,
    COUNTS,
    FIXED,
    FORWARD,
    GRADIENTS,
    KERNEL,
    PEERS,
    VANILLA,
    column,
)
from experiments.record import results
from experiments.record.correlations import compare_many, partial_correlation, partial_many
from zenlib.errors import ScoreUndefined
from zenlib.proxies.counts import SUMS
from zenlib.stats import Correlation, compare, correlate
from zenlib.stats.influence import correlate_many

JOINED = {
    "az-nas": ("az-expressivity", "az-progressivity", "az-trainability", "flops"),
    "vkdnw-aggregate": ("vkdnw", "jacob-cov", "az-expressivity", "az-trainability", "flops"),
}
"""Scores that add the logarithms of ranks, and what they join."""
PREDICTORS = (
    *COUNTS,
    *SUMS,
    "random",
    *GRADIENTS,
    *FORWARD,
    *KERNEL,
    *PEERS,
    *JOINED,
    "phi",
    "closed-form",
    *VANILLA[1:],
    *AS_BUILT,
)
RATIO = 1.05
"""Largest ratio of the costs of two networks of nearly equal cost."""
FEWEST = 20
"""Smaller populations are not correlated."""
BOOTSTRAP_BELOW = 100
"""Smaller populations are resampled, larger ones have intervals by influence."""
RESAMPLES = 2000
WITHOUT_SCORE = -1e30
"""What an undefined score counts as: below all others."""
_ZEN_201 = {
    name: f"vanilla_{definition}"
    for name, definition in zip(VANILLA[1:], nasbench201_scores.DEFINITIONS, strict=True)
}
_ZEN_201 |= {
    name: f"zen_{definition}"
    for name, definition in zip(AS_BUILT, nasbench201_scores.DEFINITIONS, strict=True)
}


@cache
def networks(benchmark: str) -> pd.DataFrame:
    """One row per network that has a row of scores.

    Its name, its accuracies in percent, and for cells `family` and `valid`.

    Raises:
        BenchmarkMissing: the benchmark's file is not there.
    """
    found = BENCHMARKS[benchmark]
    table = found.accuracies()
    if benchmark == "nasbench201":
        cells = [Cell.from_string(text) for text in table["network"]]
        counted = pd.DataFrame([costs(cell) for cell in cells], columns=["params", "flops"])
        counted["layers"] = [15 * sum(op in CONVS for op in cell.ops) + 8 for cell in cells]
        described = {
            "family": [cell.isomorphism_class for cell in cells],
            "valid": [cell.is_connected for cell in cells],
            "no dead edges": [cell.live == tuple(op != "none" for op in cell.ops) for cell in cells],
        }
        return pd.concat([table[["network", *found.datasets]], counted], axis=1).assign(**described)
    names = found.sample(len(found.scores.read()))
    return (
        table.set_index("network")
        .loc[names, list(found.datasets)]
        .reset_index()
        .assign(family=names, valid=True)
    )


def is_there(benchmark: str) -> bool:
    """Whether the user has brought the benchmark's file."""
    return results.is_there(BENCHMARKS[benchmark].accuracies)


def az_nas(parts: ArrayLike) -> np.ndarray:
    """Joins proxies within a set of networks: the sum over them of log(rank / number of networks).

    From (networks, proxies), higher is better, to (networks,), at most 0; NaN where a proxy is.
    """
    table = pd.DataFrame(np.asarray(parts, dtype=np.float64))
    return np.log(table.rank() / len(table)).sum(axis=1, skipna=False).to_numpy()


@cache
def scores(benchmark: str, proxy: str, seed: int, drawn: int) -> pd.Series:
    """The first `drawn` networks' values; NaN: not computed, `WITHOUT_SCORE`: undefined."""
    places = BENCHMARKS[benchmark].drawn(drawn)
    if proxy not in JOINED:
        return stored_values(benchmark, proxy, seed).iloc[sorted(places)]
    parts = pd.concat([scores(benchmark, part, seed, drawn) for part in JOINED[proxy]], axis=1).dropna()
    return pd.Series(az_nas(parts), parts.index)


@cache
def layer_sums(benchmark: str) -> pd.DataFrame:
    """The sums over layers of the networks whose parameters were counted, NaN for others."""
    names = networks(benchmark)["network"]
    if benchmark != "nasbench201":
        names = names[BENCHMARKS[benchmark].scores.done("params")]
    found = network_sums(benchmark, names.tolist()).set_axis(names.index)
    return found.reindex(networks(benchmark).index).rename(columns=lambda name: name.replace("_", "-"))


@cache
def stored_values(benchmark: str, proxy: str, seed: int) -> pd.Series:
    """The values of all networks; NaN where not computed, and `WITHOUT_SCORE` where undefined."""
    rows = networks(benchmark)
    if benchmark == "nasbench201" and proxy in COUNTS:
        return rows[proxy].astype(float)
    if proxy in SUMS:
        return layer_sums(benchmark)[proxy]
    file, name = BENCHMARKS[benchmark].scores, column(proxy, None if proxy in FIXED else seed)
    if benchmark == "nasbench201" and proxy in _ZEN_201:
        file, name = nasbench201_scores.SCORES, f"{_ZEN_201[proxy]}_s{seed}"
    done = file.done(name)
    values = file.read()[name].to_numpy(float) if done.any() else np.full(len(done), np.nan)
    return pd.Series(np.where(done, np.nan_to_num(values, nan=WITHOUT_SCORE), np.nan))


def rank_correlation(
    x: pd.Series, y: pd.Series, families: pd.Series, resamples: int = RESAMPLES
) -> Correlation:
    """Both coefficients: of small populations by resampling, of large ones by influence over families."""
    if len(x) < BOOTSTRAP_BELOW:
        return correlate(x, y, resamples=resamples)
    return correlate_many(x, y, families=families.tolist())


def rank_partial(
    x: pd.Series, y: pd.Series, given: pd.Series, families: pd.Series, resamples: int = RESAMPLES
) -> Correlation:
    """The same of both with one quantity held fixed.

    Raises:
        ScoreUndefined: it orders the networks as they do.
    """
    try:
        if len(x) < BOOTSTRAP_BELOW:
            return partial_correlation(x, y, given, resamples=resamples)
        return partial_many(x, y, given, families=families.tolist())
    except ValueError as error:
        raise ScoreUndefined(str(error)) from error


def rank_difference(x: pd.Series, other: pd.Series, y: pd.Series, families: pd.Series) -> Correlation:
    """By how much the coefficients of `x` with `y` exceed those of `other`."""
    if len(x) < BOOTSTRAP_BELOW:
        return compare(x, other, y, resamples=RESAMPLES)
    return compare_many(x, other, y, families=families.tolist())


NAMES = {name: name for name in PREDICTORS} | {
    "params": "parameters",
    "fisher-channels": "fisher, per channel",
    "flops": "FLOPs",
    "layers": "weight layers",
    "relu-units": "ReLU values",
    "log-width": "sum log width",
    "log-fan-in": "sum log fan-in",
    "random": "random number",
    "closed-form": "Zen, closed form",
    "zen": "Zen, skips cut",
    "zen-frobenius": "Zen, skips cut, Algorithm 1",
    "zen-running": "Zen, skips cut, running",
    "zen-as-built-l1-minibatch": "Zen, as built",
    "zen-as-built-frobenius-minibatch": "Zen, as built, Algorithm 1",
    "zen-as-built-l1-running": "Zen, as built, released",
    "phi": "Phi",
}
"""Proxy -> how the chapter calls it."""
