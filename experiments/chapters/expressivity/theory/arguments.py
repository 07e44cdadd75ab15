"""The paper's reasons why a vanilla network speaks for the full one, made checkable.

BatchNorm with fixed statistics is an affine map of each channel, so it can be moved into the convolution
before it. Self-attention mixes its tokens, so its outputs stay in the span of the value tokens.

Source: Lin et al. 2021 (arXiv 2102.01063), section 3.2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from experiments.chapters.expressivity.theory.regions import region_map
from zenlib.networks.architecture import Architecture, Block
from zenlib.scores.forward import draw_images, draw_weights, forward
from zenlib.vanilla.convert import to_vcnn


def fold_batch_norm(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    """One convolution equal to `norm(conv(x))` in evaluation mode.

        W' = W gamma / sqrt(variance + eps),    b' = beta + (b - mean) gamma / sqrt(variance + eps)

    The result has a bias even where `conv` has none; a VCNN leaves it out. In training mode there is nothing
    to fold: mean and variance then depend on the batch.

    Raises:
        ValueError: the BatchNorm keeps no running statistics, or the convolution pads with something else
            than zeros.
    """
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError(
            "norm: needed a BatchNorm with running statistics, got track_running_stats=False; without them "
            "its map depends on the batch"
        )
    if conv.padding_mode != "zeros":
        raise ValueError(f"conv: needed zero padding, got {conv.padding_mode!r}")
    gain = torch.rsqrt(norm.running_var + norm.eps)
    shift = torch.zeros_like(gain)
    if norm.affine:
        gain, shift = gain * norm.weight, norm.bias
    bias = torch.zeros_like(gain) if conv.bias is None else conv.bias
    sizes = conv.kernel_size, conv.stride, conv.padding, conv.dilation
    folded = nn.Conv2d(conv.in_channels, conv.out_channels, *sizes, conv.groups)  # type: ignore[arg-type]
    folded = folded.to(conv.weight)
    folded.weight.data = (conv.weight * gain[:, None, None, None]).detach()
    folded.bias.data = (shift + (bias - norm.running_mean) * gain).detach()  # type: ignore[union-attr]
    return folded


def self_attention(
    tokens: Tensor, query: Tensor, key: Tensor, value: Tensor, heads: int = 1
) -> tuple[Tensor, Tensor]:
    """Scaled dot-product self-attention without an output projection.

    Args:
        tokens: (n, d).
        query: (d, d).
        key: (d, d).
        value: (d, d).
        heads: number of heads, a divisor of d; each attends with its own share of the columns.

    Returns:
        The outputs (n, d), and the value tokens (n, d) that they are mixed from.
    """
    q, k, v = ((tokens @ matrix).unflatten(1, (heads, -1)).transpose(0, 1) for matrix in (query, key, value))
    mixing = torch.softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, dim=-1)
    return (mixing @ v).transpose(0, 1).flatten(1), tokens @ value


def share_outside_span(outputs: Tensor, inputs: Tensor) -> Tensor:
    """How much of the outputs lies outside the span of the input tokens: 0 is nothing, 1 everything.

    The ratio of Frobenius norms ||Y - Y P|| / ||Y||, P being the orthogonal projection onto the rows of
    `inputs`.

    Args:
        outputs: (n, d).
        inputs: (n', d); with n' >= d they span everything, and the answer is 0 whatever the outputs are.
    """
    _, singular, directions = torch.linalg.svd(inputs, full_matrices=False)
    span = directions[singular > singular.max() * torch.finfo(inputs.dtype).eps * max(inputs.shape)]
    return torch.linalg.matrix_norm(outputs - outputs @ span.T @ span) / torch.linalg.matrix_norm(outputs)


def _folding(generator: torch.Generator) -> float:
    """Eight convolutions with BatchNorm in evaluation mode against eight folded ones."""
    plain, folded = nn.Sequential(), nn.Sequential()
    for channels in (3, *[16] * 7):
        conv, norm = nn.Conv2d(channels, 16, 3, padding=1, bias=False).double(), nn.BatchNorm2d(16).double()
        for tensor in (conv.weight, norm.weight, norm.bias, norm.running_mean):
            nn.init.normal_(tensor, generator=generator)  # type: ignore[arg-type]
        nn.init.uniform_(norm.running_var, 0.5, 2.0, generator=generator)  # type: ignore[arg-type]
        plain.extend([conv, norm, nn.ReLU()])
        folded.extend([fold_batch_norm(conv, norm), nn.ReLU()])
    images = torch.randn(4, 3, 16, 16, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        expected, got = plain.eval()(images), folded(images)
    return float((got - expected).norm() / expected.norm())


def _linear_map(generator: torch.Generator) -> float:
    """Lemma 1: the features against the matrix of the region times the image."""
    vcnn = to_vcnn(Architecture((Block("conv", 3, 3, 6, layers=4),)), 6)
    weights = draw_weights(vcnn, generator, torch.float64)
    image = draw_images(vcnn, 1, generator, torch.float64)
    expected, got = (
        forward(vcnn, weights, image).flatten(),
        region_map(vcnn, weights, image[0]) @ image.flatten(),
    )
    return float((got - expected).norm() / expected.norm())


def _attention(tokens: int, heads: int) -> Callable[[torch.Generator], float]:
    def outside(generator: torch.Generator) -> float:
        drawn, query, key, value = (
            torch.randn(size, 32, generator=generator, dtype=torch.float64) for size in (tokens, 32, 32, 32)
        )
        outputs, values = self_attention(drawn, query / 32**0.5, key / 32**0.5, value / 32**0.5, heads)
        return float(share_outside_span(outputs, values))

    return outside


def _relu(generator: torch.Generator) -> float:
    """What a ReLU puts outside the span of its tokens, for comparison."""
    tokens = torch.randn(8, 32, generator=generator, dtype=torch.float64)
    return float(share_outside_span(torch.relu(tokens), tokens))


RESIDUALS: dict[str, Callable[[torch.Generator], float]] = {
    "region_map": _linear_map,
    "batch_norm_folding": _folding,
    "attention_1_head_8_tokens": _attention(tokens=8, heads=1),
    "attention_4_heads_8_tokens": _attention(tokens=8, heads=4),
    "attention_4_heads_32_tokens": _attention(tokens=32, heads=4),
    "relu_8_tokens": _relu,
}
"""Relative residual of each statement, 0 where exact, from a generator's draws; tokens have 32 entries."""
