"""Training-free scores by arithmetic: sums over layers and paths, and mean-field passes over the maps."""

from zenlib.scores.formulas.by_name import ARITHMETIC, arithmetic

__all__ = ["ARITHMETIC", "arithmetic"]
