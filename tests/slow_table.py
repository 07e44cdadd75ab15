"""A small table whose rows take time, filled by `python -m tests.slow_table LOG SECONDS FIRST STOP`.

Every computed row is noted in LOG, so that a test can see what was computed twice.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from experiments.record.agreement import StandardError
from experiments.record.table import Table


def slow_table(log: Path, seconds: float = 0.0) -> Table:
    def compute(seed: int) -> dict[str, float]:
        time.sleep(seconds)
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{seed}\n")
        return {"score": 1 / (seed + 3), "error": 0.1 * seed}

    units = {"seed": "1: seed", "score": "nat: a score", "error": "nat: its standard error"}
    return Table("demo", "slow", compute, units, agreement={"score": StandardError("error")})


def keys(first: int, stop: int) -> list[dict[str, int]]:
    return [{"seed": seed} for seed in range(first, stop)]


def fill(log: Path, seconds: float, first: int, stop: int) -> None:
    slow_table(log, seconds).fill(keys(first, stop), progress=False)


if __name__ == "__main__":
    log, seconds, first, stop = sys.argv[1:]
    fill(Path(log), float(seconds), int(first), int(stop))
