"""Scores of many networks, a row each: one that cannot be scored has the reason there, and nothing stops."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from zenlib.errors import ScoreUndefined
from zenlib.networks.architecture import Architecture
from zenlib.networks.named import Named, load_network, names_like

if TYPE_CHECKING:
    from torch import nn

Row = dict[str, Any]


def score_many(
    networks: Iterable[str | Architecture | nn.Module],
    resolution: int | None = None,
    *,
    proxies: Sequence[str] = (),
    batch_size: int = 16,
    repeats: int = 8,
    seed: int = 0,
    device: str | None = None,
    workers: int = 0,
    progress: bool = True,
) -> Iterator[Row]:
    """Scores networks in their order: `pandas.DataFrame(score_many(["resnet50", "timm:regnet*"]))`.

    Args:
        networks: networks, or what names them to the commands: names, structures, files; patterns too.
        resolution: side of the images in pixels; None means what each network is meant for, else 224.
        proxies: other scores than the Zen-Score, by their names in `PROXIES`.
        batch_size: images per repeat.
        repeats: Monte-Carlo repeats of the Zen-Score, where it has no closed form.
        seed: of weights and images.
        device: where to compute; None means CUDA if there is one.
        workers: processes that score, 0 for this one; they must be able to import what is given as a module.
        progress: whether to show it on standard error.

    Yields:
        `network`, `resolution`, `score`, `by` ("closed-form", "zen" for Monte Carlo, or the first proxy),
        `stderr` of a Monte-Carlo score, `params`, `convolutions`, `weights` and `flops` of the vanilla
        network, further proxies by name, and `reason`, why there is no score; None where a value is missing.

    Raises:
        ValueError: a proxy is unknown, or fewer than 0 workers are asked for.
    """
    require_known(proxies)
    if isinstance(networks, str) or hasattr(networks, "forward") or not isinstance(networks, Iterable):
        raise ValueError(f"networks: needed a list of networks or names, got one {type(networks).__name__}")
    listed = [name for one in networks for name in (names_like(one) if isinstance(one, str) else [one])]
    settings = {"batch_size": batch_size, "repeats": repeats, "seed": seed, "device": device}
    one = partial(_row, resolution=resolution, proxies=tuple(proxies), settings=settings)
    rows = _spread(one, listed, workers) if workers else map(one, listed)
    yield from tqdm(rows, total=len(listed), unit="net", disable=not progress)


def require_known(proxies: Sequence[str]) -> None:
    """Refuses names that `PROXIES` does not have."""
    if proxies:
        from zenlib.proxies import PROXIES

        unknown = [name for name in proxies if name not in PROXIES]
        if unknown:
            raise ValueError(f"proxy: needed one of {', '.join(PROXIES)}, got {', '.join(unknown)}")


def scores_of(network: Any, side: int, proxies: Sequence[str], settings: dict[str, Any]) -> dict[str, Row]:
    """The Zen-Score of a network by Monte Carlo and in closed form, or proxies: a value each, or the reason.

    Raises:
        ValueError: none can be had.
    """
    found: dict[str, Row] = {}
    errors: list[ValueError] = []
    for name in proxies or ("zen", "closed-form"):
        try:
            found[name] = _score(name, network, side, bool(proxies), settings)
        except ValueError as error:
            if name == "zen" and not isinstance(error, ScoreUndefined):
                raise  # a setting is out of range
            errors.append(error)
            found[name] = {"value": None, "reason": " ".join(str(error).split())}
    if len(errors) == len(found) and not (proxies and isinstance(errors[0], ScoreUndefined)):
        raise errors[0]
    return found


def _score(name: str, network: Any, side: int, proxy: bool, settings: dict[str, Any]) -> Row:
    if proxy:
        from zenlib.proxies import PROXIES

        rest = {key: value for key, value in settings.items() if key != "repeats"}
        return {"value": PROXIES[name](network, side, **rest)}
    if name == "closed-form":
        from zenlib.scores.closed_form import closed_form_zen_score

        return {"value": closed_form_zen_score(network, side)}
    from zenlib.scores.zen import zen_score

    estimate = dataclasses.asdict(zen_score(network, side, **settings))
    return {"value": estimate.pop("mean")} | estimate


def _row(item: Any, resolution: int | None, proxies: tuple[str, ...], settings: dict[str, Any]) -> Row:
    """One network's row; whatever goes wrong is its reason."""
    row = _empty(item, proxies)
    try:
        named = load_network(item, shapes_only=not proxies) if isinstance(item, str) else Named(item)
        row["resolution"] = side = named.side(resolution)
        network = named.network
        if isinstance(network, Architecture):
            row["params"] = network.params()
        else:
            row["params"] = sum(parameter.numel() for parameter in network.parameters())
        with named.at(side):
            row |= _counted_and_scored(network, side, proxies, settings)
    except (Exception, SystemExit) as error:  # of the user's network, whatever it is
        told = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        row["reason"] = " ".join(told.split())
    return row


def _counted_and_scored(network: Any, side: int, proxies: tuple[str, ...], settings: dict[str, Any]) -> Row:
    from zenlib.vanilla.convert import to_vcnn

    row: Row = {}
    try:
        vcnn = to_vcnn(network, side)
        row = {"convolutions": len(vcnn.convs), "weights": vcnn.weights, "flops": vcnn.flops}
    except ValueError:
        if not proxies:
            raise
    if proxies:
        found = scores_of(network, side, proxies, settings)
    else:  # the exact value where there is one, which takes no time
        try:
            found = {"closed-form": _score("closed-form", vcnn, side, False, settings)}
        except ValueError:
            found = {"zen": _score("zen", vcnn, side, False, settings)}
    first = next(iter(found))
    row |= {name: found[name]["value"] for name in proxies[1:]}
    row |= {"score": found[first]["value"], "by": first, "reason": found[first].get("reason")}
    stderr = found[first].get("stderr", math.nan)
    return row | {"stderr": stderr if math.isfinite(stderr) else None}


def _empty(item: Any, proxies: Sequence[str], reason: str | None = None) -> Row:
    name = item if isinstance(item, str | Architecture) else type(item).__name__
    columns = ("resolution", "score", "by", "stderr", "params", "convolutions", "weights", "flops")
    return {"network": str(name)} | dict.fromkeys((*columns, *proxies[1:])) | {"reason": reason}


def _spread(one: Callable[[Any], Row], items: Sequence[Any], workers: int) -> Iterator[Row]:
    """The rows in order, from processes; one that a network kills is replaced, and its row says so."""
    from zenlib.search.executors import open_executor

    done = 0
    with open_executor(workers) as pool:
        assert pool is not None
        try:
            for item, future in [(item, pool.submit(one, item)) for item in items]:
                try:
                    row = future.result()
                except BrokenExecutor:
                    if len(items) > 1:
                        break
                    row = _empty(item, (), "its process died")
                except Exception as error:  # of the sending: the row itself raises nothing
                    row = _empty(item, (), f"no process can take it ({error}); give it by its name")
                yield row
                done += 1
        finally:
            pool.shutdown(cancel_futures=True)
    if done < len(items):  # by itself, since it may be another that died
        yield from _spread(one, items[done : done + 1], 1)
        yield from _spread(one, items[done + 1 :], workers)
