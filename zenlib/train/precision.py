"""Floating type and memory layout of a training or an evaluation."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Precision:
    """How numbers are kept: weights in float32, products in `dtype`, images with channels last.

    Attributes:
        device: where to compute.
        dtype: "float32", "bfloat16" or "float16"; float16 gradients are scaled, which needs CUDA.
    """

    device: torch.device
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype: needed one of {', '.join(DTYPES)}, got {self.dtype!r}")
        if self.dtype == "float16" and self.device.type != "cuda":
            raise ValueError(f"dtype: needed float32 or bfloat16 on {self.device.type}, got float16")

    def autocast(self) -> AbstractContextManager[None]:
        """The context of a forward pass."""
        return torch.autocast(self.device.type, getattr(torch, self.dtype), enabled=self.dtype != "float32")

    def scaler(self) -> torch.amp.GradScaler:
        """Keeps small float16 gradients from vanishing; does nothing for the other types."""
        return torch.amp.GradScaler(self.device.type, enabled=self.dtype == "float16")

    def moved(self, images: Tensor) -> Tensor:
        """(N, C, H, W) on the device, channels last."""
        return images.to(self.device, memory_format=torch.channels_last, non_blocking=True)
