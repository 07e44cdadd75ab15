"""How well the closed form of the Zen-Score meets Monte Carlo, where it breaks, and what it teaches.

Monte-Carlo rows are stored; the closed form is computed anew each time, so that it is always that of the code
at hand.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pandas as pd
import torch

from experiments.benchmarks import torchvision_rows, torchvision_zoo, zen_rows
from experiments.record.estimates import by_error, means_and_errors
from experiments.record.table import Table
from experiments.record.wording import bracketed, signed, span
from zenlib.errors import ConversionError
from zenlib.networks.architecture import Architecture, Block
from zenlib.networks.zennets import ZENNETS, zennet_architecture, zennet_resolution
from zenlib.scores.border import Border, Window, border_table
from zenlib.scores.closed_form import closed_form_terms, closed_form_zen_score
from zenlib.scores.forward import draw_images, draw_weights, forward, generator_of
from zenlib.scores.rectifier import M1_SQUARED, M2
from zenlib.spaces import MOBILENET_LIKE, RESNET_LIKE
from zenlib.spaces.space import Space, narrowed
from zenlib.stats import correlate
from zenlib.vanilla.convert import to_vcnn
from zenlib.vanilla.vcnn import VCNN

STUDY = "closed_form"
SCORES = replace(zen_rows.TABLE, study=STUDY, name="scores")
BATCH = 16
CHAINS = {
    "plain, 64 wide": Architecture((Block("conv", 3, 3, 64), Block("conv", 3, 64, 64, layers=39))),
    "bottleneck, 64 wide": Architecture(
        (Block("conv", 3, 3, 256), Block("bottleneck", 3, 256, 256, layers=18, bottleneck=64))
    ),
    "bottleneck, 8 wide": Architecture(
        (Block("conv", 3, 3, 32), Block("bottleneck", 3, 32, 32, layers=18, bottleneck=8))
    ),
}
"""Networks whose inside is measured: an ordinary one, a deep one, and one too narrow for the theory."""
EXTREMES: dict[str, tuple[Architecture, int]] = {
    "map_of_4": (zen_rows.plain_network(32, 20), 4),
    "map_of_2": (zen_rows.plain_network(32, 20), 2),
    "narrow_5x5": (zen_rows.plain_network(16, 60, 5), 32),
    "only_1x1": (zen_rows.plain_network(128, 40, 1), 32),
    "narrow_bottleneck": (CHAINS["bottleneck, 8 wide"], 14),
    "deep_bottleneck": (CHAINS["bottleneck, 64 wide"], 14),
}
"""Tiny maps, narrow and deep networks, windows of one position, with the resolution of their images."""


@lru_cache(maxsize=4)
def measured_layers(network: str, resolution: int, batch_size: int, repeats: int, seed: int) -> pd.DataFrame:
    """What the theory speaks about, one row for every layer and repeat of a chain."""
    vcnn = zen_rows.load_network(network, resolution)
    rows: list[dict[str, float]] = []
    for repeat in range(repeats):
        generator = generator_of((seed, repeat), torch.device("cpu"))
        weights, images = draw_weights(vcnn, generator), draw_images(vcnn, batch_size, generator)
        forward(
            vcnn,
            weights,
            images,
            batch_norm=True,
            on_conv=lambda index, z: rows.append({"layer": index, **_moments(z)}),
        )
    return pd.DataFrame(rows)


def _moments(z: torch.Tensor) -> dict[str, float]:
    """Measured counterparts of `LayerTerms` for one raw output of a convolution, (N, C, H, W)."""
    variance, mean = torch.var_mean(z, dim=(0, 2, 3), correction=0, keepdim=True)
    y = (z - mean) / variance.sqrt()
    channels, positions = y.shape[1], y[:, 0].numel()
    size = (y * y).mean(dim=1)
    # The mean over channels of y^2 also varies because channels are few: 2 (1 + v) / channels of it is not
    # the scale's.
    spread = (float(size.var(correction=0)) - 2 / channels) / (1 + 2 / channels)
    flat = y.transpose(0, 1).reshape(channels, -1)
    squares = float(((flat @ flat.T) / positions).square().sum())
    return {
        "log_sigma": 0.5 * math.log(float(variance.mean())),
        "spread": spread,
        "image_spread": float(size.mean(dim=(1, 2)).var(correction=0)),
        "overlap": (squares - channels) / (channels * (channels - 1)) if channels > 1 else math.nan,
        "mean_ratio": 2 * math.pi * float(torch.relu(y).mean(dim=(0, 2, 3)).square().mean()),
        "largest_share": float(size.mean(dim=(1, 2)).max() / size.mean(dim=(1, 2)).sum()),
    }


_INSIDE = {
    "log_sigma": "nat: log of the standard deviation before BatchNorm",
    "spread": (
        "1: relative variance of the scale of the pre-activations over positions and images, sampling noise "
        "of the channels removed"
    ),
    "image_spread": "1: relative variance over images of the scale of their pre-activations",
    "overlap": "1: mean squared correlation of two channels",
    "mean_ratio": "1: squared mean of max(0, y) over that of a Gaussian, mean over channels",
    "largest_share": "1: share of the batch's variance that the largest image has",
}


def inside_row(
    *, network: str, resolution: int, batch_size: int, repeats: int, seed: int, layer: int
) -> dict[str, float]:
    """Mean and standard error over repeats of what `measured_layers` measures, for one layer."""
    rows = measured_layers(network, resolution, batch_size, repeats, seed).query("layer == @layer")
    return means_and_errors({column: rows[column].to_numpy() for column in _INSIDE})


INSIDE = Table(
    study=STUDY,
    name="inside",
    compute=inside_row,
    units={
        "network": "name: a structure string",
        "resolution": "pixels: side of the square images",
        "batch_size": "images: mini-batch of one repeat",
        "repeats": "count: independent draws of weights and images",
        "seed": "1: seed of all draws",
        "layer": "count: convolutions before this one",
    }
    | _INSIDE
    | {
        f"{column}_stderr": f"{_INSIDE[column].split(':')[0]}: standard error of {column} over repeats"
        for column in _INSIDE
    },
    agreement=by_error(*_INSIDE),
)
TABLES = (SCORES, INSIDE)


def draw_networks(
    space: Space, count: int, resolution: int, fits: Callable[[Architecture], bool], seed: int
) -> list[Architecture]:
    """Different random networks of a space within a budget.

    What is too large is narrowed by a quarter until it fits.

    Networks that do not fit at their narrowest are thrown away.
    """
    rng = random.Random(seed)
    found: dict[str, Architecture] = {}
    while len(found) < count:
        network = space.sample(rng, resolution)
        while not fits(network):
            narrower = Architecture(narrowed(network.blocks, 0.75))
            if narrower == network:
                break
            network = narrower
        else:
            found.setdefault(network.to_string(), network)
    return list(found.values())


def draw_mutants(
    parent: Architecture, count: int, mutations: int, max_params: int, seed: int
) -> list[Architecture]:
    """Different mutants of one ResNet-like network within a budget, as deep and with as many convolutions."""
    rng = random.Random(seed)
    found: dict[str, Architecture] = {}
    while len(found) < count:
        mutant = parent
        for _ in range(mutations):
            mutant = RESNET_LIKE.mutate(mutant, rng)
        alike = mutant.depth == parent.depth and _convs(mutant) == _convs(parent)
        if mutant != parent and alike and mutant.params(100) <= max_params:
            found.setdefault(mutant.to_string(), mutant)
    return list(found.values())


def _convs(network: Architecture) -> int:
    return sum(len(unit.convs) for unit in network.units)


@dataclass(frozen=True)
class ClosedFormRows:
    """The comparisons of the chapter.

    Monte-Carlo rows with the closed form beside them (columns of `with_theory`).
    """

    resnet_like: pd.DataFrame  # random networks of the paper's space I within its smallest budgets
    mobilenet_like: pd.DataFrame  # random networks of space II within 600M multiply-adds at 224 pixels
    mutants: pd.DataFrame  # mutants of ZenNet-1.0M, as deep and with as many convolutions
    table5: pd.DataFrame  # the five ResNets of the paper's Table 5; `paper` is the printed score
    zennets: pd.DataFrame  # published networks, at the resolution they were made for
    # torchvision's chains, from the rows of the study of the ImageNet zoo; empty where there are none
    zoo: pd.DataFrame
    size: pd.DataFrame  # plain networks over width and depth
    extremes: pd.DataFrame  # the networks of `EXTREMES`; `label` is their name there
    exact: pd.DataFrame  # some ResNet-like networks, scored with the exact derivative
    inside: pd.DataFrame  # measured layers beside the theory's, one row a layer (`inside_of`)
    saturation: pd.DataFrame  # one row for each published network and convolution (`saturation_of`)


def run(
    *,
    networks: int = 200,
    resnet_params: int = 1_000_000,
    resnet_depth: int = 18,
    resnet_repeats: int = 4,
    mobilenet_flops: int = 600_000_000,
    mobilenet_resolution: int = 224,
    mobilenet_repeats: int = 2,
    mutants: int = 36,
    mutations: int = 2,
    mutant_params: int = 1_000_000,
    mutant_repeats: int = 8,
    table5_resolution: int = 224,
    table5_repeats: int = 8,
    zennets: Mapping[str, int] | None = None,
    zoo: bool = True,
    widths: Sequence[int] = (4, 8, 16, 32, 64, 128),
    depths: Sequence[int] = (2, 5, 10, 20, 40, 80),
    size_repeats: int = 8,
    extreme_repeats: int = 8,
    exact_networks: int = 12,
    chains: Sequence[str] = tuple(CHAINS),
    chain_resolution: int = 14,
    chain_repeats: int = 8,
    seed: int = 0,
) -> ClosedFormRows:
    """Measures, or reads from the stores, every row of the chapter.

    Args:
        networks: random networks of each space.
        resnet_params: parameters, classifier of 100 classes included, that a ResNet-like network may have.
        resnet_depth: largest `Architecture.depth` of them.
        resnet_repeats: Monte-Carlo repeats, at 32 pixels.
        mobilenet_flops: multiply-adds at 224 pixels that a MobileNet-like network may have.
        mobilenet_resolution: where they are scored.
        mobilenet_repeats: Monte-Carlo repeats.
        mutants: mutants of ZenNet-1.0M.
        mutations: steps of the paper's mutation from the published network.
        mutant_params: parameters that a mutant may have.
        mutant_repeats: Monte-Carlo repeats, at 32 pixels.
        table5_resolution: pixels; rows are those of the study of the Zen-Score.
        table5_repeats: repeats of those rows.
        zennets: repeats for each published network that is also scored by Monte Carlo.
        zoo: whether to compare with torchvision's chains; converting them takes minutes.
        widths: of the plain networks.
        depths: of the plain networks.
        size_repeats: repeats of the plain networks, rows of the study of the Zen-Score.
        extreme_repeats: repeats of the networks of `EXTREMES`.
        exact_networks: how many ResNet-like networks are also scored with the exact derivative.
        chains: names in `CHAINS` whose layers are measured.
        chain_resolution: pixels.
        chain_repeats: repeats.
        seed: of all draws.
    """
    zennets = (
        {"zennet-0.5M": 8, "zennet-1.0M": 8, "zennet-2.0M": 8, "zennet-0.1ms": 4, "zennet-400M-SE": 2}
        if zennets is None
        else zennets
    )
    small = draw_networks(
        RESNET_LIKE,
        networks,
        32,
        lambda net: net.params(100) <= resnet_params and net.depth <= resnet_depth,
        seed,
    )
    mobile = draw_networks(MOBILENET_LIKE, networks, 224, lambda net: net.flops(224) <= mobilenet_flops, seed)
    children = draw_mutants(zennet_architecture("zennet-1.0M"), mutants, mutations, mutant_params, seed)
    plain = {(width, depth): zen_rows.plain_network(width, depth) for depth in depths for width in widths}
    table5 = [
        zen_rows.score_key(name, table5_resolution, table5_repeats, seed) for name in zen_rows.PAPER_TABLE_5
    ]

    def scored(
        drawn: Iterable[Architecture], repeats: int, resolution: int = 32, table: Table = SCORES
    ) -> pd.DataFrame:
        return table.fill([zen_rows.score_key(net.to_string(), resolution, repeats, seed) for net in drawn])

    exact = [
        zen_rows.score_key(net.to_string(), 32, resnet_repeats, seed, perturbation=0.0)
        for net in small[:exact_networks]
    ]
    extremes = [
        zen_rows.score_key(net.to_string(), pixels, extreme_repeats, seed)
        for net, pixels in EXTREMES.values()
    ]
    named = [
        zen_rows.score_key(name, zennet_resolution(name), repeats, seed) for name, repeats in zennets.items()
    ]
    measured = {
        "resnet_like": scored(small, resnet_repeats),
        "mutants": scored(children, mutant_repeats),
        "mobilenet_like": scored(mobile, mobilenet_repeats, mobilenet_resolution),
        "table5": zen_rows.TABLE.fill(table5).assign(paper=list(zen_rows.PAPER_TABLE_5.values())),
        "zennets": SCORES.fill(named),
        "size": scored(plain.values(), size_repeats, table=zen_rows.TABLE).assign(
            width=[width for width, _ in plain], depth=[depth for _, depth in plain]
        ),
        "extremes": SCORES.fill(extremes).assign(label=list(EXTREMES)),
        "exact": SCORES.fill(exact),
        "zoo": _zoo_rows(seed) if zoo else SCORES.stored().iloc[:0],
    }
    frames = {name: with_theory(rows) for name, rows in measured.items()}
    for name, drawn in (("resnet_like", small), ("mobilenet_like", mobile), ("mutants", children)):
        frames[name] = frames[name].assign(
            params=[net.params(100) for net in drawn], depth=[net.depth for net in drawn]
        )
    inside = [inside_of(name, chain_resolution, chain_repeats, seed) for name in chains]
    return ClosedFormRows(
        **frames,
        inside=pd.concat(inside, ignore_index=True),
        saturation=pd.concat(map(saturation_of, ZENNETS), ignore_index=True),
    )


def _zoo_rows(seed: int) -> pd.DataFrame:
    """The stored rows of torchvision's chains at 224 pixels, under this study's column names."""
    rows = torchvision_rows.TABLE.stored().rename(columns={"model": "network"})
    wanted = (
        (rows["resolution"] == 224)
        & (rows["seed"] == seed)
        & (rows["perturbation"] == 0.01)
        & rows["l1_minibatch"].notna()
    )
    chain = rows["network"].isin(torchvision_zoo.models(chains_only=True))
    return rows[wanted & chain].reset_index(drop=True)


@lru_cache(maxsize=256)
def _converted(network: str, resolution: int) -> Architecture | VCNN:
    """What the closed form reads."""
    if network in ZENNETS:
        return zennet_architecture(network)
    if network.startswith("Super"):
        return Architecture.from_string(network)
    return to_vcnn(torchvision_zoo.build(network), resolution)


def with_theory(rows: pd.DataFrame) -> pd.DataFrame:
    """Monte-Carlo rows with the `closed_form` columns (L1, Frobenius, log Delta) and `deviation` in percent.

    Networks for which there is no closed form are left out.
    """
    lines = []
    for row in rows.itertuples():
        network = _converted(row.network, row.resolution)
        try:
            terms = closed_form_terms(
                network, row.resolution, perturbation=row.perturbation, batch_size=row.batch_size
            )
        except ConversionError:
            continue
        frobenius = closed_form_zen_score(
            network,
            row.resolution,
            perturbation=row.perturbation,
            norm="frobenius",
            batch_size=row.batch_size,
        )
        lines.append((row.Index, terms.score, frobenius, terms.log_delta))
    theory = pd.DataFrame(
        lines, columns=["index", "closed_form", "closed_form_frobenius", "closed_form_log_delta"]
    ).set_index("index")
    found = rows.join(theory, how="inner").reset_index(drop=True)
    return found.assign(
        residual=found["closed_form"] - found["l1_minibatch"],
        deviation=100 * (found["closed_form"] / found["l1_minibatch"] - 1),
    )


def inside_of(name: str, resolution: int, repeats: int, seed: int) -> pd.DataFrame:
    """Measured and predicted numbers of every layer of one of `CHAINS`.

    Beside the columns of the table: `theory_...` of the same names, `fan_in`, the log sigma of the fan-in
    alone, 0.341 a tap, and `border`, the same with the border's terms and Gaussian channels.
    """
    network = CHAINS[name]
    terms = closed_form_terms(network, resolution, batch_size=BATCH)
    key = {"network": network.to_string(), "resolution": resolution, "batch_size": BATCH, "repeats": repeats}
    keys = [key | {"seed": seed, "layer": layer} for layer in range(len(terms.layers))]
    rows = INSIDE.fill(keys)
    theory = pd.DataFrame(
        {
            "theory_log_sigma": terms.log_sigma,
            "theory_mean_ratio": [layer.mean_ratio for layer in terms.layers],
            "theory_image_spread": [layer.image_spread for layer in terms.layers],
            "theory_overlap": [layer.overlap for layer in terms.layers],
        }
    )
    return pd.concat([rows.assign(chain=name), theory, _simpler_theories(network, resolution)], axis=1)


def _simpler_theories(network: Architecture, resolution: int) -> pd.DataFrame:
    side, age = resolution, 0
    lines: list[dict[str, float]] = []
    for unit, _ in network.unit_resolutions(resolution):
        for conv in unit.convs:
            out_side = -(-side // conv.stride)
            window = Window(conv.kernel, conv.stride, (conv.kernel - 1) // 2)
            edge = Border(*border_table(side, window, out_side)[age])
            fan = conv.in_channels // conv.groups
            per_tap, flat = (M2 - edge.shared, M2 - M1_SQUARED) if lines else (1.0, 1.0)
            taps = {"fan_in": conv.kernel**2 * flat, "border": edge.taps * per_tap}
            lines.append({name: 0.5 * math.log(fan * count) for name, count in taps.items()})
            side, age = out_side, edge.age
    return pd.DataFrame(lines)


def saturation_of(name: str) -> pd.DataFrame:
    """For each convolution of a published network.

    What the finite difference of alpha = 0.01 has lost against the derivative.

    `loss` is half the log of the ratio of the two correlation losses, each over its alpha^2, in nats; 0 as
    long as a gradient is measured.
    """
    network, resolution = zennet_architecture(name), zennet_resolution(name)
    finite, exact = (
        closed_form_terms(network, resolution, perturbation=alpha).layers for alpha in (0.01, 0.0)
    )
    start_finite, start_exact = finite[0].delta, exact[0].delta
    loss = [
        0.5 * math.log(a.delta / start_finite / (b.delta / start_exact))
        for a, b in zip(finite, exact, strict=True)
    ]
    deltas, convs = [layer.delta for layer in finite], range(1, len(loss) + 1)
    return pd.DataFrame({"network": name, "conv": convs, "loss": loss, "delta": deltas})


def value_of_convolutions() -> pd.DataFrame:
    """What one more convolution inside a network adds to the score, by kind and width, and what it costs.

    `nats` is log sigma on a map of 8 pixels with the border of age 4 and Gaussian channels; `per_kilo`
    is nats for a thousand weights.
    """
    lines = []
    for kernel, depthwise in ((1, False), (3, False), (5, False), (7, False), (3, True), (7, True)):
        edge = Border(*border_table(8, Window(kernel, 1, (kernel - 1) // 2), 8)[4])
        for width in (8, 16, 32, 64, 128, 256, 512):
            fan = 1 if depthwise else width
            nats = 0.5 * math.log(fan * edge.taps * (M2 - edge.shared))
            weights = width * fan * kernel**2
            kind = f"{kernel}x{kernel}" + (" depthwise" if depthwise else "")
            lines.append((kind, width, nats, weights, 1000 * nats / weights))
    return pd.DataFrame(lines, columns=["kind", "width", "nats", "weights", "per_kilo"])


def bands(rows: pd.DataFrame) -> tuple[int, int, int, float]:
    """How the closed form orders pairs of networks that are alike in depth and size.

    Returns:
        The number of pairs with equally many convolutions and parameters within 10 %; of these, how many
        Monte Carlo tells apart by three standard errors; of these, how many the closed form orders in the
        same way; the median deviation of the networks in the pairs, percent.
    """
    i, j = np.triu_indices(len(rows), k=1)
    convs, params = rows["convs"].to_numpy(), rows["params"].to_numpy(float)
    alike = (convs[i] == convs[j]) & (np.abs(np.log(params[i] / params[j])) <= math.log(1.1))
    i, j = i[alike], j[alike]
    score, error, theory = (
        rows[column].to_numpy() for column in ("l1_minibatch", "l1_minibatch_stderr", "closed_form")
    )
    gap = score[i] - score[j]
    told = np.abs(gap) > 3 * np.hypot(error[i], error[j])
    agreed = told & (gap * (theory[i] - theory[j]) > 0)
    members = np.unique(np.concatenate([i, j]))
    deviation = float(rows["deviation"].abs().iloc[members].median()) if len(members) else math.nan
    return len(i), int(told.sum()), int(agreed.sum()), deviation


def spearman_ceiling(rows: pd.DataFrame) -> float:
    """Spearman's rho that a perfect theory would reach against Monte Carlo of these standard errors.

    The closed form plays the truth and the measurement: noise of the stored standard errors is added to it.
    """
    truth = rows["closed_form"].to_numpy()
    ranks = pd.Series(truth).rank()
    noise = np.random.default_rng(0).normal(size=(400, len(rows))) * rows["l1_minibatch_stderr"].to_numpy()
    return float(np.mean([pd.Series(truth + row).rank().corr(ranks) for row in noise]))


def facts(rows: ClosedFormRows) -> dict[str, str]:
    """Every number of the chapter's prose."""
    return (
        _agreement_facts("resnet", rows.resnet_like)
        | _agreement_facts("mobilenet", rows.mobilenet_like)
        | _agreement_facts("mutants", rows.mutants)
        | _mutant_facts(rows.mutants)
        | _table5_facts(rows.table5)
        | _listed_facts("zennets", rows.zennets)
        | _listed_facts("zoo", rows.zoo)
        | _limit_facts(rows.size)
        | _extreme_facts(rows.extremes)
        | _image_facts(rows.inside)
        | _saturation_facts(rows.saturation)
        | _exact_facts(rows)
        | _value_facts(value_of_convolutions())
    )


def _agreement_facts(name: str, rows: pd.DataFrame) -> dict[str, str]:
    size = rows["deviation"].abs()
    found = correlate(rows["closed_form"], rows["l1_minibatch"])
    pairs, told, agreed, deviation = bands(rows)
    frobenius = 100 * (rows["closed_form_frobenius"] / rows["frobenius_minibatch"] - 1).abs()
    return {
        f"{name}_n": str(len(rows)),
        f"{name}_repeats": str(rows["repeats"].iloc[0]),
        f"{name}_spearman": f"{found.spearman:.4f}",
        f"{name}_spearman_interval": bracketed(found.spearman, *found.spearman_interval, 4),
        f"{name}_median": f"{size.median():.2f} %",
        f"{name}_largest": f"{size.max():.1f} %",
        f"{name}_bias": signed(rows["residual"].mean(), 2),
        f"{name}_spread": f"{rows['residual'].std(ddof=1):.2f}",
        f"{name}_stderr": f"{rows['l1_minibatch_stderr'].median():.2f}",
        f"{name}_frobenius_median": f"{frobenius.median():.2f} %",
        f"{name}_convs": span(rows["convs"]),
        f"{name}_pairs": f"{pairs:,}",
        f"{name}_told": f"{told:,}",
        f"{name}_agreed": f"{100 * agreed / told:.1f} %" if told else "none",
        f"{name}_band_median": f"{deviation:.2f} %" if pairs else "none",
    }


def _mutant_facts(rows: pd.DataFrame) -> dict[str, str]:
    stderr = float(np.sqrt(np.mean(rows["l1_minibatch_stderr"] ** 2)))
    return {
        "mutants_ceiling": f"{spearman_ceiling(rows):.3f}",
        "mutants_ratio": f"{rows['residual'].std(ddof=1) / stderr:.2f}",
        "mutants_range": f"{rows['l1_minibatch'].max() - rows['l1_minibatch'].min():.1f}",
    }


def _table5_facts(rows: pd.DataFrame) -> dict[str, str]:
    against_paper = 100 * (rows["closed_form"] / rows["paper"] - 1)
    told = {
        "table5_worst": f"{against_paper.abs().max():.2f} %",
        "table5_worst_mc": f"{rows['deviation'].abs().max():.2f} %",
    }
    for row, deviation in zip(rows.itertuples(), against_paper, strict=True):
        told[f"table5_{row.network}"] = f"{row.closed_form:.1f}"
        told[f"table5_{row.network}_mc"] = f"{row.l1_minibatch:.1f} ± {row.l1_minibatch_stderr:.2f}"
        told[f"table5_{row.network}_deviation"] = f"{signed(deviation, 2)} %"
    return told


def _listed_facts(name: str, rows: pd.DataFrame) -> dict[str, str]:
    if len(rows) < 5:
        missing = {f"{name}_{what}": "none" for what in ("median", "largest", "worst", "spearman")}
        return {f"{name}_n": str(len(rows))} | missing
    size = rows["deviation"].abs()
    found = correlate(rows["closed_form"], rows["l1_minibatch"])
    return {
        f"{name}_n": str(len(rows)),
        f"{name}_median": f"{size.median():.2f} %",
        f"{name}_largest": f"{size.max():.1f} %",
        f"{name}_worst": str(rows["network"].iloc[int(size.to_numpy().argmax())]),
        f"{name}_spearman": f"{found.spearman:.4f}",
    }


def _limit_facts(rows: pd.DataFrame) -> dict[str, str]:
    wide = rows[rows["width"] >= 32]["deviation"].abs()
    narrow = rows[rows["width"] <= 8]
    worst = narrow.loc[narrow["deviation"].abs().idxmax()] if len(narrow) else rows.iloc[0]
    return {
        "wide_largest": f"{wide.max():.1f} %" if len(wide) else "none",
        "size_repeats": str(rows["repeats"].iloc[0]),
        "narrow_worst": f"{signed(worst['deviation'], 0)} %",
        "narrow_worst_width": str(worst["width"]),
        "narrow_worst_depth": str(worst["depth"]),
    }


def _extreme_facts(rows: pd.DataFrame) -> dict[str, str]:
    told: dict[str, str] = {}
    for row in rows.itertuples():
        told[f"extreme_{row.label}"] = f"{row.closed_form:.1f}"
        told[f"extreme_{row.label}_mc"] = f"{row.l1_minibatch:.1f} ± {row.l1_minibatch_stderr:.2f}"
        told[f"extreme_{row.label}_deviation"] = f"{signed(row.deviation)} %"
    return told


def _image_facts(rows: pd.DataFrame) -> dict[str, str]:
    last = rows.groupby("chain", sort=False).tail(1).set_index("chain")
    told = {"images": str(BATCH), "inside_repeats": str(rows["repeats"].iloc[0])}
    for chain, row in last.iterrows():
        label = str(chain).replace(", ", "_").replace(" ", "_")
        told[f"share_{label}"] = f"{100 * row['largest_share']:.0f} %"
        told[f"inside_residual_{label}"] = (
            f"{(rows[rows['chain'] == chain].eval('theory_log_sigma - log_sigma')).abs().mean():.3f}"
        )
    return told


def _saturation_facts(rows: pd.DataFrame) -> dict[str, str]:
    """Where half a nat is lost, and what is lost at the output."""
    at_end = rows.groupby("network", sort=False).tail(1).set_index("network")["loss"]
    lost = rows[rows["loss"] < -0.5].groupby("network", sort=False)["conv"].min()
    return {
        "saturated_count": str(int((at_end < -0.5).sum())),
        "zennet_count": str(len(at_end)),
        "lost_from": f"{lost.min()} to {lost.max()}" if len(lost) else "none",
        "least_loss_net": str(at_end.idxmax()).replace("zennet", "ZenNet"),
        "least_loss": f"{-at_end.max():.1f}",
        "most_loss": f"{-at_end.min():.0f}",
    }


def _exact_facts(rows: ClosedFormRows) -> dict[str, str]:
    """How the score with the exact derivative orders the ResNet-like networks."""
    networks = zip(
        rows.resnet_like["network"].map(Architecture.from_string), rows.resnet_like["resolution"], strict=True
    )
    exact = pd.Series([closed_form_zen_score(*network, perturbation=0.0) for network in networks])
    finite = rows.resnet_like["closed_form"]
    top = max(1, len(finite) // 10)
    shared = len(set(finite.nlargest(top).index) & set(exact.nlargest(top).index))
    per_conv = np.polyfit(rows.resnet_like["convs"], exact - finite, 1)[0] if len(finite) > 2 else math.nan
    return {
        "exact_n": str(len(rows.exact)),
        "exact_median": f"{rows.exact['deviation'].abs().median():.2f} %" if len(rows.exact) else "none",
        "exact_tau": f"{correlate(exact, finite).kendall:.3f}",
        "exact_top": f"{shared} of {top}",
        "exact_per_conv": f"{per_conv:.2f}",
    }


def _value_facts(values: pd.DataFrame) -> dict[str, str]:
    found = values.set_index(["kind", "width"])
    return {
        "nats_3x3_64": f"{found.loc[('3x3', 64), 'nats']:.2f}",
        "nats_1x1_64": f"{found.loc[('1x1', 64), 'nats']:.2f}",
        "nats_7x7_64": f"{found.loc[('7x7', 64), 'nats']:.2f}",
        "nats_dw_3x3": f"{found.loc[('3x3 depthwise', 64), 'nats']:.2f}",
        "per_kilo_8": f"{found.loc[('3x3', 8), 'per_kilo']:.1f}",
        "per_kilo_64": f"{found.loc[('3x3', 64), 'per_kilo']:.2f}",
    }
