"""The command line: `zenlib search`, `latency`, `score`, `convert`, `correlate`, `train`, `evaluate` and `export`.

Commands answer on standard output; progress and errors go to standard error. Exit codes: 0 done, 1 refused with a message,
2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from zenlib import commands
from zenlib.architecture import Architecture, Block
from zenlib.commands.options import load_architecture, names_architecture
from zenlib.durable import replace_file
from zenlib.errors import ResultsError
from zenlib.spaces import SPACES
from zenlib.zennets import ZENNETS, zennet_resolution

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

    from zenlib.search import SearchResult
    from zenlib.stats import Correlation

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Training-free architecture search with the Zen-Score."
)

LARGE = 500
"""Networks in a table beyond which intervals come from influence functions."""

commands.register(app)

Network = Annotated[str, typer.Argument(help="A ZenNet (zennet-1.0M), a torchvision name (resnet50), or a structure string.", show_default=False)]
Resolution = Annotated[int | None, typer.Option(help="Side of the images in pixels; 32 for CIFAR ZenNets, 224 else.", show_default=False)]


@app.command()
def score(
    network: Network,
    resolution: Resolution = None,
    repeats: Annotated[int, typer.Option(help="Monte-Carlo repeats.")] = 8,
    batch_size: Annotated[int, typer.Option(help="Images per repeat.")] = 16,
    seed: Annotated[int, typer.Option(help="Seed of the repeats.")] = 0,
) -> None:
    """Zen-Score of a network, by Monte Carlo and, for chains, in closed form."""
    from zenlib.closed_form import closed_form_zen_score
    from zenlib.vcnn import to_vcnn
    from zenlib.zen import zen_score

    loaded, side = load_network(network), resolution or default_resolution(network)
    vcnn = to_vcnn(loaded, side)
    table = Table("score", "value (nats)", title=f"{network} at {side} x {side}")
    table.add_row("Monte Carlo (L1, mini-batch)", str(zen_score(vcnn, batch_size=batch_size, repeats=repeats, seed=seed)))
    if vcnn.is_chain:
        table.add_row("closed form", f"{closed_form_zen_score(vcnn):.3f}")
    Console().print(table)


@app.command()
def convert(network: Network, resolution: Resolution = None) -> None:
    """The vanilla network that is scored: one line per step, and what was removed."""
    from zenlib.vcnn import to_vcnn

    print(to_vcnn(load_network(network), resolution or default_resolution(network)))


@app.command()
def latency(
    network: Network,
    resolution: Resolution = None,
    batch_size: Annotated[int, typer.Option(help="Images per pass.")] = 1,
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16.")] = "float32",
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1; CUDA where there is one.", show_default=False)] = None,
    table: Annotated[Path | None, typer.Option(help="File of measured pieces; one per device in the cache folder.", show_default=False)] = None,
) -> None:
    """Latency of a network: measured and, for networks of the search spaces, predicted from measured pieces."""
    import torch

    from zenlib.search.latency import LatencyPredictor, measure_latency

    loaded, side = load_network(network), resolution or default_resolution(network)
    if dtype not in ("float32", "float16", "bfloat16"):
        raise ValueError(f"dtype: needed float32, float16 or bfloat16, got {dtype!r}")
    predictor = LatencyPredictor(batch_size=batch_size, device=device, dtype=dtype, table=table)
    measured = measure_latency(loaded, side, batch_size=batch_size, device=device, dtype=getattr(torch, dtype))
    shown = Table("latency", "ms per image", title=f"{network} at {side} x {side}, batch {batch_size}, {dtype}, {predictor.describe()['device']}")
    shown.add_row(f"measured, median of {measured.repeats}", f"{measured.milliseconds:.4f} +- {measured.spread:.4f}")
    shown.add_row("measured, lower quartile", f"{measured.undisturbed:.4f}")
    if isinstance(loaded, Architecture):
        shown.add_row("predicted", f"{predictor.predict(loaded, side):.4f}")
    Console().print(shown)
    if isinstance(loaded, Architecture):
        Console(stderr=True).print(f"measured pieces: {predictor.path}", soft_wrap=True)


@app.command()
def search(
    space: Annotated[str, typer.Option(help=f"{' or '.join(SPACES)}.")],
    out: Annotated[Path, typer.Option(help="Folder of the results; a search that is there goes on.")],
    evaluations: Annotated[int, typer.Option(help="Networks to score; proposals that are turned away do not count.")] = 96_000,
    params: Annotated[float | None, typer.Option(help="At most this many parameters, such as 1e6.", show_default=False)] = None,
    flops: Annotated[float | None, typer.Option(help="At most this many multiply-adds.", show_default=False)] = None,
    depth: Annotated[int | None, typer.Option(help="At most this many layers.", show_default=False)] = None,
    latency_ms: Annotated[float | None, typer.Option(help="At most this predicted latency, ms per image.", show_default=False)] = None,
    latency_batch: Annotated[int, typer.Option(help="Batch of the predicted latency.")] = 1,
    score: Annotated[str, typer.Option(help="closed-form, zen (Monte Carlo), or another name in zenlib.PROXIES.")] = "closed-form",
    strategy: Annotated[str, typer.Option(help="evolution, random or reinforce.")] = "evolution",
    mutation: Annotated[str, typer.Option(help="paper or released.")] = "paper",
    population: Annotated[int, typer.Option(help="Networks that the evolution keeps.")] = 256,
    resolution: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 32,
    num_classes: Annotated[int, typer.Option(help="Classes, which count in the parameters.")] = 100,
    initial: Annotated[str | None, typer.Option(help="First network, as a ZenNet or a structure string; else random.", show_default=False)] = None,
    round_size: Annotated[int, typer.Option(help="Networks between two updates of the population.")] = 64,
    seed: Annotated[int, typer.Option(help="Seed of all draws.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes that score; 0 for this one. The closed form is quicker without.")] = 0,
    scheduler_file: Annotated[Path | None, typer.Option(help="Scheduler file of a Dask cluster that scores.", show_default=False)] = None,
    resume: Annotated[bool, typer.Option(help="Go on with the search in the folder, if there is one.")] = True,
) -> None:
    """Look for the network with the highest score within a budget.

    Writes best.txt (the structure), history.parquet (every scored network, also the checkpoint), report.md and convergence.png.
    A search that was killed goes on when the same command is given again, and ends as if it had not been killed.
    """
    from zenlib.search import Budget
    from zenlib.search import search as run
    from zenlib.search.executors import open_executor
    from zenlib.search.latency import LatencyPredictor

    if out.exists() and not out.is_dir():
        raise ValueError(f"out: needed a folder, new or of an earlier search, got the file {out}; name a folder")
    checkpoint = out / "history.parquet"
    if checkpoint.exists() and not resume:
        raise ValueError(f"out: needed a folder without a search, since --no-resume was given; got {out}; name another folder or delete {checkpoint}")
    predictor = LatencyPredictor(batch_size=latency_batch) if latency_ms is not None else None
    with open_executor(workers, scheduler_file) as executor:
        found = run(
            space,
            score,
            Budget(params=params, flops=flops, depth=depth, latency_ms=latency_ms, latency=predictor),
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
    Console().print(table)
    print(found.best)


def summary(found: SearchResult) -> dict[str, str]:
    """The result in a few lines, as text."""
    best = found.history.loc[found.history["score"].idxmax()]
    rejected = sum(found.rejected.values())
    reasons = ", ".join(f"{name} {count:,}" for name, count in sorted(found.rejected.items(), key=lambda item: -item[1]))
    lines = {
        "score": f"{found.best_score:.3f} ({found.settings['score']})",
        "parameters": f"{int(best['params']):,}",
        "multiply-adds": f"{int(best['flops']):,}",
        "depth": str(int(best["depth"])),
        "found as": f"number {int(best['id']):,}, generation {int(best['generation'])}",
        "proposals": f"{found.proposed:,}, of which {rejected:,} were turned away ({reasons or 'none'})",
        "without a score": f"{int((found.history['fate'] == 'failed').sum()):,}",
        "time": f"{found.seconds:.1f} s, {len(found.history) / max(found.seconds, 1e-9):,.0f} scored networks a second",
    }
    if best["latency_ms"] == best["latency_ms"]:
        lines["predicted latency"] = f"{best['latency_ms']:.4f} ms per image"
    return lines


def write_report(found: SearchResult, out: Path) -> None:
    """Writes best.txt, convergence.png and report.md into the folder of a search."""
    from zenlib.plots.search import convergence

    replace_file(out / "best.txt", lambda file: file.write(f"{found.best}\n".encode()), ResultsError)
    replace_file(out / "convergence.png", lambda file: convergence(found.history).savefig(file, format="png"), ResultsError)
    lines = [
        f"# Search in {found.settings['space']}",
        "",
        "![Best score against the number of scored networks](convergence.png)",
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


@app.command()
def correlate(
    file: Annotated[Path, typer.Argument(help="A CSV file with one network a row.", show_default=False)],
    scores: Annotated[list[str], typer.Option("--score", help="Column of a score; may be given several times.")],
    accuracy: Annotated[str, typer.Option(help="Column of the trained accuracy.")],
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of an interval; larger tables take influence functions.")] = 2000,
) -> None:
    """Kendall's tau and Spearman's rho of your own scores with accuracies, with 95 % intervals."""
    rows = read_columns(file, [*scores, accuracy])
    table = Table("score", "n", "Kendall tau [95 %]", "Spearman rho [95 %]", title=f"{file.name}, accuracy in {accuracy}")
    for column in scores:
        found = correlate_columns(rows[column].to_numpy(), rows[accuracy].to_numpy(), resamples)
        ends = zip((found.kendall, found.spearman), (found.kendall_interval, found.spearman_interval), strict=True)
        table.add_row(column, str(found.n), *(f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, (low, high) in ends))
    Console().print(table)


def read_columns(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Columns of a CSV file as numbers.

    Raises:
        ValueError: no such file, a column is missing or holds text, or a value is missing.
    """
    import pandas as pd

    if not file.is_file():
        raise ValueError(f"file: needed a CSV file, found none at {file}")
    try:
        rows = pd.read_csv(file)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise ValueError(f"{file}: needed a CSV file with a header and one network a row, got a file that is none ({error})") from error
    missing = [column for column in columns if column not in rows]
    if missing:
        raise ValueError(f"{file}: needed the columns {', '.join(columns)}, got no {', '.join(missing)}; it has {', '.join(map(str, rows.columns))}")
    for column in columns:
        numbers = pd.to_numeric(rows[column], errors="coerce")
        bad = rows.index[numbers.isna()]
        if len(bad):
            found = rows[column][bad[0]]
            raise ValueError(f"{file}: needed a number in every row of {column}, got {found!r} in line {bad[0] + 2}; leave out networks without one")
        rows[column] = numbers
    return rows


def correlate_columns(scores: Any, accuracies: Any, resamples: int) -> Correlation:
    """By bootstrap where that is quick, else by influence functions."""
    from zenlib.influence import correlate_many
    from zenlib.stats import correlate

    if len(scores) > LARGE:
        return correlate_many(scores, accuracies)
    return correlate(scores, accuracies, resamples=resamples)


def _table_row(block: Block) -> str:
    kind = f"{block.kind} x{block.expansion}" if block.expansion else block.kind
    values = (kind, block.kernel, block.in_channels, block.out_channels, block.stride, block.bottleneck or "", block.layers)
    return f"| {' | '.join(map(str, values))} |"


def load_network(text: str) -> Architecture | nn.Module:
    """A ZenNet or torchvision classifier by name, or what a structure string or a file with one describes.

    Raises:
        ValueError: it is none of them.
    """
    if names_architecture(text):
        return load_architecture(text)
    from torchvision.models import get_model, list_models

    if text not in list_models():
        raise ValueError(
            f"network: needed a ZenNet ({', '.join(ZENNETS)}), a torchvision classifier such as resnet50, a structure string or a file with one; "
            f"got {text!r}"
        )
    return get_model(text, weights=None)


def default_resolution(text: str) -> int:
    """Side in pixels of the images a named network is meant for."""
    return zennet_resolution(text) if text in ZENNETS else 224


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; an error that a user can mend is one message, not a traceback."""
    try:
        app(args=None if arguments is None else list(arguments))
    except ValueError as error:
        _complain(error)
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; the same command goes on from the last checkpoint")
        sys.exit(130)


def _complain(error: Any) -> None:
    console = Console(stderr=True)
    console.print("error: ", style="bold red", end="")
    console.print(str(error), markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
