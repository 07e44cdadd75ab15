"""Training and evaluation: data sets, recipes, one loop, distillation, export. Needs the extra `train`."""

from __future__ import annotations

from zenlib.train.datasets import DATASETS
from zenlib.train.evaluation import Evaluation, evaluate
from zenlib.train.loop import train
from zenlib.train.recipes import RECIPES, Recipe

__all__ = ["DATASETS", "RECIPES", "Evaluation", "Recipe", "evaluate", "train"]
