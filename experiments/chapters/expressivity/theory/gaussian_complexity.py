"""Lemma 2: the Gaussian complexity of the linear maps with ||W||_F <= G grows in proportion to G.

The sampled Gaussian complexity of a class of functions on x_1 .. x_N says how well some member can follow
pure noise:

    E_g sup over ||W||_F <= G of (1/N) sum_i <g_i, W x_i>,    g_i from N(0, I)

The sum is the inner product <W, M> with M = sum_i g_i x_i^T. By Cauchy and Schwarz it is at most G ||M||_F,
and W = G M / ||M||_F attains that. So the supremum is G ||M||_F / N: linear in G, exactly. By Jensen its mean
is at most G sqrt(m sum_i |x_i|^2) / N for m outputs.

Sources: Lin et al. 2021 (arXiv 2102.01063), Lemma 2; Kakade, Sridharan and Tewari 2008 for general norms.
"""

from __future__ import annotations

import torch
from torch import Tensor


def noise_fit(weight: Tensor, inputs: Tensor, noise: Tensor) -> Tensor:
    """(1/N) sum_i <g_i, W x_i>, a scalar.

    Args:
        weight: W, (m, d).
        inputs: x_i as rows, (N, d).
        noise: g_i as rows, (N, m).
    """
    return (noise * (inputs @ weight.T)).sum() / len(inputs)


def supremum(bound: float, inputs: Tensor, noise: Tensor) -> Tensor:
    """The largest `noise_fit` over ||W||_F <= bound, by the closed form G ||sum_i g_i x_i^T||_F / N."""
    return bound * torch.linalg.matrix_norm(noise.T @ inputs) / len(inputs)


def supremum_by_ascent(bound: float, inputs: Tensor, noise: Tensor, steps: int = 20) -> Tensor:
    """The same supremum found without the closed form, by projected gradient ascent from W = 0.

    The gradient does not depend on W, so each step adds the same matrix; the projection scales W back to the
    ball.
    """
    weight = torch.zeros(noise.shape[1], inputs.shape[1], dtype=inputs.dtype, device=inputs.device)
    for _ in range(steps):
        weight.requires_grad_(True)
        (gradient,) = torch.autograd.grad(noise_fit(weight, inputs, noise), weight)
        weight = weight.detach() + bound * gradient
        size = torch.linalg.matrix_norm(weight)
        weight = weight * torch.clamp(bound / size, max=1.0)
    return noise_fit(weight, inputs, noise)


def mean_bound(bound: float, inputs: Tensor, outputs: int) -> Tensor:
    """Upper bound of the mean supremum, G sqrt(m sum_i |x_i|^2) / N."""
    return bound * (outputs * inputs.square().sum()).sqrt() / len(inputs)
