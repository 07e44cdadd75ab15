"""Time and memory of every proxy for one network, as ratios to the Zen-Score in the same run (the paper's Table 2).

    python experiments/speed/proxies.py
    python experiments/speed/proxies.py --models resnet18 --resolution 64 --trials 1

Each proxy runs in a process of its own, on one thread of the CPU: once to warm up, then `trials` times. Time is the median
of a trial with its draws of weights and images; memory is the highest resident size of the process above that of one that has only
imported the package and built the network.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

BATCH = 16


def measure(model: str, name: str, resolution: int, trials: int) -> dict[str, float]:
    """Median seconds of one score, and the growth of the process in MiB."""
    import torch
    import torchvision

    from zenlib import PROXIES, ScoreUndefined

    torch.set_num_threads(1)
    network = torchvision.models.get_model(model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    for trial in range(trials + 1):
        start = time.perf_counter()
        try:
            PROXIES[name](network, resolution, batch_size=BATCH, seed=trial, device="cpu")
        except ScoreUndefined:
            return {"seconds": float("nan"), "mebibytes": float("nan")}
        times.append(time.perf_counter() - start)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": float(np.median(times[1:])), "mebibytes": grown / 1024}


def in_its_own_process(model: str, name: str, resolution: int, trials: int) -> dict[str, float]:
    command = [
        sys.executable,
        __file__,
        "--models",
        model,
        "--one",
        name,
        "--resolution",
        str(resolution),
        "--trials",
        str(trials),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{name} on {model}: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["resnet18", "resnet50"], help="torchvision names")
    parser.add_argument("--resolution", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--trials", type=int, default=3, help="timed scores of each proxy")
    parser.add_argument("--one", help="measure this proxy here, in this process")
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.models[0], options.one, options.resolution, options.trials)))
        return
    from zenlib import PROXIES

    for model in options.models:
        found = {
            name: in_its_own_process(model, name, options.resolution, options.trials) for name in PROXIES
        }
        zen = found["zen"]
        print(
            f"{model}, {BATCH} images of {options.resolution} pixels, one thread; Zen: {zen['seconds']:.2f} "
            f"s, {zen['mebibytes']:.0f} MiB"
        )
        for name, row in sorted(found.items(), key=lambda item: item[1]["seconds"]):
            print(
                f"  {name:<18} {row['seconds'] / zen['seconds']:8.4g} times the time "
                f"{row['mebibytes'] / zen['mebibytes']:8.3g} times the memory"
            )


if __name__ == "__main__":
    main()
