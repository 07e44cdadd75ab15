"""The command line: answers go to standard output; progress, errors and what networks print to the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from rich.console import Console

from zenlib import __version__
from zenlib.cli.answer import alone
from zenlib.cli.correlate import correlate
from zenlib.cli.latency import latency
from zenlib.cli.score import convert, proxies, rank, score
from zenlib.cli.search import search
from zenlib.cli.trained import evaluate, export, train
from zenlib.threads import cap_threads

EXIT_CODES = """Exit codes: 0 done, 1 refused, 2 wrong usage, 70 failed unexpectedly, 130 interrupted.

A network of your own, such as my_module.py:Net, is imported from its file, which runs the code in it.

A command that was interrupted goes on where it was when it is given again.
`zenlib COMMAND --help` shows examples; `zenlib --install-completion` teaches your shell the commands.
"""
COMMANDS: dict[Callable[..., None], tuple[str, ...]] = {
    score: (
        "zenlib score resnet50",
        "zenlib score zennet-1.0M --repeats 32 --json",
        "zenlib score my_module.py:Net --resolution 64",
        "zenlib score timm:resnet18d --proxy synflow --proxy naswot",
        "zenlib score resnet18 --proxy naswot --batch images.npy",
        "zenlib score found",
        "zenlib score - --workers 4 < names.txt",
    ),
    rank: (
        "zenlib rank 'timm:regnet*' --top 10 --workers 4",
        "zenlib rank resnet50 'densenet*' found --json",
    ),
    proxies: ("zenlib proxies", "zenlib proxies --json"),
    convert: ("zenlib convert resnet50", "zenlib convert my_module.py:Net --resolution 64 --json"),
    latency: (
        "zenlib latency zennet-0.1ms --device cuda --batch-size 64 --dtype float16",
        "zenlib latency resnet50 --json",
    ),
    search: (
        "zenlib search --space resnet-like --params 1e6 --depth 18 --out found",
        "zenlib search --space mobilenet-like --flops 400e6 --resolution 224 --num-classes 1000 --out found",
        "zenlib search --space resnet-like --latency-ms 0.2 --initial zennet-0.1ms --score zen --workers 8 "
        "--out found",
    ),
    correlate: ("zenlib correlate mine.csv --score zen --score params --accuracy top1",),
    train: (
        "zenlib train zennet-1.0M --data cifar10 --root data/cifar10 --out trained",
        "zenlib train found/best.txt --data digits --set epochs=5 --out trained",
        "torchrun --nproc-per-node=8 -m zenlib.cli train zennet-0.1ms --data imagenet --root data/imagenet "
        "--recipe imagenet-plain --out trained",
    ),
    evaluate: ("zenlib evaluate zennet-1.2ms --checkpoint zennet.pth --data imagenet --root data/imagenet",),
    export: (
        "zenlib export zennet-1.0M --checkpoint trained/last.pth --resolution 32 --out net.onnx",
        "zenlib export resnet18 --out resnet18.onnx --json",
    ),
}
"""Every command with the examples that its help shows."""

app = typer.Typer(name="zenlib", no_args_is_help=True, pretty_exceptions_enable=False, epilog=EXIT_CODES)
for command, examples in COMMANDS.items():
    app.command(epilog="\n".join(["Examples:", *(f"  {example}" for example in examples)]))(alone()(command))


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error arose: its traceback.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Training-free architecture search with the Zen-Score."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; an error that a user can mend is one message, not a traceback."""
    cap_threads()
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]  # it may stand anywhere
    try:
        app(args=words, prog_name="zenlib")
    except SystemExit as end:
        if end.code == 130:
            _tell("", "interrupted; the same command goes on from the last checkpoint")
        raise
    except Exception as error:
        if debug:
            raise
        if isinstance(error, ValueError):
            _tell("error: ", str(error))
            sys.exit(1)
        _tell(
            "error: ",
            f"{type(error).__name__}: {error}\nThis was not foreseen; `zenlib --debug {' '.join(words)}` "
            "shows where it arose.",
        )
        sys.exit(70)


def _tell(what: str, message: str) -> None:
    console = Console(stderr=True, emoji=False)
    console.print(what, style="bold red", end="")
    console.print(message, markup=False, highlight=False, soft_wrap=True)
