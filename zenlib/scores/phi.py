"""The Phi-Score: how strongly a vanilla network without BatchNorm can bend its input (Definition 1).

    Phi(f) = log E || grad_x f(x | theta) ||_F,    x and theta from N(0, 1)

By Lemma 1 the gradient at x is the matrix W_S of the linear region that x falls in, so Phi is the mean size
of the map of a region, in nats. As long as no ReLU and no maximum changes its choice the network is linear: a
direction v travels through the same convolutions as x and is cut by the masks that x sets.

Source: Lin et al. 2021 (arXiv 2102.01063), section 3.3 and Lemma 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from zenlib.errors import ScoreUndefined, whole
from zenlib.machine import chosen
from zenlib.networks.architecture import Architecture
from zenlib.scores.forward import combine, convolve, draw_images, forward, generator_of, max_pool, run
from zenlib.scores.zen import ScoreEstimate
from zenlib.vanilla.convert import to_vcnn
from zenlib.vanilla.vcnn import VCNN, Conv, Pool, Step

METHODS = ("probe", "jacobian")


@dataclass(frozen=True)
class PhiEstimate(ScoreEstimate):
    """A Phi-Score with its error, in nats; `float(estimate)` is its mean.

    Attributes:
        overflow_layer: index of the first convolution whose output was not finite in some repeat, or None.
            If there is one, `mean` is `math.inf`, and `std` and `stderr` are NaN.
    """

    overflow_layer: int | None = None

    def __str__(self) -> str:
        if self.overflow_layer is None:
            return super().__str__()
        return f"inf (overflow at convolution {self.overflow_layer})"


def phi_score(
    network: Architecture | VCNN | nn.Module,
    resolution: int | None = None,
    *,
    batch_size: int = 4,
    repeats: int = 8,
    method: str = "probe",
    probes: int = 8,
    seed: int = 0,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> PhiEstimate:
    """The Phi-Score of a network's vanilla form, without BatchNorm.

    Each repeat draws new weights and images and gives log mean over the images of ||J(x)||_F; the estimate is
    the mean over repeats. "jacobian" computes J exactly, for small networks. "probe" uses E_v ||J v||^2 =
    ||J||_F^2 for v from N(0, I), with the memory of one layer, so it runs on any network.

    Deep networks leave the range of float32 (after about 30 layers of 64 channels), reported as `mean =
    math.inf` with the layer where it began; dtype=torch.float64 reaches eight times as deep.

    Args:
        network: an `Architecture`, a `VCNN`, or any module that `to_vcnn` converts.
        resolution: side of the square image in pixels; None means 224, or the resolution of a given `VCNN`.
        batch_size: images per repeat.
        repeats: independent draws of weights and images.
        method: "probe" or "jacobian".
        probes: directions per image, at least 2; not used by "jacobian".
        seed: 0 or more. Repeat r depends on (seed, r) alone.
        device: where to compute; None means CUDA if there is one, else the CPU.
        dtype: floating type of weights and images; None means float32.

    Raises:
        ScoreUndefined: all gradients of a repeat are zero.
        ValueError: an argument, or the network (`ConversionError`, `ArchitectureError`), will not do.

    Source: Lin et al. 2021, Definition 1. Differs: the paper takes the mean over the weights inside the
    logarithm. The mean of logarithms, as in `zen_score`, is lower by about half the variance between repeats.
    """
    whole("batch_size", batch_size)
    whole("repeats", repeats)
    whole("probes", probes, 2)
    whole("seed", seed, 0)
    if method not in METHODS:
        raise ValueError(
            f"method: needed one of {', '.join(map(repr, METHODS))}, got {method!r}; 'probe' works on any "
            "network"
        )
    vcnn = to_vcnn(network, resolution)
    device = chosen(device)
    probes, dtype = probes if method == "probe" else 0, dtype or torch.float32
    log_norms, overflows = [], []
    for repeat in range(repeats):
        norms, finite = _repeat(vcnn, batch_size, probes, (seed, repeat), device, dtype)
        if not finite.all():
            overflows.append(finite.tolist().index(False))
            continue
        logs = _log_root_of_mean(norms) if probes else norms.double().cpu().numpy()
        log_norms.append(float(np.logaddexp.reduce(logs)) - math.log(len(logs)))
        if not math.isfinite(log_norms[-1]):
            raise ScoreUndefined(
                f"Phi-Score of {vcnn.name or 'a network'}: every gradient of repeat {repeat} is zero, so it "
                "has no logarithm"
            )
    if overflows:
        return PhiEstimate(math.inf, math.nan, math.nan, repeats, min(overflows))
    return PhiEstimate.of(log_norms)


def _repeat(
    vcnn: VCNN, batch_size: int, probes: int, key: tuple[int, int], device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Log norms of one repeat, of J v (probes, N) or of J (N,), and which convolutions were finite (L,)."""
    generator, of_probes = (generator_of(entropy, device) for entropy in (key, (*key, 1)))
    images = draw_images(vcnn, batch_size, generator, dtype)
    weights = (
        torch.randn(conv.weight_shape, generator=generator, dtype=dtype, device=device) for conv in vcnn.convs
    )
    if not probes:
        return log_jacobian_norms(vcnn, list(weights), images)
    directions = torch.randn((probes, *images.shape), generator=of_probes, dtype=dtype, device=device)
    return log_probe_norms(vcnn, weights, images, directions)


@torch.no_grad()
def log_probe_norms(
    vcnn: VCNN, weights: Iterable[Tensor], images: Tensor, directions: Tensor
) -> tuple[Tensor, Tensor]:
    """Log of ||J(x) v|| for each direction and image (K, N), and which convolutions were finite (L,)."""
    finite: list[Tensor] = []
    _, moved = pushforward(
        *(vcnn, weights, images, directions),
        on_conv=lambda _, output: finite.append(torch.isfinite(output).all()),
    )
    return log_norm(moved.flatten(2)), torch.stack(finite)


def log_jacobian_norms(vcnn: VCNN, weights: Sequence[Tensor], images: Tensor) -> tuple[Tensor, Tensor]:
    """Log of ||J(x)||_F of each image (N,) by the whole Jacobian, and which convolutions were finite (L,).

    The Jacobian has (features x pixels) entries: for small networks and images. Where the features are finite
    and their derivatives are not, the last convolution is named.
    """
    finite: list[Tensor] = []
    forward(vcnn, weights, images, on_conv=lambda _, output: finite.append(torch.isfinite(output).all()))
    jacobian = torch.func.jacfwd(lambda image: forward(vcnn, weights, image[None])[0])
    log_norms = torch.stack([log_norm(jacobian(image).flatten()) for image in images])
    finite[-1] = finite[-1] & (log_norms < math.inf).all()
    return log_norms, torch.stack(finite)


def pushforward(
    vcnn: VCNN,
    weights: Iterable[Tensor],
    images: Tensor,
    directions: Tensor,
    *,
    on_conv: Callable[[int, Tensor], None] | None = None,
) -> tuple[Tensor, Tensor]:
    """The features (N, C', H', W') of the images and, for each direction, J(x) v (K, N, C', H', W').

    Forward-mode differentiation, with the memory of one layer only. There is one kernel for each convolution,
    which may be drawn on the way, and there are K directions for each image. `on_conv` is called with the
    index of a convolution and its raw output (K + 1, N, C, H, W), that of the images first.
    """
    kernels = enumerate(weights)

    def output(step: Step, inputs: list[Tensor]) -> Tensor:
        flat = [stacked.flatten(0, 1) for stacked in inputs]
        if isinstance(step, Conv):
            index, kernel = next(kernels)
            made = convolve(step, flat[0], kernel).unflatten(0, (len(inputs[0]), -1))
            if on_conv is not None:
                on_conv(index, made)
            return torch.where(made[:1] > 0, made, torch.zeros((), dtype=made.dtype, device=made.device))
        if isinstance(step, Pool) and step.kind == "max":
            return _max_pool(step, inputs[0])
        return combine(step, flat).unflatten(0, (len(inputs[0]), -1))

    final = run(vcnn, torch.cat([images[None], directions]), output)
    return final[0], final[1:]


def _max_pool(pool: Pool, stacked: Tensor) -> Tensor:
    """Max pooling of entry 0; the directions follow the position that won there."""
    pooled, winners = max_pool(pool, stacked[0])
    moved = stacked[1:].flatten(3).gather(-1, winners.flatten(2).expand(len(stacked) - 1, -1, -1, -1))
    return torch.cat([pooled[None], moved.unflatten(-1, pooled.shape[2:])])


def log_norm(vectors: Tensor) -> Tensor:
    """Log of the Euclidean norm over the last dimension, by squares that cannot overflow; -inf for zero."""
    largest = vectors.abs().amax(-1, keepdim=True)
    scale = torch.where(largest == 0, torch.ones_like(largest), largest)
    return scale.squeeze(-1).log() + (vectors / scale).square().sum(-1).log() / 2


def _log_root_of_mean(log_norms: Tensor) -> np.ndarray:
    """Log of ||J||_F (N,) from log ||J v|| (K, N).

    The root of a noisy mean is too small by the share variance / (8 K mean^2) of itself; that much is added.
    """
    squares = 2 * log_norms.double().cpu().numpy()
    top = squares.max(0)
    scaled = np.exp(squares - np.where(np.isfinite(top), top, 0))
    mean, variance = scaled.mean(0), scaled.var(0, ddof=1)
    mean[mean == 0] = 1  # the logarithm is -inf by its top
    return top / 2 + np.log(mean) / 2 + np.log1p(variance / (8 * len(scaled) * mean**2))
