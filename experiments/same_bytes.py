"""Execute notebooks as on another processor, and compare what they write with what is committed.

    python experiments/same_bytes.py                     all notebooks, kernels "sse", in build/same_bytes
    python experiments/same_bytes.py --kernels avx2 --only 02_zen_score 10_noise

Two notebooks run at a time. Exit status: 0 when all bytes are the same, 1 when a notebook failed or a file
differs.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from experiments.record.chapters import chapters
from experiments.record.kernels import KERNELS

EXPERIMENTS = Path(__file__).resolve().parent
ROOT = EXPERIMENTS.parent
BOOK = ROOT / "book"
AT_A_TIME = 2
FIRST = "04_closed_form"
"""Takes longest."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    stems = sorted(chapters(ROOT))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kernels", choices=KERNELS, default="sse", help="which instructions (default sse)")
    parser.add_argument(
        "--only", nargs="+", choices=stems, metavar="STEM", default=stems, help="these notebooks only"
    )
    parser.add_argument(
        "--output", type=Path, default=ROOT / "build" / "same_bytes", metavar="FOLDER", help="emptied first"
    )
    options = parser.parse_args(arguments)
    shutil.rmtree(options.output, ignore_errors=True)
    ordered = sorted(options.only, key=lambda stem: stem != FIRST)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        worked = list(pool.map(lambda stem: execute(stem, options.kernels, options.output), ordered))
    failed = [stem for stem, good in zip(ordered, worked, strict=True) if not good]
    differing = [
        name for stem in options.only if stem not in failed for name in differences(stem, options.output)
    ]
    for name in differing:
        print(f"{name}: other bytes with kernels {options.kernels} than committed", file=sys.stderr)
    for stem in failed:
        print(f"{stem}: FAILED", file=sys.stderr)
    print(
        f"kernels {options.kernels}: {len(options.only)} notebooks, {len(failed)} failed, {len(differing)} "
        "files differ"
    )
    return 1 if failed or differing else 0


def execute(stem: str, kernels: str, output: Path) -> bool:
    """Execute one notebook into a folder; whether it worked."""
    command = [sys.executable, str(EXPERIMENTS / "run.py"), "--profile", "cpu", "--part", "--only", stem]
    command += ["--output", str(output)]
    return subprocess.run(command, env=os.environ | KERNELS[kernels]).returncode == 0


def differences(stem: str, output: Path) -> list[str]:
    """Files of a notebook, the executed one and its figures, that differ between the book and a folder."""
    names = {f"studies/{stem}.ipynb"}
    for root in (BOOK, output):
        names |= {
            str(path.relative_to(root)) for path in (root / "figures" / stem.partition("_")[2]).glob("*")
        }
    return sorted(name for name in names if content(BOOK / name) != content(output / name))


def content(path: Path) -> bytes | None:
    """The bytes of a file; None where there is none."""
    return path.read_bytes() if path.is_file() else None


if __name__ == "__main__":
    sys.exit(main())
