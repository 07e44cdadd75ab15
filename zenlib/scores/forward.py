"""The plain forward pass of a VCNN: the definition that faster code is tested against.

Nothing here is clever. Weights are drawn from N(0, 1); a convolution is followed by BatchNorm with the
statistics of the mini-batch where asked, and by ReLU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from zenlib.vanilla.vcnn import (
    IMAGE,
    VCNN,
    Add,
    ChannelShuffle,
    ChannelSlice,
    Concat,
    Conv,
    Pad,
    Pool,
    Sizes,
    Step,
)

BN_EPS = 1e-5
"""Added to a variance before its root, as in torch.nn.BatchNorm2d; a score's variances are far above it."""


def generator_of(entropy: Sequence[int], device: torch.device) -> torch.Generator:
    """A source of random numbers on a device; any part of the entropy makes it another one."""
    generator = torch.Generator(device)
    return generator.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]))


def draw_weights(vcnn: VCNN, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """One N(0, 1) kernel for each convolution of `vcnn.convs`, on the generator's device."""
    return [
        torch.randn(conv.weight_shape, generator=generator, dtype=dtype, device=generator.device)
        for conv in vcnn.convs
    ]


def draw_images(
    vcnn: VCNN, batch_size: int, generator: torch.Generator, dtype: torch.dtype = torch.float32
) -> Tensor:
    """A batch of N(0, 1) images, (N, C, resolution, resolution)."""
    shape = batch_size, *vcnn.image_shape
    return torch.randn(shape, generator=generator, dtype=dtype, device=generator.device)


def forward(
    vcnn: VCNN,
    weights: Sequence[Tensor],
    images: Tensor,
    *,
    batch_norm: bool = False,
    on_conv: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """The feature map before global pooling, (N, C, H, W), of images and one kernel for each convolution.

    `batch_norm` puts a BatchNorm without an affine part between each convolution and its ReLU; `on_conv` is
    called with the index of a convolution and its raw output.
    """
    kernels = enumerate(weights)

    def output(step: Step, inputs: list[Tensor]) -> Tensor:
        if not isinstance(step, Conv):
            return combine(step, inputs)
        index, kernel = next(kernels)
        made = convolve(step, inputs[0], kernel)
        if on_conv is not None:
            on_conv(index, made)
        if batch_norm:
            axes = (0, *range(2, made.dim()))
            variance, mean = torch.var_mean(made, dim=axes, correction=0, keepdim=True)
            made = (made - mean) * torch.rsqrt(variance + BN_EPS)
        return torch.relu(made)

    return run(vcnn, images, output)


def run(vcnn: VCNN, images: Tensor, output: Callable[[Step, list[Tensor]], Tensor]) -> Tensor:
    """What the last step gives, where `output` says what a step makes of its inputs."""
    outputs, last_use = {IMAGE: images}, last_uses(vcnn)
    for index, step in enumerate(vcnn.steps):
        outputs[index] = output(step, [outputs[i] for i in step.inputs])
        for i in {i for i in outputs if last_use.get(i, index + 1) <= index}:
            del outputs[i]  # so that memory does not grow with depth
    return outputs[len(vcnn.steps) - 1]


def last_uses(vcnn: VCNN) -> dict[int, int]:
    """For each step that is read, the index of the last step that reads it."""
    return {source: index for index, step in enumerate(vcnn.steps) for source in step.inputs}


def convolve(conv: Conv, features: Tensor, weight: Tensor) -> Tensor:
    """The convolution alone: (N, C_in, H, W) and a kernel of `conv.weight_shape` to (N, C_out, H', W')."""
    before = conv.padding[::2]
    if before != conv.padding[1::2]:
        features, before = _padded(features, conv.padding), (0,) * len(before)
    convolution = (F.conv1d, F.conv2d, F.conv3d)[len(conv.kernel) - 1]
    return convolution(features, weight, None, conv.stride, before, conv.dilation, conv.groups)


def max_pool(step: Pool, features: Tensor) -> tuple[Tensor, Tensor]:
    """The largest values in the windows, and where each lies in its flattened map."""
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(step.kernel) - 1]
    window = (step.kernel, step.stride, step.padding, step.dilation, step.ceil_mode)
    return pool(features, *window, return_indices=True)


def combine(step: Step, inputs: Sequence[Tensor]) -> Tensor:
    """Every step that is not a convolution."""
    match step:
        case Pool(kind="max"):
            return max_pool(step, inputs[0])[0]
        case Pool():
            pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(step.kernel) - 1]
            window = step.kernel, step.stride, step.padding
            return pool(inputs[0], *window, step.ceil_mode, step.count_include_pad)
        case Pad():
            return _padded(inputs[0], step.padding)
        case Concat():
            return torch.cat(list(inputs), dim=1)
        case Add():
            return sum(inputs[1:], start=inputs[0])
        case ChannelSlice():
            return inputs[0][:, step.start : step.start + step.out_channels]
        case ChannelShuffle():
            return F.channel_shuffle(inputs[0], step.groups)
    raise TypeError(f"no forward pass for the step {step!r}")


def _padded(features: Tensor, padding: Sizes) -> Tensor:
    """Zeros before and behind each axis; PyTorch lists them from the last axis to the first."""
    pairs = list(zip(padding[::2], padding[1::2], strict=True))
    return F.pad(features, [width for pair in reversed(pairs) for width in pair])
