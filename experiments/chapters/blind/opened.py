"""What came out when the accuracies were opened.

The comparisons are those that `endpoints` names, run as they were registered, on the registered file. What is
asked after the opening has a table of its own: the noise of the trainings, sums over layers, and scores of
2023 to 2026 on some of the networks.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from experiments.benchmarks import nasbench_macro_space as space
from experiments.benchmarks.tables import read_table
from experiments.chapters.blind import endpoints as judge
from experiments.chapters.blind.scores import (
    PEER_SCORES,
    SAMPLED_SCORES,
    STUDY,
    networks,
    peers_are_there,
    sample,
)
from experiments.record.agreement import ARITHMETIC, EXACT
from experiments.record.correlations import compare_many
from experiments.record.registration import ALONE, Registration, fill, judged_table
from experiments.record.table import Table
from experiments.record.wording import UNKNOWN, bracketed, number, row_at
from zenlib.scores.formulas.counts import Counts
from zenlib.stats import ndcg
from zenlib.stats.influence import correlate_many

REGISTERED = Registration(
    STUDY, "nasbench_macro.csv", "ea1d9084b500f1c214be811ffa997361d616840f0f6eedb341da6fe343398d33"
)
"""On 24 November 2026."""
TRAININGS = ("test_acc_1", "test_acc_2", "test_acc_3")
SOURCE = "the benchmark's published results (Su et al. 2021)"
POPULATIONS = {
    "all": "all codes",
    "networks": "one line per network",
    "top": "best fifth of the codes",
    "equal FLOPs": "pairs of equal FLOPs",
}
SUMS = Counts._fields
UNITS = SUMS[0]
COUNTED = {"units alone": UNITS} | {f"{name} alone": name for name in SUMS[1:]}
"""Questions about a sum over layers, and which."""
SAMPLED = 100
"""Networks, the first of a random order, for which the scores of 2023 to 2026 were computed."""
DRAWN = "sample"
"""The question about those."""
BESIDE = (*SAMPLED_SCORES, "naswot", "repaired", "flops", "params", UNITS)
"""Scores that are told of them."""


def accuracies() -> pd.DataFrame:
    """Test accuracy in percent of each training and their mean, by code.

    Raises:
        BenchmarkMissing: the user has not brought the benchmark's accuracies.
    """
    columns = {"arch": "text: the code", "test_acc_mean": "percent: mean of the trainings"}
    columns |= dict.fromkeys(TRAININGS, "percent: of one training")
    return read_table("nasbench_macro_cifar10.csv", columns, SOURCE).set_index("arch")


def registered() -> pd.DataFrame:
    """The file of predictions."""
    return REGISTERED.predictions(arch=str)


@functools.cache
def _sums() -> pd.DataFrame:
    """The sums over layers by code."""
    return pd.DataFrame({code: space.layer_sums(code) for code in space.codes()}, SUMS).T


@functools.cache
def _sampled() -> pd.DataFrame:
    """Every score of the networks that were drawn for those of 2023 to 2026, and the mean accuracy."""
    drawn = sample(SAMPLED)
    peers = PEER_SCORES.read().loc[drawn, [f"{name}_s0" for name in SAMPLED_SCORES]]
    peers = peers.set_axis(SAMPLED_SCORES, axis=1).set_axis([networks()[row] for row in drawn])
    known = accuracies()["test_acc_mean"].rename("accuracy")
    mean = known.groupby(known.index.map(space.canonical)).mean()
    return peers.join([registered().set_index("arch"), _sums(), mean])


@functools.cache
def _endpoints(*extra: str) -> pd.DataFrame:
    """The registered comparisons by population, score and baseline."""
    predictions = registered()
    scores = [name for name in predictions if name != "arch" and not name.startswith("az_")] + ["az_nas"]
    if extra:
        predictions, scores = predictions.join(_sums(), on="arch"), list(extra)
    found = judge.endpoints(predictions, accuracies()["test_acc_mean"], scores)
    found["baseline"] = found["baseline"].fillna(ALONE)
    return found.set_index(["population", "score", "baseline"])


def first_row(*, score: str) -> dict[str, float]:
    """How far the code that a score puts first lies below the best."""
    return {"regret": judge.regret(registered(), accuracies()["test_acc_mean"], score)}


def after_row(*, question: str, score: str) -> dict[str, Any]:
    """One comparison that nobody had registered."""
    predictions, known = registered(), accuracies()
    rows = predictions.join(_sums(), on="arch").join(known[["test_acc_mean", *TRAININGS]], on="arch")
    families = rows["arch"].map(space.canonical).tolist()
    if question in COUNTED:
        return _endpoints(COUNTED[question]).loc[(score, COUNTED[question], ALONE)].to_dict()
    if question == DRAWN:
        found: Any = correlate_many(*_sampled()[[score, "accuracy"]].to_numpy(float).T)
    elif question == "agreement with units":
        found = correlate_many(rows[score], rows[UNITS], families=families)
    elif question == "minus units":
        found = compare_many(rows[score], rows[UNITS], rows["test_acc_mean"], families=families)
    else:
        found = correlate_many(rows[question], rows[score])
    return {"kendall": found.kendall, "n": found.n} | dict(
        zip(("low", "high"), found.kendall_interval, strict=True)
    )


def best_row(*, score: str, top: int) -> dict[str, float]:
    """nDCG@P over all codes, which nobody had registered."""
    rows = registered().join(_sums(), on="arch").join(accuracies()["test_acc_mean"], on="arch")
    return {"ndcg": ndcg(rows[score], rows["test_acc_mean"], top)}


JUDGED = judged_table(
    STUDY,
    _endpoints,
    population="which codes, networks or pairs",
    unit="a network with all its codes",
    counted="codes, networks, or pairs of codes",
)
FIRST = Table(
    study=STUDY,
    name="first_choices",
    compute=first_row,
    units={
        "score": "name: which score",
        "regret": "percentage point: how far the code that it puts first lies below the best one",
    },
    otherwise=ARITHMETIC,
)
AFTER = Table(
    study=STUDY,
    name="after_opening",
    compute=after_row,
    units={
        "question": "name: what is asked, or one training whose order is held against another's",
        "score": "name: which score, population or training",
        **{name: JUDGED.units[name] for name in JUDGED.values},
    },
    agreement={"n": EXACT},
    otherwise=ARITHMETIC,
)


BEST = Table(
    study=STUDY,
    name="best",
    compute=best_row,
    units={
        "score": "name: which score",
        "top": "count: codes that it ranks first and whose gain counts",
        "ndcg": "1: nDCG@P, see zenlib.stats.ndcg",
    },
    otherwise=ARITHMETIC,
)
TOP = 656
"""A tenth of the codes."""


def is_open() -> bool:
    """Whether the user has brought the accuracies, and the predictions are complete."""
    return REGISTERED.is_open(accuracies)


TABLES = (JUDGED, FIRST, AFTER, BEST)


@dataclass(frozen=True)
class Opened:
    """What came out; tables without lines where nothing is stored and no accuracy is there."""

    judged: pd.DataFrame  # one line per population, score and baseline
    first: pd.DataFrame  # one line per score
    after: pd.DataFrame  # one line per question and score
    best: pd.DataFrame  # nDCG@P, one line per score


def run(whole: bool) -> Opened:
    """Judges the predictions, or reads what was stored where the accuracies are not there.

    Args:
        whole: whether all networks were scored; else nothing can be judged.
    """
    if not whole or not is_open():
        return Opened(JUDGED.stored(), FIRST.stored(), AFTER.stored(), BEST.stored())
    scores = [score for population, score, _ in _endpoints().index if population == "all"]
    scores = list(dict.fromkeys(scores))
    asked = [(question, population) for question in COUNTED for population in POPULATIONS]
    asked += [(DRAWN, score) for score in BESIDE if peers_are_there(SAMPLED)]
    asked += [(question, score) for question in ("agreement with units", "minus units") for score in scores]
    asked += [(a, b) for place, a in enumerate(TRAININGS) for b in TRAININGS[place + 1 :]]
    return Opened(
        fill(JUDGED, _endpoints()),
        FIRST.fill([{"score": score} for score in scores]),
        AFTER.fill([{"question": question, "score": score} for question, score in asked]),
        BEST.fill([{"score": score, "top": TOP} for score in (*scores, UNITS)]),
    )


def facts(opened: Opened) -> dict[str, str]:
    """The numbers of the result, by the names of populations, scores and baselines."""
    told: dict[str, str] = _Unknown(sampled=str(SAMPLED), top=str(TOP))
    for line in opened.judged.itertuples(index=False):
        place = line.population.replace(" ", "_")
        kind = line.score if line.baseline == ALONE else f"minus_{line.baseline}"
        told[f"came_{place}_{kind}"] = bracketed(line.kendall, line.low, line.high)
    for name, (low, high) in judge.GUESSES.items():
        told[f"hit_{name}"] = _hit(_value(opened.judged, name, ALONE), low, high)
    told["hit_gain"] = _hit(_value(opened.judged, *judge.PRIMARY), *judge.GUESSED_GAIN)
    hits = [told[f"hit_{name}"] for name in (*judge.GUESSES, "gain")]
    told["hits"], told["guesses"] = str(hits.count("inside")), str(len(hits))
    for name, comparison in (("primary", judge.PRIMARY), ("second", judge.SECOND)):
        table = opened.judged
        told[f"verdict_{name}"] = judge.verdict(table, comparison) if len(table) else "not opened here"
    told |= {f"regret_{line.score}": number(line.regret) for line in opened.first.itertuples(index=False)}
    for line in opened.after.itertuples(index=False):
        name = f"after_{line.question}_{line.score}".replace(" ", "_")
        told[name] = bracketed(line.kendall, line.low, line.high)
    told |= {f"ndcg_{line.score}": number(line.ndcg, 3) for line in opened.best.itertuples(index=False)}
    pairs = opened.after[opened.after["question"].isin(TRAININGS)]["kendall"]
    told["tau_trainings"] = number(pairs.mean()) if len(pairs) else UNKNOWN
    told["ceiling"] = number(ceiling(pairs.mean())) if len(pairs) else UNKNOWN
    return told | {name: told[name] for name in _needed() if name not in told}


def ceiling(between: float, trainings: int = 3) -> float:
    """Kendall's tau that a perfect score would have with the mean of some trainings.

    With normal accuracies Kendall's tau is (2 / pi) asin(r), the mean of k trainings has the reliability
    k r / (1 + (k - 1) r), and nothing correlates with it by more than the root of that.

    Args:
        between: Kendall's tau between two trainings.
        trainings: how many are averaged.
    """
    r = math.sin(math.pi / 2 * between)
    return 2 / math.pi * math.asin(math.sqrt(trainings * r / (1 + (trainings - 1) * r)))


class _Unknown(dict[str, str]):
    """Facts of which those that are missing are unknown."""

    def __missing__(self, key: str) -> str:
        return UNKNOWN


def _needed() -> list[str]:
    """Facts that the page names whatever is stored."""
    scores = [*judge.GUESSES, "naswot", "az_nas", "built", "synflow", "zico", "closed_form", "zen_frobenius"]
    scores = list(dict.fromkeys(scores))
    names = [f"came_{place.replace(' ', '_')}_{score}" for place in POPULATIONS for score in scores]
    names += [f"came_{place}_minus_{name}" for place in ("all", "top") for name in judge.BASELINES]
    names += [f"regret_{score}" for score in scores] + [f"ndcg_{score}" for score in (*scores, UNITS)]
    names += [f"after_{asked}_{place}".replace(" ", "_") for asked in COUNTED for place in POPULATIONS]
    names += [f"after_{DRAWN}_{score}".replace(" ", "_") for score in BESIDE]
    names += [
        f"after_{question}_{score}"
        for question in ("agreement_with_units", "minus_units")
        for score in scores
    ]
    return names


def _value(judged: pd.DataFrame, score: str, baseline: str) -> float:
    found = row_at(judged, population="all", score=score, baseline=baseline)
    return math.nan if found is None else float(found["kendall"])


def _hit(value: float, low: float, high: float) -> str:
    if math.isnan(value):
        return "not opened here"
    return "inside" if low <= value <= high else "below" if value < low else "above"
