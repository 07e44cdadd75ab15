"""Measure the library on one GPU, in at most eight minutes, and keep what was measured.

    python experiments/speed/gpu.py                     all steps, each in a process with a time limit
    python experiments/speed/gpu.py --only zen latency  some of them
    python experiments/speed/gpu.py --small             at its smallest, on a CPU too; stores nothing
    python experiments/speed/gpu.py --take FOLDER       store what was measured on another machine

Needs torch, torchvision, numpy, pandas and tqdm, and no network; the steps `search` and `latency` need
pyarrow, `tests` needs pytest, and `training` Fashion-MNIST. Every step writes `build/gpu/<step>.json`, and
its rows go to the chapter "devices".
Exit status: 0 where every step ended well, else 1.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from experiments.chapters.devices import kit  # noqa: E402  the checkout need not be installed


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
        write(options.step, options.small, options.out)
        return 0
    if kit.device() == "cpu" and not options.small:
        print("needed a CUDA device, found none; --small tests the kit on a CPU", file=sys.stderr)
        return 1
    options.out.mkdir(parents=True, exist_ok=True)
    failed = [step for step in options.only if not run(step, options.small, options.out)]
    print(
        f"{len(failed)} of {len(options.only)} steps failed: {', '.join(failed)}"
        if failed
        else "all steps done"
    )
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
    print(f"{step:<10} {time.perf_counter() - start:6.1f} s  {ended}", flush=True)
    if ended == "done" and not small:
        kit.take(json.loads(path.read_text()))
    return ended == "done"


def write(step: str, small: bool, out: Path) -> None:
    """Measure a step and write its file."""
    values = kit.STEPS[step](small)
    rows = [(*name, value if math.isfinite(value) else None) for name, value in values.items()]
    told = {"device": kit.device_name(), "step": step, "rows": rows}
    (out / f"{step}.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
