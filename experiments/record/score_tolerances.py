"""How far a score may move when the same code computes it on another processor or with other threads.

What moves is the order in which numbers are added, in float32. Scores that are sums of logarithms keep most digits. Ratios of
gradients to their spread, and what is differentiated twice, keep two or three.
"""

from __future__ import annotations

from experiments.record.score_check import Within

EXACT = Within(0.0)
"""Counts, and random numbers."""
ARITHMETIC = Within(1e-4)
"""Sums over the layers of a graph, without images."""
ZEN = Within(1e-4, absolute=0.02)
"""Zen-Scores in nats; two branches are subtracted in float32."""

_ZENS = ("zen", "zen-frobenius", "zen-running", "zen-as-built-l1-minibatch", "zen-as-built-frobenius-minibatch", "zen-as-built-l1-running", "phi")

PROXY_WITHIN: dict[str, Within] = {
    **dict.fromkeys(("params", "flops", "layers", "random"), EXACT),
    **dict.fromkeys(("closed-form", "synflow"), ARITHMETIC),
    **dict.fromkeys(_ZENS, ZEN),
    "naswot": Within(1e-3, absolute=0.1),  # a rectifier whose input is nearly 0 may change its state
    "linear-regions": Within(1e-2, absolute=5.0),
    "az-expressivity": Within(1e-3, absolute=0.01),
    "az-progressivity": Within(1e-2, absolute=0.01),
    "az-trainability": Within(5e-2, absolute=0.01),
    "jacob-cov": Within(1e-2, absolute=0.01),
    "grad-norm": Within(5e-2, absolute=1e-3),
    "snip": Within(5e-2, absolute=1e-3),
    "fisher": Within(5e-2, absolute=1e-3),
    "zico": Within(5e-2, absolute=0.1),  # gradients over their spread between batches: 1 % between one thread and two
    "grasp": Within(0.1, absolute=1.0),  # differentiated twice, and terms of both signs
    "ntk": Within(0.1, absolute=0.1),  # over the smallest eigenvalue
    "te-nas": Within(1e-2, absolute=10.0),
}
"""Proxy -> tolerance."""
