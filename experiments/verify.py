"""Compute a random sample of the stored values again, and say which are reproduced.

    python experiments/verify.py                        a few rows of every table, in about two minutes
    python experiments/verify.py --seed today --rows 10 more of them, others every day
    python experiments/verify.py --kernels own sse avx2 as on processors without newer instructions as well
    python experiments/verify.py --only zen_score       the tables of one study

Exit status: 0 where all is reproduced, 1 where a value is not, 2 for a wrong call, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import sys
import time
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from experiments.record.chapters import STUDIES
from experiments.record.kernels import KERNELS
from experiments.record.verification import DEAR, ROWS, report, summary, table_of, verify
from zenlib.durable import replace_file
from zenlib.errors import ResultsError

ROOT = Path(__file__).resolve().parents[1]
REPORT = ROOT / "build" / "verification.json"
SEED = 20261128
"""Draws the sample of `make book`, so that the same checkout checks the same values on every day."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = read_options(arguments)
    start = time.time()
    try:
        found = verify(
            options.only,
            rows=options.rows,
            dear=options.dear,
            seconds=options.seconds,
            seed=options.seed,
            kernels=options.kernels,
        )
    except KeyboardInterrupt:
        print("interrupted; the last report stays as it was", file=sys.stderr)
        return 130
    told = report(found, seed=options.seed, dear=options.dear, seconds=time.time() - start)
    write(told, options.report)
    print(text(told))
    failed = [line for place in told["places"] for line in place["failed"]]
    if failed:
        print(
            f"{len(failed)} stored values are not reproduced; undo the change of the code, or delete their "
            "files to compute them again:",
            file=sys.stderr,
        )
        print("\n".join(f"  {line}" for line in failed), file=sys.stderr)
    return 1 if failed else 0


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--only", nargs="+", metavar="STUDY", choices=list(STUDIES), help="these studies only")
    told = f"rows of each table (default {ROWS}), and 9 N scores of each file"
    add("--rows", type=_positive, default=ROWS, metavar="N", help=told)
    told = f"leave out rows that took longer once (default {DEAR:g} s)"
    add("--dear", type=_seconds, default=DEAR, metavar="S", help=told)
    told = "begin no row after this time (default 600)"
    add("--seconds", type=_seconds, default=600.0, metavar="S", help=told)
    told = "draws the sample; `today` for the date (default: always the same)"
    add("--seed", type=_seed, default=SEED, metavar="N", help=told)
    told = "settings to compute under (default: own)"
    add("--kernels", nargs="+", choices=list(KERNELS), default=["own"], help=told)
    told = "where the result is kept for the book (default build/verification.json)"
    add("--report", type=Path, default=REPORT, help=told)
    return parser.parse_args(arguments)


def _positive(value: str) -> int:
    if not value.isdigit() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"needed a whole number from 1, got {value}")
    return int(value)


def _seconds(value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"needed seconds above 0, got {value}")
    return found


def _seed(value: str) -> int:
    if value == "today":
        return int(f"{datetime.date.today():%Y%m%d}")
    if not value.isdigit():
        raise argparse.ArgumentTypeError(f"needed a whole number or today, got {value}")
    return int(value)


def write(told: dict, path: Path) -> None:
    """Write the report at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = json.dumps(told).replace('{"kernel"', '\n{"kernel"')  # a line for each place
    replace_file(path, lambda file: file.write(f"{lines}\n".encode()), ResultsError)


def text(told: dict) -> str:
    """The short table."""
    lines = table_of(told["places"])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]) for name, *cells in lines]
    return "\n".join([summary(told), *shown])


if __name__ == "__main__":
    sys.exit(main())
