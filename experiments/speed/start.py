"""Time of `import zenlib`, `zenlib --help` and `import torch`, as multiples of starting Python alone.

    python experiments/speed/start.py

Each is a fresh process; processor time of the process, the least of some.
"""

from __future__ import annotations

import resource
import subprocess
import sys

REPEATS = 7
HELP = "from zenlib.cli import main; main(['--help'])"
STATEMENTS = {
    "python alone": "pass",
    "import zenlib": "import zenlib",
    "zenlib --help": HELP,
    "import torch": "import torch",
}


def seconds(statement: str) -> float:
    """Processor time of a fresh interpreter with this statement."""
    times = []
    for _ in range(REPEATS):
        before = children()
        subprocess.run([sys.executable, "-c", statement], stdout=subprocess.DEVNULL, check=True)
        times.append(children() - before)
    return min(times)


def children() -> float:
    """Processor time of the ended processes, finer than the hundredths of a second of `os.times`."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """Measures and prints."""
    found = {name: seconds(statement) for name, statement in STATEMENTS.items()}
    for name, time in found.items():
        print(f"{name:<14} {time:6.3f} s  {time / found['python alone']:6.1f} times Python alone")


if __name__ == "__main__":
    main()
