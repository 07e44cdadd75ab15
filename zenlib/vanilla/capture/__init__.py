"""The vanilla network of any PyTorch module, by following what one run does to its feature maps.

`trace` lists the tensor functions that a run on shapes calls; `follow` says which tensors of that run are
feature maps, by the `rules` for each function; `layout` knows where the axes of a map lie after reshapes;
`graph` collects the steps.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import torch
from torch import nn

from zenlib.errors import ConversionError, whole
from zenlib.vanilla.capture.follow import Follower
from zenlib.vanilla.capture.graph import Graph
from zenlib.vanilla.capture.rules import RULES
from zenlib.vanilla.capture.trace import BATCH, ReadsValues, RunFailed, record
from zenlib.vanilla.vcnn import VCNN, Sizes, times

__all__ = ["capture"]

STOCHASTIC_DEPTH = ("StochasticDepth", "DropPath")
"""Modules that drop a branch while training; in evaluation they call no function that could be seen."""
SIDES = (28, 32, 64, 96, 112, 128, 160, 192, 224, 240, 256, 288, 299, 320, 331, 384, 448, 480, 512, 600, 640)
"""Sides of images that networks are commonly made for; what refuses one of them may take another."""
LENGTHS = (1000, 1024, 2048, 4096, 5000, 8000, 16000, 16384, 22050, 32000, 44100, 48000, 65536, 160000)
"""Lengths of signals that networks are commonly made for."""
TRUNKS = ("backbone", "encoder", "trunk", "body", "features")
"""Names by which detectors and segmenters keep the network that reads the image."""


def capture(module: nn.Module, resolution: int | None = None, in_channels: int | None = None) -> VCNN:
    """Strips a module to its vanilla convolutional network.

    The module runs once on shapes alone, in evaluation mode, and is left as found. Nothing is computed, and
    its weights may lie on any device, "meta" included. A module that looks at values, as an assert or a hook
    does, runs twice on random images instead; if both runs give one network, that is noted.

    - A sum keeps the branch with more convolutions; the other is a shortcut. At equal length, a branch with
      fewer spatial (not 1x1) convolutions is the shortcut. Branches equal in both stay, as an `Add` step.
    - Branches of one input without an activation in them are one convolution, whatever their number: the
      widest kernel stays, and of equal ones the branch with fewer convolutions.
    - A product keeps the feature map; the factor that is smaller, pooled, or went through a sigmoid or its
      like is a gate. A parameter as factor is a layer scale. A comparison is a mask, which is a gate.
    - Attention is bypassed: as a branch of a sum it goes; in line it is replaced by its input, if it keeps
      the shape.
    - A linear layer on the channels is a 1x1 convolution. Zeros padded before a convolution are its own
      padding; other padding (reflection, ...) becomes zeros. A convolution that reads pixels which were put
      beside the channels is one with a wider kernel and stride.
    - Slices, shuffles and concatenations of channels stay, and make the network a graph. A sum over groups of
      channels is a sum of slices. Cropped rows and columns are a `Pad` step with negative widths.
    - A convolution with a fixed kernel (blur pooling) counts as a convolution.
    - Where activations sit is not kept: a ReLU follows each convolution.
    - The network ends before global pooling, or where the map is flattened for a linear layer. An average
      over rows or columns alone is pooling.

    What has no vanilla form is only an error where the output depends on it: a gate may compute anything.
    For the arguments and errors see `zenlib.to_vcnn`.
    """
    if not isinstance(module, nn.Module):
        raise ConversionError(
            f"network: needed an Architecture, a VCNN or a torch.nn.Module, got {type(module).__name__}"
        )
    if resolution is not None:
        resolution = whole("resolution", resolution, error=ConversionError)
    module = getattr(module, "_orig_mod", module)  # what torch.compile wraps
    guess, *sides = image_shape(module, resolution)
    channels = (
        (guess, 3, 1) if in_channels is None else (whole("in_channels", in_channels, error=ConversionError),)
    )
    return _first(module, {(count, *sides): None for count in channels})


def _first(module: nn.Module, shapes: Collection[Sizes]) -> VCNN:
    """The first run that does not fail, or else what the first one said, with what would work instead."""
    failed: list[RunFailed] = []
    for shape in shapes:
        try:
            return _vanilla(module, shape)
        except RunFailed as error:
            failed.append(error)
    told = str(failed[0])
    if not isinstance(failed[0], ReadsValues):
        _, side, *others = next(iter(shapes))
        axes = 1 + len(others)
        sides = (*SIDES, *LENGTHS) if axes == 1 else SIDES
        tries = ((at, (count, *(at,) * axes)) for at in sides if at != side for count, *_ in shapes)
        works = next((at for at, shape in tries if _runs(module, shape)), None)
        told += f"; it failed at {times((side, *others))}"
        if works is not None:
            told += f" but runs at {times((works,) * axes)}: give resolution={works} if it is made for that"
        else:
            counts = ", ".join(str(shape[0]) for shape in shapes)
            told += f" on images of {counts} channels, and at other sizes: give in_channels"
    part = next((name for name in TRUNKS if isinstance(getattr(module, name, None), nn.Module)), None)
    told += f"; its part .{part} may be what to convert" if part else ""
    raise ConversionError(told) from failed[0]


def _runs(module: nn.Module, shape: Sizes) -> bool:
    try:
        record(module, shape)
    except RunFailed as error:
        return isinstance(error, ReadsValues)
    return True


def _vanilla(module: nn.Module, shape: Sizes) -> VCNN:
    """The network of one run on shapes, or of two on images if the module reads values."""
    try:
        return _followed(module, shape)
    except ReadsValues as error:
        if any(tensor.is_meta for tensor in module.parameters()):
            raise
        refusal = error
    drawn = torch.rand((BATCH, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.float32)
    for images in ((2 * drawn - 1, 1 - 2 * drawn), (drawn, 1 - drawn)):  # some insist on values from 0 to 1
        try:
            seen, opposite = (_followed(module, shape, batch) for batch in images)
        except RunFailed as error:
            failure = error
            continue
        if seen != opposite:
            raise refusal
        note = "nothing that was looked at (the graph is that of two random batches)"
        return replace(seen, removed=(*seen.removed, note))
    raise RunFailed(f"{refusal}; on random images {failure}")


def _followed(module: nn.Module, shape: Sizes, images: torch.Tensor | None = None) -> VCNN:
    trace = record(module, shape, images)
    graph = Graph(shape[0], shape[1], axes=len(shape) - 1)
    vcnn = Follower(trace, graph, RULES).vcnn(type(module).__name__)
    dropped = sum(type(submodule).__name__ in STOCHASTIC_DEPTH for submodule in trace.modules)
    return replace(vcnn, removed=vcnn.removed + ("stochastic depth",) * dropped)


CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def image_shape(module: nn.Module, resolution: int | None = None) -> Sizes:
    """The shape (channels, height, width) of the image that a module takes, by its first convolution.

    That is its first 2-d one, else its first one: an image of a 1-d convolution is (channels, length), of a
    3-d one (channels, depth, height, width). Where convolutions are no submodules of their own (exported or
    scripted programs), the first 4-d parameter tells them. Without a resolution it is `usual_side`.

    Raises:
        ConversionError: it has no convolution, or one whose channels are not known yet.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, nn.modules.conv._ConvNd)]
    axes = image_axes(module)
    channels = [layer.in_channels for layer in layers if isinstance(layer, CONVS[axes - 1])]
    if not layers:
        known = (each for each in module.parameters() if not nn.parameter.is_lazy(each))
        channels = [parameter.shape[1] for parameter in known if parameter.dim() == 4]
    if not channels:
        found = ", ".join(sorted({type(layer).__name__ for layer in layers})) or "no convolution"
        raise ConversionError(
            f"{type(module).__name__}: needed at least one Conv1d, Conv2d or Conv3d, found {found}; a "
            "vanilla network is made of convolutions"
        )
    if channels[0] < 1:
        raise ConversionError(
            f"{type(module).__name__}: needed known channels, got a lazy convolution; run the module once on "
            "an image first"
        )
    return channels[0], *(usual_side(module) if resolution is None else resolution,) * axes


def image_axes(module: object) -> int:
    """How many axes the image of a network has: 2, unless all its convolutions have others."""
    layers = module.modules() if isinstance(module, nn.Module) else ()
    axes = [len(layer.kernel_size) for layer in layers if isinstance(layer, CONVS)]
    return 2 if not axes or 2 in axes else axes[0]


def usual_side(network: object) -> int:
    """Side of the images of a network that says nothing: 224, or 64 for cubes, which are large."""
    return 64 if image_axes(network) == 3 else 224
