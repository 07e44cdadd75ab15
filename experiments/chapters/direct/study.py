"""The direct test: scores of 5,138 networks that others trained on ImageNet, written down beforehand.

The file `accel_nasbench.csv` is the prediction: one row per network, one column per score, higher meaning
predicted to be better. Published counts and throughputs are read from the user's file and never stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from experiments.benchmarks import accel_nasbench_space as space
from experiments.benchmarks.stored_scores import az_nas
from experiments.chapters.direct import cases, opened
from experiments.chapters.direct.endpoints import NEAR, SCORE, half_width
from experiments.chapters.direct.opened import REGISTERED, REGISTERED_ON
from experiments.chapters.direct.scores import (
    ARITHMETIC,
    BY_FORMULA,
    CHECKS,
    DEFINITIONS,
    MEASURED,
    SAMPLE,
    SCORES,
    SEED,
    fill,
    sample,
)
from experiments.figures.agreement import agreement
from experiments.record.table import Table
from experiments.record.wording import UNKNOWN, number
from zenlib.durable import replace_file
from zenlib.errors import BenchmarkMissing, ResultsError

NAMES = {
    "params": "parameters",
    "multiply_adds": "multiply-adds",
    "convs": "convolutions",
    "relu_units": "ReLU units",
    "activations": "activations",
    "log_width": "sum of log widths",
    "log_fan_in": "sum of log fan-ins",
    "closed_form": "Zen, closed form",
    "derivative": "Zen, exact derivative",
    "closed_form_frobenius": "Algorithm 1, closed form",
    "repaired": "repaired score",
    "parts": "score from parts",
    "trainability": "its trainability",
    "formula_naswot": "NASWOT, formula",
    "formula_linear_regions": "regions, formula",
    "formula_synflow": "synflow, formula",
    "formula_grad_norm": "grad-norm, formula",
    "formula_snip": "SNIP, formula",
    "formula_fisher_channels": "Fisher, formula",
    "formula_zico": "ZiCo, formula",
    "formula_az_expressivity": "AZ expr., formula",
    "formula_phi": "Phi, formula",
    "zen": "Zen, one draw",
    "zen_frobenius": "Algorithm 1, one draw",
    "zen_running": "released, one draw",
    "naswot": "NASWOT",
    "synflow": "synflow",
    "grad_norm": "grad-norm",
    "snip": "SNIP",
    "zico": "ZiCo",
    "az_nas": "AZ-NAS",
    "az_expressivity": "AZ expressivity",
    "az_progressivity": "AZ progressivity",
    "az_trainability": "AZ trainability",
    "swap": "SWAP",
    "wrcor": "WRCor",
}
"""Scores of the figures and the prose, in their order."""
SHOWN = {
    name: NAMES[name]
    for name in (
        *("params", "multiply_adds", "convs", "relu_units", "log_width", "closed_form", "repaired", "parts"),
        *("formula_naswot", "formula_synflow", "formula_zico", "zen_running", "az_nas", "swap"),
    )
}
"""Scores of the figure."""
DRAWN = {
    "zen": "closed_form",
    "zen_frobenius": "closed_form_frobenius",
    "zen_running": "closed_form",
    "naswot": "formula_naswot",
    "synflow": "formula_synflow",
    "grad_norm": "formula_grad_norm",
    "snip": "formula_snip",
    "zico": "formula_zico",
    "az_expressivity": "formula_az_expressivity",
}
"""Score of the sample -> its arithmetic."""
AZ_PARTS = ("az_expressivity", "az_progressivity", "az_trainability", "multiply_adds")
TABLES: tuple[Table, ...] = (cases.CASES, *opened.TABLES)
SCORE_CHECKS = CHECKS
"""How a sample of the stored scores is computed again."""


@dataclass(frozen=True)
class DirectRows:
    """What the page reads."""

    # one row per network: `id`, `network` (the first id of an equal one), `gates`, and the scores; empty
    # where neither the file nor the list of networks is there
    predictions: pd.DataFrame
    cases: pd.DataFrame  # networks that others searched
    opened: opened.Opened  # what came out

    @property
    def sampled(self) -> int:
        """Networks that have the dear scores."""
        return int(self.predictions["zen"].notna().sum()) if "zen" in self.predictions else 0

    @property
    def scores(self) -> list[str]:
        """Columns of scores that are complete, or complete in the sample."""
        return [name for name in NAMES if name in self.predictions]

    @cached_property
    def agreement(self) -> pd.DataFrame:
        """Kendall's tau between every two scores, over different networks."""
        rows = self.predictions[self.predictions["network"] == self.predictions["id"]]
        return agreement(rows[self.scores])


def run(*, count: int = SCORES.rows, dear: int = SAMPLE, proxies: Sequence[str] = MEASURED) -> DirectRows:
    """Computes what is missing, and writes the predictions when all are there.

    Args:
        count: networks to score by arithmetic, the first of the list; all are 5,138.
        dear: networks of the sample that get the dear scores.
        proxies: which dear proxies.
    """
    if not 2 <= count <= SCORES.rows:
        raise ValueError(f"count: needed 2 to {SCORES.rows} networks, got {count}")
    try:
        space.networks()
    except BenchmarkMissing:  # what was registered is shown without the list
        return DirectRows(_read(), cases.run(), opened.run(False))
    chosen = [index for index in sample() if index < count][:dear]
    fill(range(count), chosen, proxies)
    predictions, whole = _predictions(count, chosen), count == SCORES.rows and dear == SAMPLE
    path = REGISTERED.path
    if whole and set(NAMES) <= set(predictions) and not path.exists():  # what was registered stays as it is
        content = predictions.to_csv(index=False, float_format="%.8g", lineterminator="\n").encode()
        replace_file(path, lambda file: file.write(content), ResultsError)
    return DirectRows(predictions, cases.run(), opened.run(whole))


def _read() -> pd.DataFrame:
    path = REGISTERED.path
    return pd.read_csv(path) if path.exists() else nothing()


def nothing() -> pd.DataFrame:
    """Predictions of no network."""
    return pd.DataFrame(columns=["id", "network", "gates", *NAMES], dtype=float)


def _predictions(count: int, dear: list[int]) -> pd.DataFrame:
    networks = space.networks()[:count]
    first: dict[space.Network, int] = {}
    table = pd.DataFrame(
        {
            "id": np.arange(count),
            "network": [first.setdefault(network, place) for place, network in enumerate(networks)],
            "gates": [network.has_gates for network in networks],
            "params": [space.params(network) for network in networks],
            "multiply_adds": [space.multiply_adds(network) for network in networks],
            "convs": [len(space.vanilla(network).convs) for network in networks],
        }
    )
    stored = SCORES.read().iloc[:count]
    for name in (*ARITHMETIC, "repaired", *BY_FORMULA):
        table[name] = stored[name].to_numpy()
    table["trainability"] = -table.pop("growth").abs()
    table["parts"] = table["repaired"] + 0.5 * table["trainability"]
    for name in (*DEFINITIONS, *(proxy.replace("-", "_") for proxy in MEASURED)):
        column = f"{name}_s{SEED}"
        if column in stored and stored[column].iloc[dear].notna().all() and dear:
            table[name] = stored[column].to_numpy()
    if set(AZ_PARTS) <= set(table.columns):
        there = table.dropna(subset=list(AZ_PARTS))
        table["az_nas"] = pd.Series(az_nas(there[list(AZ_PARTS)]), index=there.index)
    return table


def facts(rows: DirectRows) -> dict[str, str]:
    """Every number of the page."""
    predictions, sha256 = rows.predictions, REGISTERED.digest()
    matrix = rows.agreement.set_index(["score", "other"])["kendall"] if len(predictions) else pd.Series()
    told = {
        "networks": f"{len(predictions):,}",
        "different": f"{predictions['network'].nunique():,}",
        "ungated": f"{(predictions['gates'] == 0).sum():,}",
        "sample": f"{rows.sampled:,}",
        "scores": str(len(rows.scores)),
        "columns": ", ".join(predictions.columns),
        "registered_on": REGISTERED_ON,
        "sha256": sha256,
        "sha256_first": sha256[:32] or "there is no file of predictions here",
        "sha256_second": sha256[32:] or "so it has no digest",
        "near": f"{100 * (NEAR - 1):.0f} %",
        "half_width": f"{half_width(predictions):.3f}" if len(predictions) else UNKNOWN,
    } | opened.facts(rows.opened)
    for name in ("multiply_adds", "params"):
        tau = matrix.get((SCORE, name), np.nan)
        told[f"opposite_{name}"] = UNKNOWN if np.isnan(tau) else f"{50 * (1 - tau):.0f} %"
    known = (
        rows.cases.set_index("name") if len(rows.cases) else pd.DataFrame(columns=["convs", "closed_form"])
    )
    for name in ("Params-450M", "ZiCo-450M", "zennet-400M-SE"):
        short = name.replace("-", "_")
        there = name in known.index
        told[f"convs_{short}"] = str(known["convs"][name]) if there else UNKNOWN
        told[f"zen_{short}"] = number(known["closed_form"][name], 1) if there else UNKNOWN
    told |= {f"tau_{name}": number(matrix.get((SCORE, name), np.nan)) for name in NAMES}
    return told | {name: text or UNKNOWN for name, text in told.items()}


def drawn(rows: DirectRows) -> pd.DataFrame:
    """Kendall's tau of each score of the sample with its expectation by arithmetic."""
    found = rows.agreement.set_index(["score", "other"])["kendall"] if len(rows.predictions) else pd.Series()
    return pd.DataFrame(
        [
            {
                "one draw": NAMES[one],
                "arithmetic": NAMES[other],
                "tau": number(found.get((one, other), np.nan)),
            }
            for one, other in DRAWN.items()
        ]
    )
