"""What the chapter on every proxy and benchmark tells: tables, published values beside ours, facts."""

from __future__ import annotations

import pandas as pd
from IPython.display import HTML

from experiments.benchmarks.fidelity import OFFICIAL, SETTINGS, Setting
from experiments.benchmarks.network_scores import BENCHMARKS, column
from experiments.benchmarks.stored_scores import NAMES, PREDICTORS
from experiments.benchmarks.switches import CEILING_COLUMNS, DRAWS, MOST, SIZE, VALUE, ZEN
from experiments.chapters.benchmarks.study import CELLS, COSTS, VANILLA_LIKE, BenchmarkRows
from experiments.record.estimates import ENDS
from experiments.record.wording import Told, bracketed, interval, number
from zenlib.proxies import PROXIES
from zenlib.proxies.counts import SUMS

TITLES = {
    ("nats_sizes", "cifar10"): "NATS sizes",
    ("pycls", "imagenet"): "pycls",
    ("torchvision", "imagenet"): "torchvision",
    ("nasbench201", "cifar10"): "NB201, CIFAR-10",
    ("nasbench201", "cifar100"): "NB201, CIFAR-100",
    ("nasbench201", "imagenet16"): "NB201, ImageNet-16",
    ("nasbench101", "cifar10"): "NB101",
}
"""Columns of the chapter's tables: benchmark and data set."""


NOT_PROXIES = (*COSTS, *SUMS, "random")

_ZICO = "ZiCo (2023)"
_RELEASED = "zen-as-built-l1-running"
PUBLISHED: tuple[tuple[str, str, str, str, tuple[float, ...]], ...] = (
    (_ZICO, "nasbench201", _RELEASED, "kendall", (0.29, 0.28, 0.29)),
    (_ZICO, "nasbench201", _RELEASED, "spearman", (0.38, 0.36, 0.40)),
    (_ZICO, "nasbench201", "params", "kendall", (0.57, 0.55, 0.52)),
    (_ZICO, "nasbench201", "flops", "kendall", (0.54, 0.51, 0.49)),
    (_ZICO, "nasbench201", "synflow", "kendall", (0.54, 0.57, 0.56)),
    (_ZICO, "nasbench201", "naswot", "kendall", (0.58, 0.62, 0.60)),
    (_ZICO, "nasbench201", "zico", "kendall", (0.61, 0.61, 0.60)),
    ("VKDNW (2025)", "nasbench201", _RELEASED, "kendall", (0.102, 0.079, 0.091)),
    ("VKDNW (2025)", "nasbench201", "flops", "kendall", (0.623, 0.586, 0.545)),
    ("VKDNW (2025)", "nasbench201", "layers", "kendall", (0.626, 0.646, 0.623)),
    ("VKDNW (2025)", "nasbench201", "az-nas", "kendall", (0.712, 0.696, 0.673)),
    ("AZ-NAS (2024)", "nasbench201", "az-nas", "kendall", (0.741, 0.723, 0.710)),
    ("VKDNW (2025)", "nasbench201", "vkdnw", "kendall", (0.618, 0.634, 0.622)),
    ("VKDNW (2025)", "nasbench201", "vkdnw-aggregate", "kendall", (0.750, 0.753, 0.743)),
    ("NEAR (2025)", "nasbench201", "near", "kendall", (0.70, 0.69, 0.66)),
    ("MeCo (2023)", "nasbench201", "meco", "spearman", (0.894, 0.883, 0.845)),
    ("InTrain (2026)", "nasbench201", "intrain", "kendall", (0.669, 0.671, 0.675)),
    ("epsinas (2023)", "nasbench201", "epsinas", "kendall", (0.69,)),
    ("WRCor (2025)", "nasbench201", "wrcor", "spearman", (0.812,)),
    ("APD (2025)", "nasbench201", "swap", "kendall", (0.634, 0.649, 0.610)),
    (_ZICO, "nats_sizes", _RELEASED, "kendall", (0.50,)),
    (_ZICO, "nats_sizes", "params", "kendall", (0.53,)),
    (_ZICO, "nats_sizes", "flops", "kendall", (0.19,)),
    (_ZICO, "nats_sizes", "zico", "kendall", (0.54,)),
    (_ZICO, "nasbench101", _RELEASED, "kendall", (0.46,)),
    (_ZICO, "nasbench101", _RELEASED, "spearman", (0.63,)),
    (_ZICO, "nasbench101", "params", "kendall", (0.31,)),
    (_ZICO, "nasbench101", "params", "spearman", (0.43,)),
    (_ZICO, "nasbench101", "zico", "kendall", (0.46,)),
    (_ZICO, "nasbench101", "zico", "spearman", (0.63,)),
    (_ZICO, "nasbench101", "grad-norm", "kendall", (-0.17,)),
)
"""Source, benchmark, proxy, coefficient, and the values of the benchmark's data sets in their order."""

NOT_MEASURED = "not measured"

LIVE = "no dead edges"
"""The 9,445 cells of NAS-Bench-201 in which every operation lies on a path, among them the empty one."""
AUTHORS = Setting("photo", 32, "default")
"""What comes nearest to how the stored scores were computed."""
POPULATION_OF = {"VKDNW (2025)": LIVE}
"""Source -> which cells of NAS-Bench-201 its table was found to take; the others take all."""


GIVEN = ("zen", "zen-as-built-l1-minibatch", "synflow", "zico", "naswot", "az-expressivity", "az-nas")
"""Proxies whose partial correlations and pairs of equal cost the prose tells; the figures have all."""


def measured_names(rows: BenchmarkRows) -> dict[str, str]:
    """What the chapter calls the proxies that have a correlation anywhere, in its order."""
    measured = set(rows.correlations["proxy"])
    return {name: text for name, text in NAMES.items() if name in measured}


def overview(rows: BenchmarkRows, coefficient: str = "kendall") -> pd.DataFrame:
    """Proxies by benchmarks: "estimate [95 % interval] rank", the costs first; empty where undefined.

    Args:
        rows: of the study.
        coefficient: "kendall" or "spearman".
    """
    found = _ranked(rows, coefficient)
    texts = {
        title: {
            NAMES[row.proxy]: f"{interval(row, coefficient)} ({row.rank:.0f})"
            for row in found[(found["benchmark"] == at[0]) & (found["dataset"] == at[1])].itertuples()
        }
        for at, title in TITLES.items()
    }
    shown = pd.DataFrame(texts, index=[NAMES[name] for name in PREDICTORS]).dropna(how="all")
    return shown.astype(object).fillna("").rename_axis("proxy")


def _ranked(rows: BenchmarkRows, coefficient: str) -> pd.DataFrame:
    """The lines of all networks with the rank of each proxy in its column, 1 for the highest."""
    found = rows.correlations[rows.correlations["population"] == "all"]
    return found.assign(rank=found.groupby(["benchmark", "dataset"])[coefficient].rank(ascending=False))


def mean_ranks(rows: BenchmarkRows, benchmarks: tuple[str, ...]) -> pd.Series:
    """Mean rank by Kendall's tau of the proxies that have a value in all these benchmarks, best first."""
    found = _ranked(rows, "kendall")
    table = found[found["benchmark"].isin(benchmarks)].pivot_table(
        index="proxy", columns=["benchmark", "dataset"], values="rank"
    )
    return table.dropna().mean(axis=1).sort_values(kind="stable")


def published(rows: BenchmarkRows) -> pd.DataFrame:
    """Published values beside ours.

    Source, benchmark, proxy, coefficient, both values, our interval and number of networks.
    """
    found = rows.correlations.set_index(["benchmark", "dataset", "proxy", "population"])
    lines = []
    for source, benchmark, proxy, coefficient, values in PUBLISHED:
        for dataset, value in zip(BENCHMARKS[benchmark].datasets, values, strict=False):
            at = benchmark, dataset, proxy, POPULATION_OF.get(source, "all")
            if at in found.index:
                row = found.loc[at]
                ours = (row[f"{coefficient}{end}"] for end in ENDS)
                about = (source, TITLES[benchmark, dataset], at[-1], NAMES[proxy], coefficient, value)
                lines.append((*about, *ours, row["n"]))
    return pd.DataFrame(
        lines,
        columns=[
            *("source", "networks", "population", "proxy", "coefficient"),
            *("published", "ours", "low", "high", "n"),
        ],
    )


def published_table(rows: BenchmarkRows) -> pd.DataFrame:
    """`published` as text."""
    found = published(rows)
    ours = [bracketed(row.ours, row.low, row.high) for row in found.itertuples()]
    symbols = found["coefficient"].map({"kendall": "tau", "spearman": "rho"})
    shown = found.assign(ours=ours, published=found["published"].map(number), coefficient=symbols)
    shown["n"] = found["n"].map("{:,.0f}".format)
    return shown.drop(columns=["low", "high"]).set_index("source")


def populations(rows: BenchmarkRows) -> pd.DataFrame:
    """Tau on all cells of NAS-Bench-201 and on those without dead edges, published values beside."""
    told: dict[str, dict[str, str]] = {}
    found = rows.correlations[rows.correlations["benchmark"] == "nasbench201"]
    for row in found[found["population"].isin(("all", LIVE))].itertuples():
        title = f"{TITLES['nasbench201', row.dataset].removeprefix('NB201, ')}, {row.population}"
        told.setdefault(title, {})[NAMES[row.proxy]] = interval(row, "kendall")
    for source, benchmark, proxy, coefficient, values in PUBLISHED:
        if benchmark == "nasbench201" and coefficient == "kendall":
            title = f"published, {POPULATION_OF.get(source, 'all')}"
            told.setdefault(title, {})[NAMES[proxy]] = (
                f"{'/'.join(f'{value:g}' for value in values)} {source}"
            )
    order = [title for title in sorted(told) if not title.startswith("published")]
    return _by_proxy(told, [*order, *sorted(set(told) - set(order))])


def top(rows: BenchmarkRows) -> pd.DataFrame:
    """nDCG@P of every proxy with P and the number of networks; 1 for the order of the accuracies."""
    told: dict[str, dict[str, str]] = {}
    for row in rows.top.itertuples():
        people = "" if row.population == "all" else f", {row.population}"
        title = f"{TITLES[row.benchmark, row.dataset]}{people}"
        told.setdefault(title, {})[NAMES[row.proxy]] = f"{row.ndcg:.3f} ({row.top:.0f} of {row.n:,.0f})"
    return _by_proxy(told, list(told))


def fidelity(rows: BenchmarkRows) -> pd.DataFrame:
    """Spearman's rho with the stored scores of NAS-Bench-Suite-Zero, one column for each setting."""
    told: dict[str, dict[str, str]] = {}
    for row in rows.fidelity.sort_values(["cells", "images", "batch_size", "initialisation"]).itertuples():
        what = "suite" if row.beside == "suite" else "another draw"
        title = f"{row.batch_size} {row.images}, {row.initialisation}, {row.cells} cells: {what}"
        told.setdefault(title, {})[row.proxy] = bracketed(
            row.spearman, row.spearman_low, row.spearman_high, 3
        )
    return pd.DataFrame(told).fillna("").T.rename_axis("setting")


def switched(rows: BenchmarkRows) -> pd.DataFrame:
    """Spearman's rho with the stored scores, one choice switched in each row, and of the mean of all draws.

    `ceiling_suite` is the largest that chance allows on these cells.
    """
    switches = rows.suite_switches.replace({"switch": {"none": "nothing"}})
    means = rows.ceilings[rows.ceilings["cells"].isin(switches["cells"])]
    limits = means[means["of"] == VALUE].set_index("proxy")[[f"ceiling_suite{end}" for end in ENDS]]
    texts = {VALUE: f"mean rank of {DRAWS} draws", SIZE: "the same, sign left out"}
    means = means.assign(switch=means["of"].map(texts), **{f"spearman{e}": means[f"found{e}"] for e in ENDS})
    columns = ["proxy", "switch", "cells", "n", *(f"spearman{end}" for end in ENDS)]
    return pd.concat([switches[columns], means[columns]]).join(limits, on="proxy")


def audit(rows: BenchmarkRows) -> pd.DataFrame:
    """What each proxy takes from its authors, and how near its values come to theirs."""
    found = rows.fidelity[(rows.fidelity["beside"] == "suite") & (rows.fidelity["cells"] == 120)]
    nearest = found.sort_values("spearman").drop_duplicates("proxy", keep="last").set_index("proxy")
    lines = [
        proxy.origin
        | {"agreement": interval(nearest.loc[name], "spearman", 3) if name in nearest.index else ""}
        for name, proxy in PROXIES.items()
    ]
    return pd.DataFrame(lines, index=pd.Index(list(PROXIES), name="proxy"))


def whole(table: pd.DataFrame) -> HTML:
    """A table with all its rows and all of its text, which a notebook would cut."""
    with pd.option_context("display.max_colwidth", None, "display.max_rows", None):
        return HTML(table.to_html())


def _by_proxy(told: dict[str, dict[str, str]], titles: list[str]) -> pd.DataFrame:
    rows = [NAMES[name] for name in PREDICTORS if any(NAMES[name] in texts for texts in told.values())]
    return pd.DataFrame(told, index=rows, columns=titles).fillna("").rename_axis("proxy")


def _published_facts(rows: BenchmarkRows) -> dict[str, str]:
    """Per benchmark, how many of the published values lie within the interval of ours, of how many."""
    found = published(rows)
    within = (found["low"] <= found["published"]) & (found["published"] <= found["high"])
    told = {}
    for (benchmark, dataset), title in TITLES.items():
        here = found["networks"] == title
        told[f"published_{benchmark}_{dataset}"] = (
            f"{within[here].sum()} of {here.sum()}" if here.any() else NOT_MEASURED
        )
    return told


def facts(rows: BenchmarkRows) -> dict[str, str]:
    """Every number of the chapter's prose. Correlations read "estimate [95 % interval]"."""
    told: dict[str, str] = {}
    for (benchmark, dataset), _ in TITLES.items():
        place = f"{benchmark}_{dataset}"
        told |= _correlation_facts(rows, benchmark, dataset, place)
        told |= _best_facts(rows, benchmark, dataset, place)
        told |= _given_facts(rows, benchmark, dataset, place)
    return (
        told
        | _rank_facts(rows)
        | _isomorphic_facts(rows)
        | _seed_facts(rows)
        | _redrawn_facts(rows)
        | _published_facts(rows)
        | _fidelity_facts(rows)
        | _switch_facts(rows)
        | _ceiling_facts(rows)
        | _top_facts(rows)
    )


def _fidelity_facts(rows: BenchmarkRows) -> dict[str, str]:
    """Agreement with the stored scores by setting, and between two draws of our own."""
    told = {
        f"fidelity_{column(proxy)}_{setting}": NOT_MEASURED
        for proxy in OFFICIAL
        for setting in (*SETTINGS, f"{AUTHORS}_redrawn")
    }
    for row in rows.fidelity.sort_values("cells").itertuples():  # the most cells last
        setting = Setting(row.images, row.batch_size, row.initialisation)
        end = "" if row.beside == "suite" else "_redrawn"
        told[f"fidelity_{column(row.proxy)}_{setting}{end}"] = bracketed(
            row.spearman, row.spearman_low, row.spearman_high, 3
        )
    counts = rows.fidelity["cells"]
    few, many = (f"{counts.min()}", f"{counts.max()}") if len(counts) else (NOT_MEASURED, NOT_MEASURED)
    return told | {"fidelity_few": few, "fidelity_many": many}


def _switch_facts(rows: BenchmarkRows) -> dict[str, str]:
    """What each switch of the Zen-Score gives, and how many networks the switches were tried on."""
    counted = {"cells": rows.suite_switches, "networks": rows.zen_switches}
    told = {
        f"switched_{count}": f"{found[count].max()}" if len(found) else NOT_MEASURED
        for count, found in counted.items()
    }
    rows_of = Told(rows.zen_switches, ["benchmark", "switch"], NOT_MEASURED)
    for at in ((name, switch) for name, switches in ZEN.items() for switch in switches):
        fact = f"switched_{'_'.join(at).replace(' ', '_').replace(chr(39), '')}"
        told[fact] = rows_of.interval(at, "kendall", 2)
        told[f"{fact}_undefined"] = rows_of.text(at, "{undefined:.0f}")
    return told


def _ceiling_facts(rows: BenchmarkRows) -> dict[str, str]:
    """How near draws of ours come to stored ones, how near they could, and whether that is the same."""
    found = rows.ceilings.sort_values("cells").drop_duplicates(["proxy", "of"], keep="last")
    rows_of = Told(found, ["proxy", "of"], NOT_MEASURED)
    told: dict[str, str] = {}
    for at in MOST:
        name = f"{column(at[0])}_{at[1]}"
        told |= {f"limit_{what}_{name}": rows_of.interval(at, what, 3) for what in CEILING_COLUMNS}
        told |= {f"limit_{count}_{name}": rows_of.text(at, f"{{{count}:.0f}}") for count in ("n", "draws")}
        told[f"limit_verdict_{name}"] = (
            ("cannot be told from it" if rows_of.rows[at]["gap_suite_high"] >= 0 else "stays below it")
            if at in rows_of.rows
            else NOT_MEASURED
        )
    return told


def _top_facts(rows: BenchmarkRows) -> dict[str, str]:
    """nDCG@P on NAS-Bench-201, CIFAR-10, where all cells were scored."""
    found = rows.top[(rows.top["benchmark"] == "nasbench201") & (rows.top["dataset"] == "cifar10")]
    known = found.set_index(["population", "proxy"])["ndcg"]
    return {
        f"ndcg_{people}_{column(proxy)}": f"{known[name, proxy]:.3f}"
        if (name, proxy) in known
        else NOT_MEASURED
        for name, people in (("all", "all"), (LIVE, "live"))
        for proxy in PREDICTORS
    }


def _correlation_facts(rows: BenchmarkRows, benchmark: str, dataset: str, place: str) -> dict[str, str]:
    told: dict[str, str] = {}
    found = Told(rows.correlations, ["benchmark", "dataset", "population", "proxy"], NOT_MEASURED)
    live = [(LIVE, "_live")] if (benchmark, dataset) == ("nasbench201", "cifar10") else []
    for population, people in (("all", ""), ("top 10 %", "_top"), *live):
        for proxy in PREDICTORS:
            at = benchmark, dataset, population, proxy
            name = f"{place}{people}_{column(proxy)}"
            told[f"tau_{name}"] = found.interval(at, "kendall")
            if people != "_top":
                told[f"n_{name}"] = found.text(at, "{n:,.0f}")
    return told


def _best_facts(rows: BenchmarkRows, benchmark: str, dataset: str, place: str) -> dict[str, str]:
    """The proxy with the highest tau, and how many beat each cost by more than the interval."""
    found = rows.correlations
    found = found[
        (found["benchmark"] == benchmark) & (found["dataset"] == dataset) & (found["population"] == "all")
    ]
    proxies = found[~found["proxy"].isin(NOT_PROXIES)]
    if proxies.empty:
        told = dict.fromkeys((f"best_{place}", f"best_tau_{place}", f"proxies_{place}"), NOT_MEASURED)
        return told | {f"{verb}_{place}_{cost}": NOT_MEASURED for verb in ("beat", "who") for cost in COSTS}
    best = proxies.loc[proxies["kendall"].idxmax()]
    told = {
        f"best_{place}": NAMES[best["proxy"]],
        f"best_tau_{place}": interval(best, "kendall"),
        f"proxies_{place}": str(len(proxies)),
    }
    for cost in COSTS:
        winners = proxies[proxies[f"over_{cost}_kendall_low"] > 0]
        told[f"beat_{place}_{cost}"] = str(len(winners))
        told[f"who_{place}_{cost}"] = ", ".join(NAMES[name] for name in winners["proxy"]) or "none"
    return told


def _given_facts(rows: BenchmarkRows, benchmark: str, dataset: str, place: str) -> dict[str, str]:
    """Partial Spearman correlations, and Kendall's tau at nearly equal cost."""
    told: dict[str, str] = {}
    partials = Told(rows.partials, ["benchmark", "dataset", "proxy", "given"], NOT_MEASURED)
    near = Told(rows.equal_cost, ["benchmark", "dataset", "proxy", "cost"], NOT_MEASURED)
    for proxy in GIVEN:
        for cost in ("params", "flops"):
            at, name = (benchmark, dataset, proxy, cost), f"{place}_{column(proxy)}_{cost}"
            told |= {f"partial_{name}": partials.interval(at, "spearman")}
            told |= {f"near_{name}": near.interval(at, "kendall")}
    proxies = rows.equal_cost.query(
        "benchmark == @benchmark and dataset == @dataset and proxy not in @NOT_PROXIES"
    )
    for cost in COSTS:
        chosen = proxies[proxies["cost"] == cost]
        if chosen.empty:
            names = (f"near_{what}_{place}_{cost}" for what in ("best", "positive", "pairs"))
            told |= dict.fromkeys(names, NOT_MEASURED)
            continue
        best = chosen.loc[chosen["kendall"].idxmax()]
        told[f"near_best_{place}_{cost}"] = f"{NAMES[best['proxy']]} {interval(best, 'kendall')}"
        told[f"near_positive_{place}_{cost}"] = f"{int((chosen['kendall_low'] > 0).sum())} of {len(chosen)}"
        told[f"near_pairs_{place}_{cost}"] = f"{chosen['pairs'].max():,.0f}"
    return told


def _rank_facts(rows: BenchmarkRows) -> dict[str, str]:
    """The five best mean ranks where the theory of vanilla networks is near, and on cells."""
    told: dict[str, str] = {}
    kinds = {"vanilla": VANILLA_LIKE, "cells": CELLS, "everywhere": (*VANILLA_LIKE, *CELLS)}
    for kind, benchmarks in kinds.items():
        ranks = mean_ranks(rows, benchmarks) if len(rows.correlations) else pd.Series(dtype=float)
        best = [f"{NAMES[name]} ({rank:.1f})" for name, rank in ranks.head(5).items()]
        told[f"ranks_{kind}"] = "; ".join(best) or NOT_MEASURED
        told[f"ranked_{kind}"] = str(len(ranks)) if len(ranks) else NOT_MEASURED
        for name in PREDICTORS:
            told[f"rank_{kind}_{column(name)}"] = (
                f"{ranks[name]:.1f}" if name in ranks.index else NOT_MEASURED
            )
    return told


def _isomorphic_facts(rows: BenchmarkRows) -> dict[str, str]:
    found = rows.isomorphic
    if found.empty:
        return dict.fromkeys(("isomorphic_pairs", "isomorphic_equal", "isomorphic_counts"), NOT_MEASURED)
    measured = found[~found["proxy"].isin(NOT_PROXIES)]
    equal = measured[measured["equal"] == measured["known"]]["proxy"].map(NAMES).tolist()
    counts = [f"{NAMES[row.proxy]} in {row.equal:.0f} of {row.known:.0f}" for row in measured.itertuples()]
    return {
        "isomorphic_pairs": f"{found['pairs'].max():,.0f}",
        "isomorphic_equal": ", ".join(equal) or "none",
        "isomorphic_counts": ", ".join(counts),
    }


def seed_ranges(rows: BenchmarkRows) -> pd.DataFrame:
    """How far tau moves between draws on the same networks.

    Returns:
        One line per benchmark, data set, proxy and sample: least and largest tau (`min`, `max`), number of
        draws (`count`), their `range`, and `interval`, the mean length of their 95 % intervals over networks.
    """
    at = ["benchmark", "dataset", "proxy", "drawn"]
    found = rows.redrawn.assign(interval=rows.redrawn["kendall_high"] - rows.redrawn["kendall_low"]).groupby(
        at, sort=False
    )
    tau = found["kendall"].agg(["min", "max", "count"]).assign(interval=found["interval"].mean())
    return tau[tau["count"] > 1].assign(range=lambda table: table["max"] - table["min"]).reset_index()


def _seed_facts(rows: BenchmarkRows) -> dict[str, str]:
    found = seed_ranges(rows).query("proxy != 'random'")
    if not len(found):
        names = ("compared", "median", "most", "most_where", "share", "over")
        return {f"seeds_{name}": NOT_MEASURED for name in names}
    most = found.loc[found["range"].idxmax()]
    over = found[found["range"] > found["interval"] / 2]
    places = [f"{NAMES[row.proxy]} ({TITLES[row.benchmark, row.dataset]})" for row in over.itertuples()]
    return {
        "seeds_compared": str(len(found)),
        "seeds_median": f"{found['range'].median():.3f}",
        "seeds_most": f"{most['range']:.2f}",
        "seeds_most_where": f"{NAMES[most['proxy']]}, {TITLES[most['benchmark'], most['dataset']]}",
        "seeds_share": f"{100 * (found['range'] / (found['interval'] / 2)).median():.0f} %",
        "seeds_over": ", ".join(places) or "none",
    }


def _redrawn_facts(rows: BenchmarkRows) -> dict[str, str]:
    """Per benchmark, the sizes of the samples that were scored more than once."""
    sizes = rows.redrawn.groupby("benchmark")["drawn"].unique()
    return {
        f"redrawn_{name}": " and ".join(map(str, sorted(sizes[name])))
        if name in sizes.index
        else NOT_MEASURED
        for name in BENCHMARKS
    }
