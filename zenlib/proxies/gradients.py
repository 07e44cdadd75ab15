"""Grad-norm, SNIP, GraSP, ZiCo and Fisher: what the gradients of the loss say at initialisation."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zenlib.errors import ScoreUndefined
from zenlib.proxies.query import Query, hooked, loss_gradients, weighted_layers


def grad_norm(query: Query) -> Tensor:
    """Sum over layers of the Euclidean norm of the gradient of the cross entropy of one mini-batch.

    Larger is better.

    Source: Abdelfattah et al. 2021 (arXiv 2101.08134), section 3.1.
    Code: one batch of 64 real images, PyTorch's initialisation.
    Differs: He's initialisation. Zen-NAS takes one norm over all parameters, and maximises it too.
    """
    return torch.stack([gradient.norm() for gradient in query.once(loss_gradients)]).sum()


def snip(query: Query) -> Tensor:
    """Sum over the weights of |w * dL/dw|, L the cross entropy of one mini-batch. Larger is better.

    That is how much the loss would change if a weight were removed.

    Source: Lee et al. 2019 (arXiv 1810.02340), eq. 6, whose saliency of a weight is summed over the network
    as in Abdelfattah et al. 2021.
    Code: one batch of 64 real images, PyTorch's initialisation (zero-cost-nas).
    Differs: not normalised by its own sum, which would make every network 1; He's initialisation.
    """
    pairs = zip(query.weights, query.once(loss_gradients), strict=True)
    return torch.stack([(weight * gradient).abs().sum() for weight, gradient in pairs]).sum()


def grasp(query: Query) -> Tensor:
    """Sum over the weights of -w * (H g), g the gradient and H the Hessian of the cross entropy.

    Larger is better. How much removing a weight would weaken the flow of gradients: the sum is minus half the
    change of ||g||^2 when all weights grow in proportion; where BatchNorm makes the loss blind to the scale
    of a layer, that layer gives ||g||^2 of itself.

    Source: Wang et al. 2020 (arXiv 2002.07376), eq. 8, summed over the network as in Abdelfattah et al. 2021.
    Code: one batch of 64 real images, linear layers too; the sign was chosen after accuracies were seen.
    Differs: one mini-batch and temperature 1, where the original averages over batches with temperature 200.
    """
    gradients = query.weight_gradients(query.loss(), create_graph=True)
    squared = torch.stack([(gradient.detach() * gradient).sum() for gradient in gradients]).sum()
    try:
        products = query.weight_gradients(squared)
    except RuntimeError as error:
        if "is not implemented" not in str(error):
            raise
        raise ScoreUndefined(f"grasp: needs second derivatives, and {error}") from error
    pairs = zip(query.weights, products, strict=True)
    return -torch.stack([(weight * product).sum() for weight, product in pairs]).sum()


def zico(query: Query) -> Tensor:
    """Sum over layers of log(sum over weights of mean |g| / std g) over two halves of the mini-batch.

    Larger is better. Weights whose gradient does not vary, and layers that consist of such weights, are left
    out.

    Source: Li et al. 2023 (arXiv 2301.11300), eq. 20. Differs: the halves of one mini-batch stand for their
        two batches.
    """
    outputs = [query.outputs(images) for images in query.images.tensor_split(2)]
    labels = query.labels(outputs[0].shape[1]).tensor_split(2)
    gradients = [query.weight_gradients(F.cross_entropy(*pair)) for pair in zip(outputs, labels, strict=True)]
    terms = []
    for first, second in zip(*gradients, strict=True):
        mean, spread = (first.abs() + second.abs()) / 2, (first - second).abs() / 2
        ratio = torch.where(spread > 0, mean / torch.where(spread > 0, spread, 1), 0).double().sum()
        terms.append(torch.where(ratio > 0, ratio.clamp(min=torch.finfo(ratio.dtype).tiny).log(), 0))
    return torch.stack(terms).sum()


def fisher(query: Query, per_weight: bool = True) -> Tensor:
    """Sum over weights of how much the loss would change without the channel that they make.

    Larger is better. Of an output channel that is half the mean over images of (sum over positions of a *
    dL/da)^2, a being the raw output of a convolution or linear layer and L the cross entropy of one
    mini-batch.

    Source: Turner et al. 2020 (arXiv 1906.04113), eq. 2, summed over the network as in Abdelfattah et al.
    2021.
    Code: counts a channel once for each of its weights and takes linear layers (zero-cost-nas); Turner et al.
    measure behind the activation of a block and count a channel once.
    Differs: He's initialisation; `per_weight=False` is the sum over the channels of convolutions.
    """
    seen: list[tuple[nn.Module, Tensor]] = []
    layers = weighted_layers(query.module)
    taken = (layer for layer in layers if per_weight or isinstance(layer, nn.Conv2d))
    with hooked(taken, lambda layer, output: seen.append((layer, output))):
        loss = query.loss()
    if not seen:
        raise ScoreUndefined("fisher: no nn.Conv2d or nn.Linear layer ran, so there is nothing to remove")
    gradients = torch.autograd.grad(loss, [output for _, output in seen], allow_unused=True)
    terms = []
    for (layer, output), gradient in zip(seen, gradients, strict=True):
        if gradient is not None:
            effect = output * gradient
            # Behind a linear layer channels come last, and all axes between are positions.
            positions = (2, 3) if isinstance(layer, nn.Conv2d) else tuple(range(1, effect.dim() - 1))
            term = (effect.sum(positions) if positions else effect).square().mean(0).sum() / 2
            terms.append(term * cast(Tensor, layer.weight)[0].numel() if per_weight else term)
    return torch.stack(terms).sum() if terms else loss.detach() * 0
