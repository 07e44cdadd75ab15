"""What `make gpu` measures on a GPU, and the table that keeps it; without a GPU nothing is stored.

Every step is a list of cases, each with a function that measures its quantities; listing them measures
nothing. On a CPU the same steps run at their smallest, to test them.
"""

from __future__ import annotations

import itertools
import math
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import Any

import torch

from experiments.benchmarks.published_networks import SIDES, TABLE7
from experiments.record.agreement import NotCompared
from experiments.record.results import training_folder
from experiments.record.table import Table
from experiments.speed import released_procedure
from experiments.speed.graphs import ZenGraph, one_by_one, together
from zenlib.errors import ResultsError, ScoreUndefined
from zenlib.machine import processor
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import ZENNETS, zennet, zennet_architecture, zennet_resolution
from zenlib.scores.pairs import EAGER, fused_kernels
from zenlib.scores.zen import zen_score
from zenlib.threads import begin_worker
from zenlib.vanilla.convert import to_vcnn
from zenlib.vanilla.vcnn import VCNN

Values = dict[str, float]
Cases = Iterator[tuple[str, Callable[[], Values]]]
STUDY = "devices"
LIMITS = {"tests": 70, "zen": 110, "search": 70, "agreement": 50, "latency": 110, "training": 70}
"""Seconds that each step may take; eight minutes together."""
TINY = "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,2,16,1)SuperConvK1BNRELU(16,32,1,1)"
PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12}
"""Dense bfloat16 operations a second by NVIDIA's data sheets."""
MODES = ("eager", "compiled", "CUDA graph")
AT_ONCE = 8
"""Networks that are scored at the same time in one process."""
OTHERS = tuple(row.torchvision for row in TABLE7 if row.torchvision)
"""The networks of Table 7 that torchvision has."""


def device() -> str:
    """Where the kit measures."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def device_name() -> str:
    """The name of the GPU, or of the processor."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else f"cpu: {processor()}"


def tests(small: bool) -> Cases:
    """How many of the tests that are marked for GPUs pass; none may fail."""
    yield "tests marked gpu", partial(_tests, "tests/library/scores" if small else "tests/library")


def _tests(where: str) -> Values:
    command = [sys.executable, "-m", "pytest", "-v", "-n", "0", "-m", "gpu", where]  # quiet tells no counts
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    words = told.stdout.replace(",", " ").split()
    pairs = [(word, float(count)) for count, word in itertools.pairwise(words) if count.isdigit()]
    found = {word: count for word, count in pairs if word in ("passed", "skipped")}
    if told.returncode or not found:
        raise ResultsError(
            f"tests marked gpu: needed all to pass, got status {told.returncode}; {told.stdout[-3000:]}"
            f"{told.stderr[-1000:]}"
        )
    return found


def zen(small: bool) -> Cases:
    """The Zen-Score by Monte Carlo: value, time, memory and share of the peak; and the released procedure.

    A CPU has no CUDA graphs, and compiling takes longer there than all the rest.
    """
    repeats = 2 if small else 8
    for network, (build, batch) in _zen_cases(small).items():
        yield f"{network}, released", partial(_released_values, build, batch, repeats)
        for dtype, mode in itertools.product((torch.float32, torch.bfloat16), MODES[: 1 if small else None]):
            name = f"{network}, {str(dtype).partition('.')[2]}, {mode}"
            yield name, partial(_zen_values, build, batch, dtype, mode, repeats)


def _zen_cases(small: bool) -> dict[str, tuple[Callable[[], VCNN], int]]:
    if small:
        return {"tiny at 16": (partial(to_vcnn, Architecture.from_string(TINY), 16), 2)}
    return {
        "ResNet-50 at 224": (lambda: to_vcnn(_others("resnet50"), 224), 16),
        "ZenNet-1.0M at 32": (partial(to_vcnn, zennet_architecture("zennet-1.0M"), 32), 64),
    }


def _others(name: str) -> torch.nn.Module:
    from experiments.benchmarks import torchvision_zoo

    return torchvision_zoo.build(name)


def _zen_values(build: Callable[[], VCNN], batch: int, dtype: torch.dtype, mode: str, repeats: int) -> Values:
    vcnn = build()
    with _peak_memory() as memory:
        once = _once(vcnn, batch, dtype, mode)
        once()  # what the first call ever costs
        scores, seconds = _timed(once, repeats)
    peak = next((rate for chip, rate in PEAKS.items() if chip in device_name()), math.nan)
    share = 4 * batch * vcnn.flops / seconds / peak if dtype == torch.bfloat16 else math.nan
    return _told(scores, seconds) | memory | {"share of peak": share}


def _once(vcnn: VCNN, batch: int, dtype: torch.dtype, mode: str) -> Callable[[], float]:
    """One repeat of the released Zen-Score in this way, another one at each call."""
    if mode == "CUDA graph":
        graph = ZenGraph(vcnn, batch, dtype, torch.Generator(device()))
        return lambda: one_by_one([graph])[0]
    if mode == "compiled" and fused_kernels() is EAGER:
        raise ResultsError("compiled: needed torch.compile, got a machine where it does not work")
    numbers = itertools.count()
    settings: dict[str, Any] = {"batch_size": batch, "dtype": dtype, "compiled": mode == "compiled"}
    settings |= {"repeats": 1, "norm": "l1", "bn_variance": "running", "device": device()}
    return lambda: zen_score(vcnn, seed=next(numbers), **settings).mean


def _released_values(build: Callable[[], VCNN], batch: int, repeats: int) -> Values:
    vcnn = build()
    shape = batch, vcnn.in_channels, vcnn.resolution, vcnn.resolution
    with torch.device(device()), _peak_memory() as memory:
        network = released_procedure.build(vcnn)
        released_procedure.score_once(network, shape)
        told = _timed(lambda: float(released_procedure.score_once(network, shape)), repeats)
    return _told(*told) | memory


@contextmanager
def _peak_memory() -> Iterator[Values]:
    """The most memory that the GPU held, told when the block ends."""
    told: Values = {}
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    yield told
    told["peak MiB"] = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else math.nan


def _told(scores: list[float], seconds: float) -> Values:
    stderr = statistics.stdev(scores) / math.sqrt(len(scores))
    return {"seconds": seconds, "score": statistics.mean(scores), "stderr": stderr}


def _timed(run: Callable[[], float], repeats: int) -> tuple[list[float], float]:
    """Values, and the median of their seconds; the value of a score waits for the device."""
    values, times = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        values.append(run())
        times.append(time.perf_counter() - start)
    return values, statistics.median(times)


def search(small: bool) -> Cases:
    """Candidates a second of an evolutionary search that scores by Monte Carlo, and networks as graphs."""
    for side, count in ((16, 2),) if small else ((32, 256), (224, 64)):
        for way in EXECUTORS:
            yield f"search at {side}, {way}", partial(_search_values, side, count, way)
        if not small:
            yield f"{AT_ONCE} networks at {side} as CUDA graphs", partial(_graph_values, side, AT_ONCE, 8)


def _search_values(side: int, count: int, way: str) -> Values:
    from zenlib.search import Budget
    from zenlib.search import search as run

    budget = Budget(params=1e6, depth=18)
    settings: dict[str, Any] = {"resolution": side, "progress": False, "round_size": 8 * workers()}
    with EXECUTORS[way]() as executor:
        settings["executor"] = executor
        run("resnet-like", "zen", budget, evaluations=settings["round_size"], **settings)  # starts them all
        done = run("resnet-like", "zen", budget, evaluations=count, seed=1, **settings)
    return {"candidates a second": count / done.seconds, "best score": done.best_score}


def workers() -> int:
    """One for each GPU; one on a CPU."""
    return max(1, torch.cuda.device_count())


def _own_gpu(places: Any) -> None:
    begin_worker()
    os.environ["CUDA_VISIBLE_DEVICES"] = places.get()


def _one_each() -> Executor:
    """A process for each GPU, which sees no other."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    context = multiprocessing.get_context("spawn")
    places = context.Queue()
    for place in given.split(",") if given else map(str, range(workers())):
        places.put(place)
    return ProcessPoolExecutor(workers(), context, _own_gpu, (places,))


def _own_stream() -> None:
    if torch.cuda.is_available():
        torch.cuda.set_stream(torch.cuda.Stream())


EXECUTORS: dict[str, Callable[[], Any]] = {
    "one process": nullcontext,
    "one worker for each GPU": _one_each,
    f"{AT_ONCE} networks at once, a stream each": partial(
        ThreadPoolExecutor, AT_ONCE, initializer=_own_stream
    ),
}
"""Who scores a round of candidates, by the words of the case."""


def _graph_values(side: int, count: int, rounds: int) -> Values:
    """What a search could gain at most: networks of its space, captured before the clock starts."""
    from zenlib.search import Budget
    from zenlib.search.budget import Gate
    from zenlib.search.sampling import sample_within
    from zenlib.spaces import SPACES

    gate, rng = Gate(Budget(params=1e6, depth=18), side, 1000), random.Random(0)
    drawn = [sample_within(SPACES["resnet-like"], gate, rng) for _ in range(count)]
    start = time.perf_counter()
    graphs = [
        ZenGraph(to_vcnn(network, side), 16, torch.float32, torch.Generator(device())) for network in drawn
    ]
    captured = time.perf_counter() - start
    _, alone = _timed(lambda: sum(one_by_one(graphs)), rounds)
    _, at_once = _timed(lambda: sum(together(graphs)), rounds)
    return {
        "seconds to capture one": captured / count,
        "networks a second, one by one": count / alone,
        "networks a second, together": count / at_once,
    }


def agreement(small: bool) -> Cases:
    """How far every score on the device lies from that on the CPU, as a share of its size."""
    from zenlib.proxies import PROXIES

    for name in PROXIES:
        yield name, partial(_agreement_values, name, small)


def _agreement_values(name: str, small: bool) -> Values:
    from zenlib.proxies import PROXIES

    network = Architecture.from_string(TINY) if small else zennet_architecture("zennet-0.5M")
    settings: dict[str, Any] = {"batch_size": 8, "seed": 0}
    try:
        here, there = (
            PROXIES[name](network, 16 if small else 32, device=place, **settings)
            for place in ("cpu", device())
        )
    except ScoreUndefined as undefined:
        print(f"{name}: {undefined}")
        return {}
    return {
        "cpu": here,
        "device": there,
        "relative difference": abs(there - here) / max(abs(here), 1e-30),
    }


def latency(small: bool) -> Cases:
    """Milliseconds of an image in half precision, channels last, in batches of 64."""
    for name in ("zennet-0.5M",) if small else ZENNETS + OTHERS:
        yield name, partial(_latency_values, name, small)


def _latency_values(name: str, small: bool) -> Values:
    from zenlib.search.latency import measure_latency

    settings: dict[str, Any] = {"batch_size": 64, "dtype": torch.float16}
    if small:
        settings = {"batch_size": 1, "dtype": torch.float32, "repeats": 2}
    with torch.device(device()):  # the weights are drawn where they are needed
        module = zennet(name) if name in ZENNETS else _others(name)
    side = SIDES[int(name[-1])] if name.startswith("efficientnet") else 224
    side = zennet_resolution(name) if name in ZENNETS else side
    module.to(device(), settings["dtype"], memory_format=torch.channels_last)  # type: ignore[call-overload]
    told = measure_latency(module, side, device=device(), channels_last=True, **settings)
    return {"milliseconds": told.milliseconds, "spread": told.spread}


def training(small: bool) -> Cases:
    """One training of a small network on Fashion-MNIST; on a CPU two epochs on the digits."""
    data = "digits" if small else "fashion-mnist"
    yield data, partial(_training_values, data, small)


def _training_values(data: str, small: bool) -> Values:
    from zenlib.train.loop import train
    from zenlib.train.recipes import RECIPES

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
    return {"epochs": epochs, "seconds": time.perf_counter() - start, "top-1 (%)": log[-1]["test_top1"]}


STEPS: dict[str, Callable[[bool], Cases]] = {
    "tests": tests,
    "zen": zen,
    "search": search,
    "agreement": agreement,
    "latency": latency,
    "training": training,
}


@cache
def planned() -> tuple[tuple[str, str], ...]:
    """Step and case of everything that the kit measures on a GPU."""
    return tuple((step, case) for step, cases in STEPS.items() for case, _ in cases(False))


def gpu_row(*, device: str, step: str, case: str, quantity: str) -> dict[str, float]:
    """One value that the kit measured."""
    return {"value": _TAKEN[device, step, case, quantity]}


_TAKEN: dict[tuple[str, str, str, str], float] = {}
GPU = Table(
    study=STUDY,
    name="gpu",
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
