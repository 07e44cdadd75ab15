"""Time of the Zen-Scores and the repaired score of a NAS-Bench-201 cell, as ratios to a loop over modules.

    python experiments/speed/cells.py

The plain loop builds the network of the cell, draws its weights, runs it on images and on perturbed images,
and reads the variance before every BatchNorm by hooks. All see 16 images of 32 pixels in float32, and take
processor time of one thread, in turn.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import numpy as np
import torch

from experiments.benchmarks.cell_zen import CellScorer, cell_vcnn
from experiments.benchmarks.module_zen import module_terms
from experiments.benchmarks.nasbench201_space import Cell, build, cells
from zenlib.proxies.query import Query
from zenlib.scores.graph_form import repaired_score
from zenlib.scores.zen import zen_terms

BATCH, RESOLUTION, NETWORKS, CELLS = 16, 32, 40, 15_625


def plain(cell: Cell) -> None:
    """All definitions of a cell as it is built, by its module run twice."""
    module_terms(Query(build(cell), RESOLUTION, BATCH, 0, torch.device("cpu")))


def vanilla(cell: Cell) -> None:
    """All definitions of the vanilla form of a cell."""
    zen_terms(cell_vcnn(cell), batch_size=BATCH, repeats=1, device="cpu")


def main() -> None:
    """Times every score of every cell in turn, and prints means."""
    torch.set_num_threads(1)
    sample = random.Random(0).sample(
        [cell for cell in cells() if cell.without_skips().is_connected], NETWORKS
    )
    scorer = CellScorer(0, batch_size=BATCH, resolution=RESOLUTION)
    scores: dict[str, Callable[[Cell], object]] = {
        "plain": plain,
        "fast": scorer.terms,
        "vanilla": vanilla,
        "repaired": repaired_score,
    }
    for cell in (Cell(("nor_conv_3x3",) * 6), Cell(("nor_conv_1x1",) * 6)):  # every weight is drawn once
        scorer.terms(cell)
    times: dict[str, list[float]] = {name: [] for name in scores}
    for cell in sample:
        for name, score in scores.items():
            start = time.process_time()
            score(cell)
            times[name].append(time.process_time() - start)
    mean = {name: float(np.mean(found)) for name, found in times.items()}
    forms = {cell.without_skips() for cell in cells() if cell.without_skips().is_connected}
    total = (CELLS * mean["fast"] + len(forms) * mean["vanilla"]) / 60
    faster, much_faster = mean["plain"] / mean["fast"], mean["fast"] / mean["repaired"]
    print(f"plain loop, three definitions as built {mean['plain']:8.4f} s a cell ({NETWORKS} cells)")
    print(f"this package, the same                 {mean['fast']:8.4f} s, {faster:.1f} times as fast")
    print(f"vanilla form                           {mean['vanilla']:8.4f} s, {len(forms):,} different ones")
    print(
        f"repaired score                         {mean['repaired']:8.4f} s, {much_faster:.0f} times as fast"
    )
    print(f"all {CELLS:,} cells, as built and vanilla {total:8.1f} minutes on one thread, one seed")


if __name__ == "__main__":
    main()
