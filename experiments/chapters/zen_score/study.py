"""What the Zen-Score estimator does: its spread, its settings, its three definitions.

Every measurement is one call of `zen_terms`, so all of them are rows of one table.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments.benchmarks.random_baseline_space import random_network
from experiments.benchmarks.zen_rows import DEFINITIONS, PAPER_TABLE_5, TABLE, plain_network, score_key
from experiments.record.wording import bracketed, number, signed, span
from zenlib.stats import correlate

TABLES = (TABLE,)


@dataclass(frozen=True)
class ZenScoreRows:
    """The measurements of the chapter, one frame a question."""

    table5: pd.DataFrame  # the five ResNets of the paper's Table 5
    batch: pd.DataFrame  # spread against batch size
    resolution: pd.DataFrame  # score against the resolution
    perturbation: pd.DataFrame  # score against alpha, with alpha = 0 for the exact derivative
    size: pd.DataFrame  # plain networks over depth and width
    population: pd.DataFrame  # random networks under one budget


def run(
    *,
    table5_models: Sequence[str] = tuple(PAPER_TABLE_5),
    table5_resolution: int = 224,
    table5_repeats: int = 8,
    batch_networks: Sequence[str] = ("zennet-1.0M", "plain-5", "plain-40"),
    batch_sizes: Sequence[int] = (2, 4, 8, 16, 32, 64),
    batch_repeats: int = 64,
    resolution_networks: Mapping[str, Sequence[int]] | None = None,
    resolution_repeats: int = 8,
    perturbation_networks: Sequence[str] = (
        "plain-5",
        "plain-10",
        "plain-20",
        "plain-40",
        "zennet-0.1ms",
        "zennet-1.0M",
    ),
    perturbations: Sequence[float] = (0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
    perturbation_repeats: int = 4,
    depths: Sequence[int] = (2, 5, 10, 20, 40, 80),
    widths: Sequence[int] = (4, 8, 16, 32, 64, 128),
    size_repeats: int = 8,
    population: int = 60,
    max_params: int = 1_000_000,
    max_depth: int = 18,
    population_repeats: int = 16,
    seed: int = 0,
) -> ZenScoreRows:
    """Measures, or reads from the store, every row of the chapter.

    "plain-D" stands for a plain network of D equal 3x3 convolutions of width 32, at 32 pixels.
    """
    if resolution_networks is None:
        resolution_networks = {
            "zennet-1.0M": (16, 24, 32, 48, 64, 96),
            "resnet18": (64, 96, 128, 160, 224, 288),
        }
    table5 = [_key(name, table5_resolution, table5_repeats, seed) for name in table5_models]
    batch = [
        _key(name, _native(name), batch_repeats, seed, batch_size=size)
        for name in batch_networks
        for size in batch_sizes
    ]
    by_resolution = [
        _key(name, resolution, resolution_repeats, seed)
        for name, resolutions in resolution_networks.items()
        for resolution in resolutions
    ]
    by_alpha = [
        _key(name, _native(name), perturbation_repeats, seed, perturbation=alpha)
        for name in perturbation_networks
        for alpha in perturbations
    ]
    size = [
        _key(plain_network(width, depth).to_string(), 32, size_repeats, seed)
        for depth in depths
        for width in widths
    ]
    rng = random.Random(seed)
    drawn = [random_network(rng, max_params=max_params, max_depth=max_depth) for _ in range(population)]
    random_keys = [_key(network.to_string(), 32, population_repeats, seed) for network in drawn]
    size_frame = TABLE.fill(size).assign(
        depth=[depth for depth in depths for _ in widths], width=[width for _ in depths for width in widths]
    )
    population_frame = TABLE.fill(random_keys).assign(
        params=[network.params(100) for network in drawn], depth=[network.depth for network in drawn]
    )
    return ZenScoreRows(
        table5=TABLE.fill(table5).assign(paper=[PAPER_TABLE_5[name] for name in table5_models]),
        batch=_labelled(TABLE.fill(batch)),
        resolution=TABLE.fill(by_resolution),
        perturbation=_labelled(TABLE.fill(by_alpha)),
        size=size_frame,
        population=population_frame,
    )


_PLAIN = {plain_network(32, depth).to_string(): f"plain-{depth}" for depth in (5, 10, 20, 40, 80)}


def _key(name: str, resolution: int, repeats: int, seed: int, **others: float) -> dict[str, object]:
    if name.startswith("plain-"):
        name = plain_network(32, int(name.removeprefix("plain-"))).to_string()
    return score_key(name, resolution, repeats, seed, **others)  # type: ignore[arg-type]  # images are int


def _native(name: str) -> int:
    return 224 if name.endswith("ms") or name.endswith("-SE") else 32


def _labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """Plain networks under their short names."""
    return frame.assign(network=frame["network"].replace(_PLAIN))


def deviation_from_paper(table5: pd.DataFrame) -> pd.DataFrame:
    """Our score per network and definition, with its deviation from the printed one, percent."""
    parts = [
        pd.DataFrame(
            {
                "network": table5["network"],
                "definition": column,
                "paper": table5["paper"],
                "score": table5[column],
                "stderr": table5[f"{column}_stderr"],
                "deviation": 100 * (table5[column] / table5["paper"] - 1),
            }
        )
        for column in DEFINITIONS
    ]
    return pd.concat(parts, ignore_index=True)


def saturation(perturbation: pd.DataFrame) -> pd.DataFrame:
    """Log of Delta / alpha against the exact derivative (alpha = 0) of the same network, draws and images.

    Where the difference is 0 the finite difference measures the derivative; where it falls with -log alpha
    the two outputs have become as different as those of unrelated images.
    """
    exact = perturbation[perturbation["perturbation"] == 0].set_index("network")["log_delta"]
    rows = perturbation[perturbation["perturbation"] > 0]
    per_alpha = rows["log_delta"] - np.log(rows["perturbation"])
    return rows.assign(exact=rows["network"].map(exact), bias=per_alpha - rows["network"].map(exact))


def reordering(rows: pd.DataFrame, second: str = "l1_running") -> dict[str, float]:
    """How the L1 score by mini-batch variance and another definition order the same networks.

    Returns:
        `pairs` of networks; those `flipped`, ordered differently by the two; those flipped `beyond_noise`, by
        three standard errors under both; of these those of `comparable` networks, whose numbers of
        convolutions differ, and those in which the first prefers the `deeper` one; and `top_overlap`, the
        share of the first definition's best third that the second also puts there.
    """
    first = "l1_minibatch"
    i, j = np.triu_indices(len(rows), k=1)

    def gap(column: str) -> tuple[np.ndarray, np.ndarray]:
        values, errors = rows[column].to_numpy(), rows[f"{column}_stderr"].to_numpy()
        return values[i] - values[j], np.hypot(errors[i], errors[j])

    (a, a_error), (b, b_error) = gap(first), gap(second)
    flipped = a * b < 0
    beyond = flipped & (np.abs(a) > 3 * a_error) & (np.abs(b) > 3 * b_error)
    convs = rows["convs"].to_numpy()
    more = convs[i] - convs[j]
    count = max(1, len(rows) // 3)
    best = [set(rows[column].nlargest(count).index) for column in (first, second)]
    return {
        "pairs": len(i),
        "flipped": int(flipped.sum()),
        "beyond_noise": int(beyond.sum()),
        "deeper": int((beyond & (a * more > 0)).sum()),
        "comparable": int((beyond & (more != 0)).sum()),
        "top_overlap": len(best[0] & best[1]) / count,
    }


def facts(rows: ZenScoreRows) -> dict[str, str]:
    """Every number of the chapter's prose."""
    told: dict[str, str] = {}
    told |= _table5_facts(rows.table5)
    told |= _batch_facts(rows.batch)
    told |= _saturation_facts(saturation(rows.perturbation))
    told |= _population_facts(rows.population)
    told |= _size_facts(rows.size)
    told |= {
        f"{name}_repeats": str(getattr(rows, name)["repeats"].iloc[0])
        for name in ("resolution", "perturbation", "size")
    }
    return told


def _table5_facts(table5: pd.DataFrame) -> dict[str, str]:
    deviation = deviation_from_paper(table5)
    worst = deviation["deviation"].abs().groupby(deviation["definition"]).max()
    told = {f"table5_worst_{column}": f"{worst[column]:.1f} %" for column in DEFINITIONS}
    told["table5_n"] = str(len(table5))
    told["table5_repeats"] = str(table5["repeats"].iloc[0])
    for row in table5.itertuples():
        told[f"table5_{row.network}"] = f"{row.l1_minibatch:.2f} ± {row.l1_minibatch_stderr:.2f}"
    return told


def _batch_facts(batch: pd.DataFrame) -> dict[str, str]:
    spread = single_repeat_spread(batch)
    at_16 = spread[spread["batch_size"] == 16]
    return {
        "batch_repeats": str(batch["repeats"].iloc[0]),
        "spread_at_16": span(at_16["sd"], "{:.2f}"),
        "relative_spread_at_16": span(100 * at_16["sd"] / at_16["l1_minibatch"].abs(), "{:.1f}") + " %",
    }


def single_repeat_spread(batch: pd.DataFrame) -> pd.DataFrame:
    """The rows with `sd`, the standard deviation of a single repeat."""
    return batch.assign(sd=batch["l1_minibatch_stderr"] * np.sqrt(batch["repeats"]))


def _saturation_facts(rows: pd.DataFrame) -> dict[str, str]:
    at_alpha = rows[rows["perturbation"] == 0.01].set_index("network")["bias"]
    return {
        f"bias_{network.replace('.', '_').replace('-', '_')}": signed(bias)
        for network, bias in at_alpha.items()
    } | {
        "saturated_nets": str(int((at_alpha < -1).sum())),
        "saturation_nets": str(len(at_alpha)),
    }


def _population_facts(rows: pd.DataFrame) -> dict[str, str]:
    change = reordering(rows)
    told = {
        "population": str(len(rows)),
        "population_repeats": str(rows["repeats"].iloc[0]),
        "pairs": f"{change['pairs']:,}",
        "flipped": str(change["flipped"]),
        "flipped_beyond": str(change["beyond_noise"]),
        "flipped_deeper": str(change["deeper"]),
        "flipped_comparable": str(change["comparable"]),
        "top_overlap": f"{100 * change['top_overlap']:.0f} %",
        "frobenius_flipped_beyond": str(reordering(rows, "frobenius_minibatch")["beyond_noise"]),
        "offset_per_bn": number(((rows["l1_running"] - rows["l1_minibatch"]) / rows["convs"]).mean()),
        "convs_range": f"{rows['convs'].min()} to {rows['convs'].max()}",
    }
    for name, (first, second) in {
        "definitions": ("l1_minibatch", "l1_running"),
        "norms": ("l1_minibatch", "frobenius_minibatch"),
        "minibatch_convs": ("l1_minibatch", "convs"),
        "running_convs": ("l1_running", "convs"),
        "minibatch_params": ("l1_minibatch", "params"),
    }.items():
        found = correlate(rows[first], rows[second])
        told[f"tau_{name}"] = bracketed(found.kendall, *found.kendall_interval)
    return told


def _size_facts(size: pd.DataFrame) -> dict[str, str]:
    per_layer = size.groupby("width").apply(
        lambda rows: np.polyfit(rows["convs"], rows["l1_minibatch"], 1)[0], include_groups=False
    )
    told = {f"per_layer_{width}": f"{slope:.2f}" for width, slope in per_layer.items()}
    fitted = np.polyfit(np.log(per_layer.index.to_numpy(float)), per_layer.to_numpy(), 1)[0]
    return told | {
        "width_slope": f"{fitted:.2f}",
        "widths": span(size["width"], "{:.0f}"),
        "depths": span(size["convs"], "{:.0f}"),
    }
