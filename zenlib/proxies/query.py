"""What a proxy is asked: a network, images and a seed; and the fresh copy of the network that it measures.

All proxies measure networks prepared by one rule, so that what they disagree about is the network:

- weights are drawn from the seed, N(0, 2 / fan_in) for every convolution and linear layer (He et al. 2015),
  biases are 0 and BatchNorm starts fresh. Weights that the network had do not matter.
- BatchNorm uses the statistics of the mini-batch; everything else is in evaluation mode, so nothing is
  dropped at random.
- images are N(0, 1) and labels uniform, both drawn from the seed, unless a real batch is given.

Differs: the released codes of the proxies mix PyTorch's default initialisation, He's and Xavier's.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zenlib.errors import ScoreUndefined
from zenlib.networks.architecture import Architecture
from zenlib.networks.module import build_network
from zenlib.scores.forward import generator_of
from zenlib.vanilla.capture import CONVS, image_axes, image_shape

T = TypeVar("T")
Network = Architecture | nn.Module
Batch = tuple[Tensor, Tensor | None]

CLASSES = 10
"""Classes of the classifier that an `Architecture` is built with; a module keeps its own."""


@dataclass(frozen=True, eq=False)
class Query:
    """One question to a proxy: what is scored, on how many square images of what side, and on which draws.

    `batch` are real (images, labels), (N, C, H, W) and (N,); None draws them, or the labels alone.
    """

    network: Network
    resolution: int
    batch_size: int
    seed: int
    device: torch.device
    batch: Batch | None = None
    _known: dict[object, object] = field(default_factory=dict, init=False, repr=False)

    def generator(self, purpose: int) -> torch.Generator:
        """A generator on the CPU, so that every device sees the same numbers; one stream for each purpose."""
        return generator_of((self.seed, purpose), torch.device("cpu"))

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Of an image: (channels, height, width)."""
        if isinstance(self.network, Architecture):
            return self.network.in_channels, self.resolution, self.resolution
        return image_shape(self.network, self.resolution)

    @property
    def axes(self) -> int:
        """How many axes an image has."""
        return image_axes(self.network)

    @cached_property
    def images(self) -> Tensor:
        """(N, C, resolution, resolution), on the device."""
        if self.batch is not None:
            return self.batch[0].to(self.device)
        return torch.randn((self.batch_size, *self.shape), generator=self.generator(1)).to(self.device)

    def labels(self, classes: int) -> Tensor:
        """(N,), on the device."""
        if self.batch is not None and self.batch[1] is not None:
            if not 0 <= (least := self.batch[1].min()) <= (most := self.batch[1].max()) < classes:
                raise ValueError(
                    f"batch: needed labels from 0 to {classes - 1}, as the network gives {classes} scores, "
                    f"got {least:g} to {most:g}"
                )
            return self.batch[1].to(self.device)
        return (torch.rand(self.batch_size, generator=self.generator(2)) * classes).long().to(self.device)

    @cached_property
    def module(self) -> nn.Module:
        """A copy of the network with fresh weights, on the device; refused without numbers or 2-d images."""
        module = as_module(self.network)
        if self.axes != 2:
            raise ValueError(
                f"network: needed 2-d convolutions, got {self.axes}-d ones, for which this proxy is "
                "not defined; the Zen-Score, the Phi-Score and counts (params, flops, layers) are"
            )
        if any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers())):
            raise ValueError(
                "network: needed weights in memory, got some on the meta device; "
                "module.to_empty(device='cpu') makes room for them"
            )
        module = copy.deepcopy(module).float().to(self.device)  # float16 weights are drawn anew all the same
        if not any(parameter.requires_grad for parameter in module.parameters()):
            module.requires_grad_()  # a frozen network is scored like one that is not
        return prepare(module, self.generator(0))

    @cached_property
    def weights(self) -> list[Tensor]:
        """Kernels and matrices of `module`; ScoreUndefined where there is none or one is frozen."""
        found = [layer.weight for layer in weighted_layers(self.module)]
        frozen = sum(not weight.requires_grad for weight in found)
        if not found or frozen:
            raise ScoreUndefined(
                f"network: needed nn.Conv2d or nn.Linear layers that can be trained, got {len(found)}, of "
                f"which {frozen} are frozen (requires_grad is False)"
            )
        return found

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Those of `module` that can be trained."""
        return [parameter for parameter in self.module.parameters() if parameter.requires_grad]

    def once(self, compute: Callable[[Query], T]) -> T:
        """What `compute` gives for this query, computed when first asked for: proxies can share a pass."""
        if compute not in self._known:
            self._known[compute] = compute(self)
        return self._known[compute]  # type: ignore[return-value]

    def outputs(self, images: Tensor) -> Tensor:
        """(N, classes) for (N, C, H, W), which a module must give, or it is a ValueError."""
        return require_rows(self.module(images), len(images))

    def loss(self) -> Tensor:
        """Mean cross entropy of the mini-batch."""
        outputs = self.outputs(self.images)
        return F.cross_entropy(outputs, self.labels(outputs.shape[1]))

    def weight_gradients(self, loss: Tensor, create_graph: bool = False) -> list[Tensor]:
        """Gradients with respect to `weights`; zeros where the loss does not depend on one."""
        return list(
            torch.autograd.grad(loss, self.weights, create_graph=create_graph, materialize_grads=True)
        )


@contextmanager
def hooked(layers: Iterable[nn.Module], note: Callable[[nn.Module, Tensor], object]) -> Iterator[None]:
    """While active, calls back with each of these layers that ran and the tensor that it gave."""

    def hook(layer: nn.Module, _: object, output: object) -> None:
        if isinstance(output, Tensor):
            note(layer, output)

    with ExitStack() as hooks:
        for layer in layers:
            hooks.enter_context(layer.register_forward_hook(hook))  # type: ignore[arg-type]  # stubs lack it
        yield


def innermost(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of a module that have none inside."""
    return (layer for layer in module.modules() if not list(layer.children()))


def centred(rows: Tensor) -> Tensor:
    """In float64, each row minus its mean."""
    rows = rows.double()
    return rows - rows.mean(1, keepdim=True)


def loss_gradients(query: Query) -> list[Tensor]:
    """Gradients of the loss of the mini-batch with respect to the weights."""
    return query.weight_gradients(query.loss())


def as_module(network: Network) -> nn.Module:
    """The module of a network; an `Architecture` is built without gates, which the scores ignore."""
    if isinstance(network, torch.jit.ScriptModule):
        raise ValueError(
            "network: needed a module of nn layers, got a scripted or traced one, whose layers cannot be "
            "seen; score the module that it was made from"
        )
    return build_network(network, CLASSES, use_se=False) if isinstance(network, Architecture) else network


def not_compiled(module: nn.Module) -> nn.Module:
    """What `torch.compile` was given, or a copy of it: compiled code calls no hook, so would seem empty."""
    module = getattr(module, "_orig_mod", module)
    if not any(hasattr(part, "_orig_mod") or part._compiled_call_impl for part in module.modules()):
        return module
    module = copy.deepcopy(module)  # which drops what `module.compile()` made
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            setattr(parent, name, getattr(child, "_orig_mod", child))
    return module


def weighted_layers(module: nn.Module, axes: int = 2) -> Iterator[Any]:
    """The convolutions over so many axes and the linear layers of a module, in order."""
    return (layer for layer in module.modules() if isinstance(layer, (CONVS[axes - 1], nn.Linear)))


@torch.no_grad()
def prepare(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """Draws fresh weights and sets the modes, in place: see above."""
    module.eval()
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            fan_in = layer.weight[0].numel()
            layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator) * (2 / fan_in) ** 0.5)
            if layer.bias is not None:
                layer.bias.zero_()
        elif isinstance(layer, _BatchNorm):
            layer.reset_parameters()
            layer.train()
    return module


def require_rows(output: object, images: int) -> Tensor:
    """The output of a classifier as (images, classes)."""
    if not isinstance(output, Tensor) or output.dim() != 2 or len(output) != images:
        shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        needed = f"one row of class scores per image ({images}, classes)"
        raise ValueError(f"network: needed a module that gives {needed}, got {shape}")
    return output
