"""The two elementwise passes of `zenlib.scores.pairs` as one loop each, by torch.compile.

They compute what the eager passes compute, in fewer visits to memory. Compiling takes some ten seconds once
per process (less when torch finds its cache on disk) and serves every shape, so it pays for a search or a
study, not for one score.
"""

from __future__ import annotations

import warnings
from functools import cache

import torch
from torch import Tensor

from zenlib.scores.pairs import EAGER, Kernels, Moments, Scaling


@cache
def fused_kernels() -> Kernels:
    """The compiled passes; the eager ones, after a warning, where torch.compile does not work."""
    moments = torch.compile(_moments, dynamic=True)
    rectify = torch.compile(_normalise_rectify, dynamic=True)

    def block_moments(z: Tensor, e: Tensor, scratch: Tensor) -> Moments:
        return Moments(*moments(z, e))

    def normalise_rectify(z: Tensor, e: Tensor, scaling: Scaling, alpha: float, scratch: Tensor) -> None:
        if alpha == 0:
            EAGER.normalise_rectify(z, e, scaling, alpha, scratch)
        else:  # a number would be compiled in
            rectify(z, e, scaling, torch.full_like(scaling.scale, -1 / alpha))

    try:
        with torch.no_grad():
            for rows in (100, 10_000):  # torch compiles short and long sums apart
                z, e = torch.zeros(rows, 24), torch.zeros(rows, 24)
                moments(z, e)
                rectify(z, e, Scaling(*(torch.ones(24) for _ in range(5))), torch.ones(24))
    except RuntimeError as error:  # what torch raises for a missing or failing compiler
        reason = str(error).strip().splitlines()[0]
        warnings.warn(
            "torch.compile does not work here, so scores take the eager path, which gives the same values: "
            f"{reason}",
            stacklevel=2,
        )
        return EAGER
    return Kernels(block_moments, normalise_rectify)


def _moments(z: Tensor, e: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """One visit.

    Sums around the mean of the first rows, near enough to the true mean that moving them there cancels
    nothing.
    """
    z, e = (half.to(torch.promote_types(half.dtype, torch.float32)) for half in (z, e))
    near_z, near_e = z[:16].mean(0), e[:16].mean(0)
    z, e = z - near_z, e - near_e
    sum_z, sum_e, count = z.sum(0), e.sum(0), len(z)
    off_z, off_e = sum_z / count, sum_e / count
    return (
        near_z + off_z,
        near_e + off_e,
        (z * z).sum(0) - off_z * sum_z,
        (z * e).sum(0) - off_z * sum_e,
        (e * e).sum(0) - off_e * sum_e,
    )


def _normalise_rectify(z: Tensor, e: Tensor, scaling: Scaling, minus_inverse: Tensor) -> None:
    scale, shift, change_scale, change_shift, pull = scaling
    y = z * scale + shift
    minus_u = y * minus_inverse
    change = torch.maximum(e * change_scale + change_shift - y * pull, minus_u) - minus_u.clamp(min=0)
    z.copy_(y.clamp(min=0))
    e.copy_(change)
