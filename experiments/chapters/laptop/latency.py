"""Latency of the winners: processor time of one core, so that other jobs do not lengthen it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from experiments.chapters.laptop.searches import CLASSES, STUDY
from experiments.record.agreement import TIME
from experiments.record.table import Table
from zenlib.networks.architecture import Architecture
from zenlib.search.latency import measure_latency

REPEATS = 15


def latency_row(
    *, network: str, resolution: int, batch_size: int, dtype: str, device: str
) -> dict[str, float]:
    """One network on this machine."""
    settings = {
        "batch_size": batch_size,
        "num_classes": CLASSES,
        "device": device,
        "dtype": getattr(torch, dtype),
        "channels_last": True,
    }
    with one_thread():
        found = measure_latency(Architecture.from_string(network), resolution, repeats=REPEATS, **settings)
    return {"milliseconds": found.milliseconds, "spread": found.spread}


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread on the CPU for as long as it lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


LATENCY = Table(
    study=STUDY,
    name="latency",
    compute=latency_row,
    units={
        "network": "text: structure string",
        "resolution": "pixels: side of the images",
        "batch_size": "images: of one pass",
        "dtype": "name: floating type of weights and feature maps",
        "device": "name: cpu, or cuda",
        "milliseconds": (
            f"ms: of an image, median over {REPEATS} repeats; on a CPU processor time of one thread"
        ),
        "spread": "ms: half the distance between the quartiles of the repeats",
    },
    otherwise=TIME,
)
