"""What zero padding does to a random network's feature maps, as small tables of numbers.

A convolution sees zeros beyond the border, so its output varies less there, and each further layer sees less
still: the variance becomes a dome over the map. Four fields describe a square map of given side, each a
function of the position p:

    u     variance of the pre-activation, mean 1;
    D     variance of a small perturbation, mean 1: BatchNorm takes no mean from it, so its dome is steeper;
    phi   the response of one image's own variance to a change of that image's scale in an earlier layer;
    Z     rows whose products sum to the covariance G(p, p') that all images share: a pattern, since the mean
          under a tap depends on how much border the tap sees.

A k x k convolution maps them by mean-field arithmetic. With M1 and M2 the first two moments of a rectified
Gaussian and S_t the mean of sqrt(u) under tap t (u is 0 beyond the border),

    u'(p)    ~ sum_t  M2 u(p+t) - 2 M1^2 S_t sqrt(u(p+t)) + M1^2 S_t^2
    D'(p)    ~ sum_t  D(p+t)
    phi'(p)  ~ sum_t  (M2 - M1^2 S_t / sqrt(u(p+t))) phi(p+t)
    G'(p,p') ~ sum_t  M1^2 s_t(p) s_t(p') + G(p+t, p'+t) / 4,    s_t = sqrt(u(p+t)) - S_t,

all over the mean of the first line, and G with its row means removed, as BatchNorm does.

A map's fields are kept as one number, its age: how many 3x3 convolutions would have made its dome from a flat
map. Any other operation is given the age whose mean of u^2 is nearest. So a network is a path through small
tables, which hold no fitted number.
"""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from zenlib.scores.rectifier import M1_SQUARED, M2

OLDEST = 128
"""Largest age; by then a dome has converged, or changes too slowly to matter."""
SETTLED = 1e-5
"""Growth of the mean of u^2 in one layer below which a dome counts as converged."""
RANK = 6
"""Rows kept of Z, by decreasing weight."""
EQUAL_WEIGHTS = 1e-9
"""Weights of two patterns that are equal up to rounding, as a share of the largest weight."""
LARGEST_PATTERN = 32
"""Side in pixels of the largest map whose pattern is followed; borders of larger ones are too small."""


class Window(NamedTuple):
    """A square convolution window: kernel, stride, padding before the map, dilation."""

    kernel: int
    stride: int
    padding: int
    dilation: int = 1


class Border(NamedTuple):
    """What a convolution meets on a map of a given side and age.

    Attributes:
        taps: sum over taps of the mean over outputs of u(p + t); kernel^2 without a border.
        shared: M1^2 times the sum over taps of S_t^2, over `taps`; M1^2 without a border.
        pattern_shared: what a pattern of reference strength adds to `shared`.
        perturbed: sum over taps of the mean of D(p + t), over `taps`, minus 1.
        image_gain: factor on the variance of the images' scales, minus 1.
        image_seed: share of a position's random variance that ends up in its image's scale.
        fresh: strength (root mean square of G) of the pattern that this convolution makes of a dome alone.
        carried: what an incoming pattern of reference strength adds to `fresh`.
        reference: strength of the pattern of the output's age in the chain of 3x3 convolutions.
        age: of the output.
        root: mean of sqrt(u) over the output.
        perturbed_root: mean of sqrt(D) over the output.
    """

    taps: float
    shared: float
    pattern_shared: float
    perturbed: float
    image_gain: float
    image_seed: float
    fresh: float
    carried: float
    reference: float
    age: int
    root: float
    perturbed_root: float


class Fields(NamedTuple):
    """u, D and phi on a square map, each (side, side) with mean 1."""

    variance: np.ndarray
    perturbation: np.ndarray
    image: np.ndarray


_UNIT = Window(3, 1, 1)


class BorderTable(dict[int, tuple]):
    """The `Border` of one convolution by the age of its input; plain tuples, which are unpacked faster."""

    def __init__(self, side: int, window: Window, out_side: int) -> None:
        self.convolution = side, window, out_side

    def __missing__(self, age: int) -> tuple:
        entry = self[age] = tuple(_border(age, *self.convolution))
        return entry


border_table = cache(BorderTable)
"""The table of a convolution from a map of `side` to a map of `out_side` pixels, the same one each time."""


@cache
def pooled_age(side: int, age: int, out_side: int) -> int:
    """Age of the dome after a pooling, which keeps the profile and changes the side."""
    return _nearest_age(out_side, _mean_square(side, age))


@cache
def fields(side: int, age: int) -> Fields:
    """The fields of a map of `side` pixels after `age` convolutions of 3x3 on a flat map."""
    if age == 0:
        flat = np.ones((side, side))
        return Fields(flat, flat, flat)
    after, _, _ = _convolved(fields(side, age - 1), _UNIT, side)
    return Fields(*(field / field.mean() for field in after))


def _border(age: int, side: int, window: Window, out_side: int) -> Border:
    made, taps, squares = _convolved(fields(side, age), window, out_side)
    norm = float(made.variance.mean())
    moves = window.kernel > 1 or window.stride > 1 or side != out_side
    out_age = _nearest_age(out_side, float(np.mean((made.variance / norm) ** 2))) if moves else age
    after = fields(out_side, out_age)
    return Border(
        taps,
        M1_SQUARED * squares / taps,
        _pattern_shared(side, age, window, out_side) / taps if moves else 0.0,
        float(made.perturbation.mean()) / taps - 1,
        float(made.image.mean() / norm) ** 2 - 1,
        _image_seed(side, age),
        *_strengths(side, age, window, out_side, out_age),
        out_age,
        float(np.sqrt(after.variance).mean()),
        float(np.sqrt(after.perturbation).mean()),
    )


def _convolved(before: Fields, window: Window, out_side: int) -> tuple[Fields, float, float]:
    """The output's fields before their division, the sum over taps of the mean of u, and that of S_t^2."""
    variance, taps, squares = _variance(before, window, out_side)
    rooted = np.sqrt(before.variance)
    image, root, per_root = _seen(np.stack([before.image, rooted, before.image / rooted]), window, out_side)
    image = M2 * image.sum(axis=0) - M1_SQUARED * np.tensordot(root.mean(axis=(1, 2)), per_root, 1)
    return Fields(variance, _seen(before.perturbation, window, out_side).sum(axis=0), image), taps, squares


def _variance(before: Fields, window: Window, out_side: int) -> tuple[np.ndarray, float, float]:
    """The output's variance, the sum over taps of the mean of u, and the sum over taps of S_t^2."""
    seen = _seen(before.variance, window, out_side)
    roots = np.sqrt(seen)
    means = roots.mean(axis=(1, 2))
    squares = float(np.sum(means**2))
    variance = M2 * seen.sum(axis=0) - 2 * M1_SQUARED * np.tensordot(means, roots, 1) + M1_SQUARED * squares
    return variance, float(seen.mean(axis=(1, 2)).sum()), squares


@cache
def _image_seed(side: int, age: int) -> float:
    """Sum over positions of (l(p) u(p))^2, l(p) the later response of the image's scale to a change at p.

    l is the left eigenvector of the map of phi, found by iteration and normalised to sum(l phi) = 1.
    """
    now = fields(side, age)
    roots = np.sqrt(now.variance)
    means = _seen(roots, _UNIT, side).mean(axis=(1, 2))[::-1]
    left = np.full((side, side), 1 / side**2)
    for _ in range(12):
        seen = _seen(left, _UNIT, side)
        left = M2 * seen.sum(axis=0) - M1_SQUARED * np.tensordot(means, seen, 1) / roots
        left /= np.sum(left * now.image)
    return float(np.sum((left * now.variance) ** 2))


@cache
def _pattern(side: int, age: int) -> np.ndarray:
    """Z of the chain of 3x3 convolutions, (rows, side^2); age 0 stands for the shape of age 1."""
    rows = _fresh_rows(side, max(0, age - 1), _UNIT, side)
    if age > 1:
        rows = np.vstack([rows, _carried_rows(side, age - 1, _UNIT, side)])
    return _leading(rows).T @ rows


def _leading(rows: np.ndarray) -> np.ndarray:
    """The RANK eigenvectors of rows rows^T of largest weight, (rows, RANK).

    Two patterns that are each other's turned by 90 degrees weigh the same. Where only one of them is kept,
    any mixture of both would do, and rounding would choose it; it is the one that leans from left to right.
    """
    weights, vectors = np.linalg.eigh(rows @ rows.T)
    last, margin = weights[-RANK:][0], EQUAL_WEIGHTS * weights[-1]
    surely, equal = vectors[:, weights > last + margin], vectors[:, np.abs(weights - last) <= margin]
    kept = min(RANK, len(weights)) - surely.shape[1]
    if kept == equal.shape[1]:
        return vectors[:, -RANK:]
    side = math.isqrt(rows.shape[1])
    leaning = np.tile(np.linspace(-1, 1, side), side)[:, None] ** np.arange(1, kept + 1)
    return np.hstack([equal @ np.linalg.qr(equal.T @ rows @ leaning)[0], surely])


def _fresh_rows(side: int, age: int, window: Window, out_side: int) -> np.ndarray:
    """sqrt(M1^2 / norm) s_t, one row for each tap."""
    return _rows(np.sqrt(fields(side, age).variance), M1_SQUARED, age, window, out_side)


def _carried_rows(side: int, age: int, window: Window, out_side: int) -> np.ndarray:
    """The rows of the incoming pattern under each tap, times 1/4, the arc-cosine kernel's slope at 0."""
    return _rows(_pattern(side, age).reshape(-1, side, side), 0.25, age, window, out_side)


def _rows(field: np.ndarray, weight: float, age: int, window: Window, out_side: int) -> np.ndarray:
    norm = _variance(fields(field.shape[-1], age), window, out_side)[0].mean()
    rows = _seen(field, window, out_side).reshape(-1, out_side**2)
    return (rows - rows.mean(axis=1, keepdims=True)) * math.sqrt(weight / norm)


def _strength(rows: np.ndarray) -> float:
    """Root mean square of rows^T rows over all pairs of positions."""
    count, positions = rows.shape
    products = rows @ rows.T if count < positions else rows.T @ rows  # both have the same norm
    return float(np.linalg.norm(products)) / positions


def _strengths(
    side: int, age: int, window: Window, out_side: int, out_age: int
) -> tuple[float, float, float]:
    """`fresh`, `carried` and `reference` of a `Border`."""
    if max(side, out_side) > LARGEST_PATTERN or out_side == 1:
        return 0.0, 0.0, 1.0
    fresh = _fresh_rows(side, age, window, out_side)
    both = _strength(np.vstack([fresh, _carried_rows(side, age, window, out_side)]))
    return _strength(fresh), both - _strength(fresh), max(1e-9, _strength(_pattern(out_side, out_age)))


def _pattern_shared(side: int, age: int, window: Window, out_side: int) -> float:
    """Sum over taps of the mean over pairs of outputs of G(p + t, p' + t) / 4."""
    if side > LARGEST_PATTERN:
        return 0.0
    seen = _seen(_pattern(side, age).reshape(-1, side, side), window, out_side)
    return 0.25 * float(np.sum(seen.mean(axis=(2, 3)) ** 2))


def _seen(field: np.ndarray, window: Window, out_side: int) -> np.ndarray:
    """What each tap sees of (..., side, side), 0 beyond the border: (..., kernel^2, out_side, out_side)."""
    side, reach = field.shape[-1], (window.kernel - 1) * window.dilation
    span = (out_side - 1) * window.stride + 1
    margins = window.padding, max(0, span + reach - side - window.padding)
    padded = np.pad(field, [(0, 0)] * (field.ndim - 2) + [margins] * 2)[..., : span + reach, : span + reach]
    taps = sliding_window_view(padded, (span, span), axis=(-2, -1))
    taps = taps[..., :: window.dilation, :: window.dilation, :: window.stride, :: window.stride]
    return taps.reshape(*field.shape[:-2], window.kernel**2, out_side, out_side)


@cache
def _mean_square(side: int, age: int) -> float:
    return float(np.mean(fields(side, age).variance ** 2))


def _nearest_age(side: int, mean_square: float) -> int:
    """The age whose mean of u^2 is nearest, which grows with age until the dome has settled."""
    age, reached = 0, _mean_square(side, 0)
    while (
        age < OLDEST and reached < mean_square and (after := _mean_square(side, age + 1)) - reached > SETTLED
    ):
        age, reached = age + 1, after
    return min((max(0, age - 1), age), key=lambda one: abs(_mean_square(side, one) - mean_square))
