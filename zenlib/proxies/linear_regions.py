"""TE-NAS, second half: into how many linear regions the network cuts the space of images."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zenlib.proxies.patterns import Patterns
from zenlib.proxies.query import Query


@torch.no_grad()
def linear_regions(query: Query) -> Tensor:
    """Regions met on the way from one image to another, counted at `batch_size` points. Larger is better.

    The way is the quarter of an ellipse cos(t) x + sin(t) y, so that for N(0, 1) images every point is N(0,
    1) too. Between
    two points every rectifier that changed its state marks a boundary that was crossed: the count is 1 + the
    number of these changes, a lower bound, since a rectifier may change back in between.

    Source: Chen et al. 2021 (arXiv 2102.11535), section 3.2. Differs: they count the distinct patterns of
    some thousand tiny images on a copy of the network with one channel. On a network of any real width all
    patterns are distinct and that count is the number of images, the same for every network; counting along a
    curve (Hanin and Rolnick 2019) is not bounded by it.
    """
    first, second = query.images[:2]
    angles = torch.linspace(0, math.pi / 2, query.batch_size, device=first.device).view(-1, 1, 1, 1)
    crossings: list[Tensor] = []
    with Patterns(lambda pattern: crossings.append((pattern[1:] != pattern[:-1]).sum())):
        query.module(angles.cos() * first + angles.sin() * second)
    return 1 + torch.stack(crossings).sum().double() if crossings else torch.ones((), device=first.device)
