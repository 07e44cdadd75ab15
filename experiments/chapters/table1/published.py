"""Table 1 of the paper and the sizes of its networks, to set ours beside.

Source: Lin et al. 2021 (arXiv 2102.01063), Table 1 and Supplement G.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One row of Table 1 with what Supplement G says of its network.

    Attributes:
        cifar10: top-1 accuracy on CIFAR-10 in percent.
        cifar100: top-1 accuracy on CIFAR-100 in percent.
        params: parameters, millions.
        flops: multiply-adds of one image of 32 pixels, millions.
        latency: V100 milliseconds per image, fp16, batch 64.
    """

    cifar10: float
    cifar100: float
    params: float
    flops: float
    latency: float


TABLE1 = {
    "zen": Published(96.2, 80.1, 1.0, 170, 0.15),
    "flops": Published(93.1, 64.7, 1.0, 285, 0.07),
    "grad-norm": Published(92.8, 65.4, 0.2, 41, 0.14),
    "synflow, minimised": Published(95.1, 75.9, 1.0, 104, 0.11),
    "ntk": Published(96.1, 77.2, 1.0, 118, 0.08),
    "naswot": Published(96.0, 77.5, 1.0, 304, 0.25),
    "random": Published(93.5, 71.1, 1.0, 110, 0.09),
}
"""By the names of `searches.SEARCHED`.

"ntk" is the paper's TE-Score, of which the released code computes this half; "random" is the mean of
`RANDOM_NETWORKS`. Parameters alone were not tried.
"""
RANDOM_NETWORKS = 32
RANDOM_SD = {"cifar10": 0.7, "cifar100": 3.1}
"""Standard deviation of their accuracies, points."""
EVALUATIONS = 96_000
"""Iterations of each of the paper's searches."""
