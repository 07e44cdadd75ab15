"""Proxies of many modules that begin alike: what two of them have in common is computed once.

A network is a sequence of parts, then global pooling and one linear layer. Weights are drawn part by part from one generator, whose
state is kept with the feature map behind every part, so a common beginning is computed once and every value is still the one
that `zenlib.proxies` gives for the whole module with the same seed. This works for what is read on the way forward or
between one part and the next: NASWOT, the parts of AZ-NAS, synflow (its derivative along the weights is carried forward), and
the Zen-Score of the module as it is built. Networks should come in the order of their parts, like words in a dictionary.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.modules.batchnorm import _BatchNorm

from experiments.benchmarks.module_zen import (
    PERTURBATION,
    Seen,
    as_standard_normal,
    log_sigmas,
    seen_variance,
)
from zenlib.proxies.az_nas import entropy, kept_size, random_signs
from zenlib.proxies.naswot import shared_states
from zenlib.proxies.patterns import Patterns
from zenlib.proxies.query import Query, prepare
from zenlib.proxies.synflow import without_batch_norm


class Part(Hashable, Protocol):
    """What networks are made of."""

    def build(self) -> nn.Module:
        """Its module; the weights do not matter."""


@dataclass(frozen=True)
class _Reached:
    """What is known behind a part.

    Attributes:
        features: of the module with the weights of the proxies, (N, C, H, W).
        branches: both branches with N(0, 1) weights, for the Zen-Score.
        flow: feature map of synflow, and its derivative along the weights.
        kernel: of NASWOT so far, (N, N).
        entropies: of the parts so far.
        kept: terms of trainability so far.
        minibatch: sum of log sigma so far, mini-batch variance.
        running: the same, running variance.
        weights: state of the generator of weights.
        signs: state of the generator of signs.
    """

    features: Tensor
    branches: tuple[Tensor, Tensor]
    flow: tuple[Tensor, Tensor]
    kernel: Tensor
    entropies: tuple[Tensor, ...]
    kept: tuple[Tensor, ...]
    minibatch: float
    running: float
    weights: Tensor
    signs: Tensor


class PrefixProxies:
    """Scores networks with one draw.

    Args:
        seed: of weights, images, noise and signs, 0 or more.
        batch_size: images in the mini-batch.
        resolution: side of the images, pixels.
        in_channels: of the images.
    """

    def __init__(
        self, seed: int = 0, *, batch_size: int = 16, resolution: int = 32, in_channels: int = 3
    ) -> None:
        query = Query(nn.Conv2d(in_channels, 1, 1), resolution, batch_size, seed, torch.device("cpu"))
        self._weights, self._signs = query.generator(0), query.generator(3)
        moved = query.images + PERTURBATION * torch.randn(query.images.shape, generator=query.generator(4))
        ones = torch.ones(1, *query.images.shape[1:], dtype=torch.float64)
        kernel = torch.zeros(batch_size, batch_size, dtype=torch.float64)
        flow = ones, torch.zeros_like(ones)
        states = self._weights.get_state(), self._signs.get_state()
        self._reached = [
            _Reached(query.images, (query.images, moved), flow, kernel, (), (), 0.0, 0.0, *states)
        ]
        self._parts: list[Part] = []

    def values(self, parts: Sequence[Part], classifier: nn.Linear) -> dict[str, float]:
        """The proxies of a network by name, and "built" and "built-running", its Zen-Scores as it is built.

        Args:
            parts: of the network, in order.
            classifier: a linear layer of the right size; its weights are drawn anew.
        """
        shared = 0
        while shared < min(len(parts), len(self._parts)) and parts[shared] == self._parts[shared]:
            shared += 1
        del self._parts[shared:], self._reached[shared + 1 :]
        for part in parts[shared:]:
            self._reached.append(self._after(self._reached[-1], part))
            self._parts.append(part)
        return self._read(self._reached[-1], classifier)

    def _after(self, reached: _Reached, part: Part) -> _Reached:
        self._weights.set_state(reached.weights)
        self._signs.set_state(reached.signs)
        module = prepare(part.build(), self._weights)
        kernel = reached.kernel.clone()
        before = reached.features.detach().requires_grad_(
            bool(reached.entropies)
        )  # nothing flows back to the images
        with torch.enable_grad(), Patterns(lambda pattern: kernel.add_(shared_states(pattern))):
            features = module(before)
        kept = reached.kept
        if before.requires_grad:
            signs = random_signs(features, self._signs)
            kept = (*kept, kept_size(torch.autograd.grad(features, before, signs)[0], signs))
        features = features.detach()
        branches, minibatch, running = _zen(as_standard_normal(copy.deepcopy(module)), reached.branches)
        return _Reached(
            features,
            branches,
            _flow(without_batch_norm(module), reached.flow),
            kernel,
            (*reached.entropies, entropy(features)),
            kept,
            reached.minibatch + minibatch,
            reached.running + running,
            self._weights.get_state(),
            self._signs.get_state(),
        )

    @torch.no_grad()
    def _read(self, last: _Reached, classifier: nn.Linear) -> dict[str, float]:
        self._weights.set_state(last.weights)
        weight = prepare(classifier, self._weights).get_parameter("weight").abs().double()
        flow, derivative = (features.mean((2, 3)) @ weight.T for features in last.flow)
        entropies = torch.stack(last.entropies)
        log_delta = float((last.branches[0] - last.branches[1]).double().abs().sum((1, 2, 3)).mean().log())
        return {
            "naswot": float(torch.linalg.slogdet(last.kernel).logabsdet),
            "synflow": float((flow + derivative).sum().log()),
            "az-expressivity": float(entropies.sum()),
            "az-progressivity": float(entropies.diff().min()),
            "az-trainability": float(torch.stack(last.kept).mean()),
            "built": log_delta + last.minibatch,
            "built-running": log_delta + last.running,
        }


def _flow(module: nn.Module, flow: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Synflow behind a module.

    The map with weights made positive, and its derivative as all weights grow in proportion.
    """
    weights = {name: weight.detach().abs().double() for name, weight in module.named_parameters()}
    value, derivative, *_ = jvp(
        lambda given, images: functional_call(module, given, (images,)),
        (weights, flow[0]),
        (weights, flow[1]),
    )
    return value.detach(), derivative.detach()


@torch.no_grad()
def _zen(module: nn.Module, branches: tuple[Tensor, Tensor]) -> tuple[tuple[Tensor, Tensor], float, float]:
    """Both branches behind a module, and what its BatchNorms add to the sums of log sigma, mini-batch and running."""
    seen: list[list[Seen]] = [[], []]
    outputs = []
    for images, variances in zip(branches, seen, strict=True):

        def note(_: nn.Module, inputs: tuple[Tensor], variances: list[Seen] = variances) -> None:
            variances.append(seen_variance(inputs[0]))

        hooks = [
            layer.register_forward_pre_hook(note)
            for layer in module.modules()
            if isinstance(layer, _BatchNorm)
        ]
        outputs.append(module(images))
        for hook in hooks:
            hook.remove()
    return (outputs[0], outputs[1]), *log_sigmas(*seen)
