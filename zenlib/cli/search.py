"""The command `zenlib search`."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.table import Table
from typer import Option

from zenlib.cli.answer import Json, answer, say
from zenlib.cli.options import complete, completion, one_of, optional
from zenlib.durable import Fill, refusals, replace_files, write_sums
from zenlib.errors import ResultsError, extra, whole
from zenlib.networks.architecture import Architecture, Block
from zenlib.networks.named import load_architecture
from zenlib.spaces import SPACES

if TYPE_CHECKING:
    import pandas as pd

    from zenlib.search import SearchResult

FRONTS = {
    "latency": ("latency_ms", "predicted latency (ms per image)"),
    "memory": ("memory", "memory of one image (bytes)"),
    "params": ("params", "parameters"),
    "flops": ("flops", "multiply-adds"),
}
"""Costs that a front may have, with their columns and labels."""
REPORT = """# Search in {found.settings[space]}

![Best score against the number of scored networks](convergence.png)
{front}
| what | value |
|---|---|
{values}
## Best network

| block | kernel | in | out | stride | inner | layers |
|---|---|---|---|---|---|---|
{blocks}
`{found.best}`

## Settings

```json
{settings}
```
"""
SCORES = ("closed-form", "zen", "params", "flops")
BATCH_HELP = "Batch of the predicted latency."
WORKERS_HELP = "Processes that score; 0 for this one. The closed form is quicker without."
TIMEOUT_HELP = "Seconds that a worker may take for one network, which then has no score."
SCORE_HELP = "closed-form, zen (Monte Carlo), or another name in `zenlib proxies`."
MEMORY_HELP = "At most this much of 8-bit feature maps at once: 320KB (of 1,024 bytes), 1MB or bytes."
INITIAL_HELP = "First network: a ZenNet, a structure, or the folder of a search; else random."
FRONT_HELP = f"Also tell which networks no other beats in score and in {', '.join(FRONTS)}."


def search(
    space: Annotated[str, one_of(*SPACES)],
    out: Annotated[Path, Option(help="Folder of the results; a search that is there goes on.")],
    evaluations: Annotated[int, Option(help="Networks to score, besides proposals turned away.")] = 96_000,
    params: Annotated[float | None, optional("At most this many parameters, such as 1e6.")] = None,
    flops: Annotated[float | None, optional("At most this many multiply-adds.")] = None,
    depth: Annotated[int | None, optional("At most this many layers.")] = None,
    latency_ms: Annotated[float | None, optional("At most this predicted latency, ms per image.")] = None,
    latency_batch: Annotated[int, Option("--latency-batch", "--batch-size", help=BATCH_HELP)] = 1,
    latency_table: Annotated[Path | None, optional("CSV of convolutions measured on another device.")] = None,
    precision: Annotated[str, Option(help="Which times of that table: fp32, fp16 or int8.")] = "fp16",
    memory: Annotated[str | None, optional(MEMORY_HELP)] = None,
    score: Annotated[str, Option(help=SCORE_HELP, autocompletion=completion(*SCORES))] = "closed-form",
    strategy: Annotated[str, one_of("evolution", "random", "reinforce")] = "evolution",
    mutation: Annotated[str, one_of("paper", "released")] = "paper",
    population: Annotated[int, Option(help="Networks that the evolution keeps.")] = 256,
    resolution: Annotated[int, Option(help="Side of the images in pixels.")] = 32,
    num_classes: Annotated[int, Option(help="Classes, which count in the parameters.")] = 100,
    initial: Annotated[str | None, optional(INITIAL_HELP, complete=complete)] = None,
    round_size: Annotated[int, Option(help="Networks between two updates of the population.")] = 64,
    seed: Annotated[int, Option(help="Seed of all draws.")] = 0,
    workers: Annotated[int, Option(help=WORKERS_HELP)] = 0,
    scheduler_file: Annotated[Path | None, optional("Scheduler file of a Dask cluster that scores.")] = None,
    score_timeout: Annotated[float | None, optional(TIMEOUT_HELP)] = None,
    front: Annotated[str | None, optional(FRONT_HELP, complete=completion(*FRONTS))] = None,
    resume: Annotated[bool, Option(help="Go on with the search that is in the folder.")] = True,
    as_json: Json = False,
) -> None:
    """Look for the network with the highest score within a budget.

    Writes best.txt (the structure), history.parquet (every scored network), report.md and convergence.png,
    with their digests in SHA256SUMS. A search that was killed goes on from search.journal when the same
    command is given again, and ends as if it had not been killed. --front adds front.csv and front.png, also
    when the search has ended.
    """
    from zenlib.search import Budget
    from zenlib.search import search as run
    from zenlib.search.checkpoint import HISTORY, JOURNAL
    from zenlib.search.executors import open_executor

    with extra("search"):
        import zenlib.cli.figure  # noqa: F401  # tell of what is missing before the search, not after

    if front is not None and front not in FRONTS:
        raise ValueError(f"front: needed one of {', '.join(FRONTS)}, got {front!r}")
    if front == "latency" and latency_ms is None:
        raise ValueError("front: needed --latency-ms beside --front latency, so that latencies are predicted")
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: needed a folder, new or of an earlier search, got the file {out}; name one")
    journal, history = out / JOURNAL, out / HISTORY
    there = next((path for path in (journal, history) if path.exists()), None)
    if there and not resume:
        raise ValueError(f"out: needed a folder without a search for --no-resume, got {there}; name another")
    if there == history:
        raise ValueError(f"out: needed {JOURNAL} beside {history}, got none; name another folder")
    predictor: Any = None
    if latency_table is not None:
        if latency_ms is None:
            raise ValueError("latency_ms: needed a limit for what --latency-table predicts, got none")
        from zenlib.search.latency_table import LatencyTable

        predictor = LatencyTable(latency_table, precision, latency_batch)
    elif latency_ms is not None:
        from zenlib.search.latency import LatencyPredictor  # torch is needed only here

        predictor = LatencyPredictor(batch_size=whole("latency_batch", latency_batch))
    if score_timeout is not None and scheduler_file is None:
        workers = workers or 1  # a score that hangs can be ended only in another process
    with open_executor(workers, scheduler_file) as executor:
        found = run(
            space,
            score,
            Budget(params, flops, depth, latency_ms, predictor, None if memory is None else _bytes(memory)),
            evaluations=evaluations,
            population=population,
            seed=seed,
            resolution=resolution,
            num_classes=num_classes,
            initial=None if initial is None else load_architecture(initial),
            mutation=mutation,  # type: ignore[arg-type]  # checked by the search
            strategy=strategy,  # type: ignore[arg-type]  # checked by the search
            executor=executor,
            score_timeout=score_timeout,
            round_size=round_size,
            checkpoint=journal,
        )
    best = write_report(found, out, front)
    table = Table("what", "value", title=f"best of {len(found.history):,} scored networks")
    for name, value in summary(found).items():
        table.add_row(name, value)
    if best is not None:
        table.add_row(f"front of score and {front}", f"{len(best):,} networks, in {out / 'front.csv'}")
    told = {} if best is None else {"front": best.to_dict(orient="records")}
    answer(facts(found) | told, table, as_json)
    if not as_json:
        say(str(found.best))


def _bytes(text: str) -> float:
    """A number of bytes, such as of 320KB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d+)?) *([km]?)i?b?", text.strip().lower())
    if found is None:
        raise ValueError(f"memory: needed bytes such as 320KB, 1MB or 327680, got {text!r}")
    return float(found[1]) * {"": 1, "k": 2**10, "m": 2**20}[found[2]]


def facts(found: SearchResult) -> dict[str, Any]:
    """The result as data."""
    best = found.history.loc[found.history["score"].idxmax()]
    return {
        "best": str(found.best),
        "score": found.best_score,
        **best[["params", "flops", "depth", "latency_ms", "generation"]],
        "memory": _peak(found, found.best),
        "scored": len(found.history),
        "proposed": found.proposed,
        "rejected": found.rejected,
        "seconds": found.seconds,
        "settings": found.settings,
    }


def _peak(found: SearchResult, network: Architecture) -> int:
    return network.peak_memory(found.settings["resolution"], found.settings["num_classes"])


def summary(found: SearchResult) -> dict[str, str]:
    """The result in a few lines, as text."""
    best = found.history.loc[found.history["score"].idxmax()]
    rejected = Counter(found.rejected)
    reasons = ", ".join(f"{name} {count:,}" for name, count in rejected.most_common()) or "none"
    rate = len(found.history) / max(found.seconds, 1e-9)
    lines = {
        "score": f"{found.best_score:.3f} ({found.settings['score']})",
        "parameters": f"{int(best['params']):,}",
        "multiply-adds": f"{int(best['flops']):,}",
        "depth": str(int(best["depth"])),
        "peak memory": f"{_peak(found, found.best):,} bytes of 8-bit feature maps",
        "found as": f"number {int(best['id']):,}, generation {int(best['generation'])}",
        "proposals": f"{found.proposed:,}, of which {rejected.total():,} were turned away ({reasons})",
        "without a score": f"{int((found.history['fate'] == 'failed').sum()):,}",
        "time": f"{found.seconds:.1f} s, {rate:,.0f} scored networks a second",
    }
    if best["latency_ms"] == best["latency_ms"]:
        lines["predicted latency"] = f"{best['latency_ms']:.4f} ms per image"
    return lines


def write_report(found: SearchResult, out: Path, cost: str | None = None) -> pd.DataFrame | None:
    """Writes what a search leaves in its folder, and the digests of it; returns the front of a cost."""
    from zenlib.search import front as fronts_of
    from zenlib.search.checkpoint import HISTORY, write_history

    with extra("search"):
        from zenlib.cli.figure import convergence, fronts

    history, best, front = found.history, None, ""
    files: dict[Path, Fill] = {}
    write_history(out / HISTORY, history, found.settings)
    if cost is not None:
        column, label = FRONTS[cost]
        if cost == "memory":
            networks = map(Architecture.from_string, history["architecture"])
            history = history.assign(memory=[_peak(found, network) for network in networks])
        best = fronts_of(history, column)[["architecture", "score", column]]
        table, front = best.to_csv(index=False).encode(), f"\n![Score against {label}](front.png)\n"
        files[out / "front.csv"] = lambda file: file.write(table)
        files[out / "front.png"] = partial(fronts(history, best, column, label).savefig, format="png")
    files[out / "convergence.png"] = partial(convergence(history).savefig, format="png")
    values = "".join(f"| {name} | {_text(value)} |\n" for name, value in summary(found).items())
    blocks = "".join(map(_table_row, found.best.blocks))
    settings = json.dumps(found.settings, indent=2)
    report = REPORT.format(found=found, front=front, values=values, blocks=blocks, settings=settings)
    files[out / "best.txt"] = lambda file: file.write(f"{found.best}\n".encode())
    files[out / "report.md"] = lambda file: file.write(report.encode())
    with refusals(out, ResultsError):
        replace_files(files)
    write_sums([out / HISTORY, *files], ResultsError)
    return best


def _text(value: str) -> str:
    """The value as it is in a cell of Markdown, such as a score that is called `<lambda>`."""
    return re.sub(r"([\\`*_\[\]<>|&])", r"\\\1", value)


def _table_row(block: Block) -> str:
    kind = f"{block.kind} x{block.expansion}" if block.expansion else block.kind
    widths = f"{block.kernel} | {block.in_channels} | {block.out_channels} | {block.stride}"
    return f"| {kind} | {widths} | {block.bottleneck or ''} | {block.layers} |\n"
