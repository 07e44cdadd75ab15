"""Theorem 1: multiplying by the variances gives back the scale that BatchNorm takes away.

For a network x_L with BatchNorm and its sister xbar_L without, the theorem bounds

    R = (prod_t sigma_t^2) E ||x_L||^2 / E ||xbar_L||^2

between (1 - L eps)^2 and (1 + L eps)^2 with eps = O(1 / sqrt(B H W)). Its proof uses a BatchNorm that divides
by the root mean square and does not subtract the mean; `centred` chooses between that one and the one used in
practice.

Only the sigmas of R are random. Flipping the sign of a kernel swaps the two halves of its pre-activations,
hence

    E ||relu(w * x)||^2 = 1/2 E ||w * x||^2,    E ||x_L||^2 = 1/2 B H W C    (BatchNorm makes each channel's
    mean square 1)

and, without BatchNorm, the energy passes from layer to layer by adding up what each kernel position sees. So
both expectations are computed exactly, given the images, and need no draws.

Source: Lin et al. 2021 (arXiv 2102.01063), Theorem 1 and supplement H.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from zenlib.errors import ConversionError
from zenlib.scores.forward import BN_EPS, convolve
from zenlib.scores.phi import log_norm
from zenlib.vanilla.vcnn import VCNN, Conv


class Ratios(NamedTuple):
    """Logarithms, scalars, of R and of the same ratio for derivatives."""

    features: Tensor  # log R
    # log of (prod_t sigma_t^2) ||J v||^2 / E ||Jbar v||^2, both over the whole batch; J includes what the
    # statistics of the batch do
    gradient: Tensor


@torch.no_grad()
def rescaled_ratios(
    vcnn: VCNN, weights: Iterable[Tensor], images: Tensor, directions: Tensor, *, centred: bool
) -> Ratios:
    """Both ratios for one draw of the weights, from one pass through the network with BatchNorm.

    Args:
        vcnn: a chain of convolutions only.
        weights: one N(0, 1) kernel for each convolution, taken one by one.
        images: (N, C, H, W).
        directions: v, one for each image, (N, C, H, W).
        centred: whether BatchNorm subtracts the mean; then sigma_t^2 is the variance, otherwise the mean
            square. Either is taken in each channel and then averaged over channels.

    Raises:
        ConversionError: the network has pooling or joins branches, for which E ||xbar_L||^2 has no such form.
    """
    convs = _convs(vcnn)
    log_scale = torch.zeros((), dtype=torch.float64, device=images.device)
    values, moved = images, directions
    for conv, weight in zip(convs, weights, strict=True):
        values, moved = convolve(conv, torch.cat([values, moved]), weight).chunk(2)
        values, moved, mean_square = _normalise(values, moved, centred)
        log_scale += mean_square.double().log()
        moved = torch.where(values > 0, moved, torch.zeros_like(moved))
        values = torch.relu(values)
    expected = math.log(values.numel() / 2)
    gradient = 2 * log_norm(moved.double().flatten())
    return Ratios(
        log_scale + expected - log_expected_energy(vcnn, images),
        log_scale + gradient - log_expected_energy(vcnn, directions),
    )


def _normalise(values: Tensor, moved: Tensor, centred: bool) -> tuple[Tensor, Tensor, Tensor]:
    """BatchNorm of the values, its derivative along `moved`, and sigma_t^2."""
    over = (0, 2, 3)
    if centred:
        values, moved = (part - part.mean(over, keepdim=True) for part in (values, moved))
    mean_square = values.square().mean(over, keepdim=True)
    scale = torch.rsqrt(mean_square + BN_EPS)
    values = values * scale
    moved = (moved * scale) - values * (values * moved * scale).mean(over, keepdim=True)
    return values, moved, mean_square.mean()


def log_expected_energy(vcnn: VCNN, images: Tensor) -> Tensor:
    """Log of E_theta ||xbar_L||^2 of the network without BatchNorm, given the images (N, C, H, W).

    Exact, in float64.

    A kernel of N(0, 1) entries turns the energy under it into the mean energy of its pre-activation; the ReLU
    keeps half. The same holds for a direction in place of the image, whose energy the ReLU also halves.
    """
    energy = images.double().square().sum(0, keepdim=True)
    log_scale = torch.zeros((), dtype=torch.float64, device=images.device)
    for conv in _convs(vcnn):
        halves = torch.full(conv.weight_shape, 0.5, dtype=torch.float64, device=images.device)
        energy = convolve(conv, energy, halves)
        size = energy.amax()
        energy, log_scale = energy / size, log_scale + size.log()
    return log_scale + energy.sum().log()


def _convs(vcnn: VCNN) -> tuple[Conv, ...]:
    convs = tuple(step for step in vcnn.layers if isinstance(step, Conv))
    if len(convs) != len(vcnn.layers):
        raise ConversionError(
            f"{vcnn.name}: needed a chain of convolutions only, found pooling; Theorem 1 does not speak "
            "about it"
        )
    return convs
