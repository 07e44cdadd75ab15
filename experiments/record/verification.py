"""Stored values computed again, here and under the kernels of other processors, and the report of it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache
from multiprocessing import get_context, parent_process
from typing import Any

from tqdm import tqdm

from experiments.record.chapters import STUDIES, load_study
from experiments.record.kernels import KERNELS
from experiments.record.score_check import ScoreCheck
from experiments.record.table import Table
from zenlib.errors import BenchmarkMissing
from zenlib.machine import processor
from zenlib.threads import cores

ROWS = 3
"""Rows of each table that are drawn."""
SCORES = 9
"""Scores of each file that are drawn for one row of each table."""
FORMAT = 1
"""Version of the layout of a report; the book passes over another one."""
DEAR = 2.0
"""A row that took longer than these seconds is too dear to be computed again."""


@dataclass
class Verified:
    """What came of one table or file of scores under one setting."""

    kernel: str  # the setting, one of `KERNELS`
    place: str  # study and table, or study and file
    reproduced: int = 0  # rows or scores with all values within what is allowed
    failed: list[str] = field(default_factory=list)  # what was not reproduced, one text for each value
    dear: int = 0  # stored rows that are too dear to be computed again
    late: int = 0  # rows that were drawn and not begun, because the time was over
    missing: str = ""  # why nothing could be computed, empty where something could
    shares: dict[str, float] = field(default_factory=dict)  # largest difference of a column, over the allowed


@cache
def places(studies: tuple[str, ...] = tuple(STUDIES)) -> dict[str, Table | ScoreCheck]:
    """Every table and every file of scores of these studies, by name."""
    modules = [load_study(study) for study in studies]
    found = [check for module in modules for check in (*module.TABLES, *getattr(module, "SCORE_CHECKS", ()))]
    return {check.place: check for check in found}


def verify(
    studies: Sequence[str] | None = None,
    *,
    rows: int = ROWS,
    dear: float = DEAR,
    seconds: float = 600.0,
    seed: int = 0,
    kernels: Sequence[str] = ("own",),
) -> list[Verified]:
    """Computes a random sample of the stored values again and compares.

    Each process has one thread, except under "two-threads", and there are as many processes as cores allow.

    Args:
        studies: their names; None means all.
        rows: rows of each table; of each file of scores `SCORES` times as many values.
        dear: rows that took longer than these seconds are left out.
        seconds: no further row is begun after this time, which the settings share.
        seed: draws the sample, which is the same under every setting.
        kernels: names of settings in `KERNELS`.
    """
    checks = places(tuple(studies or STUDIES))
    samples = {
        name: check.sample(rows if isinstance(check, Table) else SCORES * rows, dear, seed)
        for name, check in checks.items()
    }
    total = sum(len(chosen) for chosen, _ in samples.values()) * len(kernels)
    found: list[Verified] = []
    start = time.time()
    often = 0.5 if sys.stderr.isatty() else 60.0
    with tqdm(
        total=total, desc="verifying", unit="row", delay=5.0, mininterval=often, file=sys.stderr
    ) as bar:
        for position, kernel in enumerate(kernels):
            end = time.time() + (seconds - (time.time() - start)) / (len(kernels) - position)
            with _workers(kernel) as pool:
                futures = [
                    pool.submit(recompute, kernel, name, chosen, end) for name, (chosen, _) in samples.items()
                ]
                for one in _in_order(futures, bar, samples):
                    one.dear = samples[one.place][1]
                    found.append(one)
    return found


def _in_order(futures: list[Future[Verified]], bar: tqdm, samples: dict[str, Any]) -> list[Verified]:
    for future in as_completed(futures):
        bar.update(len(samples[future.result().place][0]))
    return [future.result() for future in futures]


@contextmanager
def _workers(kernel: str) -> Iterator[ProcessPoolExecutor]:
    """New processes that compute under a setting; the variables are read as they start."""
    wanted = KERNELS[kernel]
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    count = max(1, cores() // int(wanted["OMP_NUM_THREADS"]))
    try:
        with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
            yield pool
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def recompute(kernel: str, name: str, chosen: list[Any], end: float) -> Verified:
    """Computes the drawn rows of one place again; none is begun after the time `end`."""
    check, verified = places((name.partition("/")[0],))[name], Verified(kernel, name)
    parent = parent_process()
    for position, row in enumerate(chosen):
        if parent is not None and not parent.is_alive():  # nobody waits for the rest
            os._exit(1)
        if time.time() > end:
            verified.late = len(chosen) - position
            break
        try:
            lines = check.recompute(row)
        except BenchmarkMissing as error:
            verified.missing = str(error)
            break
        wrong = [str(line) for line in lines if not line.agrees]
        verified.failed += wrong
        verified.reproduced += bool(lines) and not wrong
        for line in lines:
            largest = max(verified.shares.get(line.column, 0.0), float(f"{line.share:.2g}"))
            verified.shares[line.column] = largest
    return verified


def report(found: Sequence[Verified], *, seed: int, dear: float, seconds: float) -> dict[str, Any]:
    """What the book shows: where and how it was made, and one entry for each place and setting."""
    import torch

    return {
        "format": FORMAT,
        "processor": processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "seed": seed,
        "dear": dear,
        "seconds": round(seconds),
        "places": [
            asdict(one) | {"shares": {name: share for name, share in one.shares.items() if share}}
            for one in found
        ],
    }


def summary(told: dict[str, Any]) -> str:
    """A sentence or two about where a report was made, and how close the values came."""
    kernels = list(dict.fromkeys(place["kernel"] for place in told["places"]))
    worst = max((share for place in told["places"] for share in place["shares"].values()), default=0.0)
    return (
        f"Computed again on {told['processor']} (PyTorch uses {told['instructions']}) with PyTorch "
        f"{told['torch']}, in {told['seconds']:,} s; seed {told['seed']}, settings {', '.join(kernels)}, "
        f"rows of up to {told['dear']:g} s. "
        f"No reproduced value lay further from the stored one than {worst:.0%} of what is allowed."
    )


HEAD = ("study", "settings", "reproduced", "not reproduced", "too dear", "no time", "no data")


def table_of(places: Iterable[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The short table of a report: a head, a line for each study and a last one for all.

    They tell values reproduced and not, stored rows that are too dear, drawn ones that no time was left for,
    and tables for which a published file is missing.
    """
    entries = list(places)
    studies = list(dict.fromkeys(entry["place"].partition("/")[0] for entry in entries))
    lines = [
        _line(study, [entry for entry in entries if entry["place"].startswith(f"{study}/")])
        for study in studies
    ]
    return [HEAD, *lines, _line("all", entries)]


def _line(name: str, entries: list[dict[str, Any]]) -> tuple[str, ...]:
    dear = {entry["place"]: entry["dear"] for entry in entries}
    sums = (
        sum(entry["reproduced"] for entry in entries),
        sum(len(entry["failed"]) for entry in entries),
        sum(dear.values()),
        sum(entry["late"] for entry in entries),
        sum(bool(entry["missing"]) for entry in entries),
    )
    kernels = len({entry["kernel"] for entry in entries})
    return (name, str(kernels), *(f"{value:,}" for value in sums))
