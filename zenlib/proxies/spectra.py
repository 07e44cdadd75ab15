"""NTK, TE-NAS and VKDNW: how evenly the derivatives of the outputs with respect to the weights are spread."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from zenlib.proxies.patterns import linear_regions
from zenlib.proxies.query import Query

TENSORS = 128
"""Parameters of which one weight each is looked at, the first of the network."""
SMOOTHED = 0.05
"""Share of the uniform distribution in the class probabilities."""


def ntk(query: Query) -> Tensor:
    """Minus the condition number of the NTK of one mini-batch, K_ij = <d f_i / d theta, d f_j / d theta>.

    Larger is better: a small condition number is taken for trainable. f_i is the sum of the outputs for image
    i, theta all parameters.

    Source: Chen et al. 2021 (arXiv 2102.11535), section 3.1. Differs: one draw where they average three; the
    kernel is accumulated in float64. The released Zen-NAS calls this alone "TE-NAS".
    """
    outputs = query.outputs(query.images).sum(1)
    kernel = torch.zeros(len(outputs), len(outputs), dtype=torch.float64, device=outputs.device)
    rows = [_derivatives(output, query.parameters) for output in outputs]
    for of_parameter in zip(*rows, strict=True):
        jacobian = torch.stack([gradient.flatten() for gradient in of_parameter]).double()
        kernel += jacobian @ jacobian.T
    eigenvalues = torch.linalg.eigvalsh(kernel)
    # Rounding can push the eigenvalue of a singular kernel below 0; it is 0 then, and the condition number
    # infinite.
    return -eigenvalues[-1] / eigenvalues[0].clamp(min=0)


def te_nas(query: Query) -> Tensor:
    """Number of linear regions minus the condition number of the NTK. Larger is better.

    Source: Lin et al. 2021, Figure 12, who call this the TE-Score. Differs: Chen et al. 2021 add ranks, not
    values, within the set of networks that is compared; as values one of the two dominates.
    """
    return query.once(linear_regions) + query.once(ntk)


def vkdnw(query: Query) -> Tensor:
    """Number of parameter tensors, plus a third of the entropy of a Fisher spectrum's deciles.

    Larger is better. The Fisher information of the middle weight of each of the first 128 tensors is the mean
    over images of J^T (diag p - p p^T) J, J the derivatives of the outputs and p the class probabilities.

    Source: Tybl and Neumann 2025 (arXiv 2502.04975).
    Code: p is mixed with 5 % of the uniform distribution; BatchNorm keeps its fresh statistics, so it is the
    identity; layers are counted as parameter tensors, those of BatchNorm and biases too.
    Differs: the middle weight of each tensor, as how many are taken is not stated.
    """
    parameters = query.parameters
    chosen = parameters[:TENSORS]
    fisher = torch.zeros(len(chosen), len(chosen), dtype=torch.float64, device=query.images.device)
    norms = [layer for layer in query.module.modules() if isinstance(layer, _BatchNorm)]
    for norm in norms:
        norm.eval().reset_running_stats()  # what other proxies have passed through them
    try:
        for image in query.images.split(1):
            (outputs,) = query.outputs(image)
            p = outputs.detach().double().softmax(0) * (1 - SMOOTHED) + SMOOTHED / len(outputs)
            jacobian = torch.stack([_middles(_derivatives(output, chosen)) for output in outputs])
            fisher += jacobian.T @ (p.diag() - p.outer(p)) @ jacobian / len(query.images)
    finally:
        for norm in norms:
            norm.train()
    deciles = torch.linalg.eigvalsh(fisher).quantile(torch.linspace(0.1, 0.9, 9).to(fisher)).clamp(min=0)
    shares = deciles / deciles.sum()
    return len(parameters) - (shares * (shares + 1e-10).log()).sum() / 3  # at most log 9, so below 1


def _derivatives(output: Tensor, parameters: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Those of an output with respect to each parameter."""
    return torch.autograd.grad(output, parameters, retain_graph=True, materialize_grads=True)


def _middles(gradients: Sequence[Tensor]) -> Tensor:
    return torch.stack([gradient.flatten()[gradient.numel() // 2] for gradient in gradients]).double()
