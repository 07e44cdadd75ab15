"""A supernet: one set of weights that all networks of a small slice of the space share, trained once.

Every step trains one network of the slice, drawn uniformly, with its part of the weights of the largest one.
A network is then judged with the weights it got, without a training of its own.

Source: Guo et al. 2020 (arXiv 1904.00420), section 3: single path, uniform sampling, BatchNorm statistics
computed anew for each network. Differs: their blocks of one place share no weights; here a smaller kernel is
the middle of a larger one and a narrower layer the beginning of a wider one, as in Cai et al. 2020 (arXiv
1908.09791).
"""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from tqdm import tqdm

from zenlib.durable import require_same_settings
from zenlib.errors import CheckpointError
from zenlib.networks.architecture import Architecture, Block
from zenlib.networks.module import Network, build_network
from zenlib.train import checkpoint
from zenlib.train.augmentation import evaluation_transform, training_transform
from zenlib.train.batches import Transformed, epoch_parts, seed_of, steps_per_epoch
from zenlib.train.datasets import data_set, load_data
from zenlib.train.devices import Devices
from zenlib.train.evaluation import Evaluation, evaluate_images
from zenlib.train.recipes import Recipe, initialise, learning_rate

CHECKPOINT = "supernet.pth"
RECALIBRATION = 20
"""Batches of training images from which a network of the slice gets its BatchNorm statistics."""
_PATH = 2
"""Tells the seed of a drawn network from those of images."""
_RECALIBRATED = 1_000_000
"""Number of the epoch whose order and augmentation the recalibration takes: one that no training reaches."""


@dataclass(frozen=True)
class Slice:
    """Networks of one skeleton: each inner block chooses its kernel, inner width and number of layers."""

    # stem, inner residual blocks and head; the choices replace what the inner blocks say
    skeleton: Architecture
    kernels: tuple[int, ...] = (3, 5)  # sides of kernels to choose from
    widths: tuple[int, ...] = (8, 16)  # inner widths to choose from
    layers: tuple[int, ...] = (1, 2)  # numbers of layers to choose from

    def __post_init__(self) -> None:
        first, *inner, last = self.skeleton.blocks
        kinds = [block.kind for block in inner]
        if not inner or set(kinds) != {"residual"} or first.kind != "conv" or last.kind != "conv":
            raise ValueError(
                f"skeleton: needed residual blocks between a stem and a head, got {self.skeleton}"
            )

    @property
    def choices(self) -> list[tuple[int, int, int]]:
        """(kernel, inner width, layers) of one block, all combinations."""
        return list(itertools.product(self.kernels, self.widths, self.layers))

    @property
    def size(self) -> int:
        """Number of networks."""
        return len(self.choices) ** (len(self.skeleton.blocks) - 2)

    @property
    def largest(self) -> Architecture:
        """The network of which all others use a part."""
        return self._network(
            [(max(self.kernels), max(self.widths), max(self.layers))] * (len(self.skeleton.blocks) - 2)
        )

    def sample(self, rng: random.Random) -> Architecture:
        """A network, all being equally likely."""
        return self._network([rng.choice(self.choices) for _ in self.skeleton.blocks[1:-1]])

    def _network(self, chosen: list[tuple[int, int, int]]) -> Architecture:
        first, *inner, last = self.skeleton.blocks
        blocks = [
            replace(block, kernel=kernel, bottleneck=width, layers=layers)
            for block, (kernel, width, layers) in zip(inner, chosen, strict=True)
        ]
        return Architecture((first, *blocks, last))


class Supernet(nn.Module):
    """The weights of the largest network of a slice, and every network of it as a view of them."""

    def __init__(self, networks: Slice, num_classes: int) -> None:
        super().__init__()
        self.networks = networks
        self.num_classes = num_classes
        self.largest = cast(Network, build_network(networks.largest, num_classes))

    def forward(self, images: Tensor, architecture: Architecture) -> Tensor:
        """(N, C, H, W) to the logits (N, num_classes) of one network, BatchNorm by these."""
        network = cast(Network, build_network(architecture, self.num_classes)).to(
            images.device, memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        return functional_call(network.train(), self.weights(architecture), (images,))

    def weights(self, architecture: Architecture) -> dict[str, Tensor]:
        """Weights of one network by their names in it.

        Parts of the shared ones, through which gradients reach them.
        """
        shared = dict(self.largest.named_parameters())
        places = _places(architecture.blocks, self.networks.largest.blocks)
        with torch.device("meta"):
            own = build_network(architecture, self.num_classes).named_parameters()
        return {name: _part(shared[_renamed(name, places)], weight.shape) for name, weight in own}

    def extract(self, architecture: Architecture) -> Network:
        """A network of its own with a copy of its weights; its BatchNorms have no statistics yet."""
        network = cast(Network, build_network(architecture, self.num_classes))
        own = dict(network.named_parameters())
        with torch.no_grad():
            for name, weight in self.weights(architecture).items():
                own[name].copy_(weight)
        return network


def _places(blocks: Iterable[Block], largest: Iterable[Block]) -> list[int]:
    """For each unit of a network its number in the largest one: the first units of each block."""
    places: list[int] = []
    start = 0
    for block, whole in zip(blocks, largest, strict=True):
        places += range(start, start + len(block.units()))
        start += len(whole.units())
    return places


def _renamed(name: str, places: list[int]) -> str:
    head, _, rest = name.partition(".")
    if head != "features":
        return name
    unit, _, rest = rest.partition(".")
    return f"features.{places[int(unit)]}.{rest}"


def _part(weight: Tensor, shape: torch.Size) -> Tensor:
    """The first channels, and the middle of the kernel."""
    for dimension, size in enumerate(shape):
        spare = weight.shape[dimension] - size
        weight = weight.narrow(dimension, spare // 2 if dimension > 1 else 0, size)
    return weight


def train_supernet(
    networks: Slice,
    data: str,
    recipe: Recipe,
    out: Path,
    *,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
    progress: bool = True,
) -> tuple[Supernet, float]:
    """Trains the shared weights, or goes on with the training in the folder, epoch by epoch.

    The recipe's mixup, averaging of weights and teacher are not used.

    Args:
        networks: the slice.
        data: name of the data set.
        recipe: how to train.
        out: folder of the checkpoint.
        seed: of weights, order, augmentation and drawn networks.
        device: "cpu" or "cuda".
        dtype: floating type of autocast.
        progress: whether to show it.

    Returns:
        The supernet, and the processor seconds of its training.
    """
    about, devices = data_set(data), Devices(torch.device(device), dtype)
    images = Transformed(
        load_data(data, None, training=True), training_transform(recipe, about, networks.skeleton.in_channels)
    )
    supernet = Supernet(networks, about.classes)
    initialise(supernet.largest, recipe, seed)
    supernet.to(devices.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
    optimiser = torch.optim.SGD(
        supernet.parameters(),
        recipe.learning_rate,
        recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )
    settings = _settings(networks, data, recipe, seed, dtype)
    done, spent = _resume(out / CHECKPOINT, settings, supernet, optimiser)
    steps = steps_per_epoch(len(images), recipe.batch_size)
    with tqdm(
        total=recipe.epochs * steps,
        initial=done * steps,
        desc="supernet",
        unit=" steps",
        disable=not progress,
        mininterval=60.0,
    ) as bar:
        for epoch in range(done, recipe.epochs):
            start = time.process_time()
            images.seed = (seed, epoch)
            order = _order(len(images), recipe, seed, epoch)
            for step, batch in enumerate(devices.loaded(images, order)):
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(recipe, epoch * steps + step, steps)
                architecture = networks.sample(random.Random(seed_of(seed, epoch, step, _PATH)))
                _step(supernet, architecture, batch, optimiser, recipe, devices)
                bar.update()
            spent += time.process_time() - start
            state = {
                "state_dict": supernet.state_dict(),
                "optimiser": optimiser.state_dict(),
                "settings": settings,
                "epoch": epoch + 1,
            }
            checkpoint.write(out / CHECKPOINT, state | {"cpu_seconds": spent})
    return supernet, spent


def _order(images: int, recipe: Recipe, seed: int, epoch: int) -> list[list[int]]:
    """The batches of an epoch."""
    return [batch for (batch,) in epoch_parts(images, recipe.batch_size, 1, seed, epoch)]


def _step(
    supernet: Supernet,
    architecture: Architecture,
    batch: tuple[Tensor, Tensor],
    optimiser: torch.optim.Optimizer,
    recipe: Recipe,
    devices: Devices,
) -> None:
    """One step of the part of the weights that one network uses."""
    images, labels = batch
    with devices.autocast():
        loss = functional.cross_entropy(
            supernet(images, architecture), labels, label_smoothing=recipe.label_smoothing
        )
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()


def _settings(networks: Slice, data: str, recipe: Recipe, seed: int, dtype: str) -> dict[str, Any]:
    slice_of = {
        "largest": networks.largest.to_string(),
        "choices": [list(choice) for choice in networks.choices],
    }
    return slice_of | {"data": data, "seed": seed, "dtype": dtype, "recipe": repr(recipe)}


def _resume(
    path: Path, settings: dict[str, Any], supernet: Supernet, optimiser: torch.optim.Optimizer
) -> tuple[int, float]:
    """Takes up the stored training; epochs done and seconds spent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = checkpoint.read(path, "settings", "state_dict", "optimiser", "epoch", "cpu_seconds")
    if state is None:
        return 0, 0.0
    require_same_settings(path, state["settings"], settings, "supernet", CheckpointError)
    supernet.load_state_dict(state["state_dict"])
    optimiser.load_state_dict(state["optimiser"])
    return state["epoch"], state["cpu_seconds"]


def judge(
    supernet: Supernet,
    architecture: Architecture,
    data: str,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "cpu",
    dtype: str = "float32",
) -> Evaluation:
    """Accuracy with the shared weights, BatchNorm anew from `RECALIBRATION` batches of training images."""
    about, devices = data_set(data), Devices(torch.device(device), dtype)
    network = supernet.extract(architecture).to(devices.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the mean over all batches
    channels = architecture.in_channels
    images = Transformed(
        load_data(data, None, training=True),
        training_transform(recipe, about, channels),
        (seed, _RECALIBRATED),
    )
    parts = _order(len(images), recipe, seed, _RECALIBRATED)[:RECALIBRATION]
    network.train()
    with torch.no_grad(), devices.autocast():
        for inputs, _ in devices.loaded(images, parts):
            network(inputs)
    test = Transformed(
        load_data(data, None, training=False),
        evaluation_transform(recipe.resolution, recipe.evaluation_crop, about, channels),
    )
    return evaluate_images(network, test, about.classes, devices, recipe.batch_size)
