"""Scoring one round of candidates: here, or on the workers of any `concurrent.futures.Executor`.

Scores come back in the order of the candidates. A worker that dies takes its process pool with it; what was
lost is scored again, one at a time, so that a candidate that kills its worker is found.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from zenlib.errors import extra
from zenlib.search.history import Outcome
from zenlib.search.scores import Scorer
from zenlib.threads import begin_worker, cores

ATTEMPTS = 3
"""How often a candidate whose worker died is tried before it counts as failed."""


class Workers:
    """Scores rounds here, where there is no executor, or there; ends the pools that it started itself."""

    def __init__(self, scorer: Scorer, executor: Executor | None = None) -> None:
        if scorer.timeout is not None and (executor is None or isinstance(executor, ThreadPoolExecutor)):
            raise ValueError(
                "score_timeout: needed an executor of other processes, which can be ended, got "
                f"{'none' if executor is None else 'threads'}; give a ProcessPoolExecutor, or no time limit"
            )
        self.scorer = scorer
        self.executor = executor
        self._own: Executor | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own is not None:
            self._own.shutdown(cancel_futures=True)

    def score(self, networks: Sequence[Any]) -> list[Outcome]:
        """The outcomes in the order of the networks."""
        if self.executor is None:
            return [self.scorer(network) for network in networks]
        found = zip(self._try_all(networks), networks, strict=True)
        return [one or self._retry(network) for one, network in found]

    def _try_all(self, networks: Sequence[Any], attempt: int = 0) -> list[Outcome | None]:
        """One attempt for each; None where the worker was lost."""
        futures: list[Future[Outcome] | None] = []
        for network in networks:
            try:
                futures.append(self._executor().submit(self.scorer, network, attempt))
            except BrokenExecutor:  # broken while this round was handed out
                futures.append(None)
        return [None if future is None else _result(future) for future in futures]

    def _retry(self, network: Any) -> Outcome:
        pool = isinstance(self.executor, ProcessPoolExecutor)  # Dask has tried several workers by itself
        for attempt in range(1, ATTEMPTS if pool else 2):
            (found,) = self._try_all([network], attempt)
            if found is not None:
                return found
        hung = "" if self.scorer.timeout is None else f", or hung for more than {self.scorer.timeout:g} s,"
        return Outcome(math.nan, f"its worker died{hung} in {ATTEMPTS} attempts")

    def _executor(self) -> Executor:
        """The executor, or a new pool like it where it is broken."""
        pool: Any = self._own or self.executor
        if isinstance(self.executor, ProcessPoolExecutor) and pool._broken:
            pool.shutdown(wait=False)
            settings = pool._max_workers, pool._mp_context, pool._initializer, pool._initargs
            self._own = pool = ProcessPoolExecutor(*settings)  # there is no public way to ask for them
        return pool


def _result(future: Future[Outcome]) -> Outcome | None:
    try:
        return future.result()
    except Exception as error:
        # Dask gives up on a task with its own KilledWorker, after it has tried other workers.
        if isinstance(error, BrokenExecutor | CancelledError) or type(error).__name__ == "KilledWorker":
            return None
        raise


@contextmanager
def open_executor(workers: int = 0, scheduler_file: str | Path | None = None) -> Iterator[Executor | None]:
    """The workers that a command line asks for: none, processes with one thread each, or a Dask cluster.

    No more processes are started than there are cores. The file is what `dask scheduler --scheduler-file`
    wrote; every `dask worker` that joined it scores, one candidate per thread. For several GPUs start one
    worker each, with its own CUDA_VISIBLE_DEVICES.
    """
    if workers < 0 or (workers and scheduler_file):
        raise ValueError(
            f"workers: needed 0 or more processes, or 0 with a scheduler file; got {workers} and "
            f"{scheduler_file}"
        )
    if scheduler_file:
        if not Path(scheduler_file).exists():
            raise ValueError(
                "scheduler_file: needed the file that `dask scheduler --scheduler-file` writes, got "
                f"{scheduler_file}, which is not there"
            )
        with extra("distributed"):
            from distributed import Client
        with Client(scheduler_file=str(scheduler_file)) as client:
            yield client.get_executor()
    elif workers:
        if workers > cores():
            most = f"workers: needed at most one for each core ({cores()}), got {workers}"
            warnings.warn(f"{most}; going on with {cores()}, the result is the same", stacklevel=3)
        count, spawn = min(workers, cores()), get_context("spawn")
        with ProcessPoolExecutor(count, mp_context=spawn, initializer=begin_worker) as pool:
            yield pool
    else:
        yield None
