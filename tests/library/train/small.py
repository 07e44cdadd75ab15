"""A small training that takes seconds: digits, two residual units."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import torch

from zenlib import Architecture
from zenlib.train import RECIPES, train

NETWORK = Architecture.from_string(
    "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,2,16,1)SuperResK3K3(16,24,2,24,1)SuperConvK1BNRELU(24,32,1,1)",
)
RECIPE = dataclasses.replace(
    RECIPES["digits"],
    epochs=3,
    warmup_epochs=1,
    mixup=0.2,
    crop="padded",
    padding=1,
    random_erasing=0.25,
    averaging=0.9,
    learning_rate=0.4,
    init_gain=1.4,
)
"""Everything that draws random numbers or keeps a state is switched on."""


def curve(log):
    """A log without its times."""
    return [{name: value for name, value in row.items() if name not in ("seconds", "cpu_seconds")} for row in log]


if __name__ == "__main__":
    torch.set_num_threads(1)
    out, accumulate, until = sys.argv[1:]
    train(NETWORK, "digits", RECIPE, Path(out), accumulate=int(accumulate), until=int(until) or None, device="cpu", progress=False)
