"""TE-NAS: expressivity, a number of linear regions, minus difficulty of training, told by the kernel."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zenlib.proxies.patterns import Patterns
from zenlib.proxies.query import Query


def ntk(query: Query) -> Tensor:
    """Minus the condition number of the NTK of one mini-batch, K_ij = <d f_i / d theta, d f_j / d theta>.

    Larger is better: a small condition number is taken for trainable. f_i is the sum of the outputs for image
    i, theta all parameters.

    Source: Chen et al. 2021 (arXiv 2102.11535), section 3.1. Differs: one draw where they average three; the
    kernel is accumulated in float64. The released Zen-NAS calls this alone "TE-NAS".
    """
    outputs = query.outputs(query.images).sum(1)
    kernel = torch.zeros(len(outputs), len(outputs), dtype=torch.float64, device=outputs.device)
    parameters = query.parameters
    rows = [
        torch.autograd.grad(output, parameters, retain_graph=True, allow_unused=True) for output in outputs
    ]
    for of_parameter in zip(*rows, strict=True):
        if of_parameter[0] is not None:
            jacobian = torch.stack([gradient.flatten() for gradient in of_parameter]).double()
            kernel += jacobian @ jacobian.T
    eigenvalues = torch.linalg.eigvalsh(kernel)
    # Rounding can push the eigenvalue of a singular kernel below 0; it is 0 then, and the condition number
    # infinite.
    return -eigenvalues[-1] / eigenvalues[0].clamp(min=0)


@torch.no_grad()
def linear_regions(query: Query) -> Tensor:
    """Regions met on the way from one image to another, counted at `batch_size` points. Larger is better.

    The way is the quarter of an ellipse cos(t) x + sin(t) y, so that for N(0, 1) images every point is N(0,
    1) too. Every rectifier that changed its state between two points marks a boundary that was crossed: the
    count is 1 + the number of these changes, a lower bound, since one may change back in between.

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


def te_nas(query: Query) -> Tensor:
    """Number of linear regions minus the condition number of the NTK. Larger is better.

    Source: Lin et al. 2021, Figure 12, who call this the TE-Score. Differs: Chen et al. 2021 add ranks, not
    values, within the set of networks that is compared; as values one of the two dominates.
    """
    return query.once(linear_regions) + query.once(ntk)
