"""The commands of `zenlib.cli`, one module each, with examples that its help shows."""

from __future__ import annotations

from collections.abc import Callable

import typer

from zenlib.commands.convert import convert
from zenlib.commands.correlate import correlate
from zenlib.commands.evaluate import evaluate
from zenlib.commands.export import export
from zenlib.commands.latency import latency
from zenlib.commands.results import merge, status
from zenlib.commands.score import proxies, score
from zenlib.commands.search import search
from zenlib.commands.train import train

COMMANDS: dict[Callable[..., None], tuple[str, ...]] = {
    score: (
        "zenlib score resnet50",
        "zenlib score zennet-1.0M --repeats 32 --json",
        "zenlib score my_module.py:Net --resolution 64",
        "zenlib score timm:resnet18d --proxy synflow --proxy naswot",
        "zenlib score found",
    ),
    proxies: ("zenlib proxies", "zenlib proxies --json"),
    convert: ("zenlib convert resnet50", "zenlib convert my_module.py:Net --resolution 64 --json"),
    latency: ("zenlib latency zennet-0.1ms --device cuda --batch-size 64 --dtype float16", "zenlib latency resnet50 --json"),
    search: (
        "zenlib search --space resnet-like --params 1e6 --depth 18 --out found",
        "zenlib search --space mobilenet-like --flops 400e6 --resolution 224 --num-classes 1000 --out found",
        "zenlib search --space resnet-like --latency-ms 0.2 --initial zennet-0.1ms --score zen --workers 8 --out found",
    ),
    correlate: ("zenlib correlate mine.csv --score zen --score params --accuracy top1",),
    train: (
        "zenlib train zennet-1.0M --data cifar10 --root data/cifar10 --out trained",
        "zenlib train found/best.txt --data digits --set epochs=5 --out trained",
        "torchrun --nproc-per-node=8 -m zenlib.cli train zennet-0.1ms --data imagenet --root data/imagenet --recipe imagenet-plain --out trained",
    ),
    evaluate: ("zenlib evaluate zennet-1.2ms --checkpoint zennet.pth --data imagenet --root data/imagenet",),
    export: (
        "zenlib export zennet-1.0M --checkpoint trained/last.pth --resolution 32 --out net.onnx",
        "zenlib export resnet18 --out resnet18.onnx --json",
    ),
}
"""Every command with its examples."""


RESULTS: dict[Callable[..., None], tuple[str, ...]] = {
    status: ("zenlib results status", "zenlib results status --study search --json"),
    merge: ("zenlib results merge /mnt/gpu-box/zenlib/experiments/results", "zenlib results merge copied --keep theirs"),
}
"""Every command of `zenlib results` with its examples."""


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    results = typer.Typer(no_args_is_help=True, help="Rows that the studies have stored: what there is, and what comes from other machines.")
    app.add_typer(results, name="results")
    for group, commands in ((app, COMMANDS), (results, RESULTS)):
        for command, examples in commands.items():
            group.command(epilog="\n".join(["Examples:", *(f"  {example}" for example in examples)]))(command)
