"""Time of the closed form for a new architecture, and its ratio to one Monte-Carlo repeat.

    python experiments/speed/closed_form.py

New architectures: none was scored before. Those drawn at random share hardly a block with each other; those
mutated, as a search makes them, share all but one or two blocks with their parent. The first line counts the
filling of the border tables, which a process does once.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import numpy as np
import torch

from experiments.benchmarks.random_baseline_space import random_network
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import zennet_architecture
from zenlib.scores.closed_form import closed_form_zen_score
from zenlib.scores.zen import zen_score
from zenlib.spaces import RESNET_LIKE

RESOLUTION = 32
FIRST, NEW, BATCH, MONTE_CARLO = 300, 3000, 100, 4


def convolutions(networks: Sequence[Architecture]) -> int:
    return sum(len(unit.convs) for network in networks for unit in network.units)


def seconds(networks: Sequence[Architecture]) -> float:
    start = time.perf_counter()
    for network in networks:
        closed_form_zen_score(network, RESOLUTION)
    return time.perf_counter() - start


def report(name: str, networks: Sequence[Architecture]) -> float:
    """Prints the time for 50 convolutions, and returns the median in seconds for one."""
    batches = [networks[start : start + BATCH] for start in range(0, len(networks), BATCH)]
    times = np.array([seconds(batch) / convolutions(batch) for batch in batches])
    low, middle = 5e7 * np.percentile(times, [0, 50])
    print(
        f"{name:<48} {middle:7.1f} microseconds for 50 convolutions (median of {len(batches)} batches; "
        f"fastest {low:.1f})"
    )
    return float(np.median(times))


def mutants(rng: random.Random, count: int) -> list[Architecture]:
    """A walk of mutations from ZenNet-0.5M, restarted where networks grow beyond a million parameters."""
    start = network = zennet_architecture("zennet-0.5M")
    found: dict[str, Architecture] = {}
    while len(found) < count:
        network = RESNET_LIKE.mutate(network, rng)
        if network.params(100) > 1_000_000:
            network = start
        found.setdefault(network.to_string(), network)
    return list(found.values())


def main() -> None:
    torch.set_num_threads(1)
    rng = random.Random(0)
    drawn = [random_network(rng, max_params=1_000_000, max_depth=18) for _ in range(FIRST + NEW)]
    print(
        f"{'first ' + str(FIRST) + ', border tables included':<48} "
        f"{1e6 * seconds(drawn[:FIRST]) / FIRST:7.0f} microseconds each"
    )
    report("new, drawn at random", drawn[FIRST:])
    walked = mutants(rng, FIRST + NEW)
    seconds(walked[:FIRST])
    per_convolution = report("new, mutated", walked[FIRST:])
    sample = drawn[:MONTE_CARLO]
    start = time.perf_counter()
    for network in sample:
        zen_score(network, RESOLUTION, repeats=1, device="cpu")
    repeat = (time.perf_counter() - start) / convolutions(sample)
    print(
        f"{'one Monte-Carlo repeat, 16 images of 32 pixels':<48} {50 * repeat:7.3f} seconds for 50 "
        "convolutions, one thread"
    )
    print(f"{'ratio to the mutated':<48} {repeat / per_convolution:7.0f}")


if __name__ == "__main__":
    main()
