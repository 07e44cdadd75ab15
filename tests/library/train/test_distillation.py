"""Learning from a teacher: the loss by hand, and a student that comes closer to its teacher."""

from __future__ import annotations

import dataclasses

import pytest
import timm
import torch
from torch.nn import functional

from tests.library.train.small import few_digits
from zenlib import Architecture, build_network
from zenlib.networks.zennets import ZENNETS, zennet_architecture
from zenlib.train.augmentation import training_transform
from zenlib.train.datasets import DATASETS
from zenlib.train.devices import Devices
from zenlib.train.distillation import Student, Teacher, distillation_loss, load_teacher, taps
from zenlib.train.loop import Training, _scaled
from zenlib.train.recipes import RECIPES

NETWORK = Architecture.from_string(
    "SuperConvK3BNRELU(3,8,2,1)SuperResK3K3(8,8,2,8,1)SuperResK3K3(8,16,2,16,1)SuperResK3K3(16,16,2,16,1)SuperResK3K3(16,24,2,24,1)"
    "SuperConvK1BNRELU(24,32,1,1)"
)
RECIPE = dataclasses.replace(
    RECIPES["digits"],
    epochs=2,
    warmup_epochs=1,
    batch_size=16,
    resolution=32,
    teacher="test_efficientnet",
    teacher_resolution=64,
)


@pytest.fixture(scope="module", autouse=True)
def images():
    with pytest.MonkeyPatch.context() as patch:
        few_digits(patch)
        yield


@pytest.fixture(scope="module")
def teacher():
    torch.manual_seed(0)
    return Teacher(timm.create_model("test_efficientnet", pretrained=False, num_classes=10))


def test_the_teachers_logits_are_those_of_its_own_forward_pass(teacher):
    images = torch.randn(2, 3, 64, 64)
    logits, maps = teacher(images)
    torch.testing.assert_close(logits, teacher.model(images))
    assert [tuple(m.shape[1:]) for m in maps] == [(teacher.widths[0], 4, 4), (teacher.widths[1], 2, 2)]


def test_the_teacher_never_trains(teacher):
    before = {name: tensor.clone() for name, tensor in teacher.model.state_dict().items()}
    teacher(torch.randn(4, 3, 64, 64))
    assert not teacher.model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.model.state_dict().items())
    assert not any(parameter.requires_grad for parameter in teacher.model.parameters())


@pytest.mark.parametrize("name", [name for name in ZENNETS if not name.endswith("M")])
def test_every_imagenet_network_has_the_maps_that_are_compared(name):
    architecture = zennet_architecture(name)
    sides = {}
    for position, (unit, side) in enumerate(architecture.unit_resolutions(224)):
        for conv in unit.convs:
            side = -(-side // conv.stride)
        sides[position] = side
    assert [sides[tap] for tap in taps(architecture)] == [14, 7]
    assert all(architecture.units[tap].residual for tap in taps(architecture))


def test_a_network_that_does_not_scale_down_enough_is_refused():
    with pytest.raises(ValueError, match="needed residual units at 1/16 and 1/32"):
        taps(zennet_architecture("zennet-1.0M"))


def test_the_student_gives_the_networks_logits_and_maps_of_the_teachers_widths(teacher):
    network = build_network(NETWORK, 10).eval()
    student = Student(network, NETWORK, teacher.widths).eval()
    images = torch.randn(2, 3, 64, 64)
    logits, maps = student(images)
    torch.testing.assert_close(logits, network(images))
    assert [tuple(m.shape[1:]) for m in maps] == [(teacher.widths[0], 4, 4), (teacher.widths[1], 2, 2)]


def test_the_loss_is_the_sum_of_its_parts_by_hand():
    recipe = dataclasses.replace(RECIPE, logit_weight=0.5, feature_weight=3.0)
    generator = torch.Generator().manual_seed(0)
    logits, wanted = torch.randn(4, 10, generator=generator), torch.randn(4, 10, generator=generator)
    maps = [torch.randn(4, 6, 4, 4, generator=generator), torch.randn(4, 8, 2, 2, generator=generator)]
    targets = [torch.randn(4, 6, 8, 8, generator=generator), torch.randn(4, 8, 2, 2, generator=generator)]
    soft = -(wanted.softmax(1) * logits.log_softmax(1)).sum(1).mean()
    fitted = targets[0].view(4, 6, 4, 2, 4, 2).mean((3, 5))
    feature = (
        functional.smooth_l1_loss(maps[0], fitted) + functional.smooth_l1_loss(maps[1], targets[1])
    ) / 2
    torch.testing.assert_close(
        distillation_loss(recipe, (logits, maps), (wanted, targets)), 0.5 * soft + 3 * feature
    )


def training(tmp_path, teacher, recipe=RECIPE, seed=0):
    devices = Devices(torch.device("cpu"))
    return Training(NETWORK, "digits", recipe, tmp_path, None, seed, 0, 1, devices, teacher)


def test_a_student_comes_closer_to_its_teacher_and_goes_on_where_it_was(teacher, tmp_path):
    recipe = dataclasses.replace(RECIPE, learning_rate=0.2, init_gain=1.4, feature_weight=20.0)
    features_alone = dataclasses.replace(recipe, logit_weight=0.0)
    images = torch.stack(
        [
            training_transform(recipe, DATASETS["digits"])(
                training(tmp_path, teacher).images.images[index][0]
            )
            for index in range(64)
        ]
    )

    def distance(run):
        run.model.eval()
        with torch.no_grad():
            return distillation_loss(
                features_alone, run.model(_scaled(images, recipe.resolution)), teacher(images)
            ).item()

    untrained = distance(training(tmp_path, teacher, recipe))
    run = training(tmp_path, teacher, recipe)
    first = run.run(1, progress=False)
    again = training(tmp_path, teacher, recipe)
    log = again.run(progress=False)
    assert log[0] == first[0] and len(log) == 2
    assert distance(again) < 0.8 * untrained
    assert any(name.startswith("projections") for name, _ in again.model.named_parameters())


def test_a_teacher_that_timm_does_not_know_or_cannot_fetch_is_named(monkeypatch):
    with pytest.raises(ValueError, match="needed the name of a timm model"):
        load_teacher(dataclasses.replace(RECIPE, teacher="zen_teacher"), DATASETS["imagenet"])

    def offline(*arguments, **options):
        raise OSError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ValueError, match="--teacher-checkpoint"):
        load_teacher(RECIPE, DATASETS["imagenet"])


def test_a_teacher_of_other_data_is_refused(tmp_path):
    torch.save(
        timm.create_model("test_efficientnet", pretrained=False).state_dict(), tmp_path / "teacher.pth"
    )
    with pytest.raises(ValueError, match="needed one for 10 classes"):
        load_teacher(RECIPE, DATASETS["digits"], tmp_path / "teacher.pth")
    assert load_teacher(RECIPE, DATASETS["imagenet"], tmp_path / "teacher.pth").model.num_classes == 1000


def test_a_teacher_without_maps_at_the_right_scales_is_refused():
    with pytest.raises(ValueError, match="needed feature maps at 1/16 and 1/32"):
        Teacher(timm.create_model("test_vit", pretrained=False))
