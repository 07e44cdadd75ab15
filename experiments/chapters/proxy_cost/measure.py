"""Time and memory of one score of one network, measured in a process that does nothing else.

After a warm-up on small images the score and Zen take turns, so that a machine which slows down slows both.
Memory is how far the first score makes the largest memory of the process grow. On the CPU time is that of the
process on one thread, which other programs lengthen little; on CUDA it is that of the clock, with the device
waited for.
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from zenlib.errors import ScoreUndefined
from zenlib.proxies import PROXIES
from zenlib.scores.closed_form import closed_form_zen_score
from zenlib.threads import ONE_THREAD
from zenlib.vanilla.convert import to_vcnn

REFERENCE = "zen"
STEPS = ("conversion", "closed-form, converted")
"""Parts of a score: making the vanilla form, and the closed form of one that is there."""
MEBIBYTE = 2**20
WARM_UP = 32
"""Side of the images of the warm-up, pixels."""
_MODULE = "experiments.chapters.proxy_cost.measure"


def in_its_own_process(
    network: str, score: str, resolution: int, batch_size: int, repeats: int, device: str
) -> dict[str, float]:
    """What `measure` finds in a fresh process on one thread.

    Raises:
        RuntimeError: the process failed; says with what.
    """
    settings = {"network": network, "score": score, "resolution": resolution, "batch_size": batch_size}
    done = subprocess.run(
        [sys.executable, "-m", _MODULE, json.dumps(settings | {"repeats": repeats, "device": device})],
        capture_output=True,
        text=True,
        env=os.environ | ONE_THREAD,
    )
    if done.returncode != 0:
        raise RuntimeError(
            f"{score} of {network}: needed a measurement, got {done.stderr.strip().splitlines()[-1:]}"
        )
    found: dict[str, float] = json.loads(done.stdout)
    return found


def measure(
    network: str, score: str, resolution: int, batch_size: int, repeats: int, device: str
) -> dict[str, float]:
    """Median seconds of a score and of Zen, the median of their ratios with its range, and MiB of memory."""
    from torchvision.models import get_model

    torch.set_num_threads(1)
    module = get_model(network)
    for name in (score, REFERENCE):
        _question(name, module, WARM_UP, batch_size, device)(0)
    ask, ask_zen = (_question(name, module, resolution, batch_size, device) for name in (score, REFERENCE))
    before, seconds, values = _largest_memory(device), [], []
    for seed in range(repeats):
        first, value = _timed(ask, seed, device)
        values.append(value)
        if seed == 0:
            memory = (_largest_memory(device) - before) / MEBIBYTE
        seconds.append((first, _timed(ask_zen, seed, device)[0]))
    pairs = np.array(seconds)
    ratios = pairs[:, 0] / pairs[:, 1]
    own, zen = np.median(pairs, axis=0)
    return {
        "value": values[0],
        "time": float(own),
        "zen_time": float(zen),
        "ratio": float(np.median(ratios)),
        "ratio_low": float(ratios.min()),
        "ratio_high": float(ratios.max()),
        "mebibytes": memory,
    }


def _question(
    score: str, module: nn.Module, resolution: int, batch_size: int, device: str
) -> Callable[[int], float]:
    """The score of a module by seed."""
    if score == "conversion":
        return lambda seed: float(len(str(to_vcnn(module, resolution))) > 0)
    if score == "closed-form, converted":
        vcnn = to_vcnn(module, resolution)
        return lambda seed: closed_form_zen_score(vcnn, batch_size=batch_size)
    return partial(_proxy, score, module, resolution, batch_size, device)


def _proxy(score: str, module: nn.Module, resolution: int, batch_size: int, device: str, seed: int) -> float:
    """A proxy, NaN where it has no value: the work was done all the same."""
    try:
        return PROXIES[score](module, resolution, batch_size=batch_size, seed=seed, device=device)
    except ScoreUndefined:
        return math.nan


def _timed(ask: Callable[[int], float], seed: int, device: str) -> tuple[float, float]:
    """Seconds of one score, and its value."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    _wait(device)
    start = clock()
    value = ask(seed)
    _wait(device)
    return clock() - start, value


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)


def _largest_memory(device: str) -> int:
    """Bytes: of the device since the process began, or of the process where that is the CPU."""
    if device != "cpu":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
