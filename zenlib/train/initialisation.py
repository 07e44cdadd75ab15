"""How a network starts: Xavier normal weights, residual units as their shortcuts."""

from __future__ import annotations

import torch
from torch import nn

from zenlib.networks.module import ResidualUnit
from zenlib.train.batches import seed_of
from zenlib.train.recipes import Recipe


def initialise(network: nn.Module, recipe: Recipe, seed: int) -> None:
    """Draws the weights of convolutions and linear layers from the seed alone; sets BatchNorms up, in place.

    A weight has variance gain^2 * 2 / (fan in + fan out) (Glorot and Bengio 2010). The gain of the recipe,
    3.26, is far larger than usual: BatchNorm takes it out of the signal, and what it does is to lower the
    effective learning rate.
    """
    generator = torch.Generator().manual_seed(seed_of(seed))
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_normal_(module.weight, recipe.init_gain, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
            module.momentum = recipe.bn_momentum
    if recipe.zero_last_norm:
        for module in network.modules():
            if isinstance(module, ResidualUnit):
                norms = [layer for layer in module.path.modules() if isinstance(layer, nn.BatchNorm2d)]
                nn.init.zeros_(norms[-1].weight)
