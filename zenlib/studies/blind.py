"""A blind test: scores of all 6,561 networks of NAS-Bench-Macro, written down before anyone here has seen an accuracy.

The file `nasbench_macro.csv` is the prediction: one row per code, one column per score, higher meaning predicted to be better.
Its accuracies will be added later, whatever they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from zenlib.durable import replace_file
from zenlib.errors import ResultsError
from zenlib.proxies.az_nas import az_nas
from zenlib.results import export_path
from zenlib.spaces import nasbench_macro
from zenlib.studies.blind_scores import BATCH_SIZE, DEFINITIONS, MEASURED, SCORES, STUDY, fill_closed_form, fill_proxies, fill_repaired, fill_zen, networks
from zenlib.studies.table import Table

FILE = "nasbench_macro.csv"
TABLES: tuple[Table, ...] = ()
COSTS = ("params", "flops", "depth")
AZ_PARTS = ("az_expressivity", "az_progressivity", "az_trainability", "flops")
"""The parts of AZ-NAS; its complexity is the number of FLOPs."""
PROXIES = ("synflow", "naswot", "az_expressivity", "az_progressivity", "az_trainability", "zico")
PRIMARY = ("repaired", "params")
"""The comparison that decides: Kendall's tau of the first with accuracy minus that of the second."""
NAMES = {
    "params": "parameters",
    "flops": "FLOPs",
    "depth": "layers",
    "zen": "Zen, mini-batch",
    "zen_frobenius": "Zen, Algorithm 1",
    "zen_running": "Zen, released",
    "closed_form": "Zen, closed form",
    "repaired": "repaired score",
    "synflow": "synflow",
    "naswot": "NASWOT",
    "az_nas": "AZ-NAS",
    "zico": "ZiCo",
}
"""Scores of the figures and the prose, in their order."""


@dataclass(frozen=True)
class BlindRows:
    """What the page reads.

    Attributes:
        predictions: one row per code: `arch`, costs, and every score that is complete.
        scored: number of networks that have all scores of `predictions`.
        seeds: of the Zen-Scores.
    """

    predictions: pd.DataFrame
    scored: int
    seeds: tuple[int, ...]

    @property
    def unique(self) -> pd.DataFrame:
        """One row per network: codes that differ in the place of an identity once."""
        return self.predictions[self.predictions["arch"].map(nasbench_macro.canonical) == self.predictions["arch"]]

    @cached_property
    def agreement(self) -> pd.DataFrame:
        """`agreement` of the networks."""
        return agreement(self.unique)

    @cached_property
    def spread(self) -> pd.DataFrame:
        """`spread` of the networks."""
        return spread(self.unique)


def run(*, count: int = 3969, seeds: Sequence[int] = (0, 1, 2), proxy_seed: int = 0, proxies: bool = True) -> BlindRows:
    """Scores the networks, or reads their scores; with all of them it writes `nasbench_macro.csv`.

    Args:
        count: networks to score, drawn at random without looking at any; all are 3,969.
        seeds: over which the Zen-Scores are averaged.
        proxy_seed: of the proxies that see images.
        proxies: whether to compute proxies that are missing; those that are stored are shown.
    """
    if not 2 <= count <= SCORES.rows:
        raise ValueError(f"count: needed 2 to {SCORES.rows} networks, got {count}")
    indices = sorted(np.random.default_rng(0).permutation(SCORES.rows)[:count].tolist())
    fill_closed_form(indices)
    fill_repaired(indices)
    for seed in seeds:
        fill_zen(seed, indices)
    if proxies:
        for group in MEASURED:
            fill_proxies(group, proxy_seed, indices)
    rows = BlindRows(_predictions(indices, tuple(seeds), proxy_seed), count, tuple(seeds))
    if count == SCORES.rows:
        write(rows.predictions)
    return rows


def _predictions(indices: Sequence[int], seeds: tuple[int, ...], proxy_seed: int) -> pd.DataFrame:
    stored = SCORES.read().loc[list(indices)]
    codes = [networks()[index] for index in indices]
    table = pd.DataFrame([nasbench_macro.costs(code) for code in codes])
    for name in DEFINITIONS:
        table[name] = stored[[f"{name}_s{seed}" for seed in seeds]].mean(axis=1).to_numpy()
    columns = {"closed_form": "closed_form", "repaired": "repaired"} | {name: f"{name}_s{proxy_seed}" for name in PROXIES}
    for name, column in columns.items():
        if column in stored and stored[column].notna().all():
            table[name] = stored[column].to_numpy()
    if set(AZ_PARTS) <= set(table.columns):
        table["az_nas"] = az_nas(table[list(AZ_PARTS)])
    by_network = table.assign(network=codes)
    expanded = pd.DataFrame({"arch": [code for code in nasbench_macro.codes() if nasbench_macro.canonical(code) in set(codes)]})
    expanded["network"] = expanded["arch"].map(nasbench_macro.canonical)
    return expanded.merge(by_network, on="network", validate="many_to_one").drop(columns="network")


def write(predictions: pd.DataFrame) -> None:
    """Writes the file of predictions, unless it is there with the same content."""
    content = _content(predictions)
    path = export_path(STUDY, FILE)
    if not path.exists() or path.read_bytes() != content:
        replace_file(path, lambda file: file.write(content), ResultsError)


def digest() -> str:
    """SHA-256 of the file of predictions.

    Raises:
        ResultsError: there is none.
    """
    path = export_path(STUDY, FILE)
    if not path.exists():
        raise ResultsError(f"{path}: needed the predictions, found no file; run the notebook 13_blind with all networks")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _content(predictions: pd.DataFrame) -> bytes:
    return predictions.to_csv(index=False, float_format="%.10g", lineterminator="\n").encode()


def agreement(unique: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau between every two scores, over networks.

    Returns:
        One line per ordered pair: `score`, `other`, `kendall`.
    """
    names = [name for name in NAMES if name in unique]
    matrix = unique[names].corr(method="kendall")
    return pd.DataFrame([{"score": a, "other": b, "kendall": matrix.loc[a, b]} for a in names for b in names])


def spread(unique: pd.DataFrame) -> pd.DataFrame:
    """Per score: smallest, median and largest value, standard deviation, number of different values, and the code it predicts to be best."""
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
    matrix = rows.agreement.set_index(["score", "other"])["kendall"]
    told = {
        "codes": f"{len(rows.predictions):,}",
        "networks": f"{len(rows.unique):,}",
        "seeds": str(len(rows.seeds)),
        "batch_size": str(BATCH_SIZE),
        "columns": ", ".join(f"`{name}`" for name in rows.predictions.columns),
        "sha256": digest() if rows.scored == SCORES.rows else "only some networks were scored",
    }
    told |= {f"best_{line['score']}": line["best"] for line in rows.spread.to_dict("records")}
    told |= {f"different_{line['score']}": f"{line['different']:,}" for line in rows.spread.to_dict("records")}
    pairs = (("repaired", "params"), ("repaired", "flops"), ("repaired", "zen_running"), ("zen", "zen_running"), ("zen", "closed_form"), ("params", "flops"))
    return told | {f"tau_{a}_{b}": f"{matrix[(a, b)]:.3f}" if (a, b) in matrix else "not scored" for a, b in pairs}
