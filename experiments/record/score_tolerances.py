"""How far a proxy may move when the same code computes it on another processor or with other threads.

Counts stay. Sums over layers keep their digits. What is drawn is judged by the spread of draws, and by what
rounding alone was measured to do where a network was drawn once. Sums of logarithms keep most digits then;
ratios of gradients to their spread, and what is differentiated twice, keep two or three.
"""

from __future__ import annotations

from experiments.record.agreement import EXACT, OneDraw, Within

LAYERS = Within(1e-4)
"""Sums over the layers of a graph, without images, in single precision."""
NATS = OneDraw(Within(1e-4, absolute=0.02))
"""Zen-Scores in nats; two branches are subtracted in float32."""

_ZENS = (
    "zen",
    "zen-frobenius",
    "zen-running",
    "zen-as-built-l1-minibatch",
    "zen-as-built-frobenius-minibatch",
    "zen-as-built-l1-running",
    "phi",
)

PROXY_AGREEMENT: dict[str, Within | OneDraw] = {
    **dict.fromkeys(("params", "flops", "layers", "random"), EXACT),
    "closed-form": LAYERS,
    **dict.fromkeys(_ZENS, NATS),
    "synflow": OneDraw(LAYERS),
    "naswot": OneDraw(Within(1e-3, absolute=0.1)),  # a rectifier whose input is nearly 0 may change its state
    "linear-regions": OneDraw(Within(1e-2, absolute=5.0)),
    "az-expressivity": OneDraw(Within(1e-3, absolute=0.01)),
    "az-progressivity": OneDraw(Within(1e-2, absolute=0.01)),
    "az-trainability": OneDraw(Within(5e-2, absolute=0.01)),
    "jacob-cov": OneDraw(Within(1e-2, absolute=0.01)),
    "grad-norm": OneDraw(Within(5e-2, absolute=1e-3)),
    "snip": OneDraw(Within(5e-2, absolute=1e-3)),
    "fisher": OneDraw(Within(5e-2, absolute=1e-3)),
    "fisher-channels": OneDraw(Within(5e-2, absolute=1e-3)),
    "swap": OneDraw(Within(1e-3, absolute=5.0)),
    "meco": OneDraw(Within(1e-2, absolute=0.01)),
    "near": OneDraw(Within(1e-2)),
    "intrain": OneDraw(Within(1e-2)),
    "epsinas": OneDraw(Within(1e-2, absolute=1e-3)),
    "wrcor": OneDraw(Within(1e-3, absolute=0.1)),
    "vkdnw": OneDraw(Within(1e-2)),
    "zico": OneDraw(
        Within(5e-2, absolute=0.1)
    ),  # gradients over their spread between batches: 1 % between one thread and two
    "grasp": OneDraw(Within(0.1, absolute=1.0)),  # differentiated twice, and terms of both signs
    "ntk": OneDraw(Within(0.1, absolute=0.1)),  # over the smallest eigenvalue
    "te-nas": OneDraw(Within(1e-2, absolute=10.0)),
}
"""Proxy -> agreement."""
