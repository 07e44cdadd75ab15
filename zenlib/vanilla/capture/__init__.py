"""The vanilla network of any PyTorch module, by following what one run does to its feature maps.

`trace` lists the tensor functions that a run on shapes calls; `follow` says which tensors of that run are feature maps, by
the `rules` for each function; `layout` knows where the axes of a map lie after reshapes; `graph` collects the steps.
"""

from __future__ import annotations

from dataclasses import replace

from torch import nn

from zenlib.errors import ConversionError
from zenlib.vanilla.capture.follow import Follower
from zenlib.vanilla.capture.graph import Graph
from zenlib.vanilla.capture.rules import RULES
from zenlib.vanilla.capture.trace import record
from zenlib.vanilla.vcnn import VCNN

__all__ = ["capture"]

STOCHASTIC_DEPTH = ("StochasticDepth", "DropPath")
"""Class names of modules that drop a branch while training.

In evaluation they call no function that could be seen.
"""


def capture(module: nn.Module, resolution: int) -> VCNN:
    """Strips a module to its vanilla convolutional network.

    The module runs once on shapes alone, in evaluation mode, and is left as found. Nothing is computed, and
    its weights may lie on any device, "meta" included.

    - A sum keeps the branch with more convolutions; the other is a shortcut. At equal length, a branch with
      fewer spatial (not 1x1) convolutions is the shortcut. Branches equal in both stay, as an `Add` step.
    - A product keeps the feature map; the factor that is smaller, pooled, or went through a sigmoid or its
      like is a gate. A parameter as factor is a layer scale.
    - Attention is bypassed: as a branch of a sum it goes; in line it is replaced by its input, if it keeps
      the shape.
    - A linear layer on the channels is a 1x1 convolution. Zeros padded before a convolution are its own
      padding; other padding (reflection, ...) becomes zeros.
    - Slices, shuffles and concatenations of channels stay, and make the network a graph.
    - A convolution with a fixed kernel (blur pooling) counts as a convolution.
    - Where activations sit is not kept: a ReLU follows each convolution.
    - The network ends before global pooling, or where the map is flattened for a linear layer.

    What has no vanilla form is only an error where the output depends on it: a gate may compute whatever it
        likes.

    Args:
        module: a network that takes one batch of images.
        resolution: side of the square input image in pixels.

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
    if not isinstance(resolution, int) or isinstance(resolution, bool) or resolution < 1:
        raise ConversionError(f"resolution: needed a whole number of at least 1, got {resolution!r}")
    module = getattr(module, "_orig_mod", module)  # what torch.compile wraps
    in_channels = image_channels(module)
    trace = record(module, in_channels, resolution)
    vcnn = Follower(trace, Graph(in_channels, resolution), RULES).vcnn(type(module).__name__)
    dropped = sum(type(submodule).__name__ in STOCHASTIC_DEPTH for submodule in trace.modules)
    return replace(vcnn, removed=vcnn.removed + ("stochastic depth",) * dropped)


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
