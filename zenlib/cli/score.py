"""The commands `zenlib score`, `rank`, `proxies` and `convert`: scores, and the network that is scored."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.table import Table
from typer import Option

from zenlib.cli.answer import Json, answer, as_text, say
from zenlib.cli.options import Device, InChannels, Network, Networks, Resolution, completion, optional
from zenlib.networks.named import load_network
from zenlib.scores.many import require_known, score_many, scores_of

if TYPE_CHECKING:
    from torch import Tensor

PROXY_NAMES = "zen closed-form phi params flops synflow naswot snip grasp fisher grad-norm jacob-cov ntk zico"
"""Names that the shell offers; `zenlib proxies` lists all."""
_LABELS = {"zen": "Zen-Score, nats, by Monte Carlo", "closed-form": "Zen-Score, nats, in closed form"}
PROXY_HELP = "Another score, by its name in `zenlib proxies`; may be given several times."
IMAGES_HELP = (
    "A .npy file of images that the proxies see instead of noise: floats (N, C, side, side), scaled as for "
    "training. Labels are drawn."
)
Proxies = Annotated[list[str] | None, optional(PROXY_HELP, complete=completion(*PROXY_NAMES.split()))]
Repeats = Annotated[int, Option(help="Monte-Carlo repeats of the Zen-Score.")]
BatchSize = Annotated[int, Option(help="Images per repeat.")]
Seed = Annotated[int, Option(help="Seed of weights and images.")]
Images = Annotated[Path | None, optional(IMAGES_HELP)]
Workers = Annotated[int, Option(help="Processes that score many networks; 0 for this one.")]


def score(
    network: Network,
    resolution: Resolution = None,
    in_channels: InChannels = None,
    proxy: Proxies = None,
    batch: Images = None,
    repeats: Repeats = 8,
    batch_size: BatchSize = 16,
    seed: Seed = 0,
    device: Device = None,
    workers: Workers = 0,
    as_json: Json = False,
) -> None:
    """Zen-Score of a network, by Monte Carlo and, for chains, in closed form; or other training-free scores.

    Weights and images are drawn, so that neither a checkpoint nor data is needed. With - for the network,
    names or structures are read from standard input, one a line; each is answered by one line of JSON.
    """
    from zenlib.vanilla.convert import to_vcnn

    names = proxy or []
    require_known(names)
    settings: dict[str, Any] = {"batch_size": batch_size, "repeats": repeats, "seed": seed, "device": device}
    if batch is not None:
        if not names or network == "-":
            raise ValueError("batch: needed --proxy and one network, as the Zen-Score draws its images")
        images = read_images(batch)
        batch_size, resolution = len(images), resolution or images.shape[-1]
        settings["batch"] = images, None
    if in_channels is not None and (names or network == "-"):
        raise ValueError("in_channels: needed the Zen-Score of one network, got --proxy or many networks")
    if network == "-":
        for row in score_many(_lines(), resolution, proxies=names, workers=workers, **settings):
            say(as_text(row))
        return
    loaded = load_network(network)
    side = loaded.side(resolution)
    with loaded.at(side):
        scored = loaded.network if names else to_vcnn(loaded.network, side, in_channels)
        found = scores_of(scored, side, names, settings)
    table = Table("score", "value", title=f"{network} at {loaded.shown(side)}")
    for name, entry in found.items():
        table.add_row(name if names else _LABELS[name], _shown(entry))
    told = {"network": network, "resolution": side, "batch_size": batch_size, "seed": seed}
    answer(told | {"scores": found}, table, as_json)


def rank(
    networks: Networks,
    top: Annotated[int | None, optional("Only so many, of the best.", min=1)] = None,
    resolution: Resolution = None,
    proxy: Proxies = None,
    repeats: Repeats = 8,
    batch_size: BatchSize = 16,
    seed: Seed = 0,
    device: Device = None,
    workers: Workers = 0,
    as_json: Json = False,
) -> None:
    """Networks by their Zen-Score, best first, in closed form where there is one; or by the first --proxy."""
    names = proxy or []
    named = [one for name in networks for one in (_lines() if name == "-" else [name])]
    settings: dict[str, Any] = {"batch_size": batch_size, "repeats": repeats, "seed": seed, "device": device}
    rows = list(score_many(named, resolution, proxies=names, workers=workers, **settings))
    ranked = sorted((row for row in rows if row["score"] is not None), key=lambda row: -row["score"])[:top]
    refused = [row for row in rows if row["score"] is None]
    columns = ("network", "score", "by", "resolution", "params", "flops", *names[1:])
    table = Table("", *columns, title=f"best {len(ranked)} of {len(rows)} networks")
    for place, row in enumerate(ranked, start=1):
        table.add_row(str(place), *(_cell(row[column]) for column in columns))
    answer({"ranked": ranked, "refused": refused}, table, as_json)
    for row in refused:
        print(f"{row['network']}: {row['reason']}", file=sys.stderr)
    if not ranked:
        raise ValueError(f"network: needed at least one that can be scored, got {len(rows)} that cannot")


def read_images(path: Path) -> Tensor:
    """The images of a .npy file, floats in single precision; none with objects, which could run code."""
    import numpy as np
    import torch

    try:
        found = np.load(path, allow_pickle=False)
        if found.ndim != 4:
            raise ValueError(f"an array of {found.ndim} axes")
        return torch.from_numpy(found.astype(np.float32) if found.dtype.kind == "f" else found)
    except (OSError, ValueError, EOFError, AttributeError, TypeError) as error:
        raise ValueError(
            f"batch: needed a .npy file of images (N, C, side, side), as numpy.save writes it, got {path}: "
            f"{error}"
        ) from error


def _lines() -> list[str]:
    """The networks that standard input names, without empty lines and those that begin with #."""
    lines = [line.strip() for line in sys.stdin]
    names = [line for line in lines if line and not line.startswith("#")]
    if not names:
        raise ValueError("network: needed names or structures on standard input, one a line, got none")
    return names


def _cell(value: Any) -> str:
    if isinstance(value, float) and not value.is_integer():
        return f"{value:.6g}"
    return f"{value:,.0f}" if isinstance(value, int | float) else str(value)


def _shown(entry: dict[str, Any]) -> str:
    if entry["value"] is None:
        return f"none: {entry['reason']}"
    if "stderr" in entry:
        return f"{entry['value']:.3f} +- {entry['stderr']:.3f} ({entry['n']} repeats)"
    return _cell(entry["value"])


def proxies(as_json: Json = False) -> None:
    """The training-free scores that `zenlib score --proxy` and `zenlib search --score` know.

    Higher is better.
    """
    from zenlib.proxies import PROXIES

    needs = {"counting": "parameters or layers are counted", "forward": "forward passes"}
    found = [{"name": name, "needs": entry.needs} for name, entry in PROXIES.items()]
    table = Table("name", "needs", title="scores by name")
    for row in found:
        table.add_row(row["name"], needs.get(row["needs"], row["needs"]))
    answer({"proxies": found}, table, as_json)


def convert(
    network: Network, resolution: Resolution = None, in_channels: InChannels = None, as_json: Json = False
) -> None:
    """The vanilla network that is scored: one line per step, and what was removed."""
    from zenlib.vanilla.convert import to_vcnn

    loaded = load_network(network)
    side = loaded.side(resolution)
    with loaded.at(side):
        vcnn = to_vcnn(loaded.network, side, in_channels)
    found = {name: getattr(vcnn, name) for name in ("resolution", "is_chain", "weights", "flops")}
    found["steps"] = [
        {"operation": type(step).__name__.lower()} | dataclasses.asdict(step) for step in vcnn.steps
    ]
    answer({"network": network, **found, "removed": Counter(vcnn.removed)}, str(vcnn), as_json)
