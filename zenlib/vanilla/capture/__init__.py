"""The vanilla network of any PyTorch module, by following what one run does to its feature maps.

`trace` lists the tensor functions that a run on shapes calls; `follow` says which tensors of that run are
feature maps, by the `rules` for each function; `layout` knows where the axes of a map lie after reshapes;
`graph` collects the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from zenlib.errors import ConversionError, whole
from zenlib.vanilla.capture.follow import Follower
from zenlib.vanilla.capture.graph import Graph
from zenlib.vanilla.capture.rules import RULES
from zenlib.vanilla.capture.trace import BATCH, RunFailed, Trace, record
from zenlib.vanilla.vcnn import VCNN

__all__ = ["capture"]

STOCHASTIC_DEPTH = ("StochasticDepth", "DropPath")
"""Class names of modules that drop a branch while training.

In evaluation they call no function that could be seen.
"""
SIDES = (28, 32, 64, 96, 112, 128, 160, 192, 224, 240, 256, 288, 299, 320, 331, 384, 448, 480, 512, 600, 640)
"""Sides of images that networks are commonly made for; what refuses one of them may take another."""


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

    What has no vanilla form is only an error where the output depends on it: a gate may compute whatever it
        likes.

    Args:
        module: a network that takes one batch of images.
        resolution: side of the square input image in pixels; None means 224.
        in_channels: channels of the image. None means those of the first convolution, and 3 or 1 where the
            module does not run on these.

    Raises:
        ConversionError: there is no 2-d convolution; the output needs something that has no vanilla form
            (upsampling, other convolutions, a product of two maps, ...); the network is a transformer; its
            run depends on the values of the image; the resolution is too small for its kernels or strides.

    Source: Lin et al. 2021 (arXiv 2102.01063), section 3.2, for what a vanilla network keeps.
    """
    if not isinstance(module, nn.Module):
        raise ConversionError(
            f"network: needed an Architecture, a VCNN or a torch.nn.Module, got {type(module).__name__}"
        )
    side = 224 if resolution is None else whole("resolution", resolution, error=ConversionError)
    module = getattr(module, "_orig_mod", module)  # what torch.compile wraps
    guess = image_channels(module)
    channels = (
        (guess, 3, 1) if in_channels is None else (whole("in_channels", in_channels, error=ConversionError),)
    )
    vcnn, trace = _first(lambda c: _vanilla(module, c, side), dict.fromkeys(channels), module, side)
    dropped = sum(type(submodule).__name__ in STOCHASTIC_DEPTH for submodule in trace.modules)
    return replace(vcnn, removed=vcnn.removed + ("stochastic depth",) * dropped)


def _first(
    run: Callable[[int], tuple[VCNN, Trace]], channels: Iterable[int], module: nn.Module, side: int
) -> tuple[VCNN, Trace]:
    """The first run that does not fail, or else what the first one said, with what would work instead."""
    failed: list[RunFailed] = []
    for count in channels:
        try:
            return run(count)
        except RunFailed as error:
            failed.append(error)
    told = str(failed[0])
    part = next((name for name in TRUNKS if isinstance(getattr(module, name, None), nn.Module)), None)
    if not failed[0].reads:
        works = next((other for other in SIDES if other != side and _runs(module, channels, other)), None)
        told += f"; it failed at {side} x {side}"
        if works is not None:
            told += f" but runs at {works} x {works}: give resolution={works} if it is made for such images"
        else:
            counts = ", ".join(map(str, channels))
            told += f" on images of {counts} channels, and at other sizes: give in_channels"
    if part is not None:
        told += f"; its part .{part} may be what to convert"
    raise ConversionError(told) from failed[0]


TRUNKS = ("backbone", "encoder", "trunk", "body", "features")
"""Names by which detectors and segmenters keep the network that reads the image."""


def _runs(module: nn.Module, channels: Iterable[int], side: int) -> bool:
    for count in channels:
        try:
            record(module, count, side)
        except RunFailed as error:
            if not error.reads:
                continue
        return True
    return False


def _vanilla(module: nn.Module, in_channels: int, side: int) -> tuple[VCNN, Trace]:
    name = type(module).__name__
    try:
        trace = record(module, in_channels, side)
    except RunFailed as error:
        if not error.reads or any(tensor.is_meta for tensor in module.parameters()):
            raise
        return _seen_on_images(module, in_channels, side, error)
    return Follower(trace, Graph(in_channels, side), RULES).vcnn(name), trace


def _seen_on_images(module: nn.Module, in_channels: int, side: int, refusal: RunFailed) -> tuple[VCNN, Trace]:
    """The network of a module that reads values, if it is the same on a random batch and on its opposite."""
    drawn = torch.rand(
        (BATCH, in_channels, side, side), generator=torch.Generator().manual_seed(0), dtype=torch.float32
    )
    pairs: tuple[tuple[Tensor, Tensor], ...] = ((2 * drawn - 1, 1 - 2 * drawn), (drawn, 1 - drawn))
    for images in pairs:  # some modules insist on values from 0 to 1
        try:
            traces = [record(module, in_channels, side, batch) for batch in images]
        except RunFailed as error:
            failure = error
            continue
        seen = [Follower(t, Graph(in_channels, side), RULES).vcnn(type(module).__name__) for t in traces]
        if seen[0] != seen[1]:
            raise refusal
        note = "nothing that was looked at (the graph is that of two random batches)"
        return replace(seen[0], removed=(*seen[0].removed, note)), traces[0]
    raise RunFailed(f"{refusal}; on random images {failure}")


def image_channels(module: nn.Module) -> int:
    """Channels of the image that a module takes: those of its first 2-d convolution.

    Where convolutions are no submodules of their own (exported or scripted programs), the first 4-d parameter
    tells them.

    Raises:
        ConversionError: it has no 2-d convolution, or one whose channels are not known yet.
    """
    convs = [submodule for submodule in module.modules() if isinstance(submodule, nn.modules.conv._ConvNd)]
    flat = [conv.in_channels for conv in convs if isinstance(conv, nn.Conv2d)]
    if not convs:
        flat = [
            parameter.shape[1]
            for parameter in module.parameters()
            if not nn.parameter.is_lazy(parameter) and parameter.dim() == 4
        ]
    if not flat:
        found = ", ".join(sorted({type(conv).__name__ for conv in convs})) or "no convolution"
        raise ConversionError(
            f"{type(module).__name__}: needed at least one Conv2d, found {found}; a vanilla network is made "
            "of 2-d convolutions"
        )
    if flat[0] < 1:
        raise ConversionError(
            f"{type(module).__name__}: needed known channels, got a lazy convolution; run the module once on "
            "an image first"
        )
    return flat[0]
