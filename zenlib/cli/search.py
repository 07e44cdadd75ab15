"""The command `zenlib search`."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from zenlib.cli.answer import Json, answer, say
from zenlib.cli.options import complete, completion, one_of, optional
from zenlib.durable import Fill, replace_file, write_sums
from zenlib.errors import ResultsError, whole
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

{picture}

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
SCORE_HELP = "closed-form, zen (Monte Carlo), or another name in `zenlib proxies`."
MEMORY_HELP = "At most this much of 8-bit feature maps at once: 320KB (of 1,024 bytes), 1MB or bytes."
INITIAL_HELP = "First network: a ZenNet, a structure, or the folder of a search; else random."
FRONT_HELP = f"Also tell which networks no other beats in score and in {', '.join(FRONTS)}."


def search(
    space: Annotated[str, one_of(*SPACES)],
    out: Annotated[Path, typer.Option(help="Folder of the results; a search that is there goes on.")],
    evaluations: Annotated[
        int, typer.Option(help="Networks to score; proposals that are turned away do not count.")
    ] = 96_000,
    params: Annotated[float | None, optional("At most this many parameters, such as 1e6.")] = None,
    flops: Annotated[float | None, optional("At most this many multiply-adds.")] = None,
    depth: Annotated[int | None, optional("At most this many layers.")] = None,
    latency_ms: Annotated[float | None, optional("At most this predicted latency, ms per image.")] = None,
    latency_batch: Annotated[
        int, typer.Option("--latency-batch", "--batch-size", help="Batch of the predicted latency.")
    ] = 1,
    latency_table: Annotated[Path | None, optional("CSV of convolutions measured on another device.")] = None,
    precision: Annotated[str, typer.Option(help="Which times of that table: fp32, fp16 or int8.")] = "fp16",
    memory: Annotated[str | None, optional(MEMORY_HELP)] = None,
    score: Annotated[str, typer.Option(help=SCORE_HELP, autocompletion=completion(*SCORES))] = "closed-form",
    strategy: Annotated[str, one_of("evolution", "random", "reinforce")] = "evolution",
    mutation: Annotated[str, one_of("paper", "released")] = "paper",
    population: Annotated[int, typer.Option(help="Networks that the evolution keeps.")] = 256,
    resolution: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 32,
    num_classes: Annotated[int, typer.Option(help="Classes, which count in the parameters.")] = 100,
    initial: Annotated[str | None, optional(INITIAL_HELP, complete=complete)] = None,
    round_size: Annotated[int, typer.Option(help="Networks between two updates of the population.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    workers: Annotated[
        int, typer.Option(help="Processes that score; 0 for this one. The closed form is quicker without.")
    ] = 0,
    scheduler_file: Annotated[Path | None, optional("Scheduler file of a Dask cluster that scores.")] = None,
    score_timeout: Annotated[
        float | None, optional("Seconds that a worker may take for one network, which then has no score.")
    ] = None,
    front: Annotated[str | None, optional(FRONT_HELP, complete=completion(*FRONTS))] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on with the search in the folder, if there is one.")
    ] = True,
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

    if front is not None and front not in FRONTS:
        raise ValueError(f"front: needed one of {', '.join(FRONTS)}, got {front!r}")
    if front == "latency" and latency_ms is None:
        raise ValueError("front: needed --latency-ms beside --front latency, so that latencies are predicted")
    if out.exists() and not out.is_dir():
        raise ValueError(
            f"out: needed a folder, new or of an earlier search, got the file {out}; name a folder"
        )
    journal, history = out / JOURNAL, out / HISTORY
    there = next((path for path in (journal, history) if path.exists()), None)
    if there and not resume:
        raise ValueError(
            f"out: needed a folder without a search, since --no-resume was given; got {out}; name another "
            f"folder or delete {there}"
        )
    if there == history:
        raise ValueError(
            f"out: needed {JOURNAL} beside {history}, to go on from, got none; name another folder"
        )
    if latency_table is not None and latency_ms is None:
        raise ValueError("latency_ms: needed a limit for what --latency-table predicts, got none; give one")
    predictor: Any = None
    if latency_table is not None:
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
        "memory": _peak(found),
        "scored": len(found.history),
        "proposed": found.proposed,
        "rejected": found.rejected,
        "seconds": found.seconds,
        "settings": found.settings,
    }


def _peak(found: SearchResult) -> int:
    return found.best.peak_memory(found.settings["resolution"], found.settings["num_classes"])


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
        "peak memory": f"{_peak(found):,} bytes of 8-bit feature maps",
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

    def write(name: str, fill: Fill) -> None:
        replace_file(out / name, fill, ResultsError)
        published.append(out / name)

    write_history(out / HISTORY, found.history, found.settings)
    published, best = [out / HISTORY], None
    if cost is not None:
        column, label = FRONTS[cost]
        history = _with_memory(found) if cost == "memory" else found.history
        best = fronts_of(history, column)[["architecture", "score", column]]
        table = best.to_csv(index=False).encode()
        write("front.csv", lambda file: file.write(table))
    try:
        from zenlib.cli.figure import convergence, fronts
    except ModuleNotFoundError:
        picture = (
            "Without a figure of the scores: `pip install matplotlib`, then give the same command again."
        )
    else:
        picture = "![Best score against the number of scored networks](convergence.png)"
        write("convergence.png", lambda file: convergence(found.history).savefig(file, format="png"))
        if best is not None:
            picture += f"\n\n![Score against {label}](front.png)"
            drawn = fronts(history, best, column, label)
            write("front.png", lambda file: drawn.savefig(file, format="png"))
    values = "".join(f"| {name} | {_text(value)} |\n" for name, value in summary(found).items())
    blocks = "".join(map(_table_row, found.best.blocks))
    settings = json.dumps(found.settings, indent=2)
    report = REPORT.format(found=found, picture=picture, values=values, blocks=blocks, settings=settings)
    write("best.txt", lambda file: file.write(f"{found.best}\n".encode()))
    write("report.md", lambda file: file.write(report.encode()))
    write_sums(published, ResultsError)
    return best


def _with_memory(found: SearchResult) -> pd.DataFrame:
    """The history with the memory of every network, in bytes."""
    side, classes = found.settings["resolution"], found.settings["num_classes"]
    texts = found.history["architecture"]
    memory = [Architecture.from_string(text).peak_memory(side, classes) for text in texts]
    return found.history.assign(memory=memory)


def _text(value: str) -> str:
    """The value as it is in a cell of Markdown, such as a score that is called `<lambda>`."""
    return re.sub(r"([\\`*_\[\]<>|&])", r"\\\1", value)


def _table_row(block: Block) -> str:
    kind = f"{block.kind} x{block.expansion}" if block.expansion else block.kind
    widths = f"{block.kernel} | {block.in_channels} | {block.out_channels} | {block.stride}"
    return f"| {kind} | {widths} | {block.bottleneck or ''} | {block.layers} |\n"
