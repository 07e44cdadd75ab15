"""Predictors of accuracy that learn from trained cells; scikit-learn's, with the settings of this study.

Only the order of the accuracies is asked for, so the targets are their ranks as quantiles of the normal
distribution: a few cells that fail to train would otherwise rule the squared error.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import RidgeCV

from experiments.chapters.worth.encodings import Floats, normal_scores

MOST_FITTED = 128
"""Cells on which the two numbers of the Gaussian process's kernel are fitted; it conditions on all."""


def ridge(x: Floats, y: Floats, seed: int) -> RegressorMixin:
    """Linear regression; the penalty is chosen by leaving one cell out."""
    return RidgeCV(alphas=np.logspace(-1, 4, 11)).fit(x, y)


def gaussian_process(x: Floats, y: Floats, seed: int) -> RegressorMixin:
    """Squared-exponential kernel of one length, and noise, both fitted by maximum likelihood."""
    width = np.sqrt(x.shape[1])
    kernel = RBF(width, (0.1 * width, 100 * width)) + WhiteKernel(0.1, (1e-4, 10.0))
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # a few cells often say nothing about the noise: it then ends at its bound
        fitted = GaussianProcessRegressor(kernel, random_state=seed).fit(x[:MOST_FITTED], y[:MOST_FITTED])
    return (
        fitted
        if len(x) <= MOST_FITTED
        else GaussianProcessRegressor(fitted.kernel_, optimizer=None).fit(x, y)
    )


def gradient_boosting(x: Floats, y: Floats, seed: int) -> RegressorMixin:
    """100 trees of depth 3, each on a random half of the cells."""
    return GradientBoostingRegressor(
        n_estimators=100, max_depth=3, learning_rate=0.1, subsample=0.5, random_state=seed
    ).fit(x, y)


PREDICTORS: dict[str, Callable[[Floats, Floats, int], RegressorMixin]] = {
    "ridge": ridge,
    "gaussian process": gaussian_process,
    "gradient boosting": gradient_boosting,
}


def predict(
    predictor: str, x: Floats, trained: np.ndarray, accuracies: Floats, asked: np.ndarray, seed: int
) -> Floats:
    """Predicted order of cells, larger is better, (asked,).

    Args:
        predictor: a name in `PREDICTORS`.
        x: features of all cells, each of mean 0 and variance 1, (cells, features).
        trained: rows of the trained cells, (n,), in random order.
        accuracies: theirs, (n,).
        asked: rows of the cells to order.
        seed: of what is random in the predictor.
    """
    return PREDICTORS[predictor](x[trained], normal_scores(accuracies), seed).predict(x[asked])
