"""What the study of the theory measures: one function and one table for each kind of measurement.

All networks are plain: equal convolutions of stride 1 with zero padding, on square images of three channels.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from experiments.chapters.expressivity.theory.arguments import RESIDUALS
from experiments.chapters.expressivity.theory.gaussian_complexity import (
    mean_bound,
    supremum,
    supremum_by_ascent,
)
from experiments.chapters.expressivity.theory.random_features import fit_random_features
from experiments.chapters.expressivity.theory.regions import (
    Region,
    log10_region_bound,
    neurons,
    random_slice,
    slice_regions,
)
from experiments.chapters.expressivity.theory.rescaling import rescaled_ratios
from experiments.record.agreement import ARITHMETIC, EXACT, NotCompared, StandardError, Within
from experiments.record.estimates import by_error, mean_and_error
from experiments.record.table import Table
from zenlib.networks.architecture import Architecture, Block
from zenlib.scores.forward import draw_images, draw_weights
from zenlib.scores.phi import phi_score
from zenlib.scores.zen import zen_terms
from zenlib.vanilla.convert import to_vcnn
from zenlib.vanilla.vcnn import VCNN

STUDY = "expressivity"
KERNEL = 3
"""Side of every kernel."""
ALPHA = 0.01
"""The paper's perturbation."""
BELOW = 1e-10
"""Largest relative residual in float64 that counts as rounding."""

_NETWORK_UNITS = {
    "depth": "count: convolutions",
    "width": "channels: of every convolution",
    "resolution": "pixels: side of the square images",
}
_SEED = {"seed": "1: seed of all draws"}


def plain_vcnn(depth: int, width: int, resolution: int) -> VCNN:
    """`depth` equal convolutions, kernel 3, stride 1."""
    return to_vcnn(Architecture((Block("conv", KERNEL, 3, width, layers=depth),)), resolution)


def scores_row(
    *, depth: int, width: int, resolution: int, batch_size: int, repeats: int, seed: int
) -> dict[str, float | int | None]:
    """Phi without BatchNorm, the same gradient norm with it, and the Zen-Score that puts the scale back."""
    vcnn = plain_vcnn(depth, width, resolution)
    single, double = (
        phi_score(vcnn, batch_size=max(1, batch_size // 4), repeats=repeats, seed=seed, dtype=dtype)
        for dtype in (torch.float32, torch.float64)
    )
    row: dict[str, float | int | None] = {"phi_float32": single.mean, "overflow_layer": single.overflow_layer}
    row |= {"phi": double.mean, "phi_stderr": double.stderr}
    for name, alpha in (("difference", ALPHA), ("derivative", 0.0)):
        terms = zen_terms(vcnn, batch_size=batch_size, repeats=repeats, perturbation=alpha, seed=seed)
        constant = math.log(alpha) if alpha else 0.0
        row |= mean_and_error(f"bn_{name}", terms.log_delta_frobenius - constant)
        row |= mean_and_error(f"zen_{name}", terms.score("frobenius", "minibatch") - constant)
    return row


def regions_on_slice(depth: int, width: int, resolution: int, extent: float, seed: int) -> list[Region]:
    """All linear regions of one random plain network on one random slice."""
    vcnn = plain_vcnn(depth, width, resolution)
    generator = torch.Generator().manual_seed(seed)
    plane = random_slice(vcnn, generator, extent)
    return slice_regions(vcnn, draw_weights(vcnn, generator, torch.float64), plane)


def regions_row(
    *, depth: int, width: int, resolution: int, extent: float, seed: int
) -> dict[str, float | int]:
    """Regions on one random slice of one network, exactly; Phi over draws of the same network."""
    vcnn = plain_vcnn(depth, width, resolution)
    phi = phi_score(vcnn, batch_size=16, method="jacobian", seed=seed)
    layers = neurons(vcnn)
    return {
        "neurons": sum(layers),
        "regions": len(regions_on_slice(depth, width, resolution, extent, seed)),
        "log10_bound": log10_region_bound(layers, 2),
        "phi": phi.mean,
        "phi_stderr": phi.stderr,
    }


def complexity_row(
    *, bound: float, samples: int, inputs: int, outputs: int, draws: int, seed: int
) -> dict[str, float]:
    """Gaussian complexity of the ball ||W||_F <= bound on one sample, over draws of the noise."""
    generator = torch.Generator().manual_seed(seed)
    data = torch.randn(samples, inputs, generator=generator, dtype=torch.float64)
    noises = [torch.randn(samples, outputs, generator=generator, dtype=torch.float64) for _ in range(draws)]
    closed, found = (
        np.array([float(method(bound, data, noise)) for noise in noises])
        for method in (supremum, supremum_by_ascent)
    )
    row = mean_and_error("closed_form", closed) | mean_and_error("ascent", found)
    return row | {
        "largest_gap": float(np.abs(closed / found - 1).max()),
        "mean_bound": float(mean_bound(bound, data, outputs)),
    }


def theorem_row(
    *, depth: int, width: int, resolution: int, batch_size: int, centred: bool, draws: int, seed: int
) -> dict[str, float]:
    """Theorem 1's ratio R and its counterpart for gradients, over draws of weights and images."""
    vcnn = plain_vcnn(depth, width, resolution)
    generator = torch.Generator().manual_seed(seed)
    logs = []
    for _ in range(draws):
        images, directions = (draw_images(vcnn, batch_size, generator) for _ in range(2))
        weights = (torch.randn(conv.weight_shape, generator=generator) for conv in vcnn.convs)
        logs.append(
            [float(value) for value in rescaled_ratios(vcnn, weights, images, directions, centred=centred)]
        )
    features, gradient = np.array(logs).T
    squares = np.square(np.exp(features / 2) - 1)
    deviation = math.sqrt(squares.mean())
    return (
        mean_and_error("ratio", np.exp(features))
        | mean_and_error("log_features", features)
        | mean_and_error("log_gradient", gradient)
        | {
            "deviation": deviation,
            "deviation_stderr": float(squares.std(ddof=1) / math.sqrt(draws) / (2 * deviation)),
        }
    )


def fit_row(
    *,
    depth: int,
    width: int,
    resolution: int,
    train_images: int,
    test_images: int,
    noise: float,
    ridge: float,
    seed: int,
) -> dict[str, float]:
    """Errors of a read-out fitted on the pooled features of one random network."""
    student, teacher = plain_vcnn(depth, width, resolution), plain_vcnn(2, 16, resolution)
    fit = fit_random_features(
        student,
        teacher,
        train_images=train_images,
        test_images=test_images,
        noise=noise,
        ridge=ridge,
        generator=torch.Generator().manual_seed(seed),
    )
    phi = phi_score(student, repeats=4, seed=seed, dtype=torch.float64)
    return {"train_error": fit.train, "test_error": fit.test, "phi": phi.mean, "phi_stderr": phi.stderr}


def argument_row(*, argument: str, seed: int) -> dict[str, float | bool]:
    """The relative residual of one statement."""
    residual = RESIDUALS[argument](torch.Generator().manual_seed(seed))
    return {"residual": residual, "exact": residual < BELOW}


def _stderrs(*columns: str) -> dict[str, str]:
    return {f"{column}_stderr": f"as {column}: standard error over repeats or draws" for column in columns}


SCORES = Table(
    study=STUDY,
    name="scores",
    compute=scores_row,
    units=_NETWORK_UNITS
    | {
        "batch_size": "images: mini-batch with BatchNorm; Phi takes a quarter of it",
        "repeats": "count: independent draws",
    }
    | _SEED
    | {
        "phi_float32": "nat: Phi-Score in float32, infinite on overflow",
        "overflow_layer": "index: first convolution that overflows float32, empty where none does",
        "phi": "nat: Phi-Score in float64",
        "bn_difference": "nat: log(||f(x) - f(x + alpha eps)||_F / alpha) with BatchNorm, alpha = 0.01",
        "bn_derivative": "nat: log ||J(x) eps||_F with BatchNorm",
        "zen_difference": (
            "nat: Zen-Score of Algorithm 1 (Frobenius, mini-batch) less log alpha, alpha = 0.01"
        ),
        "zen_derivative": "nat: the same with the exact derivative",
    }
    | _stderrs("phi", "bn_difference", "bn_derivative", "zen_difference", "zen_derivative"),
    agreement={
        "phi_float32": StandardError("phi_stderr"),
        **by_error("phi", "bn_difference", "bn_derivative", "zen_difference", "zen_derivative"),
        "overflow_layer": NotCompared(
            "the layer where numbers leave the range of a type; rounding decides between two neighbours"
        ),
    },
)
REGIONS = Table(
    study=STUDY,
    name="regions",
    compute=regions_row,
    units=_NETWORK_UNITS
    | {"extent": "1: half the side of the slice, in lengths of an N(0, 1) image"}
    | _SEED
    | {
        "neurons": "count: pre-activations for one image",
        "regions": "count: linear regions on the slice, exact",
        "log10_bound": "decade: largest number of regions that hyperplane arrangements allow on a plane",
        "phi": "nat: Phi-Score by the exact Jacobian, 16 images, 8 repeats",
    }
    | _stderrs("phi"),
    # A line that grazes a corner may be counted on one machine and not on another.
    agreement=by_error("phi", regions=Within(1e-3), neurons=EXACT, log10_bound=ARITHMETIC),
)
COMPLEXITY = Table(
    study=STUDY,
    name="gaussian_complexity",
    compute=complexity_row,
    units={
        "bound": "1: G, the largest Frobenius norm of W",
        "samples": "count: N, points of the sample",
        "inputs": "count: d, columns of W",
        "outputs": "count: m, rows of W",
        "draws": "count: draws of the noise",
    }
    | _SEED
    | {
        "closed_form": "1: mean over draws of G ||sum g x^T||_F / N",
        "ascent": "1: mean over draws of the supremum found by projected gradient ascent",
        "largest_gap": "1: largest relative difference of the two over the draws",
        "mean_bound": "1: Jensen's upper bound of the mean",
    }
    | _stderrs("closed_form", "ascent"),
    otherwise=ARITHMETIC,
)
THEOREM = Table(
    study=STUDY,
    name="theorem1",
    compute=theorem_row,
    units=_NETWORK_UNITS
    | {
        "batch_size": "images: B",
        "centred": "flag: whether BatchNorm subtracts the mean",
        "draws": "count: draws of weights and images",
    }
    | _SEED
    | {
        "ratio": "1: mean of R",
        "log_features": "nat: mean of log R, R = prod sigma^2 E||x_L||^2 / E||xbar_L||^2",
        "log_gradient": "nat: mean of the log of the same ratio for gradients",
        "deviation": "1: root mean square of sqrt(R) - 1",
    }
    | _stderrs("ratio", "log_features", "log_gradient", "deviation"),
    agreement=by_error("ratio", "log_features", "log_gradient", "deviation"),
)
FITS = Table(
    study=STUDY,
    name="random_features",
    compute=fit_row,
    units=_NETWORK_UNITS
    | {
        "train_images": "count: images that the read-out is fitted to",
        "test_images": "count: new images",
        "noise": "1: standard deviation of the noise on the fitted values, whose own is 1",
        "ridge": "1: penalty of the read-out",
    }
    | _SEED
    | {
        "train_error": "1: mean squared error on the fitted, noisy values",
        "test_error": "1: mean squared error on noise-free values of new images",
        "phi": "nat: Phi-Score of the network, 4 repeats",
    }
    | _stderrs("phi"),
    agreement=by_error("phi", train_error=Within(1e-3), test_error=Within(1e-3)),
)
CHECKS = Table(
    study=STUDY,
    name="arguments",
    compute=argument_row,
    units={"argument": "name: statement or counter-example"}
    | _SEED
    | {"residual": "1: relative residual in float64", "exact": f"flag: whether it is below {BELOW}"},
    agreement={"exact": EXACT, "residual": Within(absolute=BELOW)},
)
TABLES = (SCORES, REGIONS, COMPLEXITY, THEOREM, FITS, CHECKS)
