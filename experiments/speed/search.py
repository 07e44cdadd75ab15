"""Time and memory of whole searches by the closed form, and what a scored candidate costs beside its parts.

    python experiments/speed/search.py            # 96,000 scored candidates
    python experiments/speed/search.py 480000

One process, one core: processor time is what counts where other jobs share the machine.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable

import torch

from zenlib.networks.zennets import zennet_architecture
from zenlib.scores.closed_form import closed_form_zen_score
from zenlib.scores.zen import zen_score
from zenlib.search import Budget, search

BUDGET = Budget(params=1e6, depth=18)


def seconds_of(run: Callable[[], object], repeats: int) -> float:
    """Processor time of one call, the shortest of some."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    evaluations = int(sys.argv[1]) if len(sys.argv) > 1 else 96_000
    torch.set_num_threads(1)
    wall, processor = time.perf_counter(), time.process_time()
    found = search("resnet-like", "closed-form", BUDGET, evaluations=evaluations, population=256)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    network = zennet_architecture("zennet-1.0M")
    repeat = seconds_of(lambda: zen_score(network, 32, repeats=1), 5)
    form = seconds_of(lambda: closed_form_zen_score(network, 32), 200)
    each = processor / evaluations
    print(f"{evaluations:,} scored candidates ({BUDGET}), best {found.best_score:.2f}")
    print(f"processor time   {processor:8.1f} s    wall time {wall:.1f} s")
    print(
        f"proposals        {found.proposed:,}, {found.proposed / evaluations:.1f} per scored candidate: "
        f"{found.rejected}"
    )
    print(
        f"per candidate    {1e6 * each:8.0f} us, of which the closed form of ZenNet-1.0M takes "
        f"{1e6 * form:.0f} us"
    )
    print(
        f"Monte Carlo      {1e3 * repeat:8.1f} ms for one repeat of 16 images: {repeat / each:.0f} "
        "candidates of this search"
    )
    print(f"memory, at most  {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:8.0f} MiB")


if __name__ == "__main__":
    main()
