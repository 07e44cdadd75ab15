"""Which images a process sees, in which order and with which random draws: functions of the seed alone.

No generator's state is kept between steps. So a training that is killed goes on with the same images, and the
order depends neither on the number of loading processes nor on the number of devices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset


def seed_of(*numbers: int) -> int:
    """One seed from several numbers, such as (seed, epoch, image), well mixed."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


@contextmanager
def drawing_from(seed: int) -> Iterator[None]:
    """Seeds torch's global generator of the CPU inside, and puts its state back after."""
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed also queues a call, with a traceback, for every kind of device that has not
        # started yet: slow, and a leak.
        torch.default_generator.manual_seed(seed)
        yield


@dataclass
class Transformed(Dataset[tuple[Tensor, int]]):
    """A sequence of (PIL image, label) through a transform to tensors."""

    images: Any
    transform: Callable[[Any], Tensor]
    seed: tuple[int, int] | None = None  # a random transform draws from it, (seed, epoch), and the image

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image, label = self.images[index]
        with drawing_from(seed_of(*self.seed, index)) if self.seed else nullcontext():
            return self.transform(image), label


def steps_per_epoch(images: int, batch_size: int) -> int:
    """Whole steps in an epoch, at least one; the images that are left over differ from epoch to epoch."""
    if images < batch_size:
        raise ValueError(
            f"batch_size: needed at most the number of training images ({images:,}), got {batch_size:,}"
        )
    return images // batch_size


def epoch_parts(images: int, batch_size: int, parts: int, seed: int, epoch: int) -> list[list[list[int]]]:
    """The images of an epoch in order: for each step its equal parts, each a list of indices.

    The parts of a step go to devices and accumulated passes in turn.
    """
    if batch_size % parts:
        raise ValueError(
            f"batch_size: needed a multiple of devices times accumulated passes ({parts}), got {batch_size}"
        )
    steps = steps_per_epoch(images, batch_size)
    order = torch.randperm(images, generator=torch.Generator().manual_seed(seed_of(seed, epoch)))
    return order[: steps * batch_size].view(steps, parts, batch_size // parts).tolist()
