"""The commands `zenlib score` and `zenlib proxies`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from zenlib.cli.answer import Json, answer
from zenlib.cli.network import Named, Network, Resolution, load_network
from zenlib.cli.options import Device, completion

if TYPE_CHECKING:
    from zenlib.proxies import Proxy

PROXY_NAMES = (
    "zen",
    "closed-form",
    "phi",
    "params",
    "flops",
    "synflow",
    "naswot",
    "snip",
    "grasp",
    "fisher",
    "grad-norm",
    "jacob-cov",
    "ntk",
    "zico",
)
"""Names that the shell offers; `zenlib proxies` lists all."""

COST = {
    "counting": "parameters or layers are counted",
    "forward": "forward passes",
    "gradients": "gradients",
}


def score(
    network: Network,
    resolution: Resolution = None,
    proxy: Annotated[
        list[str] | None,
        typer.Option(
            help="Another score, by its name in `zenlib proxies`; may be given several times.",
            autocompletion=completion(*PROXY_NAMES),
            show_default=False,
        ),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Monte-Carlo repeats of the Zen-Score.")] = 8,
    batch_size: Annotated[int, typer.Option(help="Images per repeat.")] = 16,
    seed: Annotated[int, typer.Option(help="Seed of weights and images.")] = 0,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Zen-Score of a network, by Monte Carlo and, for chains, in closed form; or other training-free scores.

    Weights and images are drawn, so that neither a checkpoint nor data is needed.
    """
    loaded = load_network(network)
    side = resolution or loaded.resolution
    if proxy:
        found = _by_proxies(loaded, side, _known(proxy), batch_size=batch_size, seed=seed, device=device)
    else:
        found = _zen_scores(loaded, side, batch_size=batch_size, repeats=repeats, seed=seed, device=device)
    table = Table("score", "value", title=f"{network} at {side} x {side}")
    for name, entry in found.items():
        table.add_row(_LABELS.get(name, name), _shown(entry))
    answer(
        {"network": network, "resolution": side, "batch_size": batch_size, "seed": seed, "scores": found},
        table,
        as_json,
    )


def proxies(as_json: Json = False) -> None:
    """The training-free scores that `zenlib score --proxy` and `zenlib search --score` know.

    Higher is better.
    """
    from zenlib.proxies import PROXIES

    table = Table("name", "needs", title="scores by name")
    for name, entry in PROXIES.items():
        table.add_row(name, COST[entry.needs])
    answer(
        {"proxies": [{"name": name, "needs": entry.needs} for name, entry in PROXIES.items()]}, table, as_json
    )


_LABELS = {"zen": "Zen-Score, nats, by Monte Carlo", "closed-form": "Zen-Score, nats, in closed form"}


def _zen_scores(
    loaded: Named, side: int, *, batch_size: int, repeats: int, seed: int, device: str | None
) -> dict[str, dict[str, Any]]:
    """The expected score with its error, and by arithmetic where the network is a chain."""
    from zenlib.scores.closed_form import closed_form_zen_score
    from zenlib.scores.zen import zen_score
    from zenlib.vanilla.convert import to_vcnn

    vcnn = to_vcnn(loaded.network, side)
    estimate = zen_score(vcnn, batch_size=batch_size, repeats=repeats, seed=seed, device=device)
    found: dict[str, dict[str, Any]] = {"zen": {"value": estimate.mean} | dataclasses.asdict(estimate)}
    del found["zen"]["mean"]
    return found | ({"closed-form": {"value": closed_form_zen_score(vcnn)}} if vcnn.is_chain else {})


def _known(names: list[str]) -> dict[str, Proxy]:
    from zenlib.proxies import PROXIES

    unknown = [name for name in names if name not in PROXIES]
    if unknown:
        raise ValueError(f"proxy: needed one of {', '.join(PROXIES)}, got {', '.join(unknown)}")
    return {name: PROXIES[name] for name in names}


def _by_proxies(
    loaded: Named, side: int, wanted: dict[str, Proxy], **settings: Any
) -> dict[str, dict[str, Any]]:
    """One value each, or null and the reason."""
    from zenlib.errors import ScoreUndefined

    found: dict[str, dict[str, Any]] = {}
    for name, proxy in wanted.items():
        try:
            found[name] = {"value": proxy(loaded.network, side, **settings)}
        except ScoreUndefined as undefined:
            found[name] = {"value": None, "reason": undefined.reason}
    return found


def _shown(entry: dict[str, Any]) -> str:
    if entry["value"] is None:
        return f"undefined: {entry['reason']}"
    if "stderr" in entry:
        return f"{entry['value']:.3f} +- {entry['stderr']:.3f} ({entry['n']} repeats)"
    return f"{entry['value']:.6g}"
