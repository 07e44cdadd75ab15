"""A small training that takes a second: a few of the digits, two residual units.

`python -m tests.library.train.small OUT ACCUMULATE UNTIL` runs it.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path

import torch

from zenlib import Architecture
from zenlib.errors import ProcessLost
from zenlib.train import RECIPES, train
from zenlib.train.datasets import DATASETS, Images
from zenlib.train.loop import Training

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


ALL_DIGITS = DATASETS["digits"]


def _first_digits(root, training):
    images, count = ALL_DIGITS.load(root, training), 384 if training else 96
    return Images(images.pixels[:count], images.labels[:count])


FEW_DIGITS = dataclasses.replace(ALL_DIGITS, load=_first_digits)
"""Enough where the question is what a training does, not how well it ends."""


def few_digits(patch):
    """The first digits stand for all."""
    patch.setitem(DATASETS, "digits", FEW_DIGITS)


def work(out, accumulate=1, until=None, variables=()):
    """The training in a process of its own, with these variables of the environment."""
    os.environ.update(variables)
    torch.set_num_threads(1)
    DATASETS["digits"] = FEW_DIGITS
    train(
        NETWORK, "digits", RECIPE, Path(out), accumulate=accumulate, until=until, device="cpu", progress=False
    )


def work_until_killed(out, steps, variables=()):
    """The same, but the process is gone without warning after so many steps."""
    step, done = Training._step, []

    def counted(self, *arguments):
        if len(done) == steps:
            os.kill(os.getpid(), signal.SIGKILL)
        done.append(None)
        return step(self, *arguments)

    Training._step = counted
    work(out, 1, 2 if variables else None, variables)


def lost_process(out, variables):
    """The same beside a process that is killed, which must be an error that says so."""
    try:
        work(out, 1, 2, variables)
    except ProcessLost:
        return
    raise AssertionError("nobody was missed")


def curve(log):
    """A log without its times."""
    return [
        {name: value for name, value in row.items() if name not in ("seconds", "cpu_seconds")} for row in log
    ]


if __name__ == "__main__":
    work(sys.argv[1], *map(int, sys.argv[2:]))
