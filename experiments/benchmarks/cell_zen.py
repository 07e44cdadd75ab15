"""The Zen-Score of NAS-Bench-201 cells under every definition at once, fast enough for all 15,625.

A cell is scored in two forms. *As it is*: the network of the benchmark with every edge, shortcuts and dead
branches included, and a log sigma for every BatchNorm; this is what public copies of the score compute.
*Vanilla*: skip edges and the shortcuts of the reductions are cut, pooling stays, only edges on a path from
input to output count; see `cell_vcnn`.

What makes it fast: both branches f(x) and f(x + alpha * eps) share each call of a convolution, ReLU and
pooling; a node is rectified and pooled once for all edges that leave it; an edge that reads nothing costs
nothing; BatchNorm writes over its input; no module is built; and all cells of a seed share their weights and
images (common random numbers), which are then drawn once. The weights of an edge depend on the seed, its
place and its kernel alone, so a score does not depend on which cells were scored before. Without it, by
`module_terms`, three draws of all cells take two hours on two cores in place of 23 minutes.

Precision: the two branches are subtracted in float32. With alpha = 0.01 this costs the last digits of the
difference, a thousandth of a nat; `zenlib.scores.zen` carries the difference instead.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.benchmarks.cell_layers_space import EDGES, NODES
from experiments.benchmarks.nasbench201_space import CELLS_PER_STAGE, WIDTHS, Cell
from zenlib.errors import ScoreUndefined
from zenlib.scores.forward import BN_EPS
from zenlib.scores.graph_form.operations import Operation
from zenlib.scores.zen import BN_MOMENTUM, BnVariance, Norm
from zenlib.vanilla.vcnn import IMAGE, VCNN, Add, Conv, Pool, Step

WITHOUT_NORM = "shortcut.1"
"""End of the name of the convolutions that no BatchNorm follows."""
_batch_norm_into = torch.ops.aten.native_batch_norm.out


class CellTerms(NamedTuple):
    """The terms of every definition for one draw, in nats."""

    log_delta_l1: float  # log of the batch mean of the sum of absolute differences
    log_delta_frobenius: float  # the same with the Euclidean norm
    # sum over every BatchNorm of log sqrt(sigma^2 + eps), sigma^2 the mini-batch variance averaged over
    # channels. What BatchNorm divides by; eps matters only where a convolution reads nothing, which gives log
    # sqrt(eps)
    log_sigma_minibatch: float
    log_sigma_running: float  # the same sum for the running variance of the released code after both branches
    norms: int  # number of BatchNorms in the sums
    silent: int  # how many of these read nothing
    # sum over the BatchNorms that read something of log sqrt(q), q the variance of what their convolution
    # reads (of their own input for the BatchNorm that follows none), so that log_sigma_minibatch minus this
    # is what the convolutions themselves gain; NaN where it was not asked for
    log_scale: float = math.nan

    def score(self, norm: Norm = "l1", bn_variance: BnVariance = "minibatch") -> float:
        """The score under one definition."""
        log_delta = self.log_delta_l1 if norm == "l1" else self.log_delta_frobenius
        return log_delta + (
            self.log_sigma_minibatch if bn_variance == "minibatch" else self.log_sigma_running
        )


class CellScorer:
    """Scores cells as they are, with one draw of weights and images.

    Args:
        seed: of weights, images and noise, 0 or more.
        batch_size: images in the mini-batch.
        resolution: side of the images, pixels; a multiple of 4.
        perturbation: alpha.
        widths: channels of each stage.
        cells_per_stage: how often the cell is repeated in a stage.
        dtype: floating type of the computation.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        batch_size: int = 16,
        resolution: int = 32,
        perturbation: float = 0.01,
        widths: Sequence[int] = WIDTHS,
        cells_per_stage: int = CELLS_PER_STAGE,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.seed = seed
        self.dtype = dtype
        self.widths = tuple(widths)
        self.cells_per_stage = cells_per_stage
        self.batch_size = batch_size
        self._weights: dict[tuple[str, tuple[int, ...]], Tensor] = {}
        shape = (batch_size, 3, resolution, resolution)
        images, noise = self.draw("images", shape), self.draw("noise", shape)
        self.branches = torch.cat([images, images + perturbation * noise]).contiguous(
            memory_format=torch.channels_last
        )

    def draw(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """N(0, 1) numbers that depend on the seed, the name and the shape.

        Kept, since every cell asks for them again.

        The name of a weight is that of the parameter in `experiments.benchmarks.nasbench201_space.build`.
        """
        key = name, shape
        if key not in self._weights:
            state = np.random.SeedSequence([self.seed, *name.encode(), *shape]).generate_state(1, np.uint64)[
                0
            ]
            drawn = torch.randn(shape, generator=torch.Generator().manual_seed(int(state)), dtype=self.dtype)
            self._weights[key] = drawn.contiguous(memory_format=torch.channels_last)
        return self._weights[key]

    def terms(self, cell: Cell, scales: bool = False) -> CellTerms:
        """The terms of one cell.

        Args:
            cell: what is scored.
            scales: whether `log_scale` is measured, which takes a pass more over every node.

        Raises:
            ScoreUndefined: no path leads through the cell.
        """
        _require_connected(cell)
        with torch.no_grad():
            run = _Run(self, cell, scales)
            features = run.network()
            difference = (features[: self.batch_size] - features[self.batch_size :]).double()
            l1, frobenius = (
                torch.linalg.vector_norm(difference, order, dim=(1, 2, 3)).mean().log() for order in (1, 2)
            )
            first, second = torch.stack(run.variances).unbind(1)
        # A BatchNorm that reads nothing has a variance of exactly 0 in both branches.
        silent = run.silent
        correction = torch.tensor(run.positions, dtype=torch.float64) / (
            torch.tensor(run.positions, dtype=torch.float64) - 1
        )
        keep = 1 - BN_MOMENTUM
        running = keep**2 + BN_MOMENTUM * correction * (keep * first + second)
        return CellTerms(
            float(l1),
            float(frobenius),
            float((first + BN_EPS).log().sum() / 2) + silent * math.log(BN_EPS) / 2,
            float(running.log().sum() / 2) + silent * math.log(keep),
            len(first) + silent,
            silent,
            float(torch.stack(run.scales).log().sum() / 2) if scales else math.nan,
        )


class _Run:
    """One pass of both branches through the network of a cell, with the variances before each BatchNorm."""

    def __init__(self, scorer: CellScorer, cell: Cell, with_scales: bool) -> None:
        self.scorer = scorer
        self.cell = cell
        self.with_scales = with_scales
        self.scales: list[Tensor] = []
        self.half = scorer.batch_size
        self.variances: list[Tensor] = []
        self.positions: list[int] = []
        self.silent = 0

    def network(self) -> Tensor:
        """Both branches of the feature map before global pooling, (2 N, C, H, W)."""
        features = self.normalised(self.convolve(self.scorer.branches, "stem.0", self.scorer.widths[0], 3))
        index = 0
        for stage, width in enumerate(self.scorer.widths):
            if stage > 0:
                features = self.reduction(features, f"cells.{index}", width)
            first = index + (stage > 0)
            for index in range(first, first + self.scorer.cells_per_stage):
                features = self.one_cell(features, f"cells.{index}")
            index += 1
        self.read(features)
        return self.normalised(features).relu_()

    def reduction(self, features: Tensor, name: str, width: int) -> Tensor:
        """The residual block between two stages."""
        path = self.normalised(
            self.convolve(features.relu(), f"{name}.path.0.1", width, 3, stride=2, source=features)
        )
        path = self.normalised(self.convolve(path.relu(), f"{name}.path.1.1", width, 3, source=path))
        return path.add_(self.convolve(F.avg_pool2d(features, 2), f"{name}.shortcut.1", width, 1))

    def one_cell(self, features: Tensor, name: str) -> Tensor:
        """The sums of the nodes; None stands for a node that reads nothing."""
        nodes: list[Tensor | None] = [features, *[None] * (NODES - 1)]
        rectified: dict[int, Tensor] = {}
        pooled: dict[int, Tensor] = {}
        for edge, (op, (source, target)) in enumerate(zip(self.cell.ops, EDGES, strict=True)):
            node = nodes[source]
            if node is None or op == "none":
                self.silent += op.startswith("nor_conv")
                continue
            if op == "skip_connect":
                nodes[target] = _sum(nodes[target], node, owned=False)
            elif op == "avg_pool_3x3":
                if source not in pooled:
                    pooled[source] = F.avg_pool2d(node, 3, 1, 1, count_include_pad=False)
                nodes[target] = _sum(nodes[target], pooled[source], owned=False)
            else:
                if source not in rectified:
                    rectified[source] = node.relu()
                output = self.convolve(
                    rectified[source], f"{name}.edges.{edge}.1", node.shape[1], int(op[-1]), source=node
                )
                nodes[target] = _sum(nodes[target], self.normalised(output))
        last = nodes[-1]
        assert last is not None  # the cell is connected
        return last

    def convolve(
        self,
        features: Tensor,
        name: str,
        width: int,
        kernel: int,
        stride: int = 1,
        source: Tensor | None = None,
    ) -> Tensor:
        """The convolution of that name; `source` is what was rectified to make the features, if anything."""
        if not name.endswith(WITHOUT_NORM):
            self.read(features if source is None else source)
        weight = self.scorer.draw(f"{name}.weight", (width, features.shape[1], kernel, kernel))
        return F.conv2d(features, weight, stride=stride, padding=kernel // 2)

    def read(self, source: Tensor) -> None:
        """Notes the variance of what a convolution reads, first branch, channel mean, where asked for."""
        if self.with_scales:
            self.scales.append(source[: self.half].double().var((0, 2, 3), correction=0).mean())

    def normalised(self, features: Tensor) -> Tensor:
        """BatchNorm of each branch by its own statistics, in place; notes the mean variances of both."""
        seen = []
        for branch in (features[: self.half], features[self.half :]):
            mean, inverse = features.new_empty(2, features.shape[1]).unbind()
            # The output may lie over the input: statistics are complete before the first value is written.
            saved = {"out": branch, "save_mean": mean, "save_invstd": inverse}
            _batch_norm_into(branch, None, None, None, None, True, 0.0, BN_EPS, **saved)
            seen.append(inverse.double().pow(-2).mean() - BN_EPS)
        self.variances.append(torch.stack(seen))
        self.positions.append(self.half * features.shape[2] * features.shape[3])
        return features


def _sum(node: Tensor | None, term: Tensor, owned: bool = True) -> Tensor:
    """The sum so far plus a term; a first term of another node is copied, since sums grow in place."""
    if node is None:
        return term if owned else term.clone()
    return node.add_(term)


def _require_connected(cell: Cell) -> None:
    if not cell.is_connected:
        raise ScoreUndefined(
            f"Zen-Score of {cell}: no path leads from the input of the cell to its output, so the difference "
            "is 0"
        )


def cell_vcnn(cell: Cell, resolution: int = 32) -> VCNN:
    """The vanilla network of a cell.

    Skip edges and shortcuts are cut, pooling is kept, dead edges are left out. Every convolution is followed
    by BatchNorm and ReLU, and a node is the sum of what reaches it. The BatchNorm after the last cell follows
    no convolution and goes too. Differs: `to_vcnn` of the module keeps one branch of a sum, the deepest, and
    goes around a cell that is not connected.

    Raises:
        ScoreUndefined: no path is left when the skip edges are cut.
    """
    cut = cell.without_skips()
    _require_connected(cut)
    live = Cell(tuple(op if live else "none" for op, live in zip(cut.ops, cut.live, strict=True)))
    steps: list[Step] = []
    places = {IMAGE: IMAGE}  # of an operation the step that gives its map; shortcuts have none
    for index, operation in enumerate(live.as_graph(resolution).operations):
        inputs = tuple(places[source] for source in operation.inputs if source in places)
        if not inputs or (operation.kind == "pool" and operation.stride > 1):  # on a shortcut
            continue
        if operation.kind in ("norm", "relu") or (operation.kind == "add" and len(inputs) == 1):
            places[index] = inputs[0]
        else:
            steps.append(_step(operation, inputs, steps, resolution))
            places[index] = len(steps) - 1
    removed = ("shortcut",) * (cell.count("skip_connect") * CELLS_PER_STAGE * len(WIDTHS) + len(WIDTHS) - 1)
    return VCNN(tuple(steps), resolution, name=cell.to_string(), removed=(*removed, "classifier"))


def _step(operation: Operation, inputs: tuple[int, ...], steps: Sequence[Step], resolution: int) -> Step:
    source = None if inputs[0] == IMAGE else steps[inputs[0]]
    sizes: dict[str, Any] = {
        "name": operation.name,
        "inputs": inputs,
        "in_channels": source.out_channels if source else 3,
        "out_channels": operation.channels,
        "in_resolution": source.out_resolution if source else (resolution, resolution),
        "out_resolution": (operation.side, operation.side),
    }
    if operation.kind == "add":
        return Add(**sizes)
    window: dict[str, Any] = {
        "kernel": (operation.kernel, operation.kernel),
        "stride": (operation.stride, operation.stride),
    }
    if operation.kind == "pool":
        return Pool(kind="avg", padding=(operation.padding,) * 2, count_include_pad=False, **window, **sizes)
    return Conv(padding=(operation.padding,) * 4, **window, **sizes)
