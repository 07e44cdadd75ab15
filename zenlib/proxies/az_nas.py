"""AZ-NAS: four proxies read from the outputs of the blocks.

Expressivity, progressivity and trainability are read between blocks. The blocks of a module are its
submodules outside of containers: an `nn.Sequential` or `nn.ModuleList` with more than one convolution is
opened, anything else with a convolution inside is one block.

Source: Lee and Ham 2024 (arXiv 2403.19232). Differs: they choose the blocks of each search space by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zenlib.errors import ScoreUndefined
from zenlib.proxies.counts import flops
from zenlib.proxies.query import Query, centred, hooked

EPS = 1e-8
"""Keeps logarithms and ratios of eigenvalues finite."""


def expressivity(query: Query) -> Tensor:
    """Sum over blocks of the entropy of the block's features: see `entropy`. Larger is better."""
    return query.once(_entropies).sum()


def progressivity(query: Query) -> Tensor:
    """The smallest growth of entropy from one block to the next. Larger is better."""
    return query.once(_entropies).diff().min()


def trainability(query: Query) -> Tensor:
    """Mean over blocks of -s - 1 / s + 2, s the largest singular value of the block's Jacobian.

    Larger is better: 0 is for a block that keeps the size of gradients. The Jacobian, averaged over images
    and positions, is estimated by sending random signs backwards. Where a block lowers the resolution, its
    input is cut into as many channels more.
    """
    generator = query.generator(3)
    terms = []
    for before, after in pairwise(_block_outputs(query)):
        signs = (torch.randint(0, 2, after.shape, generator=generator) * 2 - 1).to(after)
        if not (before.requires_grad and after.requires_grad):
            continue  # a cell without a path gives the same zeros whatever it reads
        (back,) = torch.autograd.grad(after, before, signs, retain_graph=True, allow_unused=True)
        if back is not None:
            if round(back.shape[2] / signs.shape[2]) == 1 and back.shape[2:] != signs.shape[2:]:
                raise ScoreUndefined(
                    "az-trainability: needed blocks that keep the size of their map or divide it, got one "
                    f"that cuts {tuple(back.shape[2:])} to {tuple(signs.shape[2:])}"
                )
            terms.append(kept_size(back, signs))
    if not terms:
        raise ScoreUndefined(
            "az-trainability: no block reads another one, so there is nothing between which a gradient flows"
        )
    return torch.stack(terms).mean()


def complexity(query: Query) -> float:
    """FLOPs. Larger is better."""
    return flops(query)


def entropy(features: Tensor) -> Tensor:
    """Entropy in nats, at most log C, of the principal components' shares of (N, C, H, W), over positions."""
    rows = centred(features.transpose(0, 1).flatten(1))
    # Both products have the same eigenvalues, zeros apart, which have no entropy.
    product = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    eigenvalues = torch.linalg.eigvalsh(product / rows.shape[1]).clamp(min=0)
    shares = eigenvalues / eigenvalues.sum().clamp(min=EPS)
    return -(shares * (shares + EPS).log()).sum()


@torch.no_grad()
def _entropies(query: Query) -> Tensor:
    return torch.stack([entropy(features) for features in _block_outputs(query)])


def kept_size(back: Tensor, signs: Tensor) -> Tensor:
    """2 - s - 1 / s, s the largest singular value of a block's Jacobian, from signs and what came back."""
    height, width = signs.shape[2:]
    stride = round(back.shape[2] / height)
    if stride > 1:
        # An odd side that is halved upwards lacks a row and a column: zeros, of which nothing came back. A
        # negative number cuts off.
        back = F.pad(back, (0, stride * width - back.shape[3], 0, stride * height - back.shape[2]))
        back = F.pixel_unshuffle(back, stride)
    rows = [features.transpose(0, 1).flatten(1) for features in (back, signs)]
    jacobian = rows[0] @ rows[1].T / rows[0].shape[1]  # (C_in, C_out), over images and positions
    largest = torch.linalg.matrix_norm(jacobian, 2) + EPS
    return 2 - largest - 1 / largest


def blocks(module: nn.Module) -> Iterator[nn.Module]:
    """The blocks of a module in order: see above."""
    for child in module.children():
        convs = sum(isinstance(layer, nn.Conv2d) for layer in child.modules())
        if convs > 1 and isinstance(child, (nn.Sequential, nn.ModuleList)):
            yield from blocks(child)
        elif convs > 0:
            yield child


def _block_outputs(query: Query) -> list[Tensor]:
    """(N, C, H, W) of each block that gives a feature map, in the order they ran."""
    outputs: list[Tensor] = []
    with hooked(blocks(query.module), lambda _, output: outputs.append(output)):
        query.module(query.images)
    outputs = [output for output in outputs if output.dim() == 4]
    if len(outputs) < 2:
        raise ScoreUndefined(
            f"AZ-NAS: needed at least two blocks with a feature map, got {len(outputs)} in "
            f"{type(query.network).__name__}"
        )
    return outputs
