"""Two nearby forward passes carried as one: the pair (z, e), whose second branch is z + alpha * e.

The Zen-Score compares f(x) with f(x + alpha * eps). Subtracting two finished passes cancels two or more
digits. Here the difference itself, e = (second - first) / alpha, goes through the network: convolution,
averages, sums and reorderings act alike on both; BatchNorm, ReLU and max pooling have a rule for e that never
subtracts large numbers. So e keeps the precision of its type, low-precision types included, and alpha = 0 is
the exact directional derivative.

A feature map is kept in blocks of a few images, small enough to stay in the processor's cache from the ReLU
of one layer to the statistics of the next: BatchNorm and ReLU are bound by memory. For the same reason a
block is normalised when it is read, not when the statistics are ready; and it is freed when it was read for
the last time, so that a layer's input shrinks while its output grows.

Source: Lin et al. 2021 (arXiv 2102.01063), Algorithm 1, step 4; the rules for e are derived at each function.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from itertools import islice
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from zenlib.scores import forward
from zenlib.scores.forward import BN_EPS, combine, convolve, last_uses
from zenlib.vanilla.vcnn import IMAGE, VCNN, Conv, Pool, Step

BLOCK_BYTES = 2**22
"""Size of half a block on a CPU, unless one image is larger; other devices take the whole batch as one."""


class Pair(NamedTuple):
    """Both branches of some images, (N, C, H, W) each: `value`, and `value + alpha * change`."""

    value: Tensor
    change: Tensor


class BatchVariance(NamedTuple):
    """The biased mini-batch variance of each branch, the mean over channels; and a channel's N * H * W."""

    first: Tensor
    second: Tensor
    positions: int


class Moments(NamedTuple):
    """Per-channel means of z and e, and sums of products of the centred halves; each of shape (C,)."""

    mean_z: Tensor
    mean_e: Tensor
    zz: Tensor
    ze: Tensor
    ee: Tensor


class Scaling(NamedTuple):
    """BatchNorm, (C,) each: y = z * scale + shift, its change e * change_scale + change_shift - y * pull."""

    scale: Tensor
    shift: Tensor
    change_scale: Tensor
    change_shift: Tensor
    pull: Tensor


class Kernels(NamedTuple):
    """The two elementwise passes over a block."""

    block_moments: Callable[[Tensor, Tensor], Moments]
    normalise_rectify: Callable[[Tensor, Tensor, Scaling, float], None]


def propagate(
    vcnn: VCNN,
    weight_of: Callable[[Conv], Tensor],
    images: Tensor,
    noise: Tensor,
    alpha: float,
    kernels: Kernels | None = None,
) -> tuple[list[Pair], list[BatchVariance]]:
    """Sends (images, noise) through conv -> BatchNorm -> ReLU and pooling.

    Images x and noise eps are (N, C, H, W), and the second branch starts at x + alpha * eps; alpha = 0 is the
    limit, the derivative along eps. `weight_of` is called once for each convolution, in order. The kernels
    are the eager ones unless others are given. Returned are the map before global pooling in blocks, and a
    `BatchVariance` for each convolution.
    """
    kernels = EAGER if kernels is None else kernels

    def read(index: int, keep: bool) -> Iterator[Pair]:
        """The blocks of a map, finished in place on the first reading, and given away on the last."""
        blocks = list(maps[index]) if keep else maps.pop(index)
        scaling = unfinished.pop(index, None)
        blocks.reverse()
        while blocks:
            block = blocks.pop()
            if scaling is not None:
                z, e = map(_rows, block)
                kernels.normalise_rectify(z, e, scaling, alpha)
            yield block

    maps = {IMAGE: [Pair(_channels_last(images), _channels_last(noise))]}
    unfinished: dict[int, Scaling] = {}  # maps before the BatchNorm and ReLU of their convolution
    batch, like = len(images), images.new_empty(0)
    del images, noise  # so that they are freed with the first map
    last_use = last_uses(vcnn)
    variances = []
    for index, step in enumerate(vcnn.steps):
        keep = [last_use[i] > index or step.inputs.count(i) > 1 for i in step.inputs]
        size = _images_per_block(step, batch, like)
        blocks = zip(*(regroup(found, size) for found in map(read, step.inputs, keep)), strict=True)
        if isinstance(step, Conv):
            single = (pairs[0] for pairs in blocks)
            maps[index], total, count = convolve_pairs(step, weight_of(step), single, kernels.block_moments)
            unfinished[index], variance = batch_norm(total, count, alpha)
            variances.append(variance)
        elif isinstance(step, Pool) and step.kind == "max":
            maps[index] = [max_pool(step, pairs[0], alpha) for pairs in blocks]
        else:
            both = (zip(*pairs, strict=True) for pairs in blocks)
            maps[index] = [Pair(*(combine(step, half) for half in halves)) for halves in both]
        for i in step.inputs:
            if last_use[i] == index:
                maps.pop(i, None)  # still there where it was read twice
    return list(read(len(vcnn.steps) - 1, keep=False)), variances


def regroup(blocks: Iterator[Pair], size: int) -> Iterator[Pair]:
    """The same images in blocks of `size`, the last one smaller; sizes are powers of two."""
    for block in blocks:
        images = len(block.value)
        if images >= size:
            yield from map(Pair, block.value.split(size), block.change.split(size))
        else:
            joined = [block, *islice(blocks, size // images - 1)]
            yield Pair(*(torch.cat(halves) for halves in zip(*joined, strict=True)))


def convolve_pairs(
    conv: Conv, weight: Tensor, blocks: Iterator[Pair], moments: Callable[[Tensor, Tensor], Moments]
) -> tuple[list[Pair], Moments, int]:
    """The convolution of both halves of all blocks, its moments, and the positions per channel."""
    weight = _channels_last(weight)
    outputs, seen = [], []
    for block in blocks:
        outputs.append(Pair(*(_channels_last(convolve(conv, half, weight)) for half in block)))
        seen.append(moments(*map(_rows, outputs[-1])))
    counts = [len(_rows(block.value)) for block in outputs]
    return outputs, merge(seen, counts), sum(counts)


def block_moments(z: Tensor, e: Tensor) -> Moments:
    """Moments of one block of rows (positions, C), centred before they are multiplied: nothing cancels.

    In float32 or wider, like the statistics that are made of them.
    """
    wide = torch.promote_types(z.dtype, torch.float32)
    mean_z, mean_e = z.mean(0, dtype=wide), e.mean(0, dtype=wide)
    z, e = z - mean_z, e - mean_e
    return Moments(mean_z, mean_e, (z * z).sum(0), (z * e).sum(0), (e * e).sum(0))


def merge(blocks: Sequence[Moments], counts: Sequence[int]) -> Moments:
    """Moments of all blocks together: sums within blocks plus sums between their means (Chan et al. 1979)."""
    parts = [torch.stack(part) for part in zip(*blocks, strict=True)]
    share = torch.stack([torch.full_like(mean, count) for mean, count in zip(parts[0], counts, strict=True)])
    mean_z, mean_e = ((mean * share).sum(0) / sum(counts) for mean in parts[:2])
    z, e = parts[0] - mean_z, parts[1] - mean_e
    between = share * z * z, share * z * e, share * e * e
    sums = ((within + more).sum(0) for within, more in zip(parts[2:], between, strict=True))
    return Moments(mean_z, mean_e, *sums)


def batch_norm(moments: Moments, count: int, alpha: float) -> tuple[Scaling, BatchVariance]:
    """BatchNorm of each branch with its own mini-batch statistics, without an affine part.

    With centred halves z and e, s^2 = var(z) + eps and s'^2 = s^2 + alpha * g, where g = 2 cov(z, e) + alpha
    var(e); the branches become y = z / s and (z + alpha e) / s', and their difference over alpha is e / s' -
    z g / (s s' (s + s')) = e / s' - y g / (s' (s + s')).
    """
    mean_z, mean_e, zz, ze, ee = moments
    variance, growth = zz / count, (2 * ze + alpha * ee) / count
    second_variance = variance + alpha * growth
    first, second = (variance + BN_EPS).sqrt(), (second_variance + BN_EPS).sqrt()
    pull = growth / (second * (first + second))
    scaling = Scaling(1 / first, -mean_z / first, 1 / second, -mean_e / second, pull)
    return scaling, BatchVariance(variance.mean(), second_variance.mean(), count)


def normalise_rectify(z: Tensor, e: Tensor, scaling: Scaling, alpha: float) -> None:
    """Applies BatchNorm, then ReLU, to a block of rows (positions, C) in place.

    With u = y / alpha, the difference over alpha of max(y, 0) and max(y + alpha e, 0) is max(e, -u) + min(u,
    0); as alpha goes to 0 it is e where y > 0, else 0.
    """
    y = torch.addcmul(scaling.shift, z, scaling.scale)
    change = torch.addcmul(scaling.change_shift, e, scaling.change_scale)
    change.addcmul_(y, scaling.pull, value=-1)
    if alpha == 0:
        torch.mul(change, y > 0, out=e)
    else:
        minus_u = y * (-1 / alpha)
        torch.maximum(change, minus_u, out=change)
        torch.sub(change, minus_u.relu_(), out=e)
    torch.maximum(y, y.new_zeros(()), out=z)


EAGER = Kernels(block_moments, normalise_rectify)


@cache
def fused_kernels() -> Kernels:
    """The passes as one loop each, by torch.compile; the eager ones, after a warning, where it does not work.

    They visit memory less often. Compiling takes some ten seconds once per process (less when torch finds its
    cache on disk) and serves every shape, so it pays for a search or a study, not for one score.
    """
    compiled = partial(torch.compile, dynamic=True)
    fused = Kernels(compiled(block_moments), compiled(normalise_rectify))
    try:
        with torch.no_grad():
            for rows in (100, 10_000):  # torch compiles short and long sums apart
                z, e = torch.zeros(rows, 24), torch.zeros(rows, 24)
                fused.block_moments(z, e)
                fused.normalise_rectify(z, e, Scaling(*torch.ones(5, 24)), 0.01)
    except RuntimeError as error:  # what torch raises for a missing or failing compiler
        reason = str(error).strip().splitlines()[0]
        warnings.warn(
            "torch.compile does not work here, so scores take the eager path, which gives the same values: "
            f"{reason}",
            stacklevel=2,
        )
        return EAGER
    return fused


def max_pool(step: Pool, pair: Pair, alpha: float) -> Pair:
    """Max pooling of each branch.

    Where the first branch takes position i of a window and the second takes j, the difference over alpha is
    e[j] + (z[j] - z[i]) / alpha.
    """
    value, change = pair
    pooled, first = forward.max_pool(step, value)
    if alpha == 0:
        return Pair(pooled, _at(change, first))
    second = forward.max_pool(step, value + alpha * change)[1]
    return Pair(pooled, _at(change, second) + (_at(value, second) - pooled) / alpha)


def _at(features: Tensor, positions: Tensor) -> Tensor:
    """Entries of each (H, W) map at flat positions, shaped as `positions`."""
    return features.flatten(2).gather(2, positions.flatten(2)).view(positions.shape)


def _channels_last(tensor: Tensor) -> Tensor:
    if tensor.dim() == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor.movedim(1, -1).contiguous().movedim(-1, 1)


def _rows(features: Tensor) -> Tensor:
    """A view of channels-last (N, C, H, W) as (N * H * W, C)."""
    return features.movedim(1, -1).view(-1, features.shape[1])


def _images_per_block(step: Step, batch: int, like: Tensor) -> int:
    """The largest power of two for which half a block has at most `BLOCK_BYTES` around the step, at least 1.

    A convolution rearranges its kernel at each call, so half a block may be as large as a large kernel.
    """
    if like.device.type != "cpu":
        return batch
    sides = (step.in_channels, step.in_resolution), (step.out_channels, step.out_resolution)
    image = max(channels * prod(size) for channels, size in sides) * like.element_size()
    target = max(BLOCK_BYTES, step.weights * like.element_size() if isinstance(step, Conv) else 0)
    return 1 << max(0, (target // image).bit_length() - 1)
