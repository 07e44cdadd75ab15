"""A blind test: scores of all 6,561 networks of NAS-Bench-Macro, written down before any accuracy was seen.

The file `nasbench_macro.csv` is the prediction: one row per code, one column per score, higher meaning
predicted to be better. `opened` says what came out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from experiments.benchmarks import nasbench_macro_space as nasbench_macro
from experiments.benchmarks.chain_zen import chain_terms
from experiments.benchmarks.stored_scores import az_nas
from experiments.chapters.blind import opened
from experiments.chapters.blind.endpoints import (
    BASELINES,
    GUESSED_GAIN,
    GUESSES,
    NEAR,
    PRIMARY,
    TOP_SHARE,
    half_width,
)
from experiments.chapters.blind.scores import (
    BATCH_SIZE,
    CHECKS,
    DEFINITIONS,
    PEER_SCORES,
    SCORES,
    SHARED,
    STUDY,
    fill,
    networks,
    peers,
    sample,
)
from experiments.figures.agreement import agreement
from experiments.record.agreement import ARITHMETIC, EXACT
from experiments.record.score_tolerances import NATS
from experiments.record.table import Table
from experiments.record.wording import ends, number
from zenlib.durable import replace_file
from zenlib.errors import ResultsError
from zenlib.scores.closed_form import closed_form_zen_score
from zenlib.scores.graph_form import repaired_score

SEEDS = (0, 1, 2)
"""Of the draws over which the Zen-Scores are averaged."""
COSTS = ("params", "flops", "depth")
AZ_PARTS = ("az_expressivity", "az_progressivity", "az_trainability", "flops")
"""The parts of AZ-NAS; its complexity is the number of FLOPs."""
PROXIES = tuple(name.replace("-", "_") for name in SHARED)
"""Columns of one draw."""
NAMES = {
    "params": "parameters",
    "flops": "FLOPs",
    "depth": "conv. and classifier",
    "zen": "Zen, mini-batch",
    "zen_frobenius": "Zen, Algorithm 1",
    "zen_running": "Zen, released",
    "closed_form": "Zen, closed form",
    "built": "Zen, as built",
    "built_running": "released, as built",
    "repaired": "repaired score",
    "synflow": "synflow",
    "naswot": "NASWOT",
    "az_nas": "AZ-NAS",
    "zico": "ZiCo",
}
"""Scores of the figures and the prose, in their order."""
NOT_SCORED = "not scored"


def example_row(*, arch: str, seed: int) -> dict[str, Any]:
    """Costs and cheap scores of one code, computed for itself."""
    chain = nasbench_macro.vanilla(arch)
    terms = chain_terms(chain, seed, BATCH_SIZE)
    exact = {
        "closed_form": closed_form_zen_score(chain),
        "repaired": repaired_score(nasbench_macro.build(arch), nasbench_macro.RESOLUTION),
    }
    return (
        nasbench_macro.costs(arch)
        | {name: terms.score(*definition) for name, definition in DEFINITIONS.items()}
        | exact
    )


EXAMPLES = Table(
    study=STUDY,
    name="examples",
    compute=example_row,
    units={
        "arch": "text: code of a network",
        "seed": "1: seed of the draw of weights and images",
        "params": "count: parameters, BatchNorm and classifier included",
        "flops": "count: multiply-adds of one image",
        "depth": "count: convolutions and classifier, one behind the other",
    }
    | {
        name: f"nat: Zen-Score of the vanilla chain, {norm} norm, {variance} variance, one draw"
        for name, (norm, variance) in DEFINITIONS.items()
    }
    | {
        "closed_form": "nat: expected Zen-Score by arithmetic",
        "repaired": "nat: repaired score of the module as it is built",
    },
    agreement=dict.fromkeys(("params", "flops", "depth"), EXACT)
    | dict.fromkeys(("closed_form", "repaired"), ARITHMETIC)
    | dict.fromkeys(("zen", "zen_frobenius", "zen_running"), NATS.rounding),
)
EXAMPLE_CODES = ("00000000", "10010000", "10010010", "11111111", "20020020", "22222222")
"""The smallest and the largest network, and some between."""
TABLES = (EXAMPLES, *opened.TABLES)
SCORE_CHECKS = CHECKS
"""How a sample of the stored scores is computed again."""


@dataclass(frozen=True)
class BlindRows:
    """What the page reads."""

    predictions: pd.DataFrame  # one row per code: `arch`, costs, and every score that is complete
    scored: int  # number of networks that have all scores of `predictions`
    seeds: tuple[int, ...]  # of the Zen-Scores
    examples: pd.DataFrame  # one line per code of `EXAMPLE_CODES`
    opened: opened.Opened  # what came out

    @property
    def unique(self) -> pd.DataFrame:
        """One row per network: codes that differ in the place of an identity once."""
        return self.predictions[
            self.predictions["arch"].map(nasbench_macro.canonical) == self.predictions["arch"]
        ]

    @cached_property
    def agreement(self) -> pd.DataFrame:
        """Kendall's tau between every two scores, over networks."""
        return agreement(self.unique[[name for name in NAMES if name in self.unique]])

    @cached_property
    def spread(self) -> pd.DataFrame:
        """`spread` of the networks."""
        return spread(self.unique)


def run(
    *, count: int = 3969, seeds: Sequence[int] = SEEDS, proxy_seed: int = 0, proxies: bool = True
) -> BlindRows:
    """Scores the networks, or reads their scores; with all of them it writes `nasbench_macro.csv`.

    Args:
        count: networks to score, drawn at random without looking at any; all are 3,969.
        seeds: over which the Zen-Scores are averaged.
        proxy_seed: of the proxies that see images.
        proxies: whether to compute proxies that are missing; those that are stored are shown.
    """
    if not 2 <= count <= SCORES.rows:
        raise ValueError(f"count: needed 2 to {SCORES.rows} networks, got {count}")
    indices = sample(count)
    fill(("closed_form", "repaired"), proxy_seed, indices)
    for seed in seeds:
        fill(("zen",), seed, indices)
    if proxies:
        fill(("shared",), proxy_seed, indices)
    if proxies and opened.is_open():
        PEER_SCORES.fill(*peers(proxy_seed)["peers"], sample(min(count, opened.SAMPLED)))
    examples = EXAMPLES.fill([{"arch": code, "seed": seeds[0]} for code in EXAMPLE_CODES])
    predictions = _predictions(indices, tuple(seeds), proxy_seed)
    if count == SCORES.rows:
        write(predictions)
    judged = opened.run(count == SCORES.rows)
    return BlindRows(predictions, count, tuple(seeds), examples, judged)


def _predictions(indices: Sequence[int], seeds: tuple[int, ...], proxy_seed: int) -> pd.DataFrame:
    stored = SCORES.read().loc[list(indices)]
    codes = [networks()[index] for index in indices]
    table = pd.DataFrame([nasbench_macro.costs(code) for code in codes])
    for name in DEFINITIONS:
        table[name] = stored[[f"{name}_s{seed}" for seed in seeds]].mean(axis=1).to_numpy()
    columns = {"closed_form": "closed_form", "repaired": "repaired"} | {
        name: f"{name}_s{proxy_seed}" for name in PROXIES
    }
    for name, column in columns.items():
        if column in stored and stored[column].notna().all():
            table[name] = stored[column].to_numpy()
    if set(AZ_PARTS) <= set(table.columns):
        table["az_nas"] = az_nas(table[list(AZ_PARTS)])
    by_network = table.assign(network=codes)
    expanded = pd.DataFrame(
        {"arch": [code for code in nasbench_macro.codes() if nasbench_macro.canonical(code) in set(codes)]}
    )
    expanded["network"] = expanded["arch"].map(nasbench_macro.canonical)
    return expanded.merge(by_network, on="network", validate="many_to_one").drop(columns="network")


def write(predictions: pd.DataFrame) -> None:
    """Writes the file of predictions, unless it is there with the same content."""
    content = predictions.to_csv(index=False, float_format="%.10g", lineterminator="\n").encode()
    path = opened.REGISTERED.path
    if not path.exists() or path.read_bytes() != content:
        replace_file(path, lambda file: file.write(content), ResultsError)


def spread(unique: pd.DataFrame) -> pd.DataFrame:
    """Per score.

    Smallest, median and largest value, standard deviation, number of different values, and the code it
    predicts to be best.
    """
    lines = []
    for name in (name for name in NAMES if name in unique):
        values = unique[name]
        lines.append(
            {
                "score": name,
                "lowest": values.min(),
                "median": values.median(),
                "highest": values.max(),
                "sd": values.std(),
                "different": values.nunique(),
                "best": unique.loc[values.idxmax(), "arch"],
            }
        )
    return pd.DataFrame(lines)


def facts(rows: BlindRows) -> dict[str, str]:
    """Every number of the page."""
    unique, spread_of = rows.unique, rows.spread.set_index("score")
    sha256 = opened.REGISTERED.digest() if rows.scored == SCORES.rows else "some networks alone were scored,"
    told = {
        "codes": f"{len(rows.predictions):,}",
        "networks": f"{len(unique):,}",
        "seeds": str(len(rows.seeds)),
        "batch_size": str(BATCH_SIZE),
        "columns": ", ".join(rows.predictions.columns),
        "scores": str(len(rows.spread)),
        "sha256": sha256,
        "sha256_first": sha256[:32],
        "sha256_second": sha256[32:] or "and it has none",
        "half_width": f"{half_width(unique):.3f}",
        "top_share": f"{100 * TOP_SHARE:.0f} %",
        "near": f"{100 * (NEAR - 1):.0f} %",
        "guess_gain": ends(GUESSED_GAIN),
    }
    told |= {f"{fact}_{name}": NOT_SCORED for fact in ("range", "best", "different") for name in NAMES}
    told |= {f"guess_{name}": ends(bounds) for name, bounds in GUESSES.items()}
    told |= {
        f"range_{name}": f"{_number(line['lowest'])} to {_number(line['highest'])}"
        for name, line in spread_of.iterrows()
    }
    told |= {f"best_{name}": line["best"] for name, line in spread_of.iterrows()}
    told |= {f"different_{name}": f"{line['different']:,}" for name, line in spread_of.iterrows()}
    return told | _agreement_facts(rows) | opened.facts(rows.opened)


def _agreement_facts(rows: BlindRows) -> dict[str, str]:
    """How alike the scores are, and so how far apart they can come out."""
    matrix = rows.agreement.set_index(["score", "other"])["kendall"]
    pairs = [(PRIMARY[0], other) for other in NAMES if other != PRIMARY[0]]
    pairs += [("zen", other) for other in ("zen_running", "closed_form", "zen_frobenius", "built")]
    pairs += [
        ("built", "built_running"),
        ("zen_running", "built_running"),
        ("params", "flops"),
        ("depth", "flops"),
    ]
    told = {f"tau_{a}_{b}": number(matrix[a, b]) if (a, b) in matrix else NOT_SCORED for a, b in pairs}
    told |= {f"discordant_{name}": _discordant(rows.unique, name) for name in BASELINES}
    return told | {
        "missing": ", ".join(NAMES[name] for name in NAMES if name not in rows.predictions) or "none"
    }


def discordance(scores: pd.Series, others: pd.Series) -> float:
    """Share of the pairs of networks that two scores put in opposite orders."""
    opposite = 0
    x, y = scores.to_numpy(), others.to_numpy()
    for place in range(1, len(x)):
        opposite += int(((x[:place] - x[place]) * (y[:place] - y[place]) < 0).sum())
    return opposite / (len(x) * (len(x) - 1) / 2)


def _discordant(unique: pd.DataFrame, baseline: str) -> str:
    return (
        f"{100 * discordance(unique[PRIMARY[0]], unique[baseline]):.0f} %"
        if baseline in unique
        else NOT_SCORED
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}"
