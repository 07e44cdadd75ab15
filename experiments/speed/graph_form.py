"""Time of the repaired score of a NAS-Bench-201 cell, and its ratio to one draw of the Zen-Score.

    python experiments/speed/graph_form.py

The draw takes 16 images of 32 pixels in float32, by the fast scorer of cells. Both are processor time of one
thread, taken in turn, the least of a few passes over each cell.
"""

from __future__ import annotations

import random
import time

import numpy as np
import torch

from experiments.benchmarks.cell_zen import CellScorer
from zenlib.scores.graph_form import repaired_score
from zenlib.spaces.nasbench201 import cells

BATCH, RESOLUTION, CELLS, PASSES = 16, 32, 200, 5


def milliseconds(function, cell) -> float:
    start = time.process_time()
    function(cell)
    return 1e3 * (time.process_time() - start)


def main() -> None:
    torch.set_num_threads(1)
    sample = random.Random(0).sample([cell for cell in cells() if cell.is_connected], CELLS)
    scorer = CellScorer(0, batch_size=BATCH, resolution=RESOLUTION, perturbation=0.01)
    arithmetic = [min(milliseconds(repaired_score, cell) for _ in range(PASSES)) for cell in sample]
    drawn = [min(milliseconds(scorer.terms, cell) for _ in range(2)) for cell in sample[: CELLS // 10]]
    low, median, high = np.quantile(arithmetic, [0.1, 0.5, 0.9])
    print(
        f"repaired score, mean of {CELLS} cells   {np.mean(arithmetic):7.2f} ms a cell (10, 50, 90 %: "
        f"{low:.2f}, {median:.2f}, {high:.2f})"
    )
    print(f"one draw of the Zen-Score, mean    {np.mean(drawn):7.1f} ms a cell")
    print(f"ratio                              {np.mean(drawn) / np.mean(arithmetic[: len(drawn)]):7.0f}")


if __name__ == "__main__":
    main()
