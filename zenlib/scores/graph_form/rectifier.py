"""What a ReLU does to correlations of Gaussian values, all of it centred: max(0, z) minus its mean.

With kappa the first-order arc-cosine kernel of unit Gaussians, E max(0, z) max(0, z') = kappa(rho), a
correlation becomes (kappa(rho) - 1 / (2 pi)) / CENTRED.

Source: Cho and Saul 2009.
"""

from __future__ import annotations

import math

import numpy as np

from zenlib.scores.border import M1_SQUARED, M2
from zenlib.scores.graph_form.torus import Lags

CENTRED = M2 - M1_SQUARED
"""Variance of max(0, z)."""
LINEAR = 0.25 / CENTRED
"""Squared correlation of max(0, z) with z, 0.734: the share of its variance that is linear in z."""


def correlation(rho: Lags) -> Lags:
    """The correlation of max(0, z) and max(0, z')."""
    rho = np.clip(rho, -1.0, 1.0)
    kernel = (np.sqrt(1 - rho * rho) + rho * (math.pi - np.arccos(rho))) * (0.5 / math.pi)
    return (kernel - M1_SQUARED) / CENTRED


def mean_square(chance: float) -> float:
    """Mean square of the correlation of two channels, where it was normal around 0 with mean square `chance`.

    From the series rho LINEAR + rho^2 / (4 pi CENTRED) + ...; what the series lacks at 1 is put on the fourth
    power.
    """
    quadratic = 3 * (M1_SQUARED / (2 * CENTRED)) ** 2
    rest = 1 - LINEAR**2 - quadratic
    return chance * (LINEAR**2 + chance * (quadratic + rest * chance * chance))
