"""What a search by the Zen-Score finds: against published networks and other generators, and how alike.

All searches rank by the closed form; the best network of each is scored again by Monte Carlo, and so is the
published one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from experiments.chapters.search.tables import (
    LATENCIES,
    LATENCY_SEARCHES,
    LIMITS,
    POPULATIONS,
    RANDOM,
    RESCORED,
    SEARCHES,
    STUDY,
    TABLES,
)
from experiments.record.wording import bracketed, interval, number, signed, span
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import zennet_architecture
from zenlib.scores.closed_form import closed_form_zen_score

__all__ = ["STUDY", "TABLES", "facts", "run"]


class Task(NamedTuple):
    """A budget of the paper, with the network published for it."""

    published: str
    space: str
    resolution: int
    num_classes: int
    max_params: int = 0
    max_flops: int = 0
    max_latency: float = 0.0
    max_depth: int = 0


TASKS = {
    "0.5M": Task("zennet-0.5M", "resnet-like", 32, 10, max_params=500_466, max_depth=16),
    "1M": Task("zennet-1.0M", "resnet-like", 32, 10, max_params=1_000_000, max_depth=18),
    "2M": Task("zennet-2.0M", "resnet-like", 32, 10, max_params=2_000_000, max_depth=20),
    "400M": Task("zennet-400M-SE", "mobilenet-like", 224, 1000, max_flops=400_213_376, max_depth=14),
    "600M": Task("zennet-600M-SE", "mobilenet-like", 224, 1000, max_flops=600_000_000, max_depth=14),
    "900M": Task("zennet-900M-SE", "mobilenet-like", 224, 1000, max_flops=909_269_280, max_depth=16),
}
"""The paper's budgets, without gates, raised to the published network's own cost where that is higher."""
RELEASED_INITIAL = {
    "resnet-like": (
        "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,1,8,1)SuperResK3K3(16,32,2,16,1)"
        "SuperResK3K3(32,64,2,32,1)"
        "SuperResK3K3(64,64,2,32,1)SuperConvK1BNRELU(64,128,1,1)"
    ),
    "mobilenet-like": (
        "SuperConvK3BNRELU(3,8,2,1)SuperResIDWE6K3(8,32,2,8,1)SuperResIDWE6K3(32,48,2,32,1)"
        "SuperResIDWE6K3(48,96,2,48,1)"
        "SuperResIDWE6K3(96,128,2,96,1)SuperConvK1BNRELU(128,2048,1,1)"
    ),
}
"""First networks of the released scripts for the budgets of parameters and of FLOPs."""
INITIALS = ("random", "released")
"""Names of the two ways to start."""
MAIN = "1M"
"""The budget on which generators, rules and caps are compared."""


@dataclass(frozen=True)
class SearchRows:
    """The measurements of the chapter."""

    # one row a search: task, first network, found network, its Monte-Carlo score and that of the published
    # network
    tasks: pd.DataFrame
    main: pd.DataFrame  # long searches under the main budget
    generators: pd.DataFrame  # searches of equal length by different generators under the main budget
    # searches by rule and cap on the depth under the main budget, and the published networks
    alike: pd.DataFrame
    populations: pd.DataFrame  # members of one population at growing numbers of scored candidates
    latencies: pd.DataFrame  # one row a space: predicted against measured latency


def run(
    *,
    tasks: Sequence[str] = tuple(TASKS),
    latency_nets: Sequence[str] = ("zennet-0.1ms", "zennet-0.2ms", "zennet-0.3ms"),
    latency_evaluations: int = 20_000,
    evaluations: int = 20_000,
    main_evaluations: int = 96_000,
    population: int = 256,
    seeds: int = 5,
    caps: Sequence[int] = (14, 18, 22),
    steps: Sequence[int] = (256, 1000, 4000, 20_000),
    rescore_repeats: int = 8,
    latency_resolutions: Sequence[int] = (32, 64),
    latency_networks: int = 50,
    latency_repeats: int = 24,
) -> SearchRows:
    """Runs, or reads from the store, every search and measurement of the chapter.

    Args:
        tasks: names in `TASKS`.
        latency_nets: published latency networks whose own depth and predicted latency are a budget too.
        latency_evaluations: scored candidates of a search under such a budget.
        evaluations: scored candidates of a search.
        main_evaluations: scored candidates of the long searches under the main budget.
        population: networks an evolution keeps.
        seeds: searches per setting, with seeds 0, 1, ...
        caps: limits of the depth under the main budget.
        steps: when the picture of a population is taken, scored candidates.
        rescore_repeats: repeats of the Monte-Carlo score, 16 images each.
        latency_resolutions: side of the images for the two spaces, pixels.
        latency_networks: random networks whose latency is measured, per space.
        latency_repeats: timed passes over them.
    """
    chosen = {name: TASKS[name] for name in tasks} | {
        name.removeprefix("zennet-"): _latency_task(name) for name in latency_nets
    }
    common = {"population": population, "evaluations": evaluations}

    def searches(task: Task, **changes: Any) -> pd.DataFrame:
        changes = common | ({"evaluations": latency_evaluations} if task.max_latency else {}) | changes
        table = LATENCY_SEARCHES if task.max_latency else SEARCHES
        return table.fill([_key(task, seed, **changes) for seed in range(seeds)])

    found = pd.concat(
        [
            searches(task, initial=initial).assign(task=name, start=start)
            for name, task in chosen.items()
            for start, initial in (("random", RANDOM), ("released", RELEASED_INITIAL[task.space]))
            if start == "random" or not task.max_latency
        ],
        ignore_index=True,
    )
    main = TASKS[MAIN]
    generators = {
        "evolution, paper's rule": searches(main),
        "evolution, released rule": searches(main, mutation="released"),
        "REINFORCE": searches(main, strategy="reinforce"),
        "random": searches(main, strategy="random"),
    }
    by_cap = {f"paper's rule, cap {cap}": searches(main, max_depth=cap) for cap in caps}
    by_cap[f"released rule, cap {main.max_depth}"] = generators["evolution, released rule"]
    by_cap[f"released start, cap {main.max_depth}"] = searches(main, initial=RELEASED_INITIAL[main.space])
    settings = {"batch_size": 1, "networks": latency_networks, "repeats": latency_repeats, "seed": 0}
    latencies = [
        {"space": space, "resolution": resolution} | settings
        for space, resolution in zip(("resnet-like", "mobilenet-like"), latency_resolutions, strict=True)
    ]
    pictures = [_key(main, 0, **common) | {"step": step} for step in steps if step <= evaluations]
    return SearchRows(
        tasks=_rescored(found, chosen, rescore_repeats),
        main=searches(main, evaluations=main_evaluations),
        generators=_labelled(generators, "generator"),
        alike=_with_stages(_labelled(by_cap, "setting")),
        populations=POPULATIONS.fill(pictures),
        latencies=LATENCIES.fill(latencies),
    )


def _key(task: Task, seed: int, **changes: Any) -> dict[str, Any]:
    limits = {name: value for name, value in task._asdict().items() if name != "published"}
    return limits | {"initial": RANDOM, "strategy": "evolution", "mutation": "paper", "seed": seed} | changes


def _latency_task(name: str) -> Task:
    """A published latency network's own budget: its depth, and its predicted latency, as stored."""
    limit = LIMITS.fill([{"network": name, "resolution": 224, "batch_size": 1}])["predicted"].iloc[0]
    return Task(
        name, "resnet-like", 224, 1000, max_latency=float(limit), max_depth=zennet_architecture(name).depth
    )


def _labelled(frames: dict[str, pd.DataFrame], column: str) -> pd.DataFrame:
    return pd.concat([frame.assign(**{column: name}) for name, frame in frames.items()], ignore_index=True)


def _rescored(found: pd.DataFrame, tasks: dict[str, Task], repeats: int) -> pd.DataFrame:
    """The searches with Monte-Carlo scores of what they found, and of the published network of their task."""

    def scores(networks: pd.Series) -> pd.DataFrame:
        settings = {"batch_size": 16, "repeats": repeats, "seed": 0}
        return RESCORED.fill(
            [
                {"network": network, "resolution": tasks[task].resolution} | settings
                for network, task in zip(networks, found["task"], strict=True)
            ]
        )

    published = found["task"].map(lambda name: tasks[name].published)
    ours, theirs = scores(found["best"]), scores(published)
    closed = [
        closed_form_zen_score(zennet_architecture(name), tasks[task].resolution)
        for name, task in zip(published, found["task"], strict=True)
    ]
    return found.assign(
        zen=ours["zen"],
        zen_stderr=ours["zen_stderr"],
        published=published,
        published_zen=theirs["zen"],
        published_zen_stderr=theirs["zen_stderr"],
        published_closed_form=closed,
    )


def _with_stages(found: pd.DataFrame) -> pd.DataFrame:
    """The searches and the published net with shares of inner layers: `last_stage`, all `stages` as JSON."""
    text = zennet_architecture(TASKS[MAIN].published).to_string()
    published = pd.DataFrame({"best": [text], "setting": ["published net"], "seed": [0]})
    rows = pd.concat([found, published], ignore_index=True)
    shares = [stage_shares(Architecture.from_string(text)) for text in rows["best"]]
    return rows.assign(
        last_stage=[share[-1] for share in shares],
        stages=[json.dumps(np.round(share, 4).tolist()) for share in shares],
    )


def stage_shares(architecture: Architecture) -> np.ndarray:
    """Share of the inner layers on each map size, from large to small; shape (map sizes,)."""
    layers = [0]
    for block in architecture.blocks[1:-1]:
        if block.stride > 1:
            layers.append(0)
        layers[-1] += block.layers
    return np.array(layers) / sum(layers)


def curves(rows: pd.DataFrame, by: str) -> pd.DataFrame:
    """Mean and 95 % interval over seeds of the best score so far, per value of a column and evaluations."""
    points = [
        {by: row[by], "seed": row["seed"], "evaluations": count, "score": score}
        for row in rows.to_dict("records")
        for count, score in json.loads(row["curve"])
    ]
    grouped = pd.DataFrame(points).groupby([by, "evaluations"], sort=False)["score"]
    summary = grouped.agg(["mean", "std", "count"]).reset_index()
    return summary.assign(half_width=_half_width(summary["std"], summary["count"]))


def _half_width(std: pd.Series, count: pd.Series) -> np.ndarray:
    """Half of the 95 % interval of a mean, by Student's distribution."""
    return np.asarray(stats.t.ppf(0.975, np.maximum(count - 1, 1)) * std / np.sqrt(count))


def against_published(tasks: pd.DataFrame) -> pd.DataFrame:
    """Mean gain over the published network per task and first network, with the 95 % interval over seeds."""
    gain = tasks["zen"] - tasks["published_zen"]
    grouped = tasks.assign(gain=gain).groupby(["task", "start"], sort=False)
    summary = grouped.agg(
        gain=("gain", "mean"),
        std=("gain", "std"),
        seeds=("gain", "count"),
        zen=("zen", "mean"),
        published_zen=("published_zen", "first"),
        published_stderr=("published_zen_stderr", "first"),
        params=("params", "mean"),
        flops=("flops", "mean"),
        depth=("depth", "mean"),
    ).reset_index()
    return summary.assign(half_width=_half_width(summary["std"], summary["seeds"]))


def published_closed_form() -> float:
    """Closed-form score of the network published for the main budget, nats."""
    return closed_form_zen_score(zennet_architecture(TASKS[MAIN].published), TASKS[MAIN].resolution)


def members(populations: pd.DataFrame) -> pd.DataFrame:
    """One row per member of each picture of the population."""
    rows = [
        {"step": row.step, "params": params, "depth": depth, "score": score}
        for row in populations.itertuples()
        for params, depth, score in json.loads(row.members)
    ]
    return pd.DataFrame(rows)


def latency_points(latencies: pd.DataFrame) -> pd.DataFrame:
    """One row per network: measured and predicted milliseconds."""
    rows = [
        {"space": row.space, "measured": measured, "predicted": predicted}
        for row in latencies.itertuples()
        for measured, predicted in zip(json.loads(row.measured), json.loads(row.predicted), strict=True)
    ]
    return pd.DataFrame(rows)


def facts(rows: SearchRows) -> dict[str, str]:
    """Every number of the chapter's prose."""
    return (
        _task_facts(rows.tasks)
        | _main_facts(rows.main)
        | _generator_facts(rows.generators)
        | _alike_facts(rows.alike)
        | _latency_facts(rows.latencies)
    )


def _task_facts(tasks: pd.DataFrame) -> dict[str, str]:
    summary = against_published(tasks)
    won = {start: summary.loc[summary["start"] == start, "gain"] > 0 for start in INITIALS}
    told = {"seeds": str(int(summary["seeds"].max())), "evaluations": span(tasks["evaluations"], "{:,}")}
    told |= {f"won_{start}": f"{int(wins.sum())} of {len(wins)}" for start, wins in won.items()}
    surely = summary["gain"] - summary["half_width"] > 0
    told |= {f"surely_{start}": str(int(surely[summary["start"] == start].sum())) for start in INITIALS}
    for row in summary.itertuples():
        name = str(row.task).lower().replace(".", "_")
        told[f"published_{name}"] = f"{row.published_zen:.1f} ± {row.published_stderr:.1f}"
        own = name if row.start == "random" else f"{name}_released"
        low, high = (signed(row.gain + side * row.half_width) for side in (-1, 1))
        told[f"gain_{own}"] = f"{signed(row.gain)} [{low}, {high}]"
        told[f"zen_{own}"] = f"{row.zen:.1f}"
        told[f"params_{own}"] = f"{row.params / 1e6:.2f} M"
        told[f"flops_{own}"] = f"{row.flops / 1e6:.0f} M"
        told[f"depth_{own}"] = f"{row.depth:.1f}"
    for row in tasks[tasks["max_latency"] > 0].drop_duplicates("task").itertuples():
        told[f"limit_{str(row.task).replace('.', '_')}"] = f"{row.max_latency:.0f} ms"
    return told


def _main_facts(main: pd.DataFrame) -> dict[str, str]:
    seconds, evaluations = main["search_seconds"].mean(), int(main["evaluations"].iloc[0])
    rejected = {reason: main[f"rejected_{reason}"].sum() for reason in ("depth", "params", "duplicate")}
    return {
        "main_evaluations": f"{evaluations:,}",
        "main_score": number(main["best_score"].mean(), 1),
        "main_spread": number(main["best_score"].std(), 1),
        "main_seconds": f"{seconds:.0f} s",
        "main_core_days": f"{seconds / 86_400:.5f}",
        "main_rate": f"{evaluations / seconds:,.0f}",
        "main_accepted": f"{100 * main['evaluations'].sum() / main['proposals'].sum():.0f} %",
    } | {
        f"main_rejected_{reason}": f"{100 * count / main['proposals'].sum():.0f} %"
        for reason, count in rejected.items()
    }


def _generator_facts(generators: pd.DataFrame) -> dict[str, str]:
    grouped = generators.groupby("generator", sort=False)["best_score"].agg(["mean", "std", "count"])
    names = {
        "evolution, paper's rule": "paper",
        "evolution, released rule": "released",
        "REINFORCE": "reinforce",
        "random": "random",
    }
    half = dict(zip(grouped.index, _half_width(grouped["std"], grouped["count"]), strict=True))
    return {
        f"best_{short}": bracketed(mean, mean - half[name], mean + half[name], digits=1)
        for name, short in names.items()
        for mean in (grouped["mean"][name],)
    }


def _alike_facts(alike: pd.DataFrame) -> dict[str, str]:
    told = {}
    for setting, rows in alike.groupby("setting", sort=False):
        name = "".join(c if c.isalnum() else "_" for c in str(setting).replace("'", "").lower())
        name = name.replace("__", "_")
        low, high = rows["last_stage"].min(), rows["last_stage"].max()
        told[f"last_{name}"] = f"{100 * low:.0f}{'' if len(rows) == 1 else f' to {100 * high:.0f}'} %"
    return told


def _latency_facts(latencies: pd.DataFrame) -> dict[str, str]:
    told = {"latency_networks": str(latencies["networks"].iloc[0])}
    for row in latencies.itertuples():
        name = str(row.space).partition("-")[0]
        told[f"spearman_{name}"] = interval(row, "spearman", 3)
        for error in ("error", "stored_error", "shape_error"):
            told[f"{error}_{name}"] = f"{100 * getattr(row, error):.1f} %"
        told[f"spearman_flops_{name}"] = f"{row.spearman_flops:.2f}"
        told[f"side_{name}"] = str(row.resolution)
    return told
