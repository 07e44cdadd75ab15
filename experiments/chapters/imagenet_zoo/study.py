"""The Zen-Score of torchvision's classifiers against their published ImageNet accuracy.

Every network is scored at one resolution, three definitions from the same forward passes, then correlated
with the top-1 accuracy that torchvision publishes, and compared with what costs nothing: parameters, FLOPs
and the number of convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from experiments.benchmarks import torchvision_zoo
from experiments.benchmarks.torchvision_rows import TABLE
from experiments.benchmarks.zen_rows import DEFINITIONS
from experiments.record.correlations import partial_correlation
from experiments.record.estimates import both_coefficients
from experiments.record.wording import Told, bracketed, span
from zenlib.stats import FEWEST, Correlation, compare, correlate

COUNTS = ("convs", "flops", "params")
"""What costs nothing, of the network at the resolution of the score."""

BASELINES = (*COUNTS, "published_flops")
"""What the score has to beat; `published_flops` also knows at which resolution the accuracy was measured."""

RESAMPLES = 2000
"""Bootstrap resamples of an interval: its ends are then sure to a few hundredths of its width."""

PREDICTORS = (*DEFINITIONS, *BASELINES)

POPULATIONS: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "V1": lambda rows: rows["weights"] == "IMAGENET1K_V1",
    "V1, no VGG or AlexNet": lambda rows: (
        (rows["weights"] == "IMAGENET1K_V1") & (rows["line"] != "VGG and AlexNet")
    ),
    "V1, plain recipe": lambda rows: (rows["weights"] == "IMAGENET1K_V1") & (rows["recipe"] == "plain"),
    "V1 of V2's networks": lambda rows: (
        (rows["weights"] == "IMAGENET1K_V1")
        & rows["model"].isin(rows["model"][rows["weights"] == "IMAGENET1K_V2"])
    ),
    "V2": lambda rows: rows["weights"] == "IMAGENET1K_V2",
    "new recipe": lambda rows: rows["recipe"] == "new",
}
"""Sets of weights that are correlated, chains only.

"V1 of V2's networks" and "V2" are the same networks trained twice; "new recipe" is V2 and the V1 weights
trained like it.
"""

COMPARED = ("V1", "V1, no VGG or AlexNet", "V1 of V2's networks", "V2")
"""Populations in which predictors are compared; the others only check the rule for recipes."""

LINES = ("RegNets", "ResNets", "EfficientNets", "VGG and AlexNet", "Mobile nets")
"""Lines of families with at least five networks under one name of weights."""


TABLES = (TABLE,)


@dataclass(frozen=True)
class ZooRows:
    """What the chapter reads: one row per network and set of weights, published columns beside scores.

    Attributes:
        common: every network scored at one resolution.
        native: chains with V1 or V2 weights, scored at the crop their accuracy was measured on; empty if not
            asked for.

    In both, `flops` is for an image of `resolution`, where the score was taken, and `published_flops` for one
    of `crop`.
    """

    common: pd.DataFrame
    native: pd.DataFrame

    @cached_property
    def correlations(self) -> pd.DataFrame:
        """`correlations` of `common`."""
        return correlations(self.common)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """`differences` of `common`."""
        return differences(self.common)

    @cached_property
    def partials(self) -> pd.DataFrame:
        """`partials` of `common`."""
        return partials(self.common)

    @cached_property
    def within_lines(self) -> pd.DataFrame:
        """`within_lines` of `common`."""
        return within_lines(self.common)

    @cached_property
    def pairs_apart(self) -> pd.DataFrame:
        """`pairs_apart` of `common`."""
        return pairs_apart(self.common)


def run(
    *,
    models: Sequence[str] | None = None,
    resolution: int = 224,
    native: bool = True,
    batch_size: int = 16,
    multiply_adds: float = 5e11,
    fewest_repeats: int = 2,
    most_repeats: int = 8,
    perturbation: float = 0.01,
    seed: int = 0,
    dtype: str = "float32",
) -> ZooRows:
    """Scores the zoo, or reads it from the store, and joins the published accuracies.

    Args:
        models: torchvision names; None means every convolutional classifier.
        resolution: side of the images for every network, pixels.
        native: whether to score networks again at the crop of their weights.
        batch_size: images per repeat.
        multiply_adds: budget of one score. Repeats are as many as fit into it, each costing two passes of the
            batch, but at least `fewest_repeats` and at most `most_repeats`.
        fewest_repeats: at least 2, for a standard error.
        most_repeats: for small networks.
        perturbation: alpha.
        seed: seed of all draws.
        dtype: floating type of the computation.
    """
    if not 2 <= fewest_repeats <= most_repeats:
        raise ValueError(f"fewest_repeats: needed 2 to most_repeats ({most_repeats}), got {fewest_repeats}")
    published = _published(models)
    settings = {"batch_size": batch_size, "perturbation": perturbation, "seed": seed, "dtype": dtype}

    def scored(rows: pd.DataFrame, resolution: pd.Series | int) -> pd.DataFrame:
        at_resolution = rows.assign(
            resolution=resolution,
            published_flops=rows["flops"],
            flops=rows["flops"] * (resolution / rows["crop"]) ** 2,
        )
        affordable = multiply_adds / (2 * batch_size * at_resolution["flops"])
        at_resolution["repeats"] = affordable.clip(fewest_repeats, most_repeats).astype(int)
        wanted = at_resolution.drop_duplicates(["model", "resolution"]).sort_values("flops", kind="stable")
        scores = TABLE.fill(
            [settings | row for row in wanted[["model", "resolution", "repeats"]].to_dict("records")]
        )
        return at_resolution.drop(columns="repeats").merge(
            scores, on=["model", "resolution"], how="left", validate="many_to_one"
        )

    common = scored(published, resolution)
    measured = published[published["chain"] & published["weights"].isin(("IMAGENET1K_V1", "IMAGENET1K_V2"))]
    return ZooRows(common, scored(measured, measured["crop"]) if native else common.iloc[:0])


def _published(models: Sequence[str] | None) -> pd.DataFrame:
    rows = torchvision_zoo.zoo()
    if models is None:
        return rows
    unknown = sorted(set(models) - set(rows["model"]))
    if unknown:
        raise ValueError(
            f"models: needed names of torchvision's convolutional classifiers, got {', '.join(unknown)}"
        )
    return rows[rows["model"].isin(models)].reset_index(drop=True)


def population(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    """The chains of one population that have a score."""
    return rows[rows["chain"] & rows["l1_minibatch"].notna() & POPULATIONS[name](rows)]


def correlations(rows: pd.DataFrame) -> pd.DataFrame:
    """Correlation of every predictor with top-1 accuracy in every population.

    Returns:
        One line per population and predictor: n, `kendall` and `spearman`, each with the `_low` and `_high`
        ends of its 95 % bootstrap interval over networks and `_family_low` and `_family_high` of that over
        families. Populations of fewer than five networks are left out.
    """
    lines = [
        {"population": name, "predictor": predictor} | _measure(correlate, members, predictor, "top1")
        for name, members in _populations(rows, POPULATIONS)
        for predictor in PREDICTORS
    ]
    return pd.DataFrame(lines, columns=["population", "predictor", *_MEASURED])


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """The Zen-Score's correlation with top-1 minus that of each baseline, on the same networks and resamples.

    Columns as in `correlations`, with `baseline` for `predictor`.
    """
    lines = [
        {"population": name, "baseline": baseline}
        | _measure(compare, members, "l1_minibatch", baseline, "top1")
        for name, members in _populations(rows, COMPARED)
        for baseline in BASELINES
    ]
    return pd.DataFrame(lines, columns=["population", "baseline", *_MEASURED])


def partials(rows: pd.DataFrame) -> pd.DataFrame:
    """Partial correlation with top-1.

    Of the Zen-Score given a baseline, and of that baseline given the Zen-Score.

    Columns as in `correlations`, with `given` beside `predictor`. Populations of fewer than ten networks are
    left out.
    """
    pairs = [pair for baseline in COUNTS for pair in (("l1_minibatch", baseline), (baseline, "l1_minibatch"))]
    lines = [
        {"population": name, "predictor": predictor, "given": given}
        | _measure(partial_correlation, members, predictor, "top1", given)
        for name, members in _populations(rows, COMPARED, fewest=2 * FEWEST)
        for predictor, given in pairs
    ]
    return pd.DataFrame(lines, columns=["population", "predictor", "given", *_MEASURED])


def within_lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Correlation with top-1 inside each line of families, for the Zen-Score and the baselines.

    Columns as in `correlations`, with `line`. Lines of fewer than five networks in a population are left out.
    """
    lines = [
        {"population": name, "line": line, "predictor": predictor}
        | _measure(correlate, members, predictor, "top1")
        for name in ("V1", "V2")
        for line in LINES
        if len(members := population(rows, name).query("line == @line")) >= FEWEST
        for predictor in ("l1_minibatch", *COUNTS)
    ]
    return pd.DataFrame(lines, columns=["population", "line", "predictor", *_MEASURED])


def pairs_apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Kendall's tau over the pairs of networks within one line of families, and over those across two.

    Columns as in `correlations`, with `pairs` ("within" or "across") and `baseline`: where that is not empty
    the line is the Zen-Score's tau minus the baseline's.
    """
    lines: list[dict[str, Any]] = []
    for name, members in _populations(rows, COMPARED, fewest=2 * FEWEST):
        for pairs in ("within", "across"):
            counted: dict[str, Any] = {"families": members["line"].tolist(), "pairs": pairs}
            label: dict[str, Any] = {"population": name, "pairs": pairs}
            for predictor in ("l1_minibatch", *BASELINES):
                lines.append(
                    label
                    | {"predictor": predictor}
                    | _measure(correlate, members, predictor, "top1", **counted)
                )
            for baseline in BASELINES:
                found = _measure(compare, members, "l1_minibatch", baseline, "top1", **counted)
                lines.append(label | {"predictor": "l1_minibatch", "baseline": baseline} | found)
    return pd.DataFrame(lines, columns=["population", "pairs", "predictor", "baseline", *_MEASURED])


_ENDS = tuple(
    f"{name}{end}"
    for name in ("kendall", "spearman")
    for end in ("", "_low", "_high", "_family_low", "_family_high")
)
_MEASURED = ("n", *_ENDS)


def _populations(
    rows: pd.DataFrame, names: Iterable[str], fewest: int = FEWEST
) -> Iterator[tuple[str, pd.DataFrame]]:
    for name in names:
        members = population(rows, name)
        if len(members) >= fewest:
            yield name, members


def _measure(
    statistic: Callable[..., Correlation], members: pd.DataFrame, *columns: str, **options: Any
) -> dict[str, Any]:
    """One statistic of these columns with intervals over networks and, of three or more, over families."""
    values = [members[column].to_numpy(float) for column in columns]
    found = statistic(*values, resamples=RESAMPLES, **options)
    measured = {"n": found.n} | both_coefficients(found)
    if not options and members["family"].nunique() >= 3:
        families = {"families": members["family"].tolist(), "resample": "families"}
        over_families = both_coefficients(statistic(*values, resamples=RESAMPLES, **families))
        measured |= {name.replace("_", "_family_"): end for name, end in over_families.items() if "_" in name}
    return measured


TOO_FEW = "not measured (too few networks)"
"""What a fact says in a run over too few networks."""

_SLUGS = {
    "V1": "v1",
    "V1, no VGG or AlexNet": "modern",
    "V1, plain recipe": "plain",
    "V1 of V2's networks": "twice",
    "V2": "v2",
    "new recipe": "new",
}
_SHORT = {"l1_minibatch": "zen", "frobenius_minibatch": "frobenius", "l1_running": "released"} | {
    name: name for name in BASELINES
}


def facts(rows: ZooRows) -> dict[str, str]:
    """Every number of the chapter's prose. Correlations read "estimate [95 % interval]"."""
    common = rows.common
    return (
        _setting_facts(common)
        | _noise_facts(common)
        | _depth_facts(common)
        | _resnet_facts(common)
        | _reversal_facts(common)
        | _correlation_facts(rows)
        | _partial_facts(rows)
        | _line_facts(rows)
        | _pair_facts(rows)
        | _graph_facts(common)
        | _native_facts(rows)
    )


def score_noise(rows: pd.DataFrame, draws: int = 200, seed: int = 0) -> pd.Series:
    """Tau of the V1 chains with top-1 when each score is moved by its standard error, once per draw.

    Its spread is what the Monte-Carlo error of the scores does to the correlation.
    """
    members = population(rows, "V1")
    moved = members["l1_minibatch"].to_numpy() + members[
        "l1_minibatch_stderr"
    ].to_numpy() * np.random.default_rng(seed).normal(size=(draws, len(members)))
    return pd.Series(
        [members["top1"].corr(pd.Series(scores, members.index), method="kendall") for scores in moved]
    )


def reversals(rows: pd.DataFrame) -> pd.DataFrame:
    """Pairs of RegNets (V1 weights) that the Zen-Score orders wrongly, largest loss of accuracy first.

    Returns:
        Columns `preferred` (higher score, lower top-1) and `better` with their scores and accuracies, and
        `loss` in points.
    """
    members = population(rows, "V1").query("line == 'RegNets'")[["model", "l1_minibatch", "top1"]]
    pairs = members.merge(members, how="cross", suffixes=("_preferred", "_better"))
    wrong = pairs[
        (pairs["l1_minibatch_preferred"] > pairs["l1_minibatch_better"])
        & (pairs["top1_preferred"] < pairs["top1_better"])
    ]
    return wrong.assign(loss=wrong["top1_better"] - wrong["top1_preferred"]).sort_values(
        "loss", ascending=False, kind="stable", ignore_index=True
    )


def _setting_facts(rows: pd.DataFrame) -> dict[str, str]:
    networks = rows.drop_duplicates("model")
    told = {
        "networks": str(len(networks)),
        "chains": str(int(networks["chain"].sum())),
        "graphs": str(int((~networks["chain"]).sum())),
        "resolution": str(int(networks["resolution"].iloc[0])),
        "batch_size": str(int(networks["batch_size"].iloc[0])),
        "repeats": span(networks["repeats"]),
        "undefined": str(int(networks["l1_minibatch"].isna().sum())),
        "worst_error": f"{networks['l1_minibatch_stderr'].max():.1f}",
        "scores": span(networks.loc[networks["chain"], "l1_minibatch"].round().astype(int)),
        "resamples": str(RESAMPLES),
    }
    return told | {f"n_{slug}": str(len(population(rows, name))) for name, slug in _SLUGS.items()}


def _correlation_facts(rows: ZooRows) -> dict[str, str]:
    found, gaps = _told(rows.correlations, "predictor"), _told(rows.differences, "baseline")
    families = _told(_over_families(rows.correlations), "predictor")
    told = {
        "rho_v1_zen": found.interval(("V1", "l1_minibatch"), "spearman"),
        "tau_v1_zen_families": families.interval(("V1", "l1_minibatch"), "kendall"),
    }
    for name, slug in _SLUGS.items():
        for predictor in PREDICTORS:
            told[f"tau_{slug}_{_SHORT[predictor]}"] = found.interval((name, predictor), "kendall")
    for name in COMPARED:
        for baseline in BASELINES:
            told[f"gain_{_SLUGS[name]}_{baseline}"] = gaps.interval((name, baseline), "kendall")
    families = _told(_over_families(rows.differences), "baseline")
    return told | {
        f"gain_v1_{name}_families": families.interval(("V1", name), "kendall") for name in BASELINES
    }


def _told(frame: pd.DataFrame, *by: str) -> Told:
    return Told(frame.dropna(subset="kendall_low"), ["population", *by], TOO_FEW)


def _over_families(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with their intervals over families in the place of those over networks."""
    ends = [name for name in frame if "_family_" in name]
    over = frame.drop(columns=[name.replace("_family", "") for name in ends])
    return over.rename(columns=lambda name: name.replace("_family", ""))


def _partial_facts(rows: ZooRows) -> dict[str, str]:
    told = {}
    found = _told(rows.partials, "predictor", "given")
    for name in ("V1", "V2"):
        for baseline in COUNTS:
            for predictor, given in (("l1_minibatch", baseline), (baseline, "l1_minibatch")):
                slug = f"partial_{_SLUGS[name]}_{_SHORT[predictor]}_given_{_SHORT[given]}"
                told[slug] = found.interval((name, predictor, given), "kendall")
    return told


def _line_facts(rows: ZooRows) -> dict[str, str]:
    told = {}
    found = _told(rows.within_lines, "line", "predictor")
    for line in LINES:
        slug = f"v1_{line.lower().replace(' ', '_')}"
        told[f"n_{slug}"] = str(len(population(rows.common, "V1").query("line == @line")))
        for predictor in ("l1_minibatch", *COUNTS):
            told[f"tau_{slug}_{_SHORT[predictor]}"] = found.interval(("V1", line, predictor), "kendall")
    return told


def _pair_facts(rows: ZooRows) -> dict[str, str]:
    told = {}
    found = _told(rows.pairs_apart.fillna({"baseline": ""}), "pairs", "predictor", "baseline")
    for name in ("V1", "V1, no VGG or AlexNet", "V2"):
        for pairs in ("within", "across"):
            for predictor in ("l1_minibatch", *BASELINES):
                at = (name, pairs, predictor, "")
                told[f"{pairs}_{_SLUGS[name]}_{_SHORT[predictor]}"] = found.interval(at, "kendall")
            for baseline in BASELINES:
                at = (name, pairs, "l1_minibatch", baseline)
                told[f"{pairs}_gain_{_SLUGS[name]}_{baseline}"] = found.interval(at, "kendall")
    return told


def _noise_facts(rows: pd.DataFrame) -> dict[str, str]:
    if len(population(rows, "V1")) < FEWEST:
        return {"tau_noise": TOO_FEW}
    return {"tau_noise": f"{score_noise(rows).std():.3f}"}


def _depth_facts(rows: pd.DataFrame) -> dict[str, str]:
    """How much of the score is the number of convolutions, and what the rest says."""
    members = population(rows, "V1")
    if len(members) < FEWEST:
        return dict.fromkeys(("tau_zen_convs", "r2_zen_convs", "tau_gain_per_conv"), TOO_FEW)
    per_conv = members["l1_minibatch"] / members["convs"]
    return {
        "tau_zen_convs": _show(correlate(members["l1_minibatch"], members["convs"])),
        "r2_zen_convs": f"{members['l1_minibatch'].corr(members['convs']) ** 2:.2f}",
        "tau_gain_per_conv": _show(correlate(per_conv, members["top1"])),
    }


def _resnet_facts(rows: pd.DataFrame) -> dict[str, str]:
    """The paper's Figure 14: the five plain ResNets, which every predictor orders alike."""
    members = population(rows, "V1").query("family == 'ResNet'")
    if len(members) < FEWEST:
        return dict.fromkeys(("resnets_perfect", "resnet_scores", "resnet_top1"), TOO_FEW)
    perfect = [
        name
        for name in ("l1_minibatch", *COUNTS)
        if members[name].corr(members["top1"], method="kendall") > 1 - 1e-9
    ]
    ends = members.set_index("model").loc[["resnet50", "resnet152"]]
    return {
        "resnets_perfect": f"{len(perfect)} of {len(COUNTS) + 1}",
        "resnet_scores": " to ".join(f"{score:.0f}" for score in ends["l1_minibatch"]),
        "resnet_top1": " to ".join(f"{top1:.1f}" for top1 in ends["top1"]),
    }


def _reversal_facts(rows: pd.DataFrame) -> dict[str, str]:
    wrong = reversals(rows)
    n = len(population(rows, "V1").query("line == 'RegNets'"))
    told = {
        "regnet_pairs": str(n * (n - 1) // 2),
        "regnet_reversed": str(len(wrong)),
        "regnet_reversed_by_one": str(int((wrong["loss"] > 1).sum())),
    }
    if wrong.empty:
        return told | dict.fromkeys(("reversal_preferred", "reversal_better", "reversal_loss"), TOO_FEW)
    worst = wrong.iloc[0]

    def named(which: str) -> str:
        score, top1 = worst[f"l1_minibatch_{which}"], worst[f"top1_{which}"]
        return f"{_regnet(worst[f'model_{which}'])} (score {score:.0f}, {top1:.1f} %)"

    both = {f"reversal_{which}": named(which) for which in ("preferred", "better")}
    return told | both | {"reversal_loss": f"{worst['loss']:.1f}"}


def _graph_facts(rows: pd.DataFrame) -> dict[str, str]:
    scored = rows[(rows["weights"] == "IMAGENET1K_V1") & rows["l1_minibatch"].notna()]
    told = {}
    for name, members in (("graphs", scored[~scored["chain"]]), ("with_graphs", scored)):
        enough = len(members) >= FEWEST
        told[f"n_{name}"] = str(len(members))
        for predictor in ("l1_minibatch", *COUNTS):
            told[f"tau_{name}_{_SHORT[predictor]}"] = (
                _show(correlate(members[predictor], members["top1"])) if enough else TOO_FEW
            )
    return told


def _native_facts(rows: ZooRows) -> dict[str, str]:
    """The same correlations with every score and FLOPs count taken at the crop of the weights."""
    members = rows.native[rows.native["weights"] == "IMAGENET1K_V1"]
    moved = members.loc[members["crop"] != rows.common["resolution"].iloc[0], "model"].nunique()
    told = {"native_networks": str(moved)}
    for predictor in ("l1_minibatch", "flops"):
        told[f"tau_native_{_SHORT[predictor]}"] = (
            _show(correlate(members[predictor], members["top1"])) if len(members) >= FEWEST else TOO_FEW
        )
    return told


def _show(found: Correlation) -> str:
    return bracketed(found.kendall, *found.kendall_interval)


def _regnet(model: str) -> str:
    """The name of a RegNet as its paper writes it: "regnet_x_1_6gf" is RegNetX-1.6GF."""
    kind, size = model.removeprefix("regnet_").split("_", 1)
    return f"RegNet{kind.upper()}-{size.replace('_', '.').upper()}"
