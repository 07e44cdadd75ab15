"""Speed and memory of the Zen-Score against the released procedure, as ratios within one run.

    python experiments/speed/score.py [--rounds 7] [--threads 2]

Each contender lives in a process of its own, so that its memory is its own; they take turns, one repeat each,
so that a disturbance hits all alike. Times are medians over rounds, scores means. Peak memory is the growth
of the resident set over what it was after imports (and compilation), on Linux. The floor is the convolutions
alone: both branches, the whole batch, channels-last, nothing else, not even drawing the weights.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import released_procedure
import torch
from torch import Tensor

from zenlib.networks.zennets import zennet_architecture
from zenlib.scores.forward import convolve
from zenlib.scores.zen import zen_terms
from zenlib.vanilla.convert import to_vcnn
from zenlib.vanilla.vcnn import VCNN

CASES = {"resnet50": ("ResNet-50 at 224, 16 images", 16), "zennet-1.0M": ("ZenNet-1.0M at 32, 64 images", 64)}
CONTENDERS = {
    "reference": "released procedure, float32",
    "eager-float32": "ours, float32",
    "compiled-float32": "ours, float32, compiled",
    "floor-float32": "convolutions alone, float32",
    "eager-bfloat16": "ours, bfloat16",
    "compiled-bfloat16": "ours, bfloat16, compiled",
    "floor-bfloat16": "convolutions alone, bfloat16",
}


def vcnn_of(case: str) -> VCNN:
    if case == "resnet50":
        import torchvision

        return to_vcnn(torchvision.models.resnet50(), 224)
    return to_vcnn(zennet_architecture(case), 32)


def has_bfloat16_units() -> bool:
    """Whether this CPU multiplies bfloat16 numbers in hardware (AVX512-BF16 or AMX)."""
    cpuinfo = Path("/proc/cpuinfo")
    words = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return bool(words & {"avx512_bf16", "amx_bf16"})


def repeat_of(contender: str, vcnn: VCNN, batch: int) -> Callable[[int], float]:
    """Computes one repeat by the round's number: its score, or the seconds of the floor."""
    kind, _, dtype_name = contender.partition("-")
    dtype = getattr(torch, dtype_name or "float32")
    if kind == "reference":
        network = released_procedure.build(vcnn)
        shape = batch, vcnn.in_channels, vcnn.resolution, vcnn.resolution

        def reference(number: int) -> float:
            torch.manual_seed(number)
            return float(released_procedure.score_once(network, shape))

        return reference
    if kind == "floor":
        return lambda number: convolutions_alone(vcnn, batch, dtype)

    def ours(number: int) -> float:
        terms = zen_terms(
            vcnn, batch_size=batch, repeats=1, seed=number, dtype=dtype, compiled=kind == "compiled"
        )
        return float(terms.score("l1", "running")[0])

    return ours


@torch.no_grad()
def convolutions_alone(vcnn: VCNN, batch: int, dtype: torch.dtype) -> float:
    """Seconds in the convolutions of both branches."""
    seconds = 0.0
    for conv in vcnn.convs:
        features = _constant((2 * batch, conv.in_channels, *conv.in_resolution), dtype)
        weight = _constant(conv.weight_shape, dtype)
        start = time.perf_counter()
        convolve(conv, features, weight)
        seconds += time.perf_counter() - start
    return seconds


def _constant(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    return torch.full(shape, 0.5, dtype=dtype).contiguous(memory_format=torch.channels_last)


def work(contender: str, case: str, threads: int) -> None:
    torch.set_num_threads(threads)
    start = time.perf_counter()
    small = to_vcnn(zennet_architecture("zennet-1.0M"), 16)
    repeat_of(contender, small, 2)(0)  # what the first call ever costs: compilation
    first_call = time.perf_counter() - start
    vcnn, batch = vcnn_of(case), CASES[case][1]
    baseline = forget_peak()
    repeat = repeat_of(contender, vcnn, batch)
    repeat(0)  # shapes seen for the first time are no part of a warm repeat
    print(json.dumps(first_call), flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        result = repeat(int(line))
        wall = time.perf_counter() - start
        timed = (result, math.nan) if contender.startswith("floor") else (wall, result)
        print(json.dumps([*timed, memory("VmHWM") - baseline]), flush=True)


def forget_peak() -> int:
    """Gives free memory back to the system, starts a new peak, and returns the resident bytes now."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(field: str) -> int:
    """A field of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def race(case: str, contenders: list[str], rounds: int, threads: int) -> None:
    """All contenders of one case, in turn; prints a line for each, ratios against the first."""
    with tempfile.TemporaryDirectory() as cache:  # so that a first call really compiles
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache, "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, __file__, "--threads", str(threads), "--case", case, "--work"]
        workers: dict[str, subprocess.Popen[str]] = {}
        first_calls: dict[str, float] = {}
        answers: dict[str, list[list[float]]] = {name: [] for name in contenders}
        for name in contenders:
            workers[name] = subprocess.Popen(
                [*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            first_calls[name] = answer(workers[name])
        for number in range(1, rounds + 1):
            for name, worker in workers.items():
                answers[name].append(answer(worker, f"{number}\n"))
        for worker in workers.values():
            worker.communicate()
    print(f"\n{CASES[case][0]}")
    print(f"{'':<32}{'s/repeat':>9}{'speed':>7}{'first call':>12}{'peak MB':>9}{'memory':>8}  score")
    found = {}
    for name, told in answers.items():
        seconds, scores, peaks = zip(*told, strict=True)
        found[name] = statistics.median(seconds), statistics.mean(scores), max(peaks)
    reference, _, most = found[contenders[0]]
    for name, (seconds, score, peak) in found.items():
        print(
            f"{CONTENDERS[name]:<32}{seconds:>9.3f}{reference / seconds:>7.2f}{first_calls[name]:>12.2f}"
            f"{peak / 1e6:>9.0f}{peak / most:>8.2f}  {score:.2f}"
        )


def answer(worker: subprocess.Popen[str], question: str = "") -> Any:
    """What a worker says next, asked or not."""
    assert worker.stdin is not None and worker.stdout is not None  # both are pipes
    worker.stdin.write(question)
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="repeats of each contender")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--case", choices=CASES, help="only this network")
    parser.add_argument(
        "--bfloat16", action="store_true", help="also where the CPU has no bfloat16 units (slow)"
    )
    parser.add_argument("--work", choices=CONTENDERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.case, given.threads)
        return
    bfloat16 = given.bfloat16 or has_bfloat16_units()
    contenders = [name for name in CONTENDERS if bfloat16 or not name.endswith("bfloat16")]
    print(
        f"{given.threads} threads, torch {torch.__version__}, "
        f"{'with' if has_bfloat16_units() else 'without'} bfloat16 units, {given.rounds} rounds"
    )
    for case in [given.case] if given.case else CASES:
        race(case, contenders, given.rounds, given.threads)


if __name__ == "__main__":
    main()
