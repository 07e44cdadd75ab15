"""The Zen-Score of many chains that begin alike: what two of them have in common is computed once.

A chain is scored layer by layer, and the maps of the layers of the chain before are kept. Where the next chain begins with the
same layers it goes on from there; so chains should come in the order of their layers, like words in a dictionary. All chains of
a seed share their images, and the weights of a layer depend on the seed, its place and its shape alone (common random
numbers): a score does not depend on which chains were scored before.

Precision: the two branches are subtracted in float32. With alpha = 0.01 this costs the last digits of the difference, a
thousandth of a nat; `zenlib.scores.zen` carries the difference instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from zenlib.scores.forward import BN_EPS, convolve
from zenlib.scores.zen import BN_MOMENTUM, BnVariance, Norm
from zenlib.vanilla.vcnn import VCNN, Conv


class ChainTerms(NamedTuple):
    """The terms of every definition for one draw, in nats.

    Attributes:
        log_delta_l1: log of the batch mean of the sum of absolute differences.
        log_delta_frobenius: the same with the Euclidean norm.
        log_sigma_minibatch: sum over layers of log sqrt(sigma^2 + eps), sigma^2 the mini-batch variance
            averaged over channels.
        log_sigma_running: the same sum for the running variance of the released code after both branches.
    """

    log_delta_l1: float
    log_delta_frobenius: float
    log_sigma_minibatch: float
    log_sigma_running: float

    def score(self, norm: Norm = "l1", bn_variance: BnVariance = "minibatch") -> float:
        """The score under one definition."""
        log_delta = self.log_delta_l1 if norm == "l1" else self.log_delta_frobenius
        return log_delta + (
            self.log_sigma_minibatch if bn_variance == "minibatch" else self.log_sigma_running
        )


@dataclass(frozen=True)
class _Layer:
    """A finished layer.

    What it was, both branches after BatchNorm and ReLU, and the sums of log sigma so far.
    """

    conv: Conv
    branches: Tensor
    log_sigma_minibatch: float
    log_sigma_running: float


class PrefixScorer:
    """Scores chains with one draw of weights and images.

    Args:
        seed: of weights, images and noise, 0 or more.
        batch_size: images in the mini-batch.
        resolution: side of the images, pixels.
        in_channels: of the images.
        perturbation: alpha.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        batch_size: int = 16,
        resolution: int = 32,
        in_channels: int = 3,
        perturbation: float = 0.01,
    ) -> None:
        self.seed, self.batch_size, self.resolution = seed, batch_size, resolution
        self._weights: dict[tuple[int, ...], Tensor] = {}
        self._layers: list[_Layer] = []
        shape = (batch_size, in_channels, resolution, resolution)
        images, noise = self._drawn((0, 0), shape), self._drawn((0, 1), shape)
        self._images = torch.cat([images, images + perturbation * noise]).contiguous(
            memory_format=torch.channels_last
        )

    @torch.no_grad()
    def terms(self, chain: VCNN) -> ChainTerms:
        """The terms of one chain.

        Raises:
            ValueError: the network is no chain of convolutions, or for other images.
        """
        convs = self._checked(chain)
        shared = 0
        while shared < min(len(convs), len(self._layers)) and convs[shared] == self._layers[shared].conv:
            shared += 1
        del self._layers[shared:]
        for place in range(shared, len(convs)):
            self._layers.append(self._after(convs[place], place))
        last = self._layers[-1]
        difference = (last.branches[: self.batch_size] - last.branches[self.batch_size :]).double()
        l1, frobenius = (
            float(torch.linalg.vector_norm(difference, order, dim=(1, 2, 3)).mean().log()) for order in (1, 2)
        )
        return ChainTerms(l1, frobenius, last.log_sigma_minibatch, last.log_sigma_running)

    def weights(self, chain: VCNN) -> list[Tensor]:
        """The kernels of a chain, for a reference."""
        return [self.weight(conv, place) for place, conv in enumerate(chain.convs)]

    def weight(self, conv: Conv, place: int) -> Tensor:
        """The kernel of the layer at a place; kept, since chain after chain asks for it."""
        key = (1 + place, *conv.weight_shape)
        if key not in self._weights:
            self._weights[key] = self._drawn((1, place), conv.weight_shape).contiguous(
                memory_format=torch.channels_last
            )
        return self._weights[key]

    def _checked(self, chain: VCNN) -> list[Conv]:
        """The layers without their names and places."""
        if len(chain.convs) != len(chain.steps) or not chain.is_chain:
            raise ValueError(
                f"chain: needed a chain of convolutions alone, got {chain.name} with "
                f"{len(chain.steps) - len(chain.convs)} other steps"
            )
        if (chain.resolution, chain.in_channels) != (self.resolution, self._images.shape[1]):
            raise ValueError(
                f"chain: needed images of {self._images.shape[1]} x {self.resolution} x {self.resolution}, "
                f"got {chain.in_channels} x {chain.resolution} x {chain.resolution}"
            )
        return [replace(conv, name="", inputs=()) for conv in chain.convs]

    def _after(self, conv: Conv, place: int) -> _Layer:
        before = self._layers[-1] if self._layers else _Layer(conv, self._images, 0.0, 0.0)
        output = convolve(conv, before.branches, self.weight(conv, place))
        variances = []
        for branch in (output[: self.batch_size], output[self.batch_size :]):
            variance, mean = torch.var_mean(branch, (0, 2, 3), correction=0, keepdim=True)
            branch.sub_(mean).mul_(torch.rsqrt(variance + BN_EPS)).relu_()
            variances.append(float(variance.double().mean()))
        positions = self.batch_size * output.shape[2] * output.shape[3]
        keep = 1 - BN_MOMENTUM
        running = keep**2 + BN_MOMENTUM * positions / (positions - 1) * (keep * variances[0] + variances[1])
        minibatch_sum = before.log_sigma_minibatch + math.log(variances[0] + BN_EPS) / 2
        return _Layer(conv, output, minibatch_sum, before.log_sigma_running + math.log(running) / 2)

    def _drawn(self, name: tuple[int, ...], shape: tuple[int, ...]) -> Tensor:
        """N(0, 1) numbers that depend on the seed, the name and the shape."""
        state = np.random.SeedSequence([self.seed, *name, *shape]).generate_state(1, np.uint64)[0]
        return torch.randn(shape, generator=torch.Generator().manual_seed(int(state)))
