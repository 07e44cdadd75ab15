"""VKDNW: the number of layers, then how evenly the Fisher information of a few weights is spread."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from zenlib.proxies.query import Query

TENSORS = 128
"""Parameters of which one weight each is looked at, the first of the network."""
SMOOTHED = 0.05
"""Share of the uniform distribution in the class probabilities."""


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
            jacobian = torch.stack([_derivatives(output, chosen) for output in outputs])
            fisher += jacobian.T @ (p.diag() - p.outer(p)) @ jacobian / len(query.images)
    finally:
        for norm in norms:
            norm.train()
    deciles = torch.linalg.eigvalsh(fisher).quantile(torch.linspace(0.1, 0.9, 9).to(fisher)).clamp(min=0)
    shares = deciles / deciles.sum()
    return len(parameters) - (shares * (shares + 1e-10).log()).sum() / 3  # at most log 9, so below 1


def _derivatives(output: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Those of an output with respect to the middle weight of each parameter."""
    found = torch.autograd.grad(output, parameters, retain_graph=True, allow_unused=True)
    zero = output.new_zeros(1)
    return torch.stack([zero[0] if g is None else g.flatten()[g.numel() // 2] for g in found]).double()
