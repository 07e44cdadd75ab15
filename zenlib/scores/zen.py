"""The Zen-Score by Monte Carlo, with its error.

    Zen = log E_batch ||f(x) - f(x + alpha * eps)|| + sum_i log sigma_i

Weights, images and noise are N(0, 1), and BatchNorm has the statistics of its mini-batch. f is the feature
map before global pooling, and sigma_i^2 the variance before BatchNorm i, averaged over its channels. The sum
gives back the scale that BatchNorm takes away; it runs over every BatchNorm.

Three definitions are in use. Algorithm 1 of the paper is (frobenius, minibatch); its Table 5 is (l1,
minibatch), the default here; the released code is (l1, running).

Source: Lin et al. 2021 (arXiv 2102.01063), Algorithm 1 and Table 5.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count, islice
from typing import Any, Literal, Self, get_args

import numpy as np
import torch
from torch import Tensor, nn

from zenlib.errors import ScoreUndefined, whole
from zenlib.machine import chosen
from zenlib.networks.architecture import Architecture
from zenlib.scores.forward import generator_of
from zenlib.scores.pairs import EAGER, BatchVariance, Pair, fused_kernels, propagate
from zenlib.vanilla.convert import to_vcnn
from zenlib.vanilla.vcnn import VCNN

Norm = Literal["l1", "frobenius"]
BnVariance = Literal["minibatch", "running"]

MAX_REPEATS = 1024
"""Repeats after which a `tolerance` that was not reached is given up, with a warning."""
SMALLEST_PERTURBATION = 1e-30
"""Its inverse times a normalised feature must stay finite in float32."""
FEW_POSITIONS = 8
"""Values of a channel below which its variance in a mini-batch says little."""
BN_MOMENTUM = 0.1
"""Share of the newest mini-batch in the running variance of the released definition, PyTorch's default."""


@dataclass(frozen=True)
class ScoreEstimate:
    """A Monte-Carlo score.

    Attributes:
        mean: average over repeats, in nats.
        std: standard deviation of one repeat (divisor n - 1); NaN for one repeat.
        stderr: standard error of `mean`, std / sqrt(n); NaN for one repeat.
        n: number of repeats.
    """

    mean: float
    std: float
    stderr: float
    n: int

    @classmethod
    def of(cls, scores: list[float]) -> Self:
        """The estimate from the score of each repeat."""
        n = len(scores)
        std = float(np.std(scores, ddof=1)) if n > 1 else math.nan
        return cls(float(np.mean(scores)), std, std / math.sqrt(n), n)

    def __float__(self) -> float:
        return self.mean

    def __str__(self) -> str:
        return f"{self.mean:.3f} +- {self.stderr:.3f} ({self.n} repeats)"


@dataclass(frozen=True, eq=False)
class ZenTerms:
    """The two terms of every definition, from the same forward passes, one entry per repeat, in nats.

    Attributes:
        log_delta_l1: (repeats,), log of the batch mean of the sum of absolute differences.
        log_delta_frobenius: (repeats,), log of the batch mean of the Euclidean norm of the difference.
        log_sigma_minibatch: (repeats, convolutions), from the biased mini-batch variance of f(x).
        log_sigma_running: (repeats, convolutions), from a running variance that has seen f(x), then f(x +
            alpha * eps). Differs: here every repeat starts at 1; the released code does not reset this
            average, so there it drifts towards the mini-batch variance.
    """

    log_delta_l1: np.ndarray
    log_delta_frobenius: np.ndarray
    log_sigma_minibatch: np.ndarray
    log_sigma_running: np.ndarray

    def score(self, norm: Norm = "l1", bn_variance: BnVariance = "minibatch") -> np.ndarray:
        """The Zen-Score of each repeat under one definition, in nats; shape (repeats,)."""
        _require_known(norm, bn_variance)
        log_delta = self.log_delta_l1 if norm == "l1" else self.log_delta_frobenius
        log_sigma = self.log_sigma_minibatch if bn_variance == "minibatch" else self.log_sigma_running
        return log_delta + log_sigma.sum(axis=1)


def zen_score(
    network: Architecture | VCNN | nn.Module,
    resolution: int | None = None,
    *,
    batch_size: int = 16,
    repeats: int = 8,
    perturbation: float = 0.01,
    norm: Norm = "l1",
    bn_variance: BnVariance = "minibatch",
    seed: int = 0,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    tolerance: float | None = None,
    compiled: bool = False,
) -> ScoreEstimate:
    """The Zen-Score: log E_batch ||f(x) - f(x + alpha * eps)|| + sum over every BatchNorm of log sigma_i.

    Args:
        network: an `Architecture`, a `VCNN`, or a module that `to_vcnn` converts, which is left as found.
        resolution: side of the square image in pixels; None means 224, or the resolution of a given `VCNN`.
        batch_size: images per repeat, N.
        repeats: independent draws of weights, images and noise.
        perturbation: alpha. Its logarithm is part of the score, as in the paper. 0 takes the exact
            directional derivative instead: log E_batch ||J(x) eps||, without a log alpha.
        norm: "l1", the sum of absolute values over (C, H, W), or "frobenius", the root of the sum of squares.
        bn_variance: "minibatch", or "running" as in the released code.
        seed: 0 or more. Repeat r depends on (seed, r) alone.
        device: where to compute; None means CUDA if there is one, else the CPU.
        dtype: floating type of weights and maps; None means float32. Statistics are kept at least so wide.
        tolerance: add repeats until the standard error is at most this, in nats. If `MAX_REPEATS` are not
            enough a warning says so, and `stderr` says what was reached.
        compiled: whether torch.compile fuses BatchNorm and ReLU, at some ten seconds once per process;
            values agree within rounding. Without a compiler a warning says so.

    Raises:
        ScoreUndefined: the score is not finite; the reason names the layer.
        ValueError: an argument, or the network (`ConversionError`, `ArchitectureError`), will not do.

    Source: Lin et al. 2021, Algorithm 1. Differs: the released code reports the spread over repeats of a
    drifting average (see `ZenTerms.log_sigma_running`) and draws one repeat in the search.
    """
    _require_known(norm, bn_variance)
    if tolerance is not None and not tolerance > 0:
        raise ValueError(f"tolerance: needed a positive number of nats or None, got {tolerance!r}")
    repeats, scores = whole("repeats", repeats), list[float]()
    drawn = _repeats(network, resolution, batch_size, perturbation, seed, device, dtype, compiled)
    while True:
        scores += _stacked(islice(drawn, max(1, repeats - len(scores)))).score(norm, bn_variance).tolist()
        estimate = ScoreEstimate.of(scores)
        if tolerance is None or estimate.stderr <= tolerance:
            return estimate
        if len(scores) >= MAX_REPEATS:
            warnings.warn(
                f"tolerance: needed a standard error of {tolerance}, reached {estimate.stderr:.3g} in "
                f"{MAX_REPEATS} repeats",
                stacklevel=2,
            )
            return estimate


def zen_terms(
    network: Architecture | VCNN | nn.Module,
    resolution: int | None = None,
    *,
    repeats: int = 8,
    **settings: Any,
) -> ZenTerms:
    """The terms of every definition, from the same forward passes; arguments and errors as in `zen_score`."""
    return _stacked(islice(_repeats(network, resolution, **settings), whole("repeats", repeats)))


def _stacked(repeats: Iterator[tuple[np.ndarray, ...]]) -> ZenTerms:
    return ZenTerms(*(np.stack(column) for column in zip(*repeats, strict=True)))


def _repeats(
    network: Architecture | VCNN | nn.Module,
    resolution: int | None,
    batch_size: int = 16,
    perturbation: float = 0.01,
    seed: int = 0,
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    compiled: bool = False,
) -> Iterator[tuple[np.ndarray, ...]]:
    """The fields of `ZenTerms` for one repeat after another, without end."""
    batch_size, seed = whole("batch_size", batch_size), whole("seed", seed, 0)
    if perturbation != 0 and not SMALLEST_PERTURBATION <= perturbation < math.inf:
        raise ValueError(
            f"perturbation: needed a finite number of at least {SMALLEST_PERTURBATION}, or 0 for the "
            f"exact derivative; got {perturbation!r}"
        )
    dtype = dtype or torch.float32
    if not dtype.is_floating_point:
        raise ValueError(
            f"dtype: needed a floating type such as torch.float32 or torch.bfloat16, got {dtype}"
        )
    vcnn = to_vcnn(network, resolution)
    _require_variance(vcnn, batch_size)
    where = chosen(device)
    alpha, kernels = float(perturbation), fused_kernels() if compiled else EAGER
    shape = batch_size, *vcnn.image_shape

    @torch.no_grad()
    def drawn(repeat: int) -> tuple[np.ndarray, ...]:
        draw = partial(torch.randn, generator=generator_of((seed, repeat), where), dtype=dtype, device=where)
        passed = propagate(
            vcnn, lambda conv: draw(conv.weight_shape), draw(shape), draw(shape), alpha, kernels
        )
        terms = tuple(term.double().cpu().numpy() for term in log_terms(*passed, alpha))
        _require_finite(vcnn, *terms)
        return terms

    return map(drawn, count())


def _require_finite(
    vcnn: VCNN, l1: np.ndarray, frobenius: np.ndarray, minibatch: np.ndarray, running: np.ndarray
) -> None:
    named = f"Zen-Score of {vcnn.name or 'a network'}"
    for conv, *sigmas in zip(vcnn.convs, minibatch, running, strict=True):
        if not np.isfinite(sigmas).all():
            values = " and ".join(str(float(sigma)) for sigma in sigmas)
            raise ScoreUndefined(
                f"{named}: log sigma is {values} (mini-batch and running) after {conv.name} "
                f"({conv.describe()})"
            )
    if not np.isfinite([l1, frobenius]).all():
        last = vcnn.steps[-1]
        raise ScoreUndefined(
            f"{named}: log Delta is {float(l1)} after the last layer, {last.name} ({last.describe()})"
        )


def log_terms(
    blocks: list[Pair], variances: list[BatchVariance], alpha: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The fields of `ZenTerms` for one repeat, as tensors on the device of the blocks."""
    log_alpha = math.log(alpha) if alpha > 0 else 0.0
    l1, frobenius = (_mean_norm(blocks, order).log() + log_alpha for order in (1, 2))
    minibatch = torch.stack([variance.first for variance in variances])
    # A running variance that starts at 1 and meets the unbiased variances of both branches in turn.
    keep, running = 1 - BN_MOMENTUM, []
    for first, second, positions in variances:
        running.append(keep**2 + BN_MOMENTUM * (positions / (positions - 1)) * (keep * first + second))
    return l1, frobenius, minibatch.log() / 2, torch.stack(running).log() / 2


def _mean_norm(blocks: list[Pair], order: int) -> Tensor:
    """The mean over images of the l1 or l2 norm of their change, in float32 or wider."""
    wide = torch.promote_types(blocks[0].change.dtype, torch.float32)
    axes = tuple(range(1, blocks[0].change.dim()))
    norms = [torch.linalg.vector_norm(block.change, order, dim=axes, dtype=wide) for block in blocks]
    return torch.cat(norms).mean()


def _require_known(norm: str, bn_variance: str) -> None:
    options = {"norm": (norm, get_args(Norm)), "bn_variance": (bn_variance, get_args(BnVariance))}
    for argument, (given, known) in options.items():
        if given not in known:
            raise ValueError(f"{argument}: needed one of {', '.join(map(repr, known))}, got {given!r}")


def _require_variance(vcnn: VCNN, batch_size: int) -> None:
    """Refuses a batch for which a BatchNorm would see a single position per channel, and warns of a few."""
    last = min(vcnn.convs, key=lambda conv: math.prod(conv.out_resolution))
    positions = batch_size * math.prod(last.out_resolution)
    if positions < 2:
        raise ValueError(
            f"batch_size: needed at least 2, since {last.name} gives a 1x1 map and one position has no "
            f"variance; got {batch_size}; use a larger batch or a higher resolution"
        )
    if positions < FEW_POSITIONS:
        warnings.warn(
            f"batch_size: {batch_size} images give the BatchNorm after {last.name} {positions} values for "
            f"each channel; below {FEW_POSITIONS} the score is mostly noise: use a larger batch or a higher "
            "resolution",
            stacklevel=4,
        )
