"""Scores that worker processes can import: cheap ones, and ones that misbehave."""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from pathlib import Path

from zenlib.errors import ScoreUndefined
from zenlib.networks.architecture import Architecture
from zenlib.search import Budget

BUDGET = Budget(params=300_000, depth=12)


def log_widths(architecture: Architecture) -> float:
    """Grows with depth and width, as the Zen-Score does."""
    return sum(
        block.layers * math.log((block.bottleneck or 4) * block.out_channels * block.kernel**2)
        for block in architecture.blocks
    )


def picky(architecture: Architecture) -> float:
    """Undefined, NaN or infinite for some networks."""
    kind = architecture.blocks[1].out_channels // 8 % 4
    if kind == 1:
        raise ScoreUndefined("too narrow for its taste")
    return {0: log_widths(architecture), 2: math.nan, 3: math.inf}[kind]


def patient(architecture: Architecture) -> float:
    """Takes longer for some networks than for others, so that workers finish out of order."""
    time.sleep(0.002 * (architecture.out_channels // 8 % 3))
    return log_widths(architecture)


def deadly_once(architecture: Architecture) -> float:
    """Kills the first worker that gets here."""
    mark = Path(os.environ["DEADLY_MARK"])
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return log_widths(architecture)


def deadly(architecture: Architecture) -> float:
    """Kills every worker that scores a network with a head of this width."""
    if architecture.out_channels % 24 == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return log_widths(architecture)


def _is_bad(architecture: Architecture) -> bool:
    return architecture.out_channels % 24 == 0


def exits(architecture: Architecture) -> float:
    """Ends the process for some networks."""
    if _is_bad(architecture):
        sys.exit(0)
    return log_widths(architecture)


def vanishes(architecture: Architecture) -> float:
    """The same, at once and without a word."""
    if _is_bad(architecture):
        os._exit(0)
    return log_widths(architecture)


def hangs(architecture: Architecture) -> float:
    """Does not come back for some networks."""
    if _is_bad(architecture):
        time.sleep(3600)
    return log_widths(architecture)


def hangs_on(architecture: Architecture) -> float:
    """The same, and does not heed being interrupted."""
    while _is_bad(architecture):
        try:
            time.sleep(3600)
        except BaseException:
            continue
    return log_widths(architecture)


def own_network(choices):
    """A small module of one's own; wide and deep does not go together."""
    from torch import nn

    width, depth = choices["width"], choices["depth"]
    if width * depth > 100:
        raise ValueError("too large")
    layers = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Conv2d(width, width, choices["kernel"], padding="same"), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def width_of(network):
    """A score of modules."""
    return float(network[0].out_channels)
