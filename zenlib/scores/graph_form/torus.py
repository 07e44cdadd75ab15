"""Even functions of the distance of two positions of a periodic square map, and what windows do to them.

A function is an array over lags 0 to side / 2 in both directions. The window of a pooling or convolution is
separable, so all of this is products with small matrices. Maps wider than `WIDEST` are read as maps of that
side: correlations are short there.
"""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

Lags = NDArray[np.float64]
Filter = tuple[tuple[tuple[int, ...], float], ...]
"""A sum of averaging windows: (their sides, coefficient) of each term; ((), 1.0) is the identity."""

WIDEST = 32
IDENTITY: Filter = (((), 1.0),)


def grid_of(side: int) -> int:
    """Side of the periodic map that stands for a map."""
    return min(side, WIDEST)


@cache
def cosines(side: int) -> Lags:
    """Lags to frequencies: row k has the weight of lag d, which stands for itself and its mirror image."""
    lags = np.arange(side // 2 + 1)
    return np.cos(2 * np.pi * np.outer(lags, lags) / side) * weights(side)


@cache
def weights(side: int) -> Lags:
    """How many lags of the circle an entry stands for."""
    lags = np.arange(side // 2 + 1)
    return np.where((lags == 0) | (2 * lags == side), 1.0, 2.0)


@cache
def multiplicity(side: int) -> Lags:
    """How many lags of the map an entry stands for."""
    return np.outer(weights(side), weights(side))


@cache
def white(side: int, kernel: int = 1, dilation: int = 1, times: int = 1) -> Lags:
    """1 at lag 0, averaged over a window."""
    first = np.eye(side // 2 + 1)[0]
    return averaged(np.outer(first, first), side, kernel, dilation, times)


@cache
def window(side: int, kernel: int, dilation: int = 1, times: int = 1) -> Lags:
    """The matrix that averages over a window so many times, (lags, lags); an even one is taken both ways."""
    size = side // 2 + 1
    matrix = np.zeros((size, size))
    for tap in range(-(kernel // 2), kernel - kernel // 2):
        for lag in range(size):
            for offset in (tap * dilation, -tap * dilation):
                place = (lag + offset) % side
                matrix[lag, min(place, side - place)] += 0.5 / kernel
    return np.linalg.matrix_power(matrix, times)


def averaged(values: Lags, side: int, kernel: int, dilation: int = 1, times: int = 1) -> Lags:
    """Over the last two axes, the average over a window, or over differences of taps of two (times = 2)."""
    if kernel == 1:
        return values
    matrix = window(side, kernel, dilation, times)
    return matrix @ values @ matrix.T


def subsampled(values: Lags, side: int, stride: int, out_side: int) -> Lags:
    """The function at every `stride`-th position, 0 out of reach; of the last two dimensions."""
    if stride == 1 and side == out_side:
        return values
    lags = stride * np.arange(out_side // 2 + 1)
    places = np.minimum(lags % side, -lags % side)
    reach = ((lags <= side // 2) | (side == stride * out_side)).astype(float)
    return values[..., places[:, None], places] * np.outer(reach, reach)


@cache
def _line(side: int, windows: tuple[int, ...]) -> Lags:
    """The frequency response of averages over windows along one axis."""
    lags = np.arange(side // 2 + 1)
    line = np.ones(len(lags))
    for kernel in windows:
        taps = np.arange(kernel) - (kernel - 1) / 2
        line = line * np.cos(2 * np.pi * np.outer(lags, taps) / side).mean(axis=1)
    return line


@lru_cache(maxsize=2**12)
def _response(side: int, filtered: Filter) -> Lags:
    """The frequency response of a filter."""
    lines = [(_line(side, windows), coefficient) for windows, coefficient in filtered]
    return np.sum([coefficient * np.outer(line, line) for line, coefficient in lines], axis=0)


def scale_of(filtered: Filter) -> float | None:
    """The coefficient of a filter that only scales, else None."""
    return filtered[0][1] if len(filtered) == 1 and not filtered[0][0] else None


@cache
def _along(side: int, windows: tuple[int, ...]) -> Lags:
    """The matrix that averages over windows of odd side along one axis, (lags, lags)."""
    return cosines(side) / side @ (_line(side, windows)[:, None] * cosines(side))


def filtered_mean(values: Lags, side: int, first: Filter, second: Filter) -> Lags:
    """Covariance after two filters, one at each end."""
    if len(first) == len(second) == 1:
        (windows, a), (others, b) = first[0], second[0]
        matrix = _along(side, windows + others)
        return a * b * (matrix @ values @ matrix.T)
    forward, backward = cosines(side), cosines(side) / side
    response = _response(side, first) * _response(side, second)
    return backward @ (forward @ values @ forward.T * response) @ backward.T


def scaled(filtered: Filter, factor: float) -> Filter:
    """A filter times a number."""
    return tuple((windows, coefficient * factor) for windows, coefficient in filtered)


def windowed(filtered: Filter, kernel: int) -> Filter:
    """A filter followed by an average over a window."""
    return tuple((tuple(sorted((*windows, kernel))), coefficient) for windows, coefficient in filtered)


def summed(first: Filter, second: Filter) -> Filter:
    """The sum of two filters."""
    total = dict(first)
    for windows, coefficient in second:
        total[windows] = total.get(windows, 0.0) + coefficient
    return tuple(sorted(total.items()))
