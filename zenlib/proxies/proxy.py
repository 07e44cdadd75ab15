"""The one signature of all proxies, and what they share: checks, randomness, and what is undefined."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from zenlib.errors import ConversionError, ScoreUndefined, of_kind, whole
from zenlib.machine import chosen
from zenlib.networks.architecture import Architecture
from zenlib.proxies.query import Batch, Network, Query, not_compiled
from zenlib.vanilla.capture import usual_side

Needs = Literal["counting", "forward", "gradients"]
Label = Literal["as published", "stabilised", "approximation", "own"]


@dataclass(frozen=True)
class Proxy:
    """A training-free score of a network; higher is better.

    Attributes:
        name: its name in `PROXIES`.
        compute: the value of a `Query`; a tensor with one element stays on its device until the end.
        needs: what one value costs: "counting" parameters or layers, "forward" passes, or "gradients".
        label: how it stands to its source: "as published", "stabilised" for the same value where theirs
            leaves floating point, "approximation", or "own".
        undefined: why the value may be infinite or not a number.
    """

    name: str
    compute: Callable[[Query], Tensor | float]
    needs: Needs
    label: Label = "as published"
    undefined: str = "numbers left the range of floating point"

    @property
    def origin(self) -> dict[str, str]:
        """What it is, its source, what the authors' code does beyond, how this one differs."""
        compute = getattr(self.compute, "func", self.compute)
        texts = [inspect.getdoc(of) or "" for of in (inspect.getmodule(compute), compute)]
        told = dict.fromkeys(("source", "code", "differs"), "")
        for text in texts:
            _, *parts = re.split(r"\b(Source|Code|Differs): ", text)
            for name, said in zip(parts[::2], parts[1::2], strict=True):
                told[name.lower()] = " ".join(said.partition("\n\n")[0].split())
        given = getattr(self.compute, "keywords", {}).items()
        what = texts[-1].partition("\n")[0] + "".join(f" With {name}={value!r}." for name, value in given)
        return {"what": what, "label": self.label} | told

    def __call__(
        self,
        network: Network,
        resolution: int | None = None,
        *,
        batch_size: int = 16,
        seed: int = 0,
        device: str | torch.device | None = None,
        batch: Batch | None = None,
    ) -> float:
        """The score of a network, the same for the same arguments whatever ran before.

        The network is left as found: a copy is measured. Global random states are put back.

        Args:
            network: an `Architecture`, built as a classifier of 10 classes, or a module that gives (N,
                classes).
            resolution: side of the square images in pixels; None means that of `batch`, or 224, 64 for cubes.
            batch_size: images in the mini-batch; not used with `batch`.
            seed: of weights, images and labels, 0 or more.
            device: where to compute; None means CUDA if there is one, else the CPU.
            batch: real (images, labels), (N, C, H, W) and (N,), for the proxies whose papers take them; None
                for the labels draws them. The others ignore it.

        Raises:
            ScoreUndefined: the score has no finite value; the reason says why.
            ValueError: an argument is out of range, or the network does not fit.
        """
        of_kind("network", network, (Architecture, nn.Module), "an Architecture or a torch.nn.Module")
        if batch is not None:
            resolution, batch_size = _check_batch(batch, resolution)
        side = whole("resolution", usual_side(network) if resolution is None else resolution)
        images, seed = whole("batch_size", batch_size, 2), whole("seed", seed, 0)
        if isinstance(network, nn.Module):
            network = not_compiled(network)
        where = chosen(device)
        return self.value(Query(network, side, images, seed, where, batch))

    def value(self, query: Query) -> float:
        """The score, or ScoreUndefined; proxies that are asked one query share its module and its passes."""
        own = [query.device] if query.device.type == "cuda" else []
        with torch.random.fork_rng(devices=own), torch.enable_grad():
            torch.manual_seed(query.seed)  # for modules that draw in their forward pass
            try:
                found = query.once(self.compute)
            except ConversionError as error:
                raise ScoreUndefined(f"{self.name}: {error}") from error
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                raise ScoreUndefined(
                    f"{self.name}: {type(query.network).__name__} fails on {query.batch_size} images of "
                    f"{query.resolution} pixels: {str(error).partition(chr(10))[0]}"
                ) from error
            value = found.item() if isinstance(found, Tensor) else float(found)
        if not math.isfinite(value):
            raise ScoreUndefined(
                f"{self.name} of {type(query.network).__name__}: the value is {value}; {self.undefined}"
            )
        return value


def _check_batch(batch: Batch, resolution: int | None) -> tuple[int, int]:
    """Side and number of the images of a real batch."""
    images = batch[0] if isinstance(batch, (tuple, list)) else batch
    of_kind("batch", images, Tensor, "a pair of tensors, images and labels")
    shapes = [tuple(given.shape) for given in batch if given is not None]
    if images.dim() != 4 or images.shape[2] != images.shape[3] or shapes[1:] not in ([], [shapes[0][:1]]):
        raise ValueError(
            f"batch: needed images (N, C, side, side) and labels (N,), got {' and '.join(map(str, shapes))}"
        )
    if not images.is_floating_point() or not images.isfinite().all():
        raise ValueError(
            f"batch: needed images as finite floating-point numbers, scaled as for training, got "
            f"{images.dtype}, of which {images.isfinite().float().mean():.0%} are finite"
        )
    side = images.shape[2]
    if resolution not in (None, side):
        raise ValueError(
            f"resolution: needed {side}, the side of the images in batch, or None; got {resolution}"
        )
    return side, len(images)
