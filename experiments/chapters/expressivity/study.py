"""The theory of the paper, measured: linear regions, Phi and Zen, the lemmas, Theorem 1, the arguments."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from experiments.chapters.expressivity.tables import (
    CHECKS,
    COMPLEXITY,
    FITS,
    KERNEL,
    REGIONS,
    SCORES,
    TABLES,
    THEOREM,
    regions_on_slice,
)
from experiments.chapters.expressivity.theory.arguments import RESIDUALS
from experiments.record.keys import crossed
from experiments.record.wording import MINUS, bracketed, number, span

__all__ = ["TABLES", "ExpressivityRows", "facts", "run"]

SHRINK = math.log(1 - 1 / math.pi)
"""What subtracting the mean takes from log R with each layer after the first.

A ReLU of N(0, 1) has mean square 1/2, of which its mean makes 1/(2 pi).
"""


@dataclass(frozen=True)
class ExpressivityRows:
    """The measurements of the chapter, one frame a question."""

    # corners of the regions on one slice, for networks of growing depth; computed at once, not stored
    pictures: pd.DataFrame
    growth: pd.DataFrame  # number of regions of networks that grow wider or deeper; column `grown` says which
    # number of regions and Phi of networks with as many neurons and different depth
    equal_neurons: pd.DataFrame
    complexity: pd.DataFrame  # Lemma 2, against the bound on the norm
    by_depth: pd.DataFrame  # the scores of networks of equal width
    by_width: pd.DataFrame  # the scores of networks of two layers
    # Theorem 1 against batch size, for several depths and widths, without mean subtraction
    rate: pd.DataFrame
    rate_by_width: pd.DataFrame  # the same against width
    rate_by_depth: pd.DataFrame  # the same against depth, with and without mean subtraction
    fits: pd.DataFrame  # random features against width, for few and many images
    fits_by_depth: pd.DataFrame  # random features of one width against depth
    checks: pd.DataFrame  # residuals of the exact statements


def run(
    *,
    depths: Sequence[int] = (1, 4, 8, 12, 16, 20, 24, 28, 30, 31, 32, 33, 36, 40),
    depth_width: int = 64,
    widths: Sequence[int] = (2, 4, 8, 12, 16, 24, 32, 40, 50, 60),
    score_resolution: int = 8,
    score_repeats: int = 8,
    picture_depths: Sequence[int] = (1, 2, 4, 8),
    growth_channels: Sequence[int] = (2, 4, 6, 8, 12, 16),
    equal_channels: int = 24,
    equal_depths: Sequence[int] = (1, 2, 3, 4, 6, 8),
    region_seeds: int = 4,
    bounds: Sequence[float] = (0.5, 1.0, 2.0, 4.0, 8.0),
    complexity_draws: int = 100,
    rate_depths: Sequence[int] = (2, 8),
    rate_widths: Sequence[int] = (16, 64),
    theorem_batches: Sequence[int] = (1, 4, 16, 64),
    theorem_depths: Sequence[int] = (1, 2, 4, 8, 16, 32),
    theorem_widths: Sequence[int] = (8, 16, 32, 64, 128),
    theorem_draws: int = 16,
    theorem_seeds: int = 4,
    fit_widths: Sequence[int] = (4, 8, 16, 32, 64, 99, 128, 192),
    fit_images: Sequence[int] = (100, 800),
    fit_depths: Sequence[int] = (1, 2, 4, 8, 16),
    fit_seeds: int = 6,
    check_seeds: int = 5,
    seed: int = 0,
) -> ExpressivityRows:
    """Measures, or reads from the store, every row of the chapter.

    Growing networks start from two channels: one convolution of `growth_channels` channels, or that many
    channels in layers of two. Networks of equal neurons share `equal_channels` between their layers.
    """
    narrow = min(growth_channels)
    draws = range(seed, seed + region_seeds)
    grown = [("wider", 1, width) for width in growth_channels] + [
        ("deeper", total // narrow, narrow) for total in growth_channels
    ]
    growth = [(label, _region_key(depth, width, 4, draw)) for label, depth, width in grown for draw in draws]
    equal = [_region_key(depth, equal_channels // depth, 3, draw) for depth in equal_depths for draw in draws]
    seeds = range(seed, seed + theorem_seeds)
    ball = {"samples": 50, "inputs": 27, "outputs": 8, "draws": complexity_draws, "seed": seed}
    fit_draws, check_draws = (range(seed, seed + count) for count in (fit_seeds, check_seeds))
    scores = {"resolution": score_resolution, "batch_size": 16, "repeats": score_repeats, "seed": seed}
    theorem = {"resolution": 8, "centred": False, "draws": theorem_draws}
    fit = {"resolution": 6, "test_images": 400, "noise": 0.5, "ridge": 0.0}
    return ExpressivityRows(
        pictures=pictures(picture_depths, narrow, seed),
        growth=REGIONS.fill([key for _, key in growth]).assign(grown=[label for label, _ in growth]),
        equal_neurons=REGIONS.fill(equal),
        complexity=COMPLEXITY.fill(crossed(ball, bound=bounds)),
        by_depth=SCORES.fill(crossed(scores, depth=depths, width=[depth_width])),
        by_width=SCORES.fill(crossed(scores, depth=[2], width=widths)),
        rate=THEOREM.fill(
            crossed(theorem, depth=rate_depths, width=rate_widths, batch_size=theorem_batches, seed=seeds)
        ),
        rate_by_width=THEOREM.fill(
            crossed(theorem, depth=[4], width=theorem_widths, batch_size=[16], seed=seeds)
        ),
        rate_by_depth=THEOREM.fill(
            crossed(
                theorem, centred=(False, True), depth=theorem_depths, width=[32], batch_size=[16], seed=seeds
            )
        ),
        fits=FITS.fill(crossed(fit, depth=[2], train_images=fit_images, width=fit_widths, seed=fit_draws)),
        fits_by_depth=FITS.fill(
            crossed(fit, depth=fit_depths, width=[32], train_images=[max(fit_images)], seed=fit_draws)
        ),
        checks=CHECKS.fill(crossed({}, argument=RESIDUALS, seed=check_draws)),
    )


def _region_key(depth: int, width: int, resolution: int, seed: int) -> dict[str, float]:
    return {"depth": depth, "width": width, "resolution": resolution, "extent": 2.0, "seed": seed}


def pictures(
    depths: Sequence[int], width: int, seed: int, resolution: int = 4, extent: float = 0.5
) -> pd.DataFrame:
    """Corners (u, v) of every linear region on one slice, with the region's slope, for each depth."""
    parts = []
    for depth in depths:
        for index, region in enumerate(regions_on_slice(depth, width, resolution, extent, seed)):
            u, v = region.corners.T
            parts.append(
                pd.DataFrame({"depth": depth, "region": index, "slope": region.slope, "u": u, "v": v})
            )
    return pd.concat(parts, ignore_index=True)


def picture_regions(shown: pd.DataFrame) -> pd.DataFrame:
    """One row for each region of the pictures: its number of corners, area (in units of u v) and slope."""
    after = shown.groupby(["depth", "region"])[["u", "v"]].transform(lambda corner: np.roll(corner, -1))
    parts = shown.assign(area=(shown["u"] * after["v"] - shown["v"] * after["u"]) / 2)
    return (
        parts.groupby(["depth", "region"])
        .agg(corners=("u", "size"), area=("area", "sum"), slope=("slope", "first"))
        .reset_index()
    )


@dataclass(frozen=True)
class Slope:
    """A fitted slope with its 95 % interval from the scatter of the points."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return bracketed(self.value, self.low, self.high)


def log_slope(x: Iterable[float], y: Iterable[float]) -> Slope:
    """Exponent p of y ~ x^p by least squares on the logarithms."""
    log_x, log_y = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
    fit = stats.linregress(log_x, log_y)
    half = stats.t.ppf(0.975, max(1, len(log_x) - 2)) * fit.stderr
    return Slope(fit.slope, fit.slope - half, fit.slope + half)


def theorem_rates(rate: pd.DataFrame) -> pd.DataFrame:
    """For each depth and width, the exponent of the deviation in B H W with its interval."""
    found = []
    for (depth, width), rows in rate.groupby(["depth", "width"]):
        slope = log_slope(rows["batch_size"] * rows["resolution"] ** 2, rows["deviation"])
        found.append(
            {"depth": depth, "width": width, "slope": slope.value, "low": slope.low, "high": slope.high}
        )
    return pd.DataFrame(found)


def facts(rows: ExpressivityRows) -> dict[str, str]:
    """Every number of the chapter's prose."""
    return (
        _region_facts(rows.pictures, rows.growth)
        | _equal_facts(rows.equal_neurons)
        | _complexity_facts(rows.complexity)
        | _score_facts(rows.by_depth, rows.by_width)
        | _theorem_facts(rows.rate, rows.rate_by_width, rows.rate_by_depth)
        | _fit_facts(rows.fits, rows.fits_by_depth)
        | _check_facts(rows.checks)
    )


def _region_facts(shown: pd.DataFrame, growth: pd.DataFrame) -> dict[str, str]:
    counts = shown.groupby("depth")["region"].nunique()
    largest = growth.loc[growth["log10_bound"].idxmax()]
    told = {
        "picture_depths": _listed(counts.index),
        "picture_regions": _listed(f"{count:,}" for count in counts),
        "region_seeds": str(growth["seed"].nunique()),
        "largest_regions": f"{growth.loc[growth['neurons'] == largest['neurons'], 'regions'].max():,}",
        "largest_neurons": str(int(largest["neurons"])),
        "largest_bound": f"10^{largest['log10_bound']:.0f}",
    }
    for label, part in growth.groupby("grown"):
        told[f"{label}_exponent"] = str(log_slope(part["neurons"], part["regions"]))
    return told


def _equal_facts(rows: pd.DataFrame) -> dict[str, str]:
    regions = rows.groupby("depth")["regions"].mean()
    phi = rows.groupby("depth")["phi"].mean()
    first, last = regions.index.min(), regions.index.max()
    bound = rows.groupby("depth")["log10_bound"].first()
    return {
        "equal_neurons": str(rows["neurons"].iloc[0]),
        "equal_depths": _listed(regions.index),
        "equal_last_depth": str(last),
        "equal_regions_exponent": str(log_slope(rows["depth"], rows["regions"])),
        "equal_regions_first": f"{regions[first]:,.0f}",
        "equal_regions_last": f"{regions[last]:,.0f}",
        "equal_bound_first": f"10^{bound[first]:.1f}",
        "equal_bound_last": f"10^{bound[last]:.1f}",
        "equal_phi_first": f"{phi[first]:.1f}",
        "equal_phi_last": f"{phi[last]:.1f}",
        "equal_phi_factor": f"{math.exp(phi[last] - phi[first]):,.0f}",
    }


def _complexity_facts(rows: pd.DataFrame) -> dict[str, str]:
    return {
        "complexity_exponent": f"{log_slope(rows['bound'], rows['ascent']).value:.6f}",
        "complexity_gap": _tiny(rows["largest_gap"].max()),
        "complexity_draws": str(rows["draws"].iloc[0]),
        "complexity_to_bound": f"{(rows['closed_form'] / rows['mean_bound']).mean():.3f}",
    }


def _score_facts(by_depth: pd.DataFrame, by_width: pd.DataFrame) -> dict[str, str]:
    lost = by_depth[np.isinf(by_depth["phi_float32"])]
    deepest = by_depth.loc[by_depth["depth"].idxmax()]
    both = pd.concat([by_depth, by_width])
    gap = (both["zen_derivative"] - both["phi"]).abs()
    told = {
        "score_width": str(by_depth["width"].iloc[0]),
        "score_resolution": str(by_depth["resolution"].iloc[0]),
        "score_repeats": str(by_depth["repeats"].iloc[0]),
        "deepest": str(deepest["depth"]),
        "overflow_layer": str(int(lost["overflow_layer"].min()) + 1) if len(lost) else "none",
        "phi_per_layer": f"{_per_layer(by_depth, 'phi'):.2f}",
        "phi_predicted_per_layer": f"{math.log(KERNEL**2 * by_depth['width'].iloc[0] / 2) / 2:.2f}",
        "bn_derivative_per_layer": f"{_per_layer(by_depth, 'bn_derivative'):.2f}",
        "bn_predicted_per_layer": f"{-SHRINK / 2:.2f}",
        "zen_gap_worst": f"{gap.max():.2f}",
        "score_networks": str(len(both)),
        "widths": span(by_width["width"], "{:.0f}"),
        "bn_rise_by_width": f"{by_width['bn_difference'].iloc[-1] - by_width['bn_difference'].iloc[0]:.2f}",
        "phi_rise_by_width": f"{by_width['phi'].iloc[-1] - by_width['phi'].iloc[0]:.2f}",
        "bn_rise_predicted": f"{math.log(by_width['width'].iloc[-1] / by_width['width'].iloc[0]) / 2:.2f}",
        "bn_span_by_depth": span(by_depth["bn_difference"], "{:.1f}"),
        "phi_span_by_depth": span(by_depth["phi"], "{:.1f}"),
    }
    for column in ("phi", "zen_difference", "zen_derivative"):
        told[f"deepest_{column}"] = f"{deepest[column]:.2f} ± {deepest[f'{column}_stderr']:.2f}"
    return told


def _per_layer(rows: pd.DataFrame, column: str) -> float:
    return float(np.polyfit(rows["depth"], rows[column], 1)[0])


def _theorem_facts(rate: pd.DataFrame, by_width: pd.DataFrame, by_depth: pd.DataFrame) -> dict[str, str]:
    rates = theorem_rates(rate)
    plain = by_depth[~by_depth["centred"].astype(bool)]
    deep = by_depth["depth"].max()
    told = {
        "rate_span": span(rates["slope"], "{:.2f}"),
        "rate_steepest_interval": bracketed(*rates.loc[rates["slope"].idxmin(), ["slope", "low", "high"]]),
        "rate_excludes_half": f"{(rates['low'] > -0.5).sum()} of {len(rates)}",
        "rate_mean_ratio": span(rate.groupby(["depth", "width"])["ratio"].mean(), "{:.2f}"),
        "rate_sizes": span(rate["batch_size"] * rate["resolution"] ** 2, "{:,.0f}"),
        "rate_width_exponent": str(log_slope(by_width["width"], by_width["deviation"])),
        "rate_depth_exponent": str(log_slope(plain["depth"], plain["deviation"])),
        "theorem_draws": f"{rate['draws'].iloc[0] * rate['seed'].nunique()}",
        "theorem_deepest": str(deep),
        "theorem_centred_predicted": number((deep - 1) * SHRINK, 1),
    }
    for centred, part in by_depth[by_depth["depth"] == deep].groupby(by_depth["centred"].astype(bool)):
        for column in ("log_features", "log_gradient"):
            name = f"{'centred' if centred else 'plain'}_{column}"
            told[name] = _pooled(part[column], part[f"{column}_stderr"])
    return told


def _fit_facts(fits: pd.DataFrame, by_depth: pd.DataFrame) -> dict[str, str]:
    columns = ["train_error", "test_error", "phi"]
    size, least, most = fits["train_images"], fits["train_images"].min(), fits["train_images"].max()
    few, many = (fits[size == images].groupby("width")[columns].median() for images in (least, most))
    deep = by_depth.groupby("depth")[columns].median()

    def ends(values: pd.Series, digits: int = 2) -> str:
        return f"{values.iloc[0]:.{digits}f} to {values.iloc[-1]:.{digits}f}"

    return {
        "fit_few": str(least),
        "fit_many": str(most),
        "fit_seeds": str(fits["seed"].nunique()),
        "fit_widths": span(few.index, "{:.0f}"),
        "fit_few_train": ends(few["train_error"]),
        "fit_few_best": f"{few['test_error'].min():.2f}",
        "fit_few_best_width": str(few["test_error"].idxmin()),
        "fit_few_worst": f"{few['test_error'].max():,.0f}",
        "fit_few_worst_width": str(few["test_error"].idxmax()),
        "fit_many_train": ends(many["train_error"]),
        "fit_many_test": ends(many["test_error"]),
        "fit_phi": ends(few["phi"], 1),
        "fit_depths": span(deep.index, "{:.0f}"),
        "fit_deep_phi": ends(deep["phi"], 1),
        "fit_deep_train": ends(deep["train_error"]),
        "fit_deep_test": ends(deep["test_error"]),
    }


def _check_facts(checks: pd.DataFrame) -> dict[str, str]:
    worst = checks.groupby("argument")["residual"].max()
    told = {
        f"residual_{name}": _tiny(value) if value < 1e-6 else f"{value:.2f}" for name, value in worst.items()
    }
    return told | {"check_seeds": str(checks["seed"].nunique())}


def _pooled(means: pd.Series, errors: pd.Series) -> str:
    """Mean of equally large groups of draws, with its standard error."""
    return f"{number(means.mean())} ± {math.sqrt((errors**2).sum()) / len(errors):.2f}"


def _tiny(value: float) -> str:
    """An order of magnitude, as text that needs no mathematics."""
    return "0" if value == 0 else f"{value:.0e}".replace("e-0", "e-").replace("-", MINUS)


def _listed(values: Iterable[object]) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} and {last}" if most else last
