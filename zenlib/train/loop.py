"""The training loop: one for all data sets, devices and recipes.

Every random draw is a function of the seed and of where in the training it happens, so that a training that
is killed and started again goes on as if nothing had been. A checkpoint is written after every epoch.
"""

from __future__ import annotations

import dataclasses
import math
import re
import sys
import time
from collections.abc import Iterable
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torchvision.transforms import v2
from tqdm import tqdm

from zenlib.durable import held, require_same_settings
from zenlib.errors import CheckpointError, ProcessLost, TrainingDiverged
from zenlib.networks.architecture import Architecture
from zenlib.networks.module import Network, build_network
from zenlib.train import checkpoint
from zenlib.train.augmentation import evaluation_transform, training_transform
from zenlib.train.batches import Transformed, drawing_from, epoch_parts, seed_of, steps_per_epoch
from zenlib.train.datasets import data_set, first_line, load_data
from zenlib.train.devices import Devices
from zenlib.train.devices import devices as joined
from zenlib.train.distillation import Student, Teacher, distillation_loss, load_teacher
from zenlib.train.evaluation import channels_of, evaluate_images, require_classes
from zenlib.train.recipes import Recipe, initialise, learning_rate, optimiser_of

CHECKPOINT = "last.pth"
LOG = "log.csv"
CHECKED_EVERY = 50
"""Steps between two looks at whether the loss is still finite: each look waits for the device."""

Row = dict[str, Any]


def train(
    architecture: Architecture | nn.Module,
    data: str,
    recipe: Recipe,
    out: Path,
    *,
    root: Path | None = None,
    seed: int = 0,
    workers: int = 0,
    accumulate: int = 1,
    device: str | torch.device | None = None,
    dtype: str = "float32",
    teacher_checkpoint: Path | None = None,
    until: int | None = None,
    progress: bool = True,
) -> list[Row]:
    """Trains a network, or goes on with the training in the folder.

    Under `torchrun` the images of a step are shared between the processes. The test accuracy is logged after
    every epoch but decides nothing: the result is the last epoch. Differs: the released code keeps the epoch
    that is best on the test images.

    Args:
        architecture: the network, which gets the data set's number of classes; or a module that has them,
            which is trained itself: the weights of its 2-d convolutions and linear layers are drawn anew.
        data: name of the data set.
        recipe: how to train.
        out: folder of `last.pth`, which holds the weights, and of `log.csv`.
        root: folder of the data set.
        seed: seed of weights, order and augmentation.
        workers: processes that load images for each device; 0 for this one.
        accumulate: passes that make up one step, for memory; a setting, as BatchNorm sees each by itself.
        device: "cpu" or "cuda"; None means CUDA if there is one.
        dtype: "float32", "bfloat16" or "float16" (CUDA only).
        teacher_checkpoint: file of the teacher's weights; None means that timm fetches them.
        until: epoch after which to stop for now, with the schedule of the whole training; None means its end.
        progress: whether to show it on standard error, with the time left.

    Returns:
        One row per epoch: `epoch`, `learning_rate` (at its end), `loss` (of training, everything included),
        `test_loss`, `test_top1`, `test_top5` (percent; of the averaged weights where the recipe averages),
        `seconds`, `cpu_seconds` (of this process, over all its threads, which other jobs do not lengthen).

    Raises:
        TrainingDiverged: the loss or the weights are not finite any more.
        DataMissing: the data set is not there.
        CheckpointError: the folder holds another, a damaged or a running training, or cannot be written.
        ProcessLost: one of several processes ended before the others.
    """
    with joined(device, dtype) as devices:
        # The first process keeps other trainings from the folder for all.
        alone = held(out / ".lock", "training", CheckpointError) if devices.rank == 0 else nullcontext()
        with alone:
            teacher = load_teacher(recipe, data_set(data), teacher_checkpoint) if recipe.teacher else None
            settings = (data, recipe, out, root, seed, workers, accumulate)
            return Training(architecture, *settings, devices, teacher).run(until, progress)


class Training:
    """A training in progress; see `train`."""

    def __init__(
        self,
        architecture: Architecture | nn.Module,
        data: str,
        recipe: Recipe,
        out: Path,
        root: Path | None,
        seed: int,
        workers: int,
        accumulate: int,
        devices: Devices,
        teacher: Teacher | None = None,
    ) -> None:
        self.recipe, self.seed, self.workers, self.accumulate = recipe, seed, workers, accumulate
        self.devices, self.teacher, self.path = devices, teacher, out / CHECKPOINT
        about, channels = data_set(data), channels_of(architecture)
        self.classes = about.classes
        transform = training_transform(recipe, about, channels)
        self.images = Transformed(load_data(data, root, training=True), transform)
        self.steps = steps_per_epoch(len(self.images), recipe.batch_size)
        transform = evaluation_transform(recipe.resolution, recipe.evaluation_crop, about, channels)
        self.test = Transformed(load_data(data, root, training=False), transform)
        if isinstance(architecture, Architecture):
            self.network: nn.Module = build_network(architecture, self.classes)
            name, gated = architecture.to_string(), architecture.use_se
        else:
            self.network = architecture
            _require_fit(architecture, channels, recipe, self.classes)
            shapes = [list(tensor.shape) for tensor in architecture.state_dict().values()]
            name, gated = f"{type(architecture).__name__}, weights {shapes}", False
        initialise(self.network, recipe, seed)
        self.model = self.network
        if teacher:
            teacher.model.to(devices.device)
            self.model = Student(cast(Network, self.network), cast(Any, architecture), teacher.widths)
        self.model.to(devices.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
        self.average: AveragedModel | None = None
        if recipe.averaging:
            moved = get_ema_multi_avg_fn(recipe.averaging)
            self.average = AveragedModel(self.network, multi_avg_fn=moved, use_buffers=True)
        self.optimiser = optimiser_of(self.model, recipe)
        self.scaler = torch.amp.GradScaler(devices.device.type, enabled=devices.dtype == "float16")
        self.wrapped: Any = devices.wrap(self.model)
        self.log: list[Row] = []
        how = {"data": data, "seed": seed, "dtype": devices.dtype, "accumulate": accumulate}
        self.settings = {"architecture": name, "use_se": gated} | how | dataclasses.asdict(recipe)

    def run(self, until: int | None = None, progress: bool = True) -> list[Row]:
        """Trains from where the folder is to the last epoch, or until one; returns the log."""
        self._resume()
        epochs, shown = self.recipe.epochs, progress and self.devices.rank == 0
        with tqdm(
            total=epochs * self.steps,
            initial=len(self.log) * self.steps,
            unit=" steps",
            desc="training",
            disable=not shown,
            smoothing=0.05,
            mininterval=1.0 if sys.stderr.isatty() else 60.0,
        ) as bar:
            for epoch in range(len(self.log), epochs if until is None else until):
                try:
                    self.log.append(self._epoch(epoch, bar))
                    self._save()
                except RuntimeError as error:
                    if self.devices.count == 1 or not _LOST.search(str(error)):
                        raise
                    raise ProcessLost(
                        f"training: needed all of {self.devices.count} processes, lost one "
                        f"({first_line(error)}); start all of them again: it goes on from {self.path}"
                    ) from error
                if shown:
                    tqdm.write(_line(self.log[-1], epochs), file=sys.stderr)
        return self.log

    def _epoch(self, epoch: int, bar: Any) -> Row:
        start, start_cpu = time.perf_counter(), time.process_time()
        loss = self._train_epoch(epoch, bar)
        self.devices.average_statistics(self.network)
        if self.average:
            self.devices.average_statistics(self.average.module)
        if not all(torch.isfinite(tensor).all() for tensor in self.network.state_dict().values()):
            raise self._diverged(epoch, "the weights are")
        shown = self.average.module if self.average else self.network
        size = self.recipe.batch_size // self.accumulate
        tested = evaluate_images(shown, self.test, self.classes, self.devices, size, self.workers)
        return {
            "epoch": epoch + 1,
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "loss": loss,
            "test_loss": tested.loss,
            "test_top1": tested.top1,
            "test_top5": tested.top5,
            "seconds": round(time.perf_counter() - start, 3),
            "cpu_seconds": round(time.process_time() - start_cpu, 3),
        }

    def _train_epoch(self, epoch: int, bar: Any) -> float:
        """One pass over the training images; returns the mean loss over all processes."""
        self.wrapped.train()
        rank, parts = self.devices.rank, self.devices.count * self.accumulate
        order = epoch_parts(len(self.images), self.recipe.batch_size, parts, self.seed, epoch)
        own = [part for step in order for part in step[rank :: self.devices.count]]
        self.images.seed = (self.seed, epoch)
        loaded = self.devices.loaded(self.images, own, self.workers)
        total = torch.zeros((), dtype=torch.float64, device=self.devices.device)
        for step in range(self.steps):
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate(self.recipe, epoch * self.steps + step, self.steps)
            total += self._step(islice(loaded, self.accumulate), epoch, step)
            if (step + 1) % CHECKED_EVERY == 0 or step + 1 == self.steps:
                mean = float(self.devices.sum(total.clone())) / self.devices.count / (step + 1)
                if not math.isfinite(mean):
                    raise self._diverged(epoch, "the loss is")
                bar.set_postfix_str(f"epoch {epoch + 1}/{self.recipe.epochs}, loss {mean:.3f}", refresh=False)
            bar.update()
        return mean

    def _step(self, parts: Iterable[tuple[Tensor, Tensor]], epoch: int, step: int) -> Tensor:
        """One step of the optimiser; returns the loss before it."""
        total = torch.zeros((), dtype=torch.float64, device=self.devices.device)
        for number, (images, labels) in enumerate(parts):
            seed = seed_of(self.seed, epoch, step, number * self.devices.count + self.devices.rank, _MIXUP)
            last = number == self.accumulate - 1  # processes exchange gradients once per step
            with self.wrapped.no_sync() if not last and self.devices.count > 1 else nullcontext():
                loss = self._loss(images, labels, seed) / self.accumulate
                self.scaler.scale(loss).backward()
            total += loss.detach().double()
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad(set_to_none=True)
        if self.average:
            self.average.update_parameters(self.network)
        return total

    def _loss(self, images: Tensor, labels: Tensor, seed: int) -> Tensor:
        recipe = self.recipe
        images, targets = _mixed(images, labels, recipe.mixup, self.classes, seed)
        with self.devices.autocast():
            output = self.wrapped(_scaled(images, recipe.resolution))
            logits = output[0] if self.teacher else output
            loss = functional.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
            return loss + distillation_loss(recipe, output, self.teacher(images)) if self.teacher else loss

    def _parts(self) -> dict[str, Any]:
        """What has a state, by its name in the checkpoint."""
        parts = {"optimiser": self.optimiser, "scaler": self.scaler, "state_dict": self.network}
        if self.average:
            parts["state_dict_ema"] = self.average.module
        if isinstance(self.model, Student):
            parts["projections"] = self.model.projections
        return parts

    def _save(self) -> None:
        """Writes checkpoint and log, by the first process; the others wait, not to be ahead."""
        if self.devices.rank == 0:
            state = {name: part.state_dict() for name, part in self._parts().items()}
            if self.average:
                state["averaged"] = int(self.average.n_averaged)
            checkpoint.write(self.path, state | {"settings": self.settings, "log": self.log})
            checkpoint.write_log(self.path.with_name(LOG), self.log)
        self.devices.wait()

    def _resume(self) -> None:
        state = checkpoint.read(self.path, "settings", "state_dict", "optimiser", "scaler", "log")
        if state is None:
            return
        settings = {"accumulate": 1} | state["settings"]  # which older checkpoints do not say
        require_same_settings(self.path, settings, self.settings, "training", CheckpointError)
        try:
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            if self.average:
                self.average.n_averaged.fill_(state["averaged"])
            self.log = [dict(row) for row in state["log"]]
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CheckpointError(
                f"{self.path}: needed the checkpoint of this training, got one that does not fit it "
                f"({type(error).__name__}: {first_line(error)}); choose another folder"
            ) from error
        if self.devices.rank == 0 and self.log:
            checkpoint.write_log(self.path.with_name(LOG), self.log)

    def _diverged(self, epoch: int, what: str) -> TrainingDiverged:
        good = "there is no checkpoint yet"
        if self.log:
            good = f"the last good checkpoint is {self.path}, after epoch {len(self.log)}"
        return TrainingDiverged(
            f"training: {what} not finite in epoch {epoch + 1}; {good}; lower learning_rate, raise "
            "warmup_epochs, or use bfloat16 or float32"
        )


_MIXUP = 1
"""Tells the seed of a mixed batch from that of an image."""
_LOST = re.compile("peer|[Cc]onnection|[Tt]imed? ?out")
"""What the devices say where another process does not answer."""


def _require_fit(network: nn.Module, channels: int, recipe: Recipe, classes: int) -> None:
    """Refuses a module that the recipe cannot train, before anything is loaded or drawn."""
    if recipe.teacher:
        raise ValueError("recipe: needed one without a teacher, which shows its features to blocks alone")
    images = torch.zeros(2, channels, recipe.resolution, recipe.resolution)
    with torch.no_grad():
        logits = network.train()(images)
    if not isinstance(logits, Tensor) or logits.dim() != 2:
        raise ValueError("network: needed a module that gives one row of logits for each image in training")
    require_classes(logits, classes)


def _mixed(images: Tensor, labels: Tensor, alpha: float, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    """Each image with its neighbour's share in it (Zhang et al. 2018), and the same mixture of the labels."""
    if not alpha:
        return images, labels
    with drawing_from(seed):
        return v2.MixUp(alpha=alpha, num_classes=classes)(images, labels)


def _scaled(images: Tensor, side: int) -> Tensor:
    """The images at the network's resolution, where they were loaded at the teacher's."""
    if images.shape[-1] == side:
        return images
    return functional.interpolate(images, size=(side, side), mode="bilinear", antialias=True)


def _line(row: Row, epochs: int) -> str:
    return (
        f"epoch {row['epoch']}/{epochs}: loss {row['loss']:.4f}, test loss {row['test_loss']:.4f}, "
        f"top-1 {row['test_top1']:.2f} %, top-5 {row['test_top5']:.2f} %, {row['seconds']:.0f} s"
    )
