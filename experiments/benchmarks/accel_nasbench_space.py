"""Accel-NASBench: 5,138 chains of inverted bottlenecks that others trained alike on ImageNet-1k.

The skeleton is that of MnasNet and EfficientNet-B0: seven stages of fixed widths and strides. Searched are,
for each stage, the expansion, the kernel, the number of layers, and whether its blocks have a gate
(squeeze-and-excitation).

Source: Ahmad et al. 2024 (arXiv 2404.08005), as described with its published list of architectures.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Literal, NamedTuple

import pandas as pd
from torch import nn

from experiments.benchmarks.bottlenecks import Bottleneck, Shape, append, rectified
from experiments.benchmarks.tables import read_table
from zenlib.errors import ArchitectureError
from zenlib.scores.graph_form.operations import Graph, Operation
from zenlib.vanilla.vcnn import VCNN, Conv

RESOLUTION = 224
STEM = 32
WIDTHS = (16, 24, 40, 80, 112, 192, 320)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
HEAD = 1280
CLASSES = 1000
GATE = 4
"""The inside of a gate has this many times fewer channels than its block reads."""
CHOICES = {"expansion": (1, 4, 6), "kernel": (3, 5), "layers": (1, 2, 3, 4), "se": (0, 1)}
SOURCE = "the architectures of Accel-NASBench (Ahmad et al. 2024), without accuracies"


class Network(NamedTuple):
    """One network; each field has one number a stage."""

    expansion: tuple[int, ...]  # inner channels of a bottleneck over those that it reads
    kernel: tuple[int, ...]  # side of its depthwise convolutions
    layers: tuple[int, ...]  # bottlenecks of the stage
    se: tuple[int, ...]  # 1 where they have a gate

    def checked(self) -> Network:
        """The network itself.

        Raises:
            ArchitectureError: it is not one of the space.
        """
        for name, values in self._asdict().items():
            if len(values) != len(WIDTHS) or set(values) - set(CHOICES[name]):
                raise ArchitectureError(
                    f"{name}: needed {len(WIDTHS)} numbers of {CHOICES[name]}, one a stage, got {values}"
                )
        return self

    @property
    def has_gates(self) -> bool:
        """Whether any of its blocks has a gate."""
        return any(self.se)

    def blocks(self) -> list[Shape]:
        """Its bottlenecks, in order."""
        found, width = [], STEM
        for out, first, e, k, n, gated in zip(WIDTHS, STRIDES, *self.checked(), strict=True):
            for position in range(n):
                stride = first if position == 0 else 1
                found.append(Shape(width, out, e * width, k, stride, width // GATE if gated else 0))
                width = out
        return found


@cache
def architectures() -> pd.DataFrame:
    """The published list: fields of `Network` as text, `macs_M`, `params_M`, throughputs and latencies.

    Raises:
        BenchmarkMissing: the user has not brought it.
    """
    columns = {name: f"text: {name} of the seven stages, joined by -" for name in CHOICES}
    columns |= {"id": "number of the network", "macs_M": "10^6 multiply-adds", "params_M": "10^6 parameters"}
    return read_table("accel_nasbench_architectures.csv", columns, SOURCE)


@cache
def networks() -> list[Network]:
    """The networks of the list, in its order."""
    fields = (architectures()[name].str.split("-") for name in Network._fields)
    return [Network(*(tuple(map(int, part)) for part in row)).checked() for row in zip(*fields, strict=True)]


def build(network: Network, num_classes: int = CLASSES) -> nn.Sequential:
    """The trainable network, with ReLU: images (N, 3, 224, 224) to logits (N, num_classes)."""
    blocks = network.blocks()
    return nn.Sequential(
        *rectified(3, STEM, 3, 2),
        *(Bottleneck(shape) for shape in blocks),
        *rectified(blocks[-1].out, HEAD, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(HEAD, num_classes),
    )


def vanilla(network: Network) -> VCNN:
    """What `to_vcnn` makes of the built module, without building it; gates and shortcuts are cut."""
    convs: list[Conv] = []
    add = partial(append, convs, RESOLUTION)
    add(STEM, 3, 2)
    for shape in network.blocks():
        if shape.inner != shape.reads:
            add(shape.inner, 1)
        add(shape.inner, shape.kernel, shape.stride, groups=shape.inner)
        add(shape.out, 1)
    add(HEAD, 1)
    return VCNN(tuple(convs), RESOLUTION)


def graph(network: Network) -> Graph:
    """What `graph_of` reads from the built module, without building it; its blocks are marked."""
    operations: list[Operation] = []
    convs = iter(vanilla(network).convs)

    def add(*kinds: Literal["conv", "norm", "relu"]) -> None:
        conv = next(convs)
        shape = conv.out_channels, conv.out_resolution[0]
        window = conv.kernel[0], conv.stride[0], conv.padding[0], 1, conv.groups
        for kind in kinds:
            sides = window if kind == "conv" else ()
            operations.append(Operation(kind, conv.name, (len(operations) - 1,), *shape, *sides))

    add("conv", "norm", "relu")
    marks = [0]  # AZ-NAS reads convolutions outside of blocks before their BatchNorm
    for block in network.blocks():
        reads = len(operations) - 1
        for _ in range(1 + (block.inner != block.reads)):
            add("conv", "norm", "relu")
        add("conv", "norm")
        if block.has_shortcut:
            last = operations[-1]
            operations.append(Operation("add", "", (reads, len(operations) - 1), last.channels, last.side))
        marks.append(len(operations) - 1)
    marks.append(len(operations))
    add("conv", "norm", "relu")
    return Graph("Accel-NASBench", tuple(operations), len(operations) - 1, 3, RESOLUTION, marks=tuple(marks))


def params(network: Network) -> int:
    """Parameters of the built network with BatchNorm, gates and classifier, by arithmetic."""
    chain = vanilla(network)
    gates = sum(
        2 * shape.inner * shape.gate + shape.inner + shape.gate for shape in network.blocks() if shape.gate
    )
    norms = 2 * sum(conv.out_channels for conv in chain.convs)
    return chain.weights + norms + gates + (HEAD + 1) * CLASSES


def relu_units(network: Network) -> int:
    """Values that meet a ReLU in one forward pass of one image, those inside gates included."""
    found = STEM * (RESOLUTION // 2) ** 2
    side = RESOLUTION // 2
    for shape in network.blocks():
        found += shape.inner * side**2 if shape.inner != shape.reads else 0
        side = (side - 1) // shape.stride + 1
        found += shape.inner * side**2 + shape.gate
    return found + HEAD * side**2


def multiply_adds(network: Network) -> int:
    """Multiply-adds of convolutions, gates and classifier for one image, by arithmetic.

    The published `macs_M` adds four operations for each value that a BatchNorm reads, and the average
    poolings.
    """
    gates = sum(2 * shape.inner * shape.gate for shape in network.blocks())
    return vanilla(network).flops + gates + HEAD * CLASSES
