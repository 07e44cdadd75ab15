"""Speed and memory of the Zen-Score against the released procedure, as ratios within one run.

    python experiments/speed/score.py [--rounds 7] [--threads 2] [--out score.json]

Each contender lives in a process of its own, so that its memory is its own; they take turns, one repeat each,
so that a disturbance hits all alike. Times are medians over rounds. Peak memory is the growth of the resident
set over what it was after imports (and compilation), on Linux. The floor is the convolutions alone: both
branches, the whole batch, channels-last, nothing else, not even drawing the weights.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
SPEED_TARGETS = {
    "float32": {"resnet50": 1.5, "zennet-1.0M": 1.5},
    "bfloat16": {"resnet50": 2.5, "zennet-1.0M": 2.0},
}
MEMORY_TARGET = 0.7


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


# One contender: a process that answers each line on its standard input.


def repeat_of(contender: str, vcnn: VCNN, batch: int):
    """A function of the round's number that computes one repeat and returns its score (NaN for the floor)."""
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
    repeat_of(contender, to_vcnn(zennet_architecture("zennet-1.0M"), 16), 2)(
        0
    )  # what the first call ever costs: compilation
    first_call = time.perf_counter() - start
    vcnn, batch = vcnn_of(case), CASES[case][1]
    baseline = forget_peak()
    repeat = repeat_of(contender, vcnn, batch)
    repeat(0)  # shapes seen for the first time are no part of a warm repeat
    print(json.dumps({"first_call": first_call}), flush=True)
    for line in sys.stdin:
        start, cpu_start = time.perf_counter(), time.process_time()
        result = repeat(int(line))
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        timed = (
            {"seconds": result, "score": None}
            if contender.startswith("floor")
            else {"seconds": wall, "score": result}
        )
        print(json.dumps({**timed, "cpu": cpu, "peak": memory("VmHWM") - baseline}), flush=True)


def forget_peak() -> int:
    """Gives free memory back to the system, starts a new peak, and returns the resident bytes now."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def memory(field: str) -> int:
    """A field of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


# All contenders of one case, in turn.


def race(case: str, contenders: list[str], rounds: int, threads: int) -> list[dict]:
    with tempfile.TemporaryDirectory() as cache:  # so that a first call really compiles
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache, "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, __file__, "--threads", str(threads), "--case", case, "--work"]
        workers: dict[str, subprocess.Popen[str]] = {}
        first_calls: dict[str, float] = {}
        answers: dict[str, list[dict]] = {name: [] for name in contenders}
        for name in contenders:
            workers[name] = subprocess.Popen(
                [*command, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            first_calls[name] = answer(workers[name])["first_call"]
        for number in range(1, rounds + 1):
            for name, worker in workers.items():
                answers[name].append(answer(worker, f"{number}\n"))
        for worker in workers.values():
            worker.communicate()
    return [summary(case, name, first_calls[name], answers[name]) for name in contenders]


def answer(worker: subprocess.Popen[str], question: str = "") -> dict:
    """What a worker says next, asked or not."""
    assert worker.stdin is not None and worker.stdout is not None  # both are pipes
    worker.stdin.write(question)
    worker.stdin.flush()
    return json.loads(worker.stdout.readline())


def summary(case: str, contender: str, first_call: float, answers: list[dict]) -> dict:
    scores = [answer["score"] for answer in answers if answer["score"] is not None]
    return {
        "case": case,
        "contender": contender,
        "seconds": statistics.median(answer["seconds"] for answer in answers),
        "fastest_seconds": min(answer["seconds"] for answer in answers),
        "cpu_seconds": statistics.median(answer["cpu"] for answer in answers),
        "first_call_seconds": first_call,
        "peak_bytes": max(answer["peak"] for answer in answers),
        "score": statistics.mean(scores) if scores else None,
        "stderr": statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else None,
    }


def table(rows: list[dict]) -> str:
    """One line for each contender, ratios against the reference of the same case."""
    lines = []
    for case, (title, _) in CASES.items():
        mine = [row for row in rows if row["case"] == case]
        if not mine:
            continue
        reference = mine[0]
        lines += [
            "",
            title,
            f"{'':<32}{'s/repeat':>9}{'speed':>7}{'fastest':>9}{'CPU s':>8}"
            f"{'first call':>12}{'peak MB':>9}{'memory':>8}  score",
        ]
        for row in mine:
            score = (
                ""
                if row["score"] is None
                else f"{row['score']:.2f}" + ("" if row["stderr"] is None else f" +- {row['stderr']:.2f}")
            )
            lines.append(
                f"{CONTENDERS[row['contender']]:<32}{row['seconds']:>9.3f}"
                f"{reference['seconds'] / row['seconds']:>7.2f}"
                f"{row['fastest_seconds']:>9.3f}{row['cpu_seconds']:>8.3f}{row['first_call_seconds']:>12.2f}"
                f"{row['peak_bytes'] / 1e6:>9.0f}{row['peak_bytes'] / reference['peak_bytes']:>8.2f}  {score}"
            )
        lines += verdicts(mine)
    return "\n".join(lines)


def verdicts(rows: list[dict]) -> list[str]:
    by_name = {row["contender"]: row for row in rows}
    reference, case = rows[0], rows[0]["case"]
    lines = []
    for dtype, targets in SPEED_TARGETS.items():
        ours, floor = by_name.get(f"compiled-{dtype}"), by_name.get(f"floor-{dtype}")
        if not ours or not floor:
            continue
        speed, memory_ratio = (
            reference["seconds"] / ours["seconds"],
            ours["peak_bytes"] / reference["peak_bytes"],
        )
        lines.append(
            f"{dtype}, compiled: speed {speed:.2f} (needed {targets[case]}), memory {memory_ratio:.2f} "
            f"(needed at most {MEMORY_TARGET}), "
            f"{ours['seconds'] / floor['seconds']:.2f} times the convolutions alone"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="repeats of each contender")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--case", choices=CASES, help="only this network")
    parser.add_argument(
        "--bfloat16", action="store_true", help="also where the CPU has no bfloat16 units (slow)"
    )
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--work", choices=CONTENDERS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work, given.case, given.threads)
        return
    bfloat16 = given.bfloat16 or has_bfloat16_units()
    contenders = [name for name in CONTENDERS if bfloat16 or not name.endswith("bfloat16")]
    cases = [given.case] if given.case else list(CASES)
    rows = [row for case in cases for row in race(case, contenders, given.rounds, given.threads)]
    print(
        f"{given.threads} threads, torch {torch.__version__}, "
        f"{'with' if has_bfloat16_units() else 'without'} bfloat16 units, {given.rounds} rounds"
    )
    print(table(rows))
    if given.out:
        setting = {
            "threads": given.threads,
            "rounds": given.rounds,
            "torch": torch.__version__,
            "bfloat16_units": has_bfloat16_units(),
        }
        given.out.write_text(json.dumps({"setting": setting, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
