"""The supernet: its networks are parts of one set of weights, and its training goes on after a kill."""

from __future__ import annotations

import dataclasses
import random

import pytest
import torch

from experiments.chapters.laptop import supernet_training as shared
from experiments.chapters.laptop.supernet_training import Slice, Supernet, judge, train_supernet
from tests.library.train.small import few_digits
from zenlib import Architecture, build_network
from zenlib.train import RECIPES

SKELETON = Architecture.from_string(
    "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,8,2,8,1)SuperResK3K3(8,16,2,8,1)SuperConvK1BNRELU(16,32,1,1)",
)
NETWORKS = Slice(SKELETON)
RECIPE = dataclasses.replace(RECIPES["digits"], epochs=4, warmup_epochs=0.5, resolution=8, batch_size=16)


def test_the_slice_holds_every_choice_of_every_block():
    assert (
        NETWORKS.size == 64
        and len({NETWORKS.sample(random.Random(seed)).to_string() for seed in range(2000)}) == 64
    )
    assert NETWORKS.largest.params(10) == max(
        NETWORKS.sample(random.Random(seed)).params(10) for seed in range(500)
    )


def test_a_skeleton_of_other_blocks_is_refused():
    with pytest.raises(ValueError, match="skeleton: needed residual blocks"):
        Slice(
            Architecture.from_string(
                "SuperConvK3BNRELU(3,8,1,1)SuperResK1K3K1(8,8,2,8,1)SuperConvK1BNRELU(8,32,1,1)"
            )
        )


def test_the_largest_network_is_the_shared_weights_themselves():
    supernet, images = Supernet(NETWORKS, 10), torch.randn(4, 3, 8, 8)
    alone = build_network(NETWORKS.largest, 10)
    alone.load_state_dict(supernet.largest.state_dict())
    assert torch.equal(supernet(images, NETWORKS.largest), alone.train()(images))


@pytest.mark.parametrize("seed", range(4))
def test_a_network_is_a_part_of_the_shared_weights_and_its_gradients_reach_them_alone(seed):
    supernet, architecture = Supernet(NETWORKS, 10), NETWORKS.sample(random.Random(seed))
    supernet(torch.randn(4, 3, 8, 8), architecture).square().sum().backward()
    reached = sum(
        int((weight.grad != 0).sum()) for weight in supernet.parameters() if weight.grad is not None
    )
    assert 0 < reached <= architecture.params(10)
    assert sum(weight.numel() for weight in supernet.weights(architecture).values()) == architecture.params(
        10
    )
    with torch.no_grad():
        images = torch.randn(4, 3, 8, 8)
        assert torch.allclose(supernet.extract(architecture).train()(images), supernet(images, architecture))


def test_a_small_kernel_is_the_middle_of_a_large_one_and_a_narrow_layer_the_beginning_of_a_wide_one():
    whole = torch.arange(2 * 2 * 5 * 5.0).view(2, 2, 5, 5)
    assert torch.equal(shared._part(whole, torch.Size((1, 2, 3, 3))), whole[:1, :, 1:4, 1:4])


def test_a_second_layer_takes_the_weights_of_the_second_layer():
    two = next(
        n
        for n in (NETWORKS.sample(random.Random(s)) for s in range(99))
        if [b.layers for b in n.blocks] == [1, 1, 2, 1]
    )
    assert shared._places(two.blocks, NETWORKS.largest.blocks) == [0, 1, 3, 4, 5]


def test_a_training_that_was_stopped_ends_as_one_that_was_not(tmp_path, monkeypatch):
    few_digits(monkeypatch)
    settings = {"seed": 1, "progress": False}
    whole, _ = train_supernet(NETWORKS, "digits", RECIPE, tmp_path / "whole", **settings)
    write = shared.checkpoint.write

    def killed(path, state):
        write(path, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(shared.checkpoint, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        train_supernet(NETWORKS, "digits", RECIPE, tmp_path / "parts", **settings)
    monkeypatch.setattr(shared.checkpoint, "write", write)
    parts, spent = train_supernet(NETWORKS, "digits", RECIPE, tmp_path / "parts", **settings)
    assert spent > 0 and all(
        torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True)
    )
    network = NETWORKS.sample(random.Random(0))
    first, again = (judge(net, network, "digits", RECIPE) for net in (whole, parts))
    assert first == again and first.top1 > 30  # of ten digits, after four epochs of few images
