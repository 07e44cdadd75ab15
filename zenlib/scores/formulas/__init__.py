"""Training-free scores by arithmetic.

`counts` are sums over layers; `paths` sums over paths, exact; `forward` and `backward` the mean-field passes
over the maps of a network, with `spread` for what poolings and shortcuts do to them, and `trainability` a
pass back over blocks; `by_name` makes the scores of them.
"""

from zenlib.scores.formulas.by_name import ARITHMETIC, arithmetic

__all__ = ["ARITHMETIC", "arithmetic"]
