"""One process per device, as `torchrun` starts them; alone without it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Devices:
    """This process among those that train together.

    Attributes:
        device: where this process computes.
        rank: number of this process; the first, 0, writes the files.
        count: number of processes.
    """

    device: torch.device
    rank: int = 0
    count: int = 1

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
        if self.count > 1:
            for buffer in network.buffers():
                if buffer.is_floating_point():
                    dist.all_reduce(buffer)
                    buffer.div_(self.count)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def devices(device: str | torch.device | None = None) -> Iterator[Devices]:
    """Joins the processes that `torchrun` started, if it did; each then takes the GPU of its number.

    Device is "cpu" or "cuda"; None means CUDA where there is one.
    """
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield Devices(where)
        return
    if where.type == "cuda":
        where = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(where)
    dist.init_process_group("nccl" if where.type == "cuda" else "gloo")
    try:
        yield Devices(where, dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()
