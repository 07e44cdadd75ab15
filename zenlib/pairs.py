"""Two nearby forward passes carried as one: the pair (z, e), whose second branch is z + alpha * e.

The Zen-Score compares f(x) with f(x + alpha * eps). Subtracting two finished passes cancels two or more digits. Here
the difference itself, e = (second - first) / alpha, goes through the network: convolution, averages, sums and
reorderings act alike on both; BatchNorm, ReLU and max pooling have a rule for e that never subtracts large numbers. So
e keeps the precision of its type, low-precision types included, and alpha = 0 is the exact directional derivative.

A feature map is a list of blocks of a few images, small enough to stay in the processor's cache between one operation
and the next: BatchNorm and ReLU are bound by memory, and this is what makes them cheap. It also means that a layer's
input can be freed block by block while its output grows.

Source: Lin et al. 2021 (arXiv 2102.01063), Algorithm 1, step 4; the rules for e are derived at each function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from zenlib.forward import BN_EPS, combine, convolve, last_uses
from zenlib.vcnn import IMAGE, VCNN, Conv, Pool, Step

BLOCK_BYTES = 2**20
"""Size of half a block on a CPU, unless one image is larger; other devices take the whole batch as one block."""


class Pair(NamedTuple):
    """Both branches of some images, (N, C, H, W) each: the first is `value`, the second `value + alpha * change`."""

    value: Tensor
    change: Tensor


class BatchVariance(NamedTuple):
    """What a BatchNorm saw: the biased mini-batch variance of each branch, averaged over channels (scalars).

    Attributes:
        first: of f(x).
        second: of f(x + alpha * eps).
        count: positions per channel, N * H * W.
    """

    first: Tensor
    second: Tensor
    count: int


class Moments(NamedTuple):
    """Per-channel means of z and e, and sums of products of the centred halves; each of shape (C,)."""

    mean_z: Tensor
    mean_e: Tensor
    zz: Tensor
    ze: Tensor
    ee: Tensor


class Scaling(NamedTuple):
    """BatchNorm of a pair as arithmetic per channel, each of shape (C,).

    y = z * scale + shift, and its change is e * change_scale + change_shift - y * pull.
    """

    scale: Tensor
    shift: Tensor
    change_scale: Tensor
    change_shift: Tensor
    pull: Tensor


def propagate(vcnn: VCNN, weight_of: Callable[[Conv], Tensor], images: Tensor, noise: Tensor, alpha: float) -> tuple[list[Pair], list[BatchVariance]]:
    """Sends (images, noise) through conv -> BatchNorm -> ReLU and pooling.

    Args:
        vcnn: the network, a chain or a graph.
        weight_of: gives the kernel of a convolution; called once for each, in order, and the kernel is then dropped.
        images: x, (N, C, H, W).
        noise: eps, the same shape; the second branch starts at x + alpha * eps.
        alpha: the perturbation, 0 or more; 0 is the limit, the derivative along eps.

    Returns:
        The feature map before global pooling in blocks of images, and one `BatchVariance` for each convolution.
    """
    channels_last = [half.contiguous(memory_format=torch.channels_last) for half in (images, noise)]
    outputs = {IMAGE: [Pair(*channels_last)]}
    last_use = last_uses(vcnn)
    variances = []
    for index, step in enumerate(vcnn.steps):
        inputs = [outputs.pop(i) if last_use[i] == index else list(outputs[i]) for i in step.inputs]
        size = _images_per_block(step, images)
        if isinstance(step, Conv):
            weight = weight_of(step).contiguous(memory_format=torch.channels_last)
            outputs[index], variance = conv_norm_relu(step, weight, regroup(inputs.pop(), size), alpha)
            variances.append(variance)
        else:
            blocks = zip(*(regroup(given, size) for given in inputs), strict=True)
            outputs[index] = [combine_pairs(step, pairs, alpha) for pairs in blocks]
    return outputs[len(vcnn.steps) - 1], variances


def regroup(blocks: list[Pair], size: int) -> Iterator[Pair]:
    """The same images in blocks of `size`, taken out of the list one by one so that what was used can be freed.

    Sizes are powers of two (the last block may be smaller), so blocks are either cut or joined.
    """
    blocks.reverse()
    while blocks:
        given = blocks.pop()
        if len(given.value) >= size:
            pieces = [Pair(*halves) for halves in zip(given.value.split(size), given.change.split(size), strict=True)]
            del given
            while pieces:
                yield pieces.pop(0)
        else:
            joined = [given, *(blocks.pop() for _ in range(min(len(blocks), size // len(given.value) - 1)))]
            yield Pair(*(torch.cat(halves) for halves in zip(*joined, strict=True)))


def conv_norm_relu(conv: Conv, weight: Tensor, blocks: Iterator[Pair], alpha: float) -> tuple[list[Pair], BatchVariance]:
    """One layer on all blocks: convolution of both halves, BatchNorm of each branch, ReLU of each branch."""
    outputs = [Pair(*(convolve(conv, half, weight).contiguous(memory_format=torch.channels_last) for half in block)) for block in blocks]
    rows = [Pair(*(half.permute(0, 2, 3, 1).view(-1, conv.out_channels) for half in block)) for block in outputs]
    scratch = torch.empty((3, *rows[0].value.shape), dtype=_wide(weight.dtype), device=weight.device)
    counts = [len(block.value) for block in rows]
    moments = merge([block_moments(*block, scratch[:, : len(block.value)]) for block in rows], counts)
    scaling, variance = batch_norm(moments, sum(counts), alpha)
    for block in rows:
        normalise_rectify(*block, scaling, alpha, scratch[:, : len(block.value)])
    return outputs, variance


def block_moments(z: Tensor, e: Tensor, scratch: Tensor) -> Moments:
    """Moments of one block of rows (positions, C); centred before they are multiplied, so that nothing cancels.

    Everything happens in `scratch`, (3, positions, C), in float32 or wider.
    """
    mean_z, mean_e = z.mean(0, dtype=scratch.dtype), e.mean(0, dtype=scratch.dtype)
    z, e = torch.sub(z, mean_z, out=scratch[0]), torch.sub(e, mean_e, out=scratch[1])
    zz, ze, ee = (torch.mul(left, right, out=scratch[2]).sum(0) for left, right in ((z, z), (z, e), (e, e)))
    return Moments(mean_z, mean_e, zz, ze, ee)


def merge(blocks: Sequence[Moments], counts: Sequence[int]) -> Moments:
    """Moments of all blocks together: sums within blocks plus sums between their means (Chan et al. 1979)."""
    parts = [torch.stack(part) for part in zip(*blocks, strict=True)]
    share = torch.stack([torch.full_like(mean, count) for mean, count in zip(parts[0], counts, strict=True)])
    mean_z, mean_e = ((mean * share).sum(0) / sum(counts) for mean in parts[:2])
    z, e = parts[0] - mean_z, parts[1] - mean_e
    between = (share * z * z, share * z * e, share * e * e)
    return Moments(mean_z, mean_e, *((within + more).sum(0) for within, more in zip(parts[2:], between, strict=True)))


def batch_norm(moments: Moments, count: int, alpha: float) -> tuple[Scaling, BatchVariance]:
    """BatchNorm of each branch with its own mini-batch statistics, without an affine part.

    With centred halves z and e, s^2 = var(z) + eps and s'^2 = s^2 + alpha * g, where
    g = 2 cov(z, e) + alpha var(e); the branches become y = z / s and (z + alpha e) / s', and their difference over alpha
    is e / s' - z g / (s s' (s + s')) = e / s' - y g / (s' (s + s')).
    """
    mean_z, mean_e, zz, ze, ee = moments
    variance, growth = zz / count, (2 * ze + alpha * ee) / count
    second_variance = variance + alpha * growth
    first, second = (variance + BN_EPS).sqrt(), (second_variance + BN_EPS).sqrt()
    scaling = Scaling(1 / first, -mean_z / first, 1 / second, -mean_e / second, growth / (second * (first + second)))
    return scaling, BatchVariance(variance.mean(), second_variance.mean(), count)


def normalise_rectify(z: Tensor, e: Tensor, scaling: Scaling, alpha: float, scratch: Tensor) -> None:
    """Applies BatchNorm, then ReLU, to a block of rows (positions, C) in place.

    With u = y / alpha, the difference over alpha of max(y, 0) and max(y + alpha e, 0) is max(e, -u) + min(u, 0); as alpha
    goes to 0 it is e where y > 0, else 0.
    """
    y = torch.addcmul(scaling.shift, z, scaling.scale, out=scratch[0])
    change = torch.addcmul(scaling.change_shift, e, scaling.change_scale, out=scratch[1]).addcmul_(y, scaling.pull, value=-1)
    if alpha == 0:
        torch.mul(change, y > 0, out=e)
    else:
        minus_u = torch.mul(y, -1 / alpha, out=scratch[2])
        torch.maximum(change, minus_u, out=change)
        torch.sub(change, minus_u.relu_(), out=e)
    torch.maximum(y, y.new_zeros(()), out=z)


def combine_pairs(step: Step, pairs: Sequence[Pair], alpha: float) -> Pair:
    """Every step that is not a convolution."""
    if isinstance(step, Pool) and step.kind == "max":
        return max_pool(step, pairs[0], alpha)
    return Pair(*(combine(step, halves) for halves in zip(*pairs, strict=True)))


def max_pool(step: Pool, pair: Pair, alpha: float) -> Pair:
    """Max pooling of each branch.

    Where the first branch takes position i of a window and the second takes j, the difference over alpha is
    e[j] + (z[j] - z[i]) / alpha.
    """
    window = (step.kernel, step.stride, step.padding, step.dilation, step.ceil_mode)
    value, change = pair
    pooled, first = F.max_pool2d(value, *window, return_indices=True)
    if alpha == 0:
        return Pair(pooled, _at(change, first))
    second = F.max_pool2d(value + alpha * change, *window, return_indices=True)[1]
    return Pair(pooled, _at(change, second) + (_at(value, second) - pooled) / alpha)


def _at(features: Tensor, positions: Tensor) -> Tensor:
    """Entries of each (H, W) map at flat positions, shaped as `positions`."""
    return features.flatten(2).gather(2, positions.flatten(2)).view(positions.shape)


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _images_per_block(step: Step, images: Tensor) -> int:
    """The largest power of two for which half a block has at most `BLOCK_BYTES` before and after the step, at least 2.

    One image at a time would be sent to a slower convolution on some processors.
    """
    if images.device.type != "cpu":
        return len(images)
    sides = (step.in_channels, step.in_resolution), (step.out_channels, step.out_resolution)
    largest = max(channels * height * width for channels, (height, width) in sides) * images.element_size()
    return 1 << max(MINLOG, (BLOCK_BYTES // largest).bit_length() - 1)


MINLOG = 1
