"""Time of all definitions of the Zen-Score for a NAS-Bench-201 cell, as a ratio to a loop over modules.

    python experiments/speed/cells.py

The plain loop builds the network of the cell, draws its weights, runs it on images and on perturbed images,
and reads the variance before every BatchNorm by hooks. Both see 16 images of 32 pixels in float32 on one
thread, in turn, so that a busy machine slows both.
"""

from __future__ import annotations

import random
import time

import numpy as np
import torch

from experiments.benchmarks.cell_zen import CellScorer, cell_vcnn
from experiments.benchmarks.module_zen import module_terms
from zenlib.proxies.query import Query
from zenlib.scores.zen import zen_terms
from zenlib.spaces.nasbench201 import Cell, build, cells

BATCH, RESOLUTION, ALPHA, NETWORKS, CELLS = 16, 32, 0.01, 40, 15_625


def plain(cell: Cell, seed: int) -> None:
    """All definitions of a cell as it is built, by its module run twice."""
    module_terms(Query(build(cell), RESOLUTION, BATCH, seed, torch.device("cpu")))


def vanilla_form(cell: Cell) -> None:
    zen_terms(cell_vcnn(cell), batch_size=BATCH, repeats=1, device="cpu")


def seconds(function, *arguments) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    sample = random.Random(0).sample([cell for cell in cells() if cell.is_connected], NETWORKS)
    scorer = CellScorer(0, batch_size=BATCH, resolution=RESOLUTION, perturbation=ALPHA)
    for cell in (Cell(("nor_conv_3x3",) * 6), Cell(("nor_conv_1x1",) * 6)):  # every weight is drawn once
        scorer.terms(cell)
        plain(cell, 0)
    slow, fast, vanilla = [], [], []
    for cell in sample:
        slow.append(seconds(plain, cell, 1))
        fast.append(seconds(scorer.terms, cell))
        if cell.without_skips().is_connected:
            vanilla.append(seconds(vanilla_form, cell))
    forms = {cell.without_skips() for cell in cells() if cell.without_skips().is_connected}
    total = CELLS * np.mean(fast) + len(forms) * np.mean(vanilla)
    print(f"plain loop, three definitions as built        {np.mean(slow):7.3f} s a cell ({NETWORKS} cells)")
    print(f"this package, the same                        {np.mean(fast):7.3f} s a cell")
    print(
        f"ratio                                         {np.sum(slow) / np.sum(fast):7.1f}  (median "
        f"{np.median(np.divide(slow, fast)):.1f})"
    )
    print(
        f"vanilla form                                  {np.mean(vanilla):7.3f} s each, {len(forms):,} "
        "different ones"
    )
    print(
        f"all {CELLS:,} cells, as built and vanilla        {total / 60:7.1f} minutes on one thread, one seed"
    )


if __name__ == "__main__":
    main()
