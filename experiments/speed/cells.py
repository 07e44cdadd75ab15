"""Time of all definitions of the Zen-Score for a NAS-Bench-201 cell, as a ratio to a loop over modules.

    python experiments/speed/cells.py

The plain loop is what a reader would write: build the network of the cell, draw its weights, run it on images
and on perturbed images, and read the variance before every BatchNorm by hooks. Both see 16 images of 32
pixels in float32 on one thread, in turn, so that a busy machine slows both.
"""

from __future__ import annotations

import math
import random
import time

import numpy as np
import torch
from torch import Tensor, nn

from experiments.benchmarks.cell_zen import CellScorer, cell_vcnn
from zenlib.scores.zen import zen_terms
from zenlib.spaces.nasbench201 import Cell, build, cells

BATCH, RESOLUTION, ALPHA, NETWORKS, CELLS = 16, 32, 0.01, 40, 15_625


@torch.no_grad()
def plain(cell: Cell, seed: int) -> tuple[float, float, float]:
    """The three definitions of a cell as it is built, by a module run twice."""
    torch.manual_seed(seed)
    module = build(cell).train()
    variances: list[Tensor] = []
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer in norms:
        layer.register_forward_pre_hook(
            lambda _, inputs: variances.append(inputs[0].var((0, 2, 3), correction=0).mean())
        )
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight)
    images, noise = (torch.randn(BATCH, 3, RESOLUTION, RESOLUTION) for _ in range(2))
    first, second = module.features(images), module.features(images + ALPHA * noise)
    change = (first - second).flatten(1)
    minibatch = sum(math.log(variance + 1e-5) / 2 for variance in variances[: len(norms)])
    running = sum(math.log(layer.get_buffer("running_var").mean()) / 2 for layer in norms)
    l1, frobenius = math.log(change.abs().sum(1).mean()), math.log(change.norm(dim=1).mean())
    return l1 + minibatch, frobenius + minibatch, l1 + running


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
            vanilla.append(
                seconds(
                    lambda cell: zen_terms(cell_vcnn(cell), batch_size=BATCH, repeats=1, device="cpu"), cell
                )
            )
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
