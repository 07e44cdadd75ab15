"""The commands, with examples that their help shows."""

from __future__ import annotations

from collections.abc import Callable

import typer

from zenlib.cli.answer import alone
from zenlib.cli.convert import convert
from zenlib.cli.correlate import correlate
from zenlib.cli.latency import latency
from zenlib.cli.score import proxies, rank, score
from zenlib.cli.search import search
from zenlib.cli.trained import evaluate, export, train

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
"""Every command with its examples."""


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    for command, examples in COMMANDS.items():
        epilog = "\n".join(["Examples:", *(f"  {example}" for example in examples)])
        app.command(epilog=epilog)(alone(command))
    app.command(hidden=True, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(
        results
    )


def results() -> None:
    """Moved to `experiments/run.py` of a checkout: `status` and `merge`."""
    raise ValueError(
        "results: needed a checkout of the studies; `python experiments/run.py status` and `python "
        "experiments/run.py merge FOLDER` took its place"
    )
