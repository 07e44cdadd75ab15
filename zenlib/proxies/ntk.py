"""TE-NAS, first half: the condition number of the neural tangent kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from zenlib.proxies.query import Query


def ntk(query: Query) -> Tensor:
    """Minus the condition number of the NTK of one mini-batch, K_ij = <d f_i / d theta, d f_j / d theta>.

    Larger is better.

    f_i is the sum of the outputs for image i, theta all parameters. A small condition number is taken for
    trainable.

    Source: Chen et al. 2021 (arXiv 2102.11535), section 3.1. Differs: one draw where they average three; the
    kernel is accumulated in float64. The released Zen-NAS calls this alone "TE-NAS".
    """
    parameters = [parameter for parameter in query.module.parameters() if parameter.requires_grad]
    outputs = query.outputs(query.images).sum(1)
    kernel = torch.zeros(len(outputs), len(outputs), dtype=torch.float64, device=outputs.device)
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
