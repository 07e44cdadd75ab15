"""Measure the library on one GPU, in at most eight minutes, and keep what was measured.

    python experiments/speed/gpu.py                     all steps, each in a process with a time limit
    python experiments/speed/gpu.py --only zen latency  some of them
    python experiments/speed/gpu.py --small             at its smallest, on a CPU too; stores nothing
    python experiments/speed/gpu.py --take FOLDER       store what was measured on another machine

Needs torch 2.6, torchvision, numpy, pandas and tqdm, and no network; the step `tests` needs pytest, and
`training` the files of Fashion-MNIST (with --small scikit-learn). Every step writes `build/gpu/<step>.json`
after each of its cases, so that one which fails or comes to its limit loses no other; the rows go to the
chapter "devices". What is stored of a GPU stays: delete its rows to measure them again.
Exit status: 0 where every case ended well, else 1.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from experiments.chapters.devices import kit  # noqa: E402  the checkout need not be installed
from zenlib.durable import replace_file  # noqa: E402
from zenlib.errors import ResultsError  # noqa: E402


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(kit.STEPS), default=list(kit.STEPS), metavar="STEP")
    parser.add_argument(
        "--small", action="store_true", help="at its smallest, on any machine; stores nothing"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu", metavar="FOLDER")
    parser.add_argument("--take", type=Path, metavar="FOLDER", help="store the files of this folder")
    parser.add_argument("--step", choices=list(kit.STEPS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.take:
        for path in sorted(options.take.glob("*.json")):
            print(f"{path.stem}: {kit.take(json.loads(path.read_text()))} rows")
        return 0
    if options.step:
        failed = write(options.step, options.small, options.out)
        print("\n".join(f"failed: {case}" for case in failed))
        return int(bool(failed))
    if kit.device() == "cpu" and not options.small:
        print("needed a CUDA device, found none; --small tests the kit on a CPU", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    failed = [step for step in options.only if not run(step, options.small, options.out)]
    print(f"steps that failed in part or whole: {', '.join(failed)}" if failed else "all steps done")
    return int(bool(failed))


def run(step: str, small: bool, out: Path) -> bool:
    """One step in a process of its own; its output goes to a log beside its file."""
    path, start = out / f"{step}.json", time.perf_counter()
    path.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--step", step, "--out", str(out), *(["--small"] if small else [])]
    with open(out / f"{step}.log", "w", encoding="utf-8") as log:
        try:
            code = subprocess.run(
                command, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, timeout=kit.LIMITS[step], check=False
            ).returncode
            ended = "done" if code == 0 else f"FAILED, see {log.name}"
        except subprocess.TimeoutExpired:
            ended = f"STOPPED at its limit of {kit.LIMITS[step]} s, see {log.name}"
    cases = 0
    if path.exists():
        told = json.loads(path.read_text())
        cases = len({case for case, *_ in told["rows"]})
        if not small:
            kit.take(told)
    print(f"{step:<10} {time.perf_counter() - start:6.1f} s  {cases:3} cases  {ended}", flush=True)
    return ended == "done"


def write(step: str, small: bool, out: Path) -> list[str]:
    """Measures a step and writes its file after every case; returns the cases that failed."""
    told: dict[str, Any] = {"device": kit.device_name(), "step": step, "rows": []}
    failed = []
    for case, measure in kit.STEPS[step](small):
        try:
            values = measure()
        except Exception:  # of one case: the others are measured all the same
            traceback.print_exc()
            failed.append(case)
            continue
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        told["rows"] += [(case, name, value) for name, value in finite.items()]
        _keep(out / f"{step}.json", told)
    return failed


def _keep(path: Path, told: dict[str, Any]) -> None:
    text = json.dumps(told, indent=1) + "\n"
    replace_file(path, lambda file: file.write(text.encode()), ResultsError)


if __name__ == "__main__":
    sys.exit(main())
