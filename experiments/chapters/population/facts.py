"""The numbers of the chapter on the trained population, as text."""

from __future__ import annotations

import math
from functools import partial

import pandas as pd

from experiments.benchmarks.population_networks import GROUPS
from experiments.chapters.population.rows import PopulationRows
from experiments.chapters.population.statistics import DRAWS, PAPER_TAU, proxies_of
from experiments.record.wording import bracketed, interval, number
from zenlib.stats import FEWEST, correlate

TOO_FEW = "too few"
"""What a fact says that needs more networks."""
_number, _interval = partial(number, unknown=TOO_FEW), partial(interval, unknown=TOO_FEW)
PASSES = 3
"""A step of training costs three passes: forward, and backward to the features and to the weights."""


def facts(rows: PopulationRows) -> dict[str, str]:
    """Every number of the chapter's prose. Correlations read "estimate [95 % interval]"."""
    members = rows.members.drop_duplicates("network")
    told = {
        "networks": str(len(members)),
        "per_group": str(rows.members.groupby("group").size().max()),
        "params_limit": f"{rows.limits[0]:,.0f}",
        "flops_limit": f"{rows.limits[1] / 1e6:g}",
        "proxies": str(len(proxies_of(members))),
        "proxy_seeds": f"{rows.draws} seed" + "s" * (rows.draws > 1),
        "draws": f"{DRAWS:,}",
        "trainings": str(len(rows.trainings)),
        "epochs": str(int(rows.usual["epochs"].iloc[0])),
        "core_hours": _number(rows.trainings["cpu_seconds"].sum() / 3600, 1),
        "lowest": _number(members["top1"].min()),
        "highest": _number(members["top1"].max()),
        "median": _number(members["top1"].median()),
        "paper_tau": _number(PAPER_TAU),
        "seeds": _seeds(rows.noise),
        "longer": _longer(rows),
        "precise": _precise(rows.precise),
        "verdict": verdict(rows.correlations),
    }
    told |= _speed_facts(rows)
    return told | _correlation_facts(rows) | _sample_facts(rows) | _restriction_facts(rows)


def _seeds(noise: dict[str, float]) -> str:
    """How far seeds of one network differ, as a sentence."""
    if not math.isfinite(noise["seed_sd"]):
        return "Too few networks were trained with a second seed so far, so this noise is not known."
    return (
        f"{noise['networks']:.0f} networks were trained with two seeds: the accuracies of one network differ "
        "with a standard deviation of "
        f"{_number(noise['seed_sd'])} points, those of different networks with "
        f"{_number(noise['network_sd'])}. Kendall's tau between the two "
        f"seeds is {_interval(noise, 'kendall')}: an order that is noise to that extent is what every score "
        "is held against."
    )


def _longer(rows: PopulationRows) -> str:
    """Whether longer trainings give the same order, as a sentence."""
    if len(rows.longer) < FEWEST:
        return "Too few networks were trained for longer so far, so this is not known."
    both = rows.longer.merge(rows.members.drop_duplicates("network")[["network", "depth"]], on="network")
    gain = both["other"] - both["top1"]
    return (
        f"{len(both)} networks were trained for {rows.trainings['epochs'].max()} epochs as well: Kendall's "
        "tau between the two orders is "
        f"{_tau(both['top1'], both['other'])}. They gain {_number(gain.min())} to {_number(gain.max())} "
        "points; the gain has a Kendall's tau of "
        f"{_tau(both['depth'], gain)} with the number of layers."
    )


def _tau(left: pd.Series, right: pd.Series) -> str:
    found = correlate(left, right)
    return bracketed(found.kendall, *found.kendall_interval, unknown=TOO_FEW)


def _precise(rows: pd.DataFrame) -> str:
    """Whether the other floating type gives the same accuracies, as a sentence."""
    if rows.empty:
        return "No network was trained in another floating type so far."
    difference = rows["other"] - rows["top1"]
    return (
        f"{len(rows)} networks were trained in another floating type too, with the same seed: their accuracy "
        "differs by "
        f"{_number(difference.mean())} points on average and by {_number(difference.abs().max())} at most."
    )


def _speed_facts(rows: PopulationRows) -> dict[str, str]:
    """Training images per second of one core, and their share of the speed of large matrix products."""
    usual = rows.usual
    speed = (
        usual["images"]
        * usual["epochs"]
        / usual["seconds" if (usual["device"] == "cuda").all() else "cpu_seconds"]
    )
    share = PASSES * 2 * usual["network_flops"] * speed / (rows.peak * 1e9)
    return {
        "images_per_second": f"{speed.median():,.0f}",
        "slowest": f"{speed.min():,.0f}",
        "fastest": f"{speed.max():,.0f}",
        "peak": f"{rows.peak:,.0f}",
        "peak_share": f"{100 * share.median():.1f}",
    }


TOLD = {
    "closed-form": "closed",
    "zen-running": "released",
    "params": "params",
    "flops": "flops",
    "layers": "layers",
    "naswot": "naswot",
    "synflow": "synflow",
}
"""Proxies whose correlations the prose names -> part of the fact's name."""


def _correlation_facts(rows: PopulationRows) -> dict[str, str]:
    found = rows.correlations.set_index(["group", "proxy"])
    told = {}
    for group in (*GROUPS, "all"):
        for proxy, slug in TOLD.items():
            told[f"tau_{group}_{slug}"] = (
                _interval(found.loc[(group, proxy)], "kendall") if (group, proxy) in found.index else TOO_FEW
            )
        measured = rows.correlations.query("group == @group")
        told[f"best_{group}"] = (
            measured.loc[measured["kendall"].idxmax(), "proxy"] if len(measured) else TOO_FEW
        )
        told[f"tau_{group}_best"] = (
            _interval(measured.loc[measured["kendall"].idxmax()], "kendall") if len(measured) else TOO_FEW
        )
    return told


_GROUP_TEXTS = {
    "uniform": "among random networks",
    "evolution": "along a search",
    "equal": "among networks of equal size",
}


def verdict(correlations: pd.DataFrame) -> str:
    """In which groups the closed form orders networks by more than its interval."""
    found = correlations[
        (correlations["proxy"] == "closed-form") & correlations["group"].isin(GROUPS)
    ].set_index("group")
    signs = {"holds": found["kendall_low"] > 0, "the reverse holds": found["kendall_high"] < 0}
    told = [
        f"{text} {', '.join(_GROUP_TEXTS[group] for group in found.index[there])}"
        for text, there in signs.items()
        if there.any()
    ]
    if not (signs["holds"] | signs["the reverse holds"]).all():
        told.append("not seen elsewhere" if told else f"not seen in any of the {len(found)} groups")
    return "; ".join(told) or TOO_FEW


def _sample_facts(rows: PopulationRows) -> dict[str, str]:
    found = rows.small_samples.set_index("group")
    told = {}
    for group in (*GROUPS, "all"):
        known = group in found.index
        told[f"sample_{group}"] = (
            f"{_number(found.loc[group, 'low'])} to {_number(found.loc[group, 'high'])}" if known else TOO_FEW
        )
        told[f"reached_{group}"] = f"{100 * found.loc[group, 'reached']:.1f} %" if known else TOO_FEW
    return told


def _restriction_facts(rows: PopulationRows) -> dict[str, str]:
    return {
        f"tau_top{100 * share:.0f}": _interval(row, "kendall")
        for share, row in rows.restricted.set_index("share").iterrows()
    } | {
        f"n_top{100 * share:.0f}": str(int(row["n"]))
        for share, row in rows.restricted.set_index("share").iterrows()
    }
