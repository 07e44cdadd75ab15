"""Lemma 1: a vanilla network cuts its input space into convex regions and is linear on each.

The signs of all pre-activations, the activation pattern, say which ReLUs pass. Where the pattern does not
change the network is one matrix, f(x) = W_S x. A VCNN has no biases, so every region is a cone with its tip
at 0; the regions are therefore looked at on a flat, two-dimensional slice that does not pass through 0. There
they are convex polygons, and they are found exactly: layer by layer, each polygon is cut along the straight
lines where a pre-activation is 0.

Sources: Lin et al. 2021 (arXiv 2102.01063), Lemma 1; Montufar et al. 2014 (arXiv 1402.1869); Raghu et al.
2017 (arXiv 1606.05336); Zaslavsky 1975 for the number of pieces that hyperplanes make.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zenlib.errors import ConversionError
from zenlib.scores.forward import combine, convolve, draw_images
from zenlib.scores.phi import pushforward
from zenlib.vanilla.vcnn import VCNN, Conv, Pool

Corner = tuple[float, float]
TOUCHING = 1e-9
"""A line that enters a polygon by less than this share of the range of its pre-activation only touches it."""


@dataclass(frozen=True, eq=False)
class Slice:
    """The square {origin + u * right + v * up : |u|, |v| <= extent} of input space."""

    origin: Tensor  # (C, H, W)
    right: Tensor  # (C, H, W)
    up: Tensor  # (C, H, W)
    extent: float  # half the side of the square, in lengths of `right` and `up`


@dataclass(frozen=True, eq=False)
class Region:
    """One polygon of a slice, on which the network is affine in (u, v)."""

    corners: np.ndarray  # (V, 2), in order around the polygon
    slope: float  # ||W_S [right, up]||_F, how fast the features change along the slice


def random_slice(vcnn: VCNN, generator: torch.Generator, extent: float = 2.0) -> Slice:
    """A slice through three N(0, 1) images, in float64; the extent is in their lengths."""
    origin, right, up = draw_images(vcnn, 3, generator, torch.float64)
    return Slice(origin, right, up, extent)


def region_map(vcnn: VCNN, weights: Sequence[Tensor], image: Tensor) -> Tensor:
    """The matrix W_S (features, pixels) of the region that the image (C, H, W) lies in.

    Column by column: each unit vector goes through the convolutions, cut by the masks that the image sets.
    """
    pixels = image.numel()
    basis = torch.eye(pixels, dtype=image.dtype, device=image.device).reshape(pixels, 1, *image.shape)
    _, columns = pushforward(vcnn, weights, image[None], basis)
    return columns.flatten(1).T


def slice_regions(vcnn: VCNN, weights: Sequence[Tensor], plane: Slice) -> list[Region]:
    """All regions of the network on the slice, exactly.

    Each has an activation pattern of its own: a pattern holds on a convex set, which is one polygon.

    Args:
        vcnn: a chain of convolutions and average pooling.
        weights: one kernel for each convolution, of the dtype of `plane`; float64 is advised.
        plane: the slice.

    Raises:
        ConversionError: the network joins branches or has max pooling, whose boundaries are not those of
            ReLUs.
    """
    e = plane.extent
    polygons = [np.array([[-e, -e], [e, -e], [e, e], [-e, e]])]
    # (polygons, 3, C, H, W): constant, u and v part
    parts = torch.stack([plane.origin, plane.right, plane.up])[None]
    kernels = iter(weights)
    for step in vcnn.layers:
        if isinstance(step, Pool) and step.kind == "max":
            raise ConversionError(
                f"{vcnn.name}: needed only ReLUs, found max pooling ({step.name}), whose regions have other "
                "boundaries"
            )
        flat = parts.flatten(0, 1)
        flat = convolve(step, flat, next(kernels)) if isinstance(step, Conv) else combine(step, [flat])
        parts = flat.unflatten(0, (-1, 3))
        if isinstance(step, Conv):
            polygons, parts = _cut_by_relus(polygons, parts)
    slopes = parts[:, 1:].flatten(1).norm(dim=1).tolist()
    return [Region(polygon, slope) for polygon, slope in zip(polygons, slopes, strict=True)]


def _cut_by_relus(polygons: list[np.ndarray], parts: Tensor) -> tuple[list[np.ndarray], Tensor]:
    """Cuts every polygon along the zero lines of its pre-activations and applies the ReLUs to each piece."""
    lines = parts.flatten(2).cpu().numpy()  # (polygons, 3, neurons)
    pieces, parents = [], []
    for parent, (polygon, line) in enumerate(zip(polygons, lines, strict=True)):
        cut = _cut(polygon, line)
        pieces += cut
        parents += [parent] * len(cut)
    parts = parts[parents]
    centres = torch.as_tensor(
        np.array([piece.mean(0) for piece in pieces]), dtype=parts.dtype, device=parts.device
    )
    u, v = centres.T[..., None, None, None]
    active = parts[:, 0] + u * parts[:, 1] + v * parts[:, 2] > 0
    return pieces, parts * active[:, None]


def _cut(polygon: np.ndarray, lines: np.ndarray) -> list[np.ndarray]:
    """The pieces of a convex polygon (V, 2) between the lines a + b u + c v = 0; `lines` is (3, neurons)."""
    values = lines[0] + polygon @ lines[1:]
    tolerances = TOUCHING * np.abs(values).max(0)
    crossing = np.flatnonzero((values.min(0) < -tolerances) & (values.max(0) > tolerances))
    if crossing.size == 0:
        return [polygon]
    pieces = [[(u, v) for u, v in polygon.tolist()]]  # a few corners: plain numbers are faster than arrays
    cuts = zip(lines[:, crossing].T.tolist(), tolerances[crossing].tolist(), strict=True)
    for (a, b, c), tolerance in cuts:
        pieces = [
            part
            for piece in pieces
            for part in _halves(piece, [a + b * u + c * v for u, v in piece], tolerance)
        ]
    return [np.array(piece) for piece in pieces]


def _halves(corners: list[Corner], values: list[float], tolerance: float) -> list[list[Corner]]:
    """Both sides of a polygon where `values` at its corners change sign, else the polygon."""
    if min(values) >= -tolerance or max(values) <= tolerance:
        return [corners]
    below: list[Corner] = []
    above: list[Corner] = []
    for index, ((u, v), value) in enumerate(zip(corners, values, strict=True)):
        if value <= 0:
            below.append((u, v))
        if value >= 0:
            above.append((u, v))
        after = (index + 1) % len(corners)
        if value * values[after] < 0:
            share = value / (value - values[after])
            crossing = (u + share * (corners[after][0] - u), v + share * (corners[after][1] - v))
            below.append(crossing)
            above.append(crossing)
    return [below, above]


def arrangement_bound(neurons: int, dimension: int) -> int:
    """Most pieces of a space cut by hyperplanes: the sum of C(neurons, i), i <= dimension."""
    return sum(math.comb(neurons, i) for i in range(min(neurons, dimension) + 1))


def log10_region_bound(layers: Sequence[int], dimension: int) -> float:
    """log10 of the largest possible number of regions of a ReLU network on a slice of this dimension.

    Every region of one layer is cut by the next layer like a whole space, so the bounds of the layers
    multiply.

    Args:
        layers: neurons of each layer.
        dimension: of the slice, or of the input space.
    """
    return sum(math.log10(arrangement_bound(neurons, dimension)) for neurons in layers)


def neurons(vcnn: VCNN) -> list[int]:
    """Pre-activations of each convolution, for one image: channels times positions."""
    return [conv.out_channels * conv.out_resolution[0] * conv.out_resolution[1] for conv in vcnn.convs]
