"""How the published parameters and multiply-adds were counted, and whether ours agree with their digits.

The paper's digits are those of one rule, on networks without gates: kernels, biases and the classifier as in
`Architecture.flops`, and two operations per value that a BatchNorm gives, so that a network has up to 2.5 %
more than by ours. Some digits are rounded and some cut off. The README counted zennet-900M-SE with its gates,
which explains why it prints 6.1 million more parameters than the paper for the same network.

Source: Lin et al. 2021 (arXiv 2102.01063), Tables 4 and 7; README of the released code. The rule is inferred:
it is the only one of those tried that gives every digit.
"""

from __future__ import annotations

from dataclasses import replace

from zenlib.networks.architecture import Architecture, squeezed_width

_UNITS = {"M": 1e6, "G": 1e9}


def without_gates(architecture: Architecture) -> Architecture:
    """The same network without squeeze-and-excitation, which is what the paper's sizes are about."""
    return replace(architecture, use_se=False)


def operations(architecture: Architecture, resolution: int, num_classes: int = 1000) -> int:
    """Multiply-adds of one image by the rule of the published digits.

    Adds to `Architecture.flops` two operations per value of a BatchNorm, one per value of a projection's
    bias, and one per value that is averaged by a gate.
    """
    total = architecture.flops(resolution, num_classes)
    for unit, side in architecture.unit_resolutions(resolution):
        for position, conv in enumerate(unit.convs):
            side = -(-side // conv.stride)
            values = conv.out_channels * side**2
            total += 2 * values
            if architecture.use_se and unit.gated == position:
                total += values + 2 * (squeezed_width(conv.out_channels) + conv.out_channels)
        if unit.projection:
            total += 3 * unit.projection.out_channels * side**2
    return total


def agreement(printed: str, count: float) -> str | None:
    """How a printed size follows from a count: "rounded", "cut off", or None where it does not.

    Args:
        printed: digits and a unit, such as "30.1M" or "1.7G".
        count: the number of parameters or multiply-adds.
    """
    unit, decimals = _unit(printed), len(printed[:-1].partition(".")[2])
    steps, wanted = count / unit * 10**decimals, round(float(printed[:-1]) * 10**decimals)
    if round(steps) == wanted:
        return "rounded"
    return "cut off" if int(steps) == wanted else None


def as_number(printed: str) -> float:
    """A printed size such as "1.7G" as a number."""
    return _unit(printed) * float(printed[:-1])


def _unit(printed: str) -> float:
    if not printed or printed[-1] not in _UNITS:
        raise ValueError(f"printed: needed digits followed by M or G, such as '30.1M', got {printed!r}")
    return _UNITS[printed[-1]]
