"""What comes out when the accuracies are there: the registered comparisons, run as `endpoints` has them.

Nobody here had seen an accuracy when this was written. The file that it reads is the user's.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import pandas as pd

from experiments.benchmarks import accel_nasbench_space as space
from experiments.benchmarks.tables import read_table
from experiments.chapters.direct import endpoints as judge
from experiments.chapters.direct.scores import STUDY
from experiments.record.agreement import ARITHMETIC, EXACT
from experiments.record.registration import Registration, fill, judged_table, row_of
from experiments.record.table import Table
from experiments.record.wording import UNKNOWN, bracketed, ends, number, row_at
from zenlib.errors import ResultsError

REGISTERED = Registration(
    STUDY, "accel_nasbench.csv", "21e42708d38980af3d82988d607f22cac7149104cabf2d14309521fe5b795bc5"
)
REGISTERED_ON = "28 November 2026"
ACCURACIES = "accel_nasbench_imagenet.csv"
SOURCE = "the published ImageNet accuracies of Accel-NASBench (Ahmad et al. 2024)"
CLOSED = "not opened"
"""What the page says of a number that waits for the accuracies."""


def accuracies() -> pd.Series:
    """ImageNet top-1 in percent by id; the file may say it as a fraction.

    Raises:
        BenchmarkMissing: the user has not brought them.
        ResultsError: no column, or more than one, is an accuracy.
    """
    columns = {"id": "number of the network; and top1: its ImageNet top-1 accuracy in percent"}
    rows = read_table(ACCURACIES, columns, SOURCE).set_index("id")
    named = [name for name in rows if "top1" in re.sub(r"\W|_", "", name.lower()) or "acc" in name.lower()]
    if len(named) != 1:
        raise ResultsError(
            f"{ACCURACIES}: needed one column of accuracies, top1, got {', '.join(named) or 'none'} among "
            f"{', '.join(rows)}; leave one and call it top1"
        )
    found = rows[named[0]].astype(float)
    return found * 100 if found.max() <= 1 else found


def is_open() -> bool:
    """Whether the user has brought the accuracies and the list, and the predictions are written."""
    return REGISTERED.is_open(accuracies, space.architectures)


@functools.cache
def _endpoints() -> pd.DataFrame:
    predictions = REGISTERED.predictions()
    names = [name for name in predictions if name not in ("id", "network", "gates")]
    return judge.endpoints(predictions, accuracies(), names).set_index(list(JUDGED.key))


@functools.cache
def _lookups() -> pd.DataFrame:
    predictions = REGISTERED.predictions()
    predictions["seconds"] = (
        1 / space.architectures().set_index("id")["thr_a100"].loc[predictions["id"]].to_numpy()
    )
    names = [
        name for name in predictions.columns[3:] if predictions[name].notna().all() and name != "seconds"
    ]
    return judge.lookups(predictions, accuracies(), names).set_index(list(LOOKUPS.key))


JUDGED = judged_table(
    STUDY,
    _endpoints,
    population="which networks or pairs",
    unit="equal networks",
    counted="networks, or pairs of networks",
)
LOOKUPS = Table(
    study=STUDY,
    name="lookups",
    key=("cost", "quantile", "score"),
    compute=row_of(_lookups),
    units={
        "cost": "name: what the budget limits",
        "quantile": "1: share of all networks that the budget admits",
        "score": "name: which score, or a choice at random",
        "n": "count: networks under the budget",
        "regret": "percentage point: how far the network that it puts first lies below the best one",
        "ndcg": "1: normalised discounted gain of the hundred that it puts first",
    },
    agreement={"n": EXACT},
    otherwise=ARITHMETIC,
)
TABLES = (JUDGED, LOOKUPS) if is_open() else ()
"""Only what can be computed here is verified."""


@dataclass(frozen=True)
class Opened:
    """What came out; tables without lines before the opening."""

    judged: pd.DataFrame  # one line per population, score and baseline
    lookups: pd.DataFrame  # one line per cost, budget and score


def run(whole: bool) -> Opened:
    """Judges the predictions, or reads what was stored where the accuracies are not there.

    Args:
        whole: whether all networks were scored; else nothing can be judged.
    """
    if not whole or not is_open():
        return Opened(JUDGED.stored(), LOOKUPS.stored())
    return Opened(fill(JUDGED, _endpoints()), fill(LOOKUPS, _lookups()))


def facts(opened: Opened) -> dict[str, str]:
    """The answer, and the verdicts."""
    told = {
        f"verdict_{name}": judge.verdict(opened.judged, comparison) if len(opened.judged) else CLOSED
        for name, comparison in (("primary", judge.PRIMARY), ("second", judge.SECOND))
    }
    inside = guesses(opened, {})["inside"].tolist()
    told |= {"hits": str(inside.count("yes")) if len(opened.judged) else CLOSED, "guesses": str(len(inside))}
    gains = [
        row_at(opened.judged, population="all", score=judge.SCORE, baseline=name) for name in judge.COUNTS
    ]
    beaten = sum(gain is not None and gain["low"] > 0 for gain in gains)
    told["beaten"] = f"{beaten} of {len(gains)}" if len(opened.judged) else CLOSED
    answer = "Not known yet: nobody here has seen an accuracy"
    if len(opened.judged):
        alone, *minus = (
            came(opened.judged, "all", *key)
            for key in ((judge.SCORE, judge.ALONE), judge.PRIMARY, judge.SECOND)
        )
        answer = (
            f"Over all networks the Zen-Score has a Kendall's tau of {alone} with accuracy; minus that of "
            f"multiply-adds it is {minus[0]} ({told['verdict_primary']}), minus that of parameters "
            f"{minus[1]} ({told['verdict_second']})"
        )
    return told | {"answer": answer}


def came(judged: pd.DataFrame, population: str, score: str, baseline: str) -> str:
    """One comparison as text."""
    found = row_at(judged, population=population, score=score, baseline=baseline)
    return CLOSED if found is None else bracketed(found["kendall"], found["low"], found["high"])


def guesses(opened: Opened, names: dict[str, str]) -> pd.DataFrame:
    """Every guess beside what came out."""
    lines = []
    for (population, score, baseline), bounds in judge.GUESSES.items():
        minus = "" if baseline == judge.ALONE else f" minus {names.get(baseline, baseline)}"
        what = f"{names.get(score, score)}{minus}, {judge.POPULATIONS[population]}"
        found = row_at(opened.judged, population=population, score=score, baseline=baseline)
        lines.append((what, bounds, None if found is None else found["kendall"]))
    for score, bounds in judge.GUESSED_REGRETS.items():
        found = row_at(opened.lookups, cost="multiply_adds", quantile=0.5, score=score)
        what = f"regret of {names.get(score, score)}, half of all multiply-adds"
        lines.append((what, bounds, None if found is None else found["regret"]))
    return pd.DataFrame(
        [
            {
                "what": what,
                "guess": ends((low, high)),
                "result": CLOSED if value is None else number(value),
                "inside": CLOSED if value is None else "yes" if low <= value <= high else "no",
            }
            for what, (low, high), value in lines
        ]
    )


def shown(opened: Opened, names: dict[str, str]) -> pd.DataFrame:
    """Kendall's tau of every score in every population, and minus the two costs over all networks."""
    if opened.judged.empty:
        return pd.DataFrame({"result": [CLOSED]})
    return pd.DataFrame(
        [
            {"score": text}
            | {where: came(opened.judged, key, name, judge.ALONE) for key, where in judge.POPULATIONS.items()}
            | {
                f"minus {cost}": came(opened.judged, "all", name, key) if key != name else ""
                for cost, key in _MINUS.items()
            }
            for name, text in names.items()
        ]
    )


_MINUS = {"multiply-adds": "multiply_adds", "parameters": "params"}


def looked_up(opened: Opened, names: dict[str, str]) -> pd.DataFrame:
    """Regret in points, and normalised gain, of every score under every budget."""
    if opened.lookups.empty:
        return pd.DataFrame({"result": [CLOSED]})
    costs = {"multiply_adds": "multiply-adds", "params": "parameters", "seconds": "A100 time"}
    lines = []
    judged = {name: text for name, text in names.items() if name in set(opened.lookups["score"])}
    for name, text in (judged | {judge.RANDOM: "at random"}).items():
        told = {"score": text}
        for cost, called in costs.items():
            for quantile in judge.QUANTILES:
                found = row_at(opened.lookups, cost=cost, quantile=quantile, score=name)
                value = UNKNOWN if found is None else f"{number(found['regret'])} ({number(found['ndcg'])})"
                told[f"{called}, {100 * quantile:.0f} %"] = value
        lines.append(told)
    return pd.DataFrame(lines)
