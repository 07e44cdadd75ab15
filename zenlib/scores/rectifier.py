"""What a ReLU does to the moments and correlations of Gaussian values.

With kappa the first-order arc-cosine kernel of unit Gaussians, E max(0, z) max(0, z') = kappa(rho).

Source: Cho and Saul 2009.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

M1_SQUARED = 1 / (2 * math.pi)
"""Square of the mean of max(0, z) for z from N(0, 1)."""
M2 = 0.5
"""Mean of max(0, z)^2."""
CENTRED = M2 - M1_SQUARED
"""Variance of max(0, z): 0.341."""
LINEAR = 0.25 / CENTRED
"""Squared correlation of max(0, z) with z, 0.734: the share of its variance that is linear in z."""


def half_minus_kappa(delta: float) -> float:
    """1/2 - kappa(1 - delta), in the angle so that nothing cancels.

    With cos(theta) = 1 - delta: sin^2(theta / 2) - (sin theta - theta cos theta) / (2 pi).
    """
    if delta < 1e-8:
        return delta / 2
    theta = 2 * math.asin(min(1.0, math.sqrt(delta / 2)))
    return math.sin(theta / 2) ** 2 - (math.sin(theta) - theta * math.cos(theta)) / (2 * math.pi)


def correlation(rho: NDArray[np.float64]) -> NDArray[np.float64]:
    """The correlation of max(0, z) and max(0, z') around their means, for that of z and z'."""
    rho = np.clip(rho, -1.0, 1.0)
    kernel = (np.sqrt(1 - rho * rho) + rho * (math.pi - np.arccos(rho))) * (0.5 / math.pi)
    return (kernel - M1_SQUARED) / CENTRED


def mean_square(chance: float) -> float:
    """Mean square of the correlation of two channels, where it was normal around 0 with mean square `chance`.

    From the series rho LINEAR + rho^2 / (4 pi CENTRED) + ...; what it lacks at 1 is put on the fourth power.
    """
    quadratic = 3 * (M1_SQUARED / (2 * CENTRED)) ** 2
    rest = 1 - LINEAR**2 - quadratic
    return chance * (LINEAR**2 + chance * (quadratic + rest * chance * chance))


@cache
def max_moments(count: int) -> tuple[float, float]:
    """First two moments of the largest of `count` independent max(0, z): quadrature of 1 - Phi(x)^count."""
    step = 1 / 512
    points = [(i + 0.5) * step for i in range(9 * 512)]
    above = [1 - (0.5 * (1 + math.erf(x / math.sqrt(2)))) ** count for x in points]
    return step * sum(above), 2 * step * sum(x * value for x, value in zip(points, above, strict=True))
