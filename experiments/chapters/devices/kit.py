"""What `make gpu` measures on a GPU, and the table that keeps it; without a GPU nothing is stored.

Every step gives values by case and quantity. On a CPU the same steps run at their smallest, to test them.
"""

from __future__ import annotations

import itertools
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch

from experiments.record.agreement import NotCompared
from experiments.record.results import training_folder
from experiments.record.table import Table
from experiments.speed import released_procedure
from zenlib.errors import ResultsError, ScoreUndefined
from zenlib.machine import processor
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import ZENNETS, zennet, zennet_architecture, zennet_resolution
from zenlib.scores.zen import zen_score
from zenlib.vanilla.convert import to_vcnn
from zenlib.vanilla.vcnn import VCNN

Values = dict[tuple[str, str], float]
STUDY = "devices"
LIMITS = {"tests": 80, "zen": 110, "search": 50, "agreement": 60, "latency": 110, "training": 70}
"""Seconds that each step may take; eight minutes together."""
TINY = "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,2,16,1)SuperConvK1BNRELU(16,32,1,1)"
PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12}
"""Dense bfloat16 operations a second by NVIDIA's data sheets."""
LATENCY_NETWORKS = (
    "resnet18",
    "resnet50",
    "resnet152",
    "efficientnet_b0",
    "efficientnet_b3",
    "efficientnet_b5",
)
LATENCY_SIDES = {"efficientnet_b3": 300, "efficientnet_b5": 456}


def device() -> str:
    """Where the kit measures."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name() -> str:
    """The name of the GPU, or of the processor."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu: {processor()}"


def tests(small: bool) -> Values:
    """How many of the tests that are marked for GPUs pass."""
    where = "tests/library/scores" if small else "tests/library"
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "gpu", where]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    words = told.replace(",", " ").split()
    counts = {
        word: float(before)
        for before, word in itertools.pairwise(words)
        if word in ("passed", "failed", "skipped") and before.isdigit()
    }
    return {("tests marked gpu", word): counts.get(word, 0.0) for word in ("passed", "failed", "skipped")}


def zen(small: bool) -> Values:
    """The Zen-Score by Monte Carlo: value, time, memory and share of the peak; and the released procedure."""
    found: Values = {}
    for case, (vcnn, batch) in _zen_cases(small).items():
        for dtype in (torch.float32, torch.bfloat16):
            for compiled in (False,) if small else (False, True):
                name = f"{case}, {str(dtype).partition('.')[2]}, {'compiled' if compiled else 'eager'}"
                found |= _zen_values(name, vcnn, batch, dtype, compiled, repeats=2 if small else 8)
        shape = batch, vcnn.in_channels, vcnn.resolution, vcnn.resolution
        with torch.device(device()):
            once = partial(released_procedure.score_once, released_procedure.build(vcnn), shape)
            scores, seconds = _timed(lambda: float(once()), 2 if small else 8)  # noqa: B023  called at once
        found[f"{case}, released", "seconds"] = seconds
        found[f"{case}, released", "score"] = statistics.mean(scores)
        found[f"{case}, released", "stderr"] = statistics.stdev(scores) / math.sqrt(len(scores))
    return found


def _zen_cases(small: bool) -> dict[str, tuple[VCNN, int]]:
    if small:
        return {"tiny at 16": (to_vcnn(Architecture.from_string(TINY), 16), 2)}
    import torchvision

    return {
        "ResNet-50 at 224": (to_vcnn(torchvision.models.resnet50(), 224), 16),
        "ZenNet-1.0M at 32": (to_vcnn(zennet_architecture("zennet-1.0M"), 32), 64),
    }


def _zen_values(
    name: str, vcnn: VCNN, batch: int, dtype: torch.dtype, compiled: bool, repeats: int
) -> Values:
    settings: dict[str, Any] = {"batch_size": batch, "dtype": dtype, "compiled": compiled, "device": device()}
    zen_score(vcnn, repeats=1, **settings)  # what the first call ever costs
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    numbers = iter(range(repeats))
    scores, seconds = _timed(
        lambda: (
            zen_score(vcnn, repeats=1, seed=next(numbers), norm="l1", bn_variance="running", **settings).mean
        ),
        repeats,
    )
    peak = next((rate for chip, rate in PEAKS.items() if chip in device_name()), math.nan)
    memory = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else math.nan
    share = 4 * batch * vcnn.flops / seconds / peak if dtype == torch.bfloat16 else math.nan
    return {
        (name, "seconds"): seconds,
        (name, "score"): statistics.mean(scores),
        (name, "stderr"): statistics.stdev(scores) / math.sqrt(repeats),
        (name, "peak MiB"): memory,
        (name, "share of peak"): share,
    }


def _timed(run: Callable[[], float], repeats: int) -> tuple[list[float], float]:
    """Values, and the median of their seconds; the value of a score waits for the device."""
    values, times = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        values.append(run())
        times.append(time.perf_counter() - start)
    return values, statistics.median(times)


def search(small: bool) -> Values:
    """Candidates a second of an evolutionary search that scores by Monte Carlo in one process."""
    from zenlib.search import Budget
    from zenlib.search import search as run

    found: Values = {}
    for resolution, count in ((16, 2),) if small else ((32, 256), (224, 64)):
        done = run(
            "resnet-like", "zen", Budget(params=1e6, depth=18), evaluations=count, resolution=resolution,
            progress=False,
        )  # fmt: skip
        found[f"Monte Carlo at {resolution}", "candidates a second"] = count / done.seconds
    return found


def agreement(small: bool) -> Values:
    """How far every score on the device lies from that on the CPU, as a share of its size."""
    from zenlib.proxies import PROXIES

    network, side = Architecture.from_string(TINY), 16
    if not small:
        network, side = zennet_architecture("zennet-0.5M"), 32
    found: Values = {}
    for name, proxy in PROXIES.items():
        try:
            here, there = (
                proxy(network, side, batch_size=8, seed=0, device=place) for place in ("cpu", device())
            )
        except ScoreUndefined:
            continue
        found[name, "cpu"], found[name, "device"] = here, there
        found[name, "relative difference"] = abs(there - here) / max(abs(here), 1e-30)
    return found


def latency(small: bool) -> Values:
    """Milliseconds of an image in half precision, channels last, in batches of 64."""
    from experiments.benchmarks import torchvision_zoo
    from zenlib.search.latency import measure_latency

    settings: dict[str, Any] = {"batch_size": 64, "dtype": torch.float16}
    names = ZENNETS + LATENCY_NETWORKS
    if small:
        names, settings = ("zennet-0.5M",), {"batch_size": 1, "dtype": torch.float32, "repeats": 2}
    found: Values = {}
    for name in names:
        module = zennet(name) if name in ZENNETS else torchvision_zoo.build(name)
        side = zennet_resolution(name) if name in ZENNETS else LATENCY_SIDES.get(name, 224)
        module.to(device(), settings["dtype"], memory_format=torch.channels_last)  # type: ignore[call-overload]
        told = measure_latency(module, side, device=device(), channels_last=True, **settings)
        found[name, "milliseconds"], found[name, "spread"] = told.milliseconds, told.spread
    return found


def training(small: bool) -> Values:
    """One training of a small network on Fashion-MNIST; on a CPU two epochs on the digits."""
    from zenlib.train.loop import train
    from zenlib.train.recipes import RECIPES

    data = "digits" if small else "fashion-mnist"
    epochs = 2 if small else RECIPES[data].epochs
    start = time.perf_counter()
    log = train(
        Architecture.from_string(TINY),
        data,
        RECIPES[data],
        training_folder(f"gpu-{data}-{time.time_ns()}"),
        device=device(),
        dtype="float32" if small else "bfloat16",
        until=epochs,
    )
    case = f"{data}, {epochs} epochs"
    return {(case, "seconds"): time.perf_counter() - start, (case, "top-1 (%)"): log[-1]["test_top1"]}


STEPS: dict[str, Callable[[bool], Values]] = {
    "tests": tests,
    "zen": zen,
    "search": search,
    "agreement": agreement,
    "latency": latency,
    "training": training,
}


@cache
def measured(step: str) -> Values:
    """The values of a step on this machine's GPU."""
    if not torch.cuda.is_available():
        raise ResultsError(
            f"gpu: needed a CUDA device to measure {step!r}, found none; run it where there is one"
        )
    return STEPS[step](False)


def gpu_row(*, device: str, step: str, case: str, quantity: str) -> dict[str, float]:
    """One value that the kit measured."""
    value = _TAKEN.get((device, step, case, quantity))
    return {"value": measured(step)[case, quantity] if value is None else value}


_TAKEN: dict[tuple[str, str, str, str], float] = {}
GPU = Table(
    study=STUDY,
    name="gpu",
    key=("device", "step", "case", "quantity"),
    compute=gpu_row,
    units={
        "device": "name: of the GPU",
        "step": "name: of the step of the kit",
        "case": "text: what was measured, with its settings",
        "quantity": "text: which value, with its unit where it has one",
        "value": "1: the value, in the unit of its quantity",
    },
    otherwise=NotCompared("measured on a GPU"),
)


def take(told: dict[str, Any]) -> int:
    """Stores what a step measured on a GPU, here or elsewhere; returns the number of rows.

    Args:
        told: `device`, `step` and `rows` of case, quantity and value, as the kit writes them.

    Raises:
        ResultsError: it was measured on a CPU.
    """
    if told["device"].startswith("cpu"):
        raise ResultsError(f"gpu: needed what was measured on a GPU, got {told['step']} of {told['device']}")
    keys = []
    for case, quantity, value in told["rows"]:
        if value is not None:
            key = {"device": told["device"], "step": told["step"], "case": case, "quantity": quantity}
            _TAKEN[told["device"], told["step"], case, quantity] = value
            keys.append(key)
    return len(GPU.fill(keys))
