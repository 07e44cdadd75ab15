"""The conversion of anything to a vanilla convolutional network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zenlib.errors import ConversionError
from zenlib.networks.architecture import Architecture
from zenlib.vanilla.vcnn import VCNN, Conv, Step

if TYPE_CHECKING:
    import torch


def to_vcnn(
    network: Architecture | VCNN | torch.nn.Module,
    resolution: int | None = None,
    in_channels: int | None = None,
) -> VCNN:
    """Strips a network to its vanilla convolutional network.

    Shortcuts with their projections, gates, normalisation, biases and whatever follows global pooling are
    left out; every activation becomes ReLU, and a convolution that has none is given one.

    Args:
        network: an `Architecture`; any PyTorch module whose graph can be captured; or a `VCNN`, returned as
            it is.
        resolution: side of the input image in pixels: a square, a signal for 1-d convolutions, a cube for 3-d
            ones. None means 224, or 64 for cubes, or the resolution of a given `VCNN`.
        in_channels: channels of the image. None means those of the network; for a module, those of its first
            convolution, and 3 or 1 where it does not run on these.

    Raises:
        ArchitectureError: the resolution is too small for the strides of an `Architecture`.
        ConversionError: the module has no vanilla form, or cannot be captured, or an argument contradicts the
            network.

    Source: Lin et al. 2021, section 3.2 and Algorithm 1, step 1.
    """
    if isinstance(network, (Architecture, VCNN)) and in_channels not in (None, network.in_channels):
        raise ConversionError(
            f"in_channels: this network takes images of {network.in_channels} channels, got {in_channels!r}"
        )
    if isinstance(network, VCNN):
        if resolution not in (None, network.resolution):
            raise ConversionError(
                f"resolution: this VCNN was converted at {network.resolution}, got {resolution}; convert the "
                f"network again at {resolution}"
            )
        return network
    if isinstance(network, Architecture):
        return _from_architecture(network, 224 if resolution is None else resolution)
    from zenlib.vanilla.capture import capture  # torch is needed only here

    return capture(network, resolution, in_channels)


def _from_architecture(architecture: Architecture, resolution: int) -> VCNN:
    steps: list[Step] = []
    removed: list[str] = []
    for number, (unit, side) in enumerate(architecture.unit_resolutions(resolution)):
        for position, conv in enumerate(unit.convs):
            out_side, margin = -(-side // conv.stride), (conv.kernel - 1) // 2
            steps.append(
                Conv(
                    name=f"unit {number} conv {position}",
                    inputs=(len(steps) - 1,),
                    in_channels=conv.in_channels,
                    out_channels=conv.out_channels,
                    in_resolution=(side, side),
                    out_resolution=(out_side, out_side),
                    kernel=(conv.kernel, conv.kernel),
                    stride=(conv.stride, conv.stride),
                    padding=(margin,) * 4,
                    groups=conv.groups,
                )
            )
            side = out_side
        removed += ["shortcut"] * unit.residual + ["projection"] * (unit.projection is not None)
        removed += ["gate"] * (architecture.use_se and unit.gated is not None)
    removed.append("classifier")
    return VCNN(tuple(steps), resolution, architecture.in_channels, "an architecture", tuple(removed))
