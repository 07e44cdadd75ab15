"""The command `zenlib search`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from zenlib.cli.answer import Json, answer
from zenlib.cli.network import complete, load_architecture
from zenlib.cli.options import completion
from zenlib.durable import replace_file
from zenlib.errors import ResultsError
from zenlib.networks.architecture import Block
from zenlib.spaces import SPACES

if TYPE_CHECKING:
    from zenlib.search import SearchResult


def search(
    space: Annotated[str, typer.Option(help=f"{' or '.join(SPACES)}.", autocompletion=completion(*SPACES))],
    out: Annotated[Path, typer.Option(help="Folder of the results; a search that is there goes on.")],
    evaluations: Annotated[
        int, typer.Option(help="Networks to score; proposals that are turned away do not count.")
    ] = 96_000,
    params: Annotated[
        float | None, typer.Option(help="At most this many parameters, such as 1e6.", show_default=False)
    ] = None,
    flops: Annotated[
        float | None, typer.Option(help="At most this many multiply-adds.", show_default=False)
    ] = None,
    depth: Annotated[int | None, typer.Option(help="At most this many layers.", show_default=False)] = None,
    latency_ms: Annotated[
        float | None, typer.Option(help="At most this predicted latency, ms per image.", show_default=False)
    ] = None,
    latency_batch: Annotated[
        int, typer.Option("--latency-batch", "--batch-size", help="Batch of the predicted latency.")
    ] = 1,
    latency_table: Annotated[
        Path | None,
        typer.Option(help="CSV of convolutions measured on another device.", show_default=False),
    ] = None,
    precision: Annotated[str, typer.Option(help="Which times of that table: fp32, fp16 or int8.")] = "fp16",
    memory: Annotated[
        str | None,
        typer.Option(
            help="At most this much of 8-bit feature maps at once: 320KB (of 1,024 bytes), 1MB or bytes.",
            show_default=False,
        ),
    ] = None,
    score: Annotated[
        str,
        typer.Option(
            help="closed-form, zen (Monte Carlo), or another name in `zenlib proxies`.",
            autocompletion=completion("closed-form", "zen", "params", "flops"),
        ),
    ] = "closed-form",
    strategy: Annotated[
        str,
        typer.Option(
            help="evolution, random or reinforce.",
            autocompletion=completion("evolution", "random", "reinforce"),
        ),
    ] = "evolution",
    mutation: Annotated[
        str, typer.Option(help="paper or released.", autocompletion=completion("paper", "released"))
    ] = "paper",
    population: Annotated[int, typer.Option(help="Networks that the evolution keeps.")] = 256,
    resolution: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 32,
    num_classes: Annotated[int, typer.Option(help="Classes, which count in the parameters.")] = 100,
    initial: Annotated[
        str | None,
        typer.Option(
            help="First network: a ZenNet, a structure, or the folder of a search; else random.",
            autocompletion=complete,
            show_default=False,
        ),
    ] = None,
    round_size: Annotated[int, typer.Option(help="Networks between two updates of the population.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    workers: Annotated[
        int, typer.Option(help="Processes that score; 0 for this one. The closed form is quicker without.")
    ] = 0,
    scheduler_file: Annotated[
        Path | None, typer.Option(help="Scheduler file of a Dask cluster that scores.", show_default=False)
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on with the search in the folder, if there is one.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Look for the network with the highest score within a budget.

    Writes best.txt (the structure), history.parquet (every scored network, also the checkpoint), report.md
    and convergence.png. A search that was killed goes on when the same command is given again, and ends as if
    it had not been killed.
    """
    from zenlib.search import Budget
    from zenlib.search import search as run
    from zenlib.search.executors import open_executor
    from zenlib.search.latency import LatencyPredictor
    from zenlib.search.latency_table import LatencyTable

    if out.exists() and not out.is_dir():
        raise ValueError(
            f"out: needed a folder, new or of an earlier search, got the file {out}; name a folder"
        )
    checkpoint = out / "history.parquet"
    if checkpoint.exists() and not resume:
        raise ValueError(
            f"out: needed a folder without a search, since --no-resume was given; got {out}; name another "
            f"folder or delete {checkpoint}"
        )
    if latency_table is not None and latency_ms is None:
        raise ValueError("latency_ms: needed a limit for what --latency-table predicts, got none; give one")
    predictor: LatencyPredictor | LatencyTable | None = None
    if latency_table is not None:
        predictor = LatencyTable(latency_table, precision, latency_batch)
    elif latency_ms is not None:
        predictor = LatencyPredictor(batch_size=latency_batch)
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
            round_size=round_size,
            checkpoint=checkpoint,
        )
    write_report(found, out)
    table = Table("what", "value", title=f"best of {len(found.history):,} scored networks")
    for name, value in summary(found).items():
        table.add_row(name, value)
    answer(facts(found), table, as_json)
    if not as_json:
        print(found.best)


def _bytes(text: str) -> float:
    """A number of bytes, such as of 320KB."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?(?:e\d+)?) *([km]?)i?b?", text.strip().lower())
    if found is None:
        raise ValueError(f"memory: needed bytes such as 320KB, 1MB or 327680, got {text!r}")
    return float(found[1]) * {"": 1, "k": 2**10, "m": 2**20}[found[2]]


def facts(found: SearchResult) -> dict[str, Any]:
    """The result as data."""
    best = found.history.loc[found.history["score"].idxmax()]
    costs = {name: best[name] for name in ("params", "flops", "depth", "latency_ms", "generation")}
    counts = {"scored": len(found.history), "proposed": found.proposed, "rejected": dict(found.rejected)}
    return {
        "best": str(found.best),
        "score": found.best_score,
        **costs,
        "memory": _peak(found),
        **counts,
        "seconds": found.seconds,
        "settings": found.settings,
    }


def _peak(found: SearchResult) -> int:
    return found.best.peak_memory(found.settings["resolution"], found.settings["num_classes"])


def summary(found: SearchResult) -> dict[str, str]:
    """The result in a few lines, as text."""
    best = found.history.loc[found.history["score"].idxmax()]
    rejected = sum(found.rejected.values())
    reasons = ", ".join(
        f"{name} {count:,}" for name, count in sorted(found.rejected.items(), key=lambda item: -item[1])
    )
    lines = {
        "score": f"{found.best_score:.3f} ({found.settings['score']})",
        "parameters": f"{int(best['params']):,}",
        "multiply-adds": f"{int(best['flops']):,}",
        "depth": str(int(best["depth"])),
        "peak memory": f"{_peak(found):,} bytes of 8-bit feature maps",
        "found as": f"number {int(best['id']):,}, generation {int(best['generation'])}",
        "proposals": f"{found.proposed:,}, of which {rejected:,} were turned away ({reasons or 'none'})",
        "without a score": f"{int((found.history['fate'] == 'failed').sum()):,}",
        "time": (
            f"{found.seconds:.1f} s, {len(found.history) / max(found.seconds, 1e-9):,.0f} scored networks a "
            "second"
        ),
    }
    if best["latency_ms"] == best["latency_ms"]:
        lines["predicted latency"] = f"{best['latency_ms']:.4f} ms per image"
    return lines


def write_report(found: SearchResult, out: Path) -> None:
    """Writes best.txt, convergence.png and report.md into the folder of a search."""
    try:
        from zenlib.cli.figure import convergence
    except ModuleNotFoundError:
        picture = (
            "Without a figure of the scores: `pip install matplotlib`, then give the same command again."
        )
    else:
        picture = "![Best score against the number of scored networks](convergence.png)"
        replace_file(
            out / "convergence.png",
            lambda file: convergence(found.history).savefig(file, format="png"),
            ResultsError,
        )
    replace_file(out / "best.txt", lambda file: file.write(f"{found.best}\n".encode()), ResultsError)
    lines = [
        f"# Search in {found.settings['space']}",
        "",
        picture,
        "",
        "| what | value |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in summary(found).items()),
        "",
        "## Best network",
        "",
        "| block | kernel | in | out | stride | inner | layers |",
        "|---|---|---|---|---|---|---|",
        *map(_table_row, found.best.blocks),
        "",
        f"`{found.best}`",
        "",
        "## Settings",
        "",
        "```json",
        json.dumps(found.settings, indent=2),
        "```",
        "",
    ]
    replace_file(out / "report.md", lambda file: file.write("\n".join(lines).encode()), ResultsError)


def _table_row(block: Block) -> str:
    kind = f"{block.kind} x{block.expansion}" if block.expansion else block.kind
    values = (
        kind,
        block.kernel,
        block.in_channels,
        block.out_channels,
        block.stride,
        block.bottleneck or "",
        block.layers,
    )
    return f"| {' | '.join(map(str, values))} |"
