"""One process per device, as `torchrun` starts them, alone without it; and how it computes there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from zenlib.machine import chosen

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Devices:
    """Where and how this process computes, its number among those that train together, how many these are.

    Weights are in float32, products in `dtype`, images with channels last. Gradients in float16 are scaled,
    which needs CUDA. The first process, of rank 0, writes the files.
    """

    device: torch.device
    dtype: str = "float32"
    rank: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: needed one of {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.dtype == "float16" and self.device.type != "cuda":
            raise ValueError(f"dtype: needed float32 or bfloat16 on {self.device.type}, got float16")

    def autocast(self) -> AbstractContextManager[None]:
        """The context of a forward pass."""
        return torch.autocast(self.device.type, getattr(torch, self.dtype), enabled=self.dtype != "float32")

    def loaded(
        self, images: Dataset[Any], batches: Sequence[Sequence[int]], workers: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Exactly these batches, in this order, on the device: images (N, C, H, W) and labels (N,)."""
        pinned = self.device.type == "cuda"
        loader = DataLoader(images, batch_sampler=batches, num_workers=workers, pin_memory=pinned)  # type: ignore[arg-type]  # a sequence will do
        for inputs, labels in loader:
            moved = inputs.to(self.device, memory_format=torch.channels_last, non_blocking=True)
            yield moved, labels.to(self.device)

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module with gradients averaged over the processes."""
        if self.count == 1:
            return module
        own = [self.device] if self.device.type == "cuda" else None
        return nn.parallel.DistributedDataParallel(module, device_ids=own, broadcast_buffers=False)

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all processes, everywhere."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def average_statistics(self, network: nn.Module) -> None:
        """Gives every process the mean of all running statistics: each has seen its own images only."""
        for buffer in network.buffers() if self.count > 1 else ():
            if buffer.is_floating_point():
                self.sum(buffer).div_(self.count)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def devices(device: str | torch.device | None = None, dtype: str = "float32") -> Iterator[Devices]:
    """Joins the processes that `torchrun` started, if it did; each then takes the GPU of its number.

    Device is "cpu" or "cuda"; None means CUDA where there is one.
    """
    where = chosen(device)
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield Devices(where, dtype)
        return
    if where.type == "cuda":
        where = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(where)
    dist.init_process_group("nccl" if where.type == "cuda" else "gloo")
    try:
        yield Devices(where, dtype, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
