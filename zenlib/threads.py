"""Threads of the libraries that compute: never more than there are cores, whatever the environment asks for.

Two threads that wait for each other on one core can take many times as long as one. The libraries read these
variables when they are loaded, so this module loads none of them, and is called first.
"""

from __future__ import annotations

import os
import sys
from multiprocessing import parent_process
from threading import Thread

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Variables of the environment by which a process computes on one thread."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cap_threads(most: int | None = None) -> None:
    """At most so many threads, None for the cores, in this process and in those that it starts later."""
    limit = cores() if most is None else most
    for name in ONE_THREAD:
        wanted = os.environ.get(name)
        if wanted is not None and not _within(wanted, limit):
            os.environ[name] = str(limit)
    if "torch" in sys.modules:  # it has read the variables
        import torch

        if torch.get_num_threads() > limit:
            torch.set_num_threads(limit)


def begin_worker() -> None:
    """One thread that computes, and one that ends this process with its parent, however that ends."""
    os.environ.update(ONE_THREAD)
    cap_threads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None  # this is a worker
    parent.join()
    os._exit(1)


def _within(wanted: str, limit: int) -> bool:
    """Whether a variable asks for no more; OpenMP's may be a list, a number for each level of nesting."""
    return all(part.strip().isdecimal() and 1 <= int(part) <= limit for part in wanted.split(","))
