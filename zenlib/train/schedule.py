"""The learning rate as a function of the step."""

from __future__ import annotations

import math

from zenlib.train.recipes import PER_IMAGES, Recipe


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Linear from 0 to the recipe's rate over the warm-up, then half a cosine to 0 (Loshchilov, Hutter 2017).

    Steps count from 0, the training's start; the rate scales with batch_size / 256 (Goyal et al. 2017).
    """
    highest = recipe.learning_rate * recipe.batch_size / PER_IMAGES
    warmup = recipe.warmup_epochs * steps_per_epoch
    if step < warmup:
        return highest * (step + 1) / warmup
    done = (step - warmup) / (recipe.epochs * steps_per_epoch - warmup)
    return highest / 2 * (1 + math.cos(math.pi * done))
