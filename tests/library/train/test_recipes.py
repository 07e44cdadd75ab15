"""Recipes, schedule, initialisation, augmentation and order: what they promise, in numbers."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from zenlib import build_network
from zenlib.networks.module import ResidualUnit
from zenlib.networks.zennets import zennet_architecture
from zenlib.train.augmentation import evaluation_transform, lit, training_transform
from zenlib.train.batches import Transformed, drawing_from, epoch_parts, seed_of
from zenlib.train.datasets import DATASETS
from zenlib.train.loop import _mixed
from zenlib.train.recipes import RECIPES, changed, initialise, learning_rate, optimiser_of

CIFAR, IMAGENET = RECIPES["cifar"], RECIPES["imagenet"]


def test_the_papers_recipes_are_complete():
    for recipe, epochs, decay in ((CIFAR, 1440, 5e-4), (IMAGENET, 480, 4e-5)):
        assert (recipe.epochs, recipe.weight_decay, recipe.learning_rate) == (epochs, decay, 0.1)
        assert (recipe.momentum, recipe.nesterov, recipe.warmup_epochs, recipe.bn_momentum) == (
            0.9,
            True,
            5,
            0.01,
        )
        assert (recipe.label_smoothing, recipe.mixup, recipe.random_erasing) == (0.1, 0.2, 0.5)
        assert recipe.zero_last_norm and recipe.auto_augment
    assert (IMAGENET.teacher, IMAGENET.resolution, IMAGENET.teacher_resolution) == (
        "tf_efficientnet_b3.ns_jft_in1k",
        224,
        320,
    )
    assert learning_rate(CIFAR, 5 * 10, 10) == pytest.approx(0.025)  # 0.1 per 256 images at batch 64


def test_the_rate_rises_over_the_warm_up_and_falls_to_nothing():
    rates = [learning_rate(IMAGENET, step, 10) for step in range(4800)]
    highest = 0.1 * IMAGENET.batch_size / 256
    assert rates[0] == pytest.approx(highest / 50)
    assert rates[49] == rates[50] == pytest.approx(highest)
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates[49:]))
    assert rates[50 + 4750 // 2] == pytest.approx(highest / 2)
    assert 0 < rates[-1] < 1e-5 * highest


def test_changes_are_read_by_the_type_of_the_attribute():
    recipe = changed(CIFAR, ["epochs=7", "mixup=0", "nesterov=false", "crop=none", "learning_rate=2e-1"])
    assert (recipe.epochs, recipe.mixup, recipe.nesterov, recipe.crop, recipe.learning_rate) == (
        7,
        0.0,
        False,
        "none",
        0.2,
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("epoch=3", "needed name=value with one of epochs"),
        ("epochs", "needed name=value"),
        ("epochs=3.5", "needed a whole number"),
        ("mixup=much", "needed a number"),
        ("nesterov=1", "needed true or false"),
        ("crop=round", "needed one of none, padded, resized"),
        ("warmup_epochs=1440", "needed 0 to less than epochs"),
        ("label_smoothing=1.5", "needed 0 to 1"),
        ("teacher_resolution=320", "needed a side with a teacher"),
        ("batch_size=1", "at least 2, for BatchNorm"),
    ],
)
def test_changes_that_make_no_recipe_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        changed(CIFAR, [change])


def test_weights_start_as_the_recipe_says_and_from_the_seed_alone():
    network = build_network(zennet_architecture("zennet-0.5M"), 10)
    initialise(network, CIFAR, seed=3)
    conv = max((m for m in network.modules() if isinstance(m, nn.Conv2d)), key=lambda m: m.weight.numel())
    fans = (conv.in_channels + conv.out_channels) * conv.kernel_size[0] ** 2
    assert conv.weight.std().item() == pytest.approx(3.26 * math.sqrt(2 / fans), rel=0.05)
    assert {m.momentum for m in network.modules() if isinstance(m, nn.BatchNorm2d)} == {0.01}
    again = build_network(zennet_architecture("zennet-0.5M"), 10)
    torch.manual_seed(99)
    initialise(again, CIFAR, seed=3)
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.state_dict().values(), again.state_dict().values(), strict=True)
    )


def test_residual_units_start_as_their_shortcuts():
    network = build_network(zennet_architecture("zennet-0.5M"), 10).eval()
    initialise(network, CIFAR, seed=0)
    unit = next(
        m for m in network.modules() if isinstance(m, ResidualUnit) and isinstance(m.shortcut, nn.Identity)
    )
    features = torch.rand(2, unit.path[0].in_channels, 8, 8)
    assert torch.equal(unit(features), features)


def test_kernels_and_matrices_alone_decay():
    network = build_network(zennet_architecture("zennet-0.5M"), 10)
    decayed, others = optimiser_of(network, CIFAR).param_groups
    assert (decayed["weight_decay"], others["weight_decay"], decayed["nesterov"]) == (5e-4, 0.0, True)
    kinds = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert {id(p) for p in decayed["params"]} == {id(m.weight) for m in kinds}
    assert len(decayed["params"]) + len(others["params"]) == len(list(network.parameters()))


def picture(side=40):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side + 8, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cifar", "cifar10"),
        ("imagenet", "imagenet"),
        ("fashion-mnist", "fashion-mnist"),
        ("digits", "digits"),
    ],
)
def test_training_images_have_the_side_that_is_loaded_and_differ_from_draw_to_draw(name, data):
    recipe = RECIPES[name]
    transform = training_transform(recipe, DATASETS[data])
    first, second = (Transformed([(picture(), 3)], transform, (0, epoch))[0][0] for epoch in (0, 1))
    assert first.shape == (3, recipe.loaded_resolution, recipe.loaded_resolution)
    assert name == "digits" or not torch.equal(first, second)


def test_a_draw_depends_on_seed_epoch_and_image_alone():
    dataset = Transformed([(picture(), 0)] * 2, training_transform(CIFAR, DATASETS["cifar10"]), (5, 7))
    first = dataset[1][0]
    torch.manual_seed(123)
    dataset[0]
    assert torch.equal(dataset[1][0], first)
    assert not torch.equal(dataset[0][0], first)


def test_draws_leave_the_global_generator_alone():
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    with drawing_from(9):
        inside = torch.rand(3)
    assert torch.equal(torch.rand(3), wanted)
    assert torch.equal(inside, torch.rand(3, generator=torch.Generator().manual_seed(9)))


def test_erased_rectangles_are_black_before_normalisation_of_nothing():
    """The erased value is 0 after normalisation, which is the mean colour."""
    recipe = dataclasses.replace(CIFAR, random_erasing=1.0, auto_augment="", crop="none")
    image = Transformed(
        [(Image.new("RGB", (32, 32), (255, 255, 255)), 0)],
        training_transform(recipe, DATASETS["cifar10"]),
        (0, 0),
    )[0][0]
    share = (image == 0).all(0).float().mean().item()
    assert 0.01 < share < 0.35


def test_lighting_moves_all_pixels_alike():
    with drawing_from(0):
        moved = lit(torch.zeros(3, 4, 4), 0.1)
    assert moved.abs().max() > 0
    assert torch.equal(moved, moved[:, :1, :1].expand(3, 4, 4))


@pytest.mark.parametrize(("channels", "shape"), [(3, (3, 32, 32)), (1, (1, 32, 32))])
def test_evaluation_images_are_the_middle_in_the_channels_of_the_network(channels, shape):
    assert evaluation_transform(32, 0.875, DATASETS["imagenet"], channels)(picture()).shape == shape
    with pytest.raises(ValueError, match="1 or 3 input channels"):
        evaluation_transform(32, 1.0, DATASETS["imagenet"], 4)


def test_mixed_images_carry_the_same_mixture_of_labels():
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2).clone()
    mixed, targets = _mixed(images, torch.arange(4), 0.2, 4, seed=3)
    torch.testing.assert_close(targets.sum(1), torch.ones(4))
    torch.testing.assert_close(mixed[:, 0, 0, 0], targets @ torch.arange(4.0))
    assert torch.equal(_mixed(images, torch.arange(4), 0.2, 4, seed=3)[0], mixed)
    assert not torch.equal(mixed, images)


def test_an_epoch_shows_every_image_once_in_another_order_each_time():
    epochs = [epoch_parts(100, 10, 2, seed=0, epoch=epoch) for epoch in range(2)]
    flat = [[index for step in epoch for part in step for index in part] for epoch in epochs]
    assert Counter(flat[0]) == Counter(flat[1]) == Counter(range(100))
    assert flat[0] != flat[1]
    assert [len(part) for part in epochs[0][0]] == [5, 5]


def test_the_images_of_a_step_do_not_depend_on_how_they_are_parted():
    whole, halves = (epoch_parts(64, 16, parts, seed=1, epoch=4) for parts in (1, 2))
    assert [step[0] for step in whole] == [step[0] + step[1] for step in halves]


def test_a_step_needs_enough_images():
    with pytest.raises(ValueError, match=r"at most the number of training images \(9\), got 16"):
        epoch_parts(9, 16, 1, seed=0, epoch=0)


def test_seeds_of_neighbours_have_nothing_in_common():
    seeds = {seed_of(a, b, c) for a in range(6) for b in range(6) for c in range(6)}
    assert len(seeds) == 216
