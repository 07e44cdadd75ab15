"""The expected Zen-Score by arithmetic, without drawing anything.

A wide random network with BatchNorm has Gaussian pre-activations, so each log sigma and the final difference
follow from a few numbers that a layer hands to the next. The chapter "The Zen-Score in closed form" derives
them step by step and checks each against Monte Carlo; the names below are its names. With h = max(0, z), M1
and M2 the moments of h:

    sigma^2 = fan_in * taps * (M2 - r * shared)             variance under the border, minus BatchNorm's mean
    r       = E[sqrt q]^2,  q the variance of a position    BatchNorm takes less where q fluctuates
    delta'  = (1/2 - kappa(1 - delta)) / (M2 - r * shared)  1 - correlation of the two branches
    log Delta = log(C H W) + log(E|max(0, z) - max(0, z')|)

What makes r, and what corrects delta: the local spread of q (finite width, blurred by each window), the
spread between images (a mode that grows with depth), the overlap of channels, and the pattern that zero
padding prints on all images.

Two numbers are fitted, `IMAGE_BRAKE` and `OVERLAP_BRAKE`, on plain chains of equal and of bottleneck
convolutions; these are not among the networks that the agreement is judged on.

Sources: Lin et al. 2021 (arXiv 2102.01063), Algorithm 1, for the score; Poole et al. 2016 and Schoenholz et
al. 2017 for mean-field theory of random networks; Cho and Saul 2009 for kappa; Yang et al. 2019 for
BatchNorm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, NamedTuple

from zenlib.errors import ArchitectureError, ConversionError, whole
from zenlib.networks.architecture import Architecture, Block
from zenlib.scores.border import Border, Window, border_table, pooled_age
from zenlib.scores.rectifier import CENTRED, LINEAR, M1_SQUARED, M2, half_minus_kappa, max_moments
from zenlib.vanilla.convert import to_vcnn
from zenlib.vanilla.vcnn import VCNN, Conv, Pool, Sizes, Step

if TYPE_CHECKING:
    from torch import nn

Norm = Literal["l1", "frobenius"]

KURTOSIS = 5.405733
"""E (h - M1)^4 / CENTRED^2 of a rectified Gaussian h."""
OVERLAP_KEPT = LINEAR**2
"""Share of a squared correlation of two channels that survives the ReLU: its kernel's squared slope at 0."""
CHANGE_KEPT = 0.125 / CENTRED
"""The same for the product of a correlation with that of the perturbations, which a ReLU passes by half."""
IMAGE_BRAKE = 0.5
"""Fitted: the gain of the image mode falls as 1 / (1 + IMAGE_BRAKE * spread)."""
OVERLAP_BRAKE = 2.0
"""Fitted: narrow layers take a share OVERLAP_BRAKE * overlap^2 from the spread between images."""
INFINITESIMAL = 1e-200
"""Squared size of the perturbation that stands for the derivative: every step is linear in it."""
STEPS = 512
"""Intervals of the table that is read by linear interpolation."""


class Pooling(NamedTuple):
    """A pooling between square maps over `values` positions; kind "max" or "avg", sides before and after."""

    kind: str
    values: int
    side: int
    out_side: int


class LayerTerms(NamedTuple):
    """What the theory says about one convolution.

    Attributes:
        log_sigma: nats, log of the standard deviation before its BatchNorm.
        mean_ratio: r, the square of E|z| relative to a Gaussian of the same variance (the profile u apart).
        local_spread: relative variance of q over the positions of one image.
        image_spread: relative variance over images of the mean of q over an image.
        overlap: mean squared correlation of two channels of its output.
        pattern: root mean square correlation of two positions, of any images, through the shared pattern.
        delta: 1 minus the correlation of the two branches.
    """

    log_sigma: float
    mean_ratio: float
    local_spread: float
    image_spread: float
    overlap: float
    pattern: float
    delta: float


@dataclass(frozen=True)
class ClosedFormTerms:
    """The terms of an expected Zen-Score (L1 or Frobenius, mini-batch variance).

    Attributes:
        layers: one entry for each convolution.
        log_delta: nats, log of the expected norm of the difference of the two outputs.
    """

    layers: tuple[LayerTerms, ...]
    log_delta: float

    @property
    def log_sigma(self) -> tuple[float, ...]:
        """The log sigma of each convolution, nats."""
        return tuple(layer.log_sigma for layer in self.layers)

    @property
    def score(self) -> float:
        """The Zen-Score: log Delta plus the sum of all log sigma, nats."""
        return self.log_delta + sum(self.log_sigma)


def closed_form_zen_score(
    network: Architecture | VCNN | nn.Module,
    resolution: int | None = None,
    *,
    perturbation: float = 0.01,
    norm: Norm = "l1",
    batch_size: int = 16,
) -> float:
    """The expected Zen-Score, log E||f(x) - f(x + alpha eps)|| + sum of log sigma, in nats.

    Args:
        network: an `Architecture` (fastest), or what `to_vcnn` makes a chain of; both give the same number.
        resolution: side of the square image in pixels; None means 224, or the resolution of a given `VCNN`.
        perturbation: alpha; its logarithm is part of the score. 0 is the exact directional derivative,
            without log alpha.
        norm: "l1" as in the paper's Table 5, or "frobenius" as in its Algorithm 1.
        batch_size: images over which BatchNorm takes its statistics; it matters only in very deep networks.

    Raises:
        ConversionError: the network joins branches, has maps that are not square, averages over windows that
            overlap, or needs another resolution.
        ArchitectureError: the resolution is too small for the strides.
        ValueError: an argument is out of range.

    The variance is that of the mini-batch; the released code's running variance has no closed form here.
    """
    return _score(network, resolution, perturbation, norm, batch_size, None)


def closed_form_terms(
    network: Architecture | VCNN | nn.Module,
    resolution: int | None = None,
    *,
    perturbation: float = 0.01,
    norm: Norm = "l1",
    batch_size: int = 16,
) -> ClosedFormTerms:
    """The terms of `closed_form_zen_score`, layer by layer; arguments and errors as there."""
    terms: list[LayerTerms] = []
    score = _score(network, resolution, perturbation, norm, batch_size, terms)
    return ClosedFormTerms(tuple(terms), score - sum(layer.log_sigma for layer in terms))


def _score(
    network: Architecture | VCNN | nn.Module,
    resolution: int | None,
    alpha: float,
    norm: str,
    batch_size: int,
    terms: list[LayerTerms] | None,
) -> float:
    """One pass over the layers.

    This is the inner loop of a search, hence one long function of plain floats (an integer in a sum of floats
    costs twice the time): variances are multiplied and their logarithm is taken once in many layers.
    """
    if norm not in ("l1", "frobenius"):
        raise ValueError(f"norm: needed 'l1' or 'frobenius', got {norm!r}")
    if not 0 <= alpha < math.inf:
        raise ValueError(f"perturbation: needed a finite number of at least 0, got {alpha!r}")
    batch_size, last = whole("batch_size", batch_size), None
    if isinstance(network, Architecture):
        layers, side = [], 224 if resolution is None else resolution
        for block in network.blocks:
            found, side = _layers_of_block(block, side)
            layers += found
    else:
        layers, last = _layers_of_vcnn(network, resolution)
    length = math.sqrt(1 + alpha * alpha)  # of x + alpha eps; delta is 1 - 1 / length
    delta = alpha * alpha / (length * (length + 1)) if alpha > 0 else 0.5 * INFINITESIMAL
    ratios, slopes, scale, top = _image_ratios(batch_size)
    c0, c1, c2, c3 = _KERNEL
    sqrt = math.sqrt
    # The images are Gaussian: no ReLU, no mean, no pattern before the first convolution.
    (fan, _, alone, *_), (wider, reduction, per_position, borders, out_channels, per_output), _ = layers[0]
    edge = borders[0]
    first = Border(*edge)
    age = first.age
    product = fan * first.taps
    spread = 2 * alone
    store = max(spread * (1 + wider) / reduction, spread)
    local = max(0.0, spread - store * per_position)
    image = 2 / fan * first.image_seed
    between = overlap = change_overlap = alone
    pattern = 0.0
    y = 1 + local
    x = y / (1 + 2 * between)
    ratio = max(0.2, 2 * x - 1) ** -0.125
    logs = -between * per_output
    if terms is not None:
        terms.append(LayerTerms(0.5 * math.log(product) + logs, ratio, local, image, between, 0.0, delta))
    for inputs, outputs, pooling in layers[1:]:
        fan, per_channel, alone, kept, change_kept, own = inputs
        wider, reduction, per_position, borders, out_channels, per_output = outputs
        if pooling is not None:
            age = pooled_age(pooling.side, age, pooling.out_side)
        edge = borders[age]
        taps, shared, pattern_shared, perturbed, gain, seed, fresh, carried, reference, age, _, _ = edge
        if pooling is None:
            per_tap = M2 - ratio * (shared + pattern * pattern_shared)
            passed = delta * (0.5 - sqrt(delta) * (c0 + delta * (c1 + delta * (c2 + delta * c3))))
        else:
            per_tap, passed = _pooled(pooling, ratio, shared, pattern * pattern_shared, delta)
        variance = fan * taps * per_tap
        # How q fluctuates over positions: new spread from finitely many channels, blurred by the window.
        rise = (KURTOSIS * x - y) * per_channel
        store += rise
        spread += rise
        if wider:
            spread = store / (store / spread + wider)
        if reduction > 1.0:
            store = max(store / reduction, spread)
        local = spread - store * per_position
        y = own + own * local if local > 0.0 else own
        # How alike channels are, and how alike positions are.
        overlap = alone + kept * overlap
        change_overlap = alone + change_kept * change_overlap
        strength = fresh + carried * pattern
        pattern = strength / reference
        between = overlap + strength * strength
        # BatchNorm divides each channel by its own variance: the mean of a ratio, not the ratio of means.
        delta = passed / per_tap * (1.0 + perturbed * (1.0 - delta))
        delta *= 1.0 + 2.0 * (between - change_overlap)
        if delta > 1.0:
            delta = 1.0
        x = y / (1.0 + 2.0 * between)
        # How q fluctuates between images.
        image = (image + rise * seed) * (1.0 + gain / (1.0 + IMAGE_BRAKE * image))
        image *= 1.0 - OVERLAP_BRAKE * between * between
        if image > top:
            image = top
        excess = 2.0 * x - 1.0
        ratio = (excess if excess > 0.2 else 0.2) ** -0.125
        if image > 0.01:
            position = image * scale
            index = int(position)
            ratio *= ratios[index] + (position - index) * slopes[index]
        else:
            ratio *= 1.0 - 0.25 * image
        logs -= between * per_output
        product *= variance
        if product > 1e200:
            logs += 0.5 * math.log(product)
            product = 1.0
        if terms is not None:
            log_sigma = 0.5 * math.log(variance) - between * per_output
            terms.append(LayerTerms(log_sigma, ratio, max(0.0, local), image, between, strength, delta))
    position = image * scale
    index = int(position)
    image_ratio = ratios[index] + (position - index) * slopes[index]
    # The expected norm of the difference of two rectified Gaussian outputs of correlation 1 - delta. L1:
    # E|max(0, z) - max(0, z')| is sqrt(2 delta) M1, times the mean root of the profile and of q. Frobenius:
    # the root of the sum of E(max(0, z) - max(0, z'))^2, which fluctuates between images only.
    *_, root, perturbed_root = edge
    side, mean, square = borders.convolution[2], sqrt(2 * delta * M1_SQUARED), 2 * half_minus_kappa(delta)
    if last is not None:
        side = last.out_side
        mean, square = _pooled_difference(last, delta)
    size = out_channels * side * side
    if norm == "l1":
        root = perturbed_root + (root - perturbed_root) * delta
        log_delta = math.log(size * mean * root) + 0.5 * math.log(ratio)
    else:
        log_delta = 0.5 * math.log(size * square * image_ratio)
    if alpha == 0:
        log_delta -= 0.5 * math.log(INFINITESIMAL)
    return logs + 0.5 * math.log(product) + log_delta


_SERIES = [
    math.sqrt(2) / (2 * math.pi) * math.comb(2 * n, n) / 8**n / (2 * n + 1) / (n + 1.5) for n in range(3)
]
_KERNEL = (*_SERIES, M1_SQUARED - sum(_SERIES))
"""The c in 1/2 - kappa(1 - d) = d (1/2 - sqrt(d) (c0 + c1 d + c2 d^2 + c3 d^3)), good to 4e-5.

sin theta - theta cos theta is the integral of arccos(1 - t) from 0 to d, whose series has the terms sqrt(2 t)
binomial(2n, n) (t / 8)^n / (2n + 1). The last coefficient is what makes the sum right at d = 1.
"""


@lru_cache(maxsize=64)
def _image_ratios(batch_size: int) -> tuple[list[float], list[float], float, float]:
    """E[sqrt q]^2 of `batch_size` images against the relative variance of their mean q.

    Images start as quantiles of a narrow normal distribution and pass the mean-field map of a borderless
    layer, q' ~ M2 q - 2 M1^2 s sqrt(q) + M1^2 s^2 with s the mean of sqrt(q), their distances from 1 growing
    by a further 7 % a layer as under a dome. At the end one image has nearly all the variance of the batch.

    Returns:
        The ratio on a grid of the variance, its steps, grid points for a unit of variance, and the largest
        variance.
    """
    top = (batch_size - 1) / 2
    spreads, ratios = [0.0], [1.0]
    images = [1 + 0.01 * NormalDist().inv_cdf((i + 0.5) / batch_size) for i in range(batch_size)]
    while spreads[-1] < top and len(spreads) < 400:
        mean = sum(images) / batch_size
        images = [q / mean for q in images]
        s = sum(map(math.sqrt, images)) / batch_size
        spreads.append(sum(q * q for q in images) / batch_size - 1)
        ratios.append(s * s)
        centre = M2 - M1_SQUARED * s * s
        mapped = [M2 * q - 2 * M1_SQUARED * s * math.sqrt(q) + M1_SQUARED * s * s for q in images]
        images = [max(0.02, 1 + 1.07 * (q / centre - 1)) for q in mapped]
    top = min(top, spreads[-1])
    grid = [top * i / STEPS for i in range(STEPS + 1)]
    values = [_between(point, spreads, ratios) for point in grid]
    steps = [after - before for before, after in pairwise([*values, values[-1]])]
    return values, steps, STEPS / top if top > 0 else 0.0, top


def _between(point: float, xs: list[float], ys: list[float]) -> float:
    """Linear interpolation at a point of the range of increasing `xs`."""
    index = next((i for i in range(1, len(xs)) if xs[i] >= point), None)
    if index is None:
        return ys[-1]
    share = (point - xs[index - 1]) / (xs[index] - xs[index - 1])
    return ys[index - 1] + share * (ys[index] - ys[index - 1])


def _pooled(
    pooling: Pooling, ratio: float, shared: float, pattern_shared: float, delta: float
) -> tuple[float, float]:
    """`per_tap` and the squared difference that reaches a convolution after a pooling, both for one tap.

    The average of independent values divides variance and difference by their number. The maximum has other
    moments; a small difference passes it where its largest value is positive, with probability 1 - 2^-count,
    and a full one as its variance; between the two runs the rational map that has both ends.
    """
    if pooling.kind == "avg":
        per_tap = M2 - ratio * (shared + pattern_shared) - CENTRED * (1 - 1 / pooling.values)
        return per_tap, half_minus_kappa(delta) / pooling.values
    mean, square = max_moments(pooling.values)
    per_tap = square - ratio * (shared * mean**2 / M1_SQUARED + pattern_shared)
    share = 1 - 2.0**-pooling.values
    return per_tap, share * delta / (1 + (share / (square - mean**2) - 1) * delta)


def _pooled_difference(pooling: Pooling, delta: float) -> tuple[float, float]:
    """Expected absolute and squared difference of one value of a pooled output."""
    if pooling.kind == "avg":
        square = 2 * half_minus_kappa(delta) / pooling.values
        return math.sqrt(2 * square / math.pi), square
    share = 1 - 2.0**-pooling.values
    mean, square = max_moments(pooling.values)
    near, apart = share * math.sqrt(4 / math.pi), 2 * (max_moments(2 * pooling.values)[0] - mean)
    squared = 2 * delta * (share + (square - mean**2 - share) * delta)
    return math.sqrt(delta) * (near + (apart - near) * delta), squared


@lru_cache(maxsize=2**15)
def _layers_of_block(block: Block, side: int) -> tuple[list[tuple], int]:
    """The convolutions of a block that takes in a map of `side` pixels, and the side that it gives."""
    layers = []
    for in_channels, out_channels, kernel, stride, groups in chain(*(unit.convs for unit in block.units())):
        if side < stride:
            raise ArchitectureError(
                f"resolution: needed maps at least as wide as each stride, got one of {side} before a stride "
                f"of {stride}; use larger images"
            )
        out_side = -(-side // stride)
        window = Window(kernel, stride, (kernel - 1) // 2)
        layers.append(_layer((in_channels, out_channels, groups), window, (side, out_side)))
        side = out_side
    return layers, side


@lru_cache(maxsize=2**15)
def _layer(channels: Sizes, window: Window, sides: Sizes, pooling: Pooling | None = None) -> tuple:
    """A convolution between square maps, and the pooling before it, in the numbers that `_score` unpacks."""
    (in_channels, out_channels, groups), (side, out_side) = channels, sides
    fan, area = in_channels // groups, window.kernel**2
    rest = (1 - 1 / fan) / area
    own = (KURTOSIS - 1) * (1 / fan - 1 / in_channels) / area  # relative variance of q of one output channel
    inputs = (
        float(fan),  # input channels that one output channel sees
        1 / in_channels,
        1 / (fan * area),  # the overlap of two outputs that sum independent inputs
        rest * OVERLAP_KEPT,  # factor on the overlap of the inputs
        rest * CHANGE_KEPT,  # factor on the overlap of the inputs with their perturbations
        1 + own,
    )
    outputs = (
        area - 1.0,  # by which a window widens what fluctuates together
        float(window.stride**2),
        1 / out_side**2,
        border_table(side, window, out_side),
        out_channels,
        0.5 / out_channels,
    )
    return inputs, outputs, pooling


def _layers_of_vcnn(network: VCNN | nn.Module, resolution: int | None) -> tuple[list[tuple], Pooling | None]:
    """The convolutions of a chain, and the pooling after the last of them."""
    vcnn = to_vcnn(network, resolution)
    if len(vcnn.image_shape) != 3:
        raise ConversionError(
            f"{vcnn.name}: needed 2-d convolutions, got {len(vcnn.image_shape) - 1}-d ones, without a "
            "closed form; score it by Monte Carlo (zen_score)"
        )
    layers: list[tuple] = []
    pooling: Pooling | None = None
    before: Step | None = None
    for step in vcnn.layers:
        _require_square(step)
        if isinstance(step, Conv):
            window = Window(step.kernel[0], step.stride[0], step.padding[0], step.dilation[0])
            sides = step.in_resolution[0], step.out_resolution[0]
            channels = step.in_channels, step.out_channels, step.groups
            layers.append(_layer(channels, window, sides, pooling))
            pooling = None
        elif isinstance(step, Pool):
            _require_independent(step, before)
            side, count = step.in_resolution[0], step.kernel[0] ** 2
            if pooling is not None:
                side, count = pooling.side, count * pooling.values
            pooling = Pooling(step.kind, count, side, step.out_resolution[0])
        before = step
    if layers[0][-1] is not None:
        raise ConversionError(
            f"{vcnn.name}: needed a convolution before the first pooling, got a pooling of the images; score "
            "it by Monte Carlo (zen_score)"
        )
    return layers, pooling


def _require_square(step: Step) -> None:
    """Only square convolutions and poolings of square maps have border tables."""
    sizes = ("in_resolution", "out_resolution", "kernel", "stride", "padding", "dilation")
    if not isinstance(step, (Conv, Pool)) or any(len(set(getattr(step, name))) > 1 for name in sizes):
        raise ConversionError(
            f"{step.name}: needed square convolutions and poolings of square maps, got {step.describe()} on "
            f"{step.in_resolution}; score this network by Monte Carlo (zen_score)"
        )


def _require_independent(step: Pool, before: Step | None) -> None:
    """Averages that share values are correlated, as are two poolings in a row; neither is carried on."""
    shared = [pool for pool in (before, step) if isinstance(pool, Pool) and pool.stride < pool.kernel]
    joined = isinstance(before, Pool) and (shared or before.kind != step.kind)
    if joined or (shared and step.kind == "avg"):
        why = "follows another pooling" if joined else "has windows that overlap"
        raise ConversionError(
            f"{step.name}: needed poolings of independent values, got {step.describe()}, which {why}: the "
            "closed form does not carry on that its values are correlated; score this network by Monte Carlo "
            "(zen_score)"
        )
