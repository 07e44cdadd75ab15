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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
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
from zenlib.train.batches import Transformed, drawing_from, epoch_parts, loader, seed_of, steps_per_epoch
from zenlib.train.datasets import data_set, load_data
from zenlib.train.devices import Devices, Precision
from zenlib.train.devices import devices as joined
from zenlib.train.distillation import Student, Teacher, distillation_loss, load_teacher
from zenlib.train.evaluation import channels_of, evaluate_images, require_classes
from zenlib.train.initialisation import initialise
from zenlib.train.recipes import Recipe, learning_rate

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
        accumulate: passes whose gradients make up one step, for memory; BatchNorm sees each by itself, so it
            is a setting.
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
        CheckpointError: the folder holds a training of other settings, a damaged one, or one that goes on
            now; or it cannot be written.
        ProcessLost: one of several processes ended before the others.
    """
    with joined(device) as devices, ExitStack() as stack:
        if devices.rank == 0:  # which keeps other trainings from the folder for all
            stack.enter_context(held(out / ".lock", "training", CheckpointError))
        teacher = load_teacher(recipe, data_set(data), teacher_checkpoint) if recipe.teacher else None
        settings = (data, recipe, out, root, seed, workers, accumulate)
        training = Training(architecture, *settings, devices, Precision(devices.device, dtype), teacher)
        return training.run(until, progress)


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
        precision: Precision,
        teacher: Teacher | None = None,
    ) -> None:
        self.recipe, self.seed, self.workers, self.accumulate = recipe, seed, workers, accumulate
        self.devices, self.precision = devices, precision
        self.path, self.log_path = out / CHECKPOINT, out / LOG
        about = data_set(data)
        self.classes, channels = about.classes, channels_of(architecture)
        self.images = load_data(data, root, training=True)
        self.transform = training_transform(recipe, about, channels)
        self.test = Transformed(
            load_data(data, root, training=False),
            evaluation_transform(recipe.resolution, recipe.evaluation_crop, about, channels),
        )
        if isinstance(architecture, Architecture):
            self.network: nn.Module = build_network(architecture, about.classes)
            named = {"architecture": architecture.to_string(), "use_se": architecture.use_se}
        else:
            self.network = architecture
            _require_fit(architecture, channels, recipe, self.classes)
            shapes = [list(tensor.shape) for tensor in architecture.state_dict().values()]
            named = {"architecture": f"{type(architecture).__name__}, weights {shapes}", "use_se": False}
        initialise(self.network, recipe, seed)
        self.model, self.teacher = self.network, teacher
        self.average: AveragedModel | None = None
        if teacher:
            teacher.to(devices.device)
            own = cast(Network, self.network), cast(Architecture, architecture)
            self.model = Student(*own, teacher.widths)
        self.model.to(devices.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # stubs lack it
        if recipe.averaging:
            moved = get_ema_multi_avg_fn(recipe.averaging)
            self.average = AveragedModel(self.network, multi_avg_fn=moved, use_buffers=True)
        self.optimiser = _optimiser(self.model, recipe)
        self.scaler = precision.scaler()
        self.wrapped: Any = devices.wrap(self.model)
        self.log: list[Row] = []
        also = {"data": data, "seed": seed, "dtype": precision.dtype, "accumulate": accumulate}
        self.settings = named | also | dataclasses.asdict(recipe)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return steps_per_epoch(len(self.images), self.recipe.batch_size)

    def run(self, until: int | None = None, progress: bool = True) -> list[Row]:
        """Trains from where the folder is to the last epoch, or until one; returns the log."""
        self._resume()
        epochs, shown = self.recipe.epochs, progress and self.devices.rank == 0
        steps: dict[str, Any] = {
            "total": epochs * self.steps,
            "initial": len(self.log) * self.steps,
            "unit": " steps",
        }
        often = 1.0 if sys.stderr.isatty() else 60.0
        with tqdm(**steps, desc="training", disable=not shown, smoothing=0.05, mininterval=often) as bar:
            for epoch in range(len(self.log), epochs if until is None else until):
                with self._all_there():
                    row = self._epoch(epoch, bar)
                    self.log.append(row)
                    self._save()
                if shown:
                    tqdm.write(_line(row, epochs), file=sys.stderr)
        return self.log

    @contextmanager
    def _all_there(self) -> Iterator[None]:
        """Says that another process was lost, where the devices only say that nobody answers."""
        try:
            yield
        except RuntimeError as error:
            if self.devices.count > 1 and re.search("peer|[Cc]onnection|[Tt]imed? ?out", str(error)):
                raise ProcessLost(
                    f"training: needed all of {self.devices.count} processes, lost one "
                    f"({str(error).splitlines()[0]}); start all of them again: it goes on from {self.path}"
                ) from error
            raise

    def _epoch(self, epoch: int, bar: Any) -> Row:
        start, start_cpu = time.perf_counter(), time.process_time()
        loss = self._train_epoch(epoch, bar)
        self.devices.average_statistics(self.network)
        if self.average:
            self.devices.average_statistics(self.average.module)
        if not all(torch.isfinite(tensor).all() for tensor in self.network.state_dict().values()):
            raise self._diverged(epoch, "the weights are")
        tested = evaluate_images(
            self.average.module if self.average else self.network,
            self.test,
            self.classes,
            batch_size=self.recipe.batch_size // self.accumulate,
            workers=self.workers,
            devices=self.devices,
            precision=self.precision,
        )
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
        total = torch.zeros((), dtype=torch.float64, device=self.devices.device)
        for step, parts in enumerate(self._steps(epoch)):
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate(self.recipe, epoch * self.steps + step, self.steps)
            total += self._step(parts, epoch, step)
            if (step + 1) % CHECKED_EVERY == 0 or step + 1 == self.steps:
                mean = float(self.devices.sum(total.clone())) / self.devices.count / (step + 1)
                if not math.isfinite(mean):
                    raise self._diverged(epoch, "the loss is")
                bar.set_postfix_str(f"epoch {epoch + 1}/{self.recipe.epochs}, loss {mean:.3f}", refresh=False)
            bar.update()
        return mean

    def _steps(self, epoch: int) -> Iterator[list[tuple[Tensor, Tensor]]]:
        """For each step the parts of this process, loaded."""
        parts = self.devices.count * self.accumulate
        order = epoch_parts(len(self.images), self.recipe.batch_size, parts, self.seed, epoch)
        own = [step[part] for step in order for part in range(self.devices.rank, parts, self.devices.count)]
        dataset = Transformed(self.images, self.transform, (self.seed, epoch))
        loaded = iter(loader(dataset, own, self.workers, pinned=self.devices.device.type == "cuda"))
        for _ in order:
            yield [next(loaded) for _ in range(self.accumulate)]

    def _step(self, parts: list[tuple[Tensor, Tensor]], epoch: int, step: int) -> Tensor:
        """One step of the optimiser; returns the loss before it."""
        total = torch.zeros((), dtype=torch.float64, device=self.devices.device)
        for number, (images, labels) in enumerate(parts):
            seed = seed_of(self.seed, epoch, step, number * self.devices.count + self.devices.rank, _MIXUP)
            last = number == len(parts) - 1  # processes exchange gradients once per step
            with self.wrapped.no_sync() if not last and self.devices.count > 1 else nullcontext():
                images, labels = self.precision.moved(images), labels.to(self.devices.device)
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
        with self.precision.autocast():
            output = self.wrapped(_scaled(images, recipe.resolution))
            logits = output[0] if self.teacher else output
            loss = functional.cross_entropy(logits, targets, label_smoothing=recipe.label_smoothing)
            return loss + distillation_loss(recipe, output, self.teacher(images)) if self.teacher else loss

    def _parts(self) -> dict[str, Any]:
        """What has a state, by its name in the checkpoint."""
        parts: dict[str, Any] = {"optimiser": self.optimiser, "scaler": self.scaler}
        parts["state_dict"] = self.network
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
            checkpoint.write_log(self.log_path, self.log)
        self.devices.wait()

    def _resume(self) -> None:
        state = checkpoint.read(self.path, "settings", "state_dict", "optimiser", "scaler", "log")
        if state is None:
            return
        # A checkpoint from before this setting was recorded is taken for one without accumulation, the
        # command's default.
        try:
            settings = {"accumulate": 1} | state["settings"]
            require_same_settings(self.path, settings, self.settings, "training", CheckpointError)
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            if self.average:
                self.average.n_averaged.fill_(state["averaged"])
            self.log = [dict(row) for row in state["log"]]
            if self.devices.rank == 0 and self.log:
                checkpoint.write_log(self.log_path, self.log)
        except CheckpointError:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CheckpointError(
                f"{self.path}: needed the checkpoint of this training, got one that does not fit it "
                f"({type(error).__name__}: {str(error).splitlines()[0]}); choose another folder"
            ) from error

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


def _require_fit(network: nn.Module, channels: int, recipe: Recipe, classes: int) -> None:
    """Refuses a module that the recipe cannot train, before anything is loaded or drawn."""
    if recipe.teacher:
        raise ValueError(
            "recipe: a teacher shows its features to residual units, which a module does not name; choose a "
            "recipe without one"
        )
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


def _optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in model.parameters() if parameter.dim() <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.SGD(
        groups,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=recipe.nesterov,
    )


def _line(row: Row, epochs: int) -> str:
    return (
        f"epoch {row['epoch']}/{epochs}: loss {row['loss']:.4f}, test loss {row['test_loss']:.4f}, "
        f"top-1 {row['test_top1']:.2f} %, top-5 {row['test_top5']:.2f} %, {row['seconds']:.0f} s"
    )
