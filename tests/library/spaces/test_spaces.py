from __future__ import annotations

import random
from collections import Counter

import pytest

from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import ZENNETS, zennet_architecture
from zenlib.spaces import SPACES
from zenlib.spaces.space import BlockType, Space, narrowed

SPACE = pytest.mark.parametrize("space", SPACES.values(), ids=list(SPACES))
RULE = pytest.mark.parametrize("rule", ["paper", "released"])


@pytest.mark.parametrize("name", ZENNETS)
def test_every_published_net_is_in_its_space_and_in_no_other(name):
    home = "mobilenet-like" if name.endswith("-SE") else "resnet-like"
    assert [space for space in SPACES if SPACES[space].contains(zennet_architecture(name))] == [home]


@pytest.mark.parametrize(
    ("types", "weights", "message"),
    [
        ([("conv", 3)], [1], "types: needed inner blocks of kind residual, bottleneck, inverted, got conv"),
        ([], [], "types: needed inner blocks .* got none"),
        ([("residual", 3)], [1, 2], "released_weights: needed one for each of 1 types, got 2"),
    ],
)
def test_a_space_of_blocks_that_cannot_be_drawn_is_refused_when_it_is_made(types, weights, message):
    with pytest.raises(ValueError, match=message):
        Space("own", tuple(BlockType(*kind) for kind in types), tuple(weights))


@SPACE
@pytest.mark.parametrize("resolution", [32, 224])
def test_samples_belong_to_their_space_and_fit_their_images(space, resolution):
    rng = random.Random(0)
    networks = [space.sample(rng, resolution) for _ in range(100)]
    assert len(set(networks)) == 100
    assert all(space.contains(network) for network in networks)
    halvings = 3 if resolution == 32 else 5
    assert {sum(block.stride == 2 for block in network.blocks) for network in networks} == {halvings}


@SPACE
@RULE
def test_mutants_stay_in_the_space_and_keep_its_strides(space, rule):
    rng = random.Random(1)
    for _ in range(200):
        parent = space.sample(rng)
        child = space.mutate(parent, rng, rule)
        assert space.contains(child)
        assert [block.stride for block in child.blocks if block.stride > 1] == [
            block.stride for block in parent.blocks if block.stride > 1
        ]


@SPACE
@RULE
def test_the_same_state_of_the_generator_gives_the_same_mutant(space, rule):
    parent = space.sample(random.Random(0))
    assert space.mutate(parent, random.Random(5), rule) == space.mutate(parent, random.Random(5), rule)


def differing(parent, child):
    """Positions of the blocks that differ in anything but the width that comes in."""

    def own(block):
        return block.kind, block.kernel, block.out_channels, block.layers, block.bottleneck, block.expansion

    return [
        index
        for index, (old, new) in enumerate(zip(parent.blocks, child.blocks, strict=True))
        if own(old) != own(new)
    ]


@SPACE
def test_the_papers_rule_draws_one_block_uniformly_within_half_and_twice(space):
    rng = random.Random(2)
    parent = space.sample(rng)
    positions = Counter()
    for _ in range(3000):
        child = space.mutate(parent, rng, "paper")
        changed = differing(parent, child)
        assert len(changed) <= 1
        for index in changed:
            positions[index] += 1
            old, new = parent.blocks[index], child.blocks[index]
            for before, after in ((old.out_channels, new.out_channels), (old.bottleneck, new.bottleneck)):
                assert 0.5 * before - 4 <= after <= 2 * before + 4
            assert 0.5 * old.layers <= new.layers <= 2 * old.layers
    expected = 3000 / len(parent.blocks)
    assert all(abs(positions[index] - expected) < 0.25 * expected for index in range(len(parent.blocks)))


def test_the_released_rule_draws_small_kernels_more_often():
    parent = zennet_architecture("zennet-1.0M")
    rng = random.Random(0)
    kernels = Counter()
    for _ in range(6000):
        child = SPACES["resnet-like"].mutate(parent, rng, "released", replaced=1)
        kernels.update(
            new.kernel
            for old, new in zip(parent.blocks, child.blocks, strict=False)
            if old.kernel == 7 and old.kind != "conv"
        )
    # Of 1/8 of the children the second block was drawn again, with kernels 3, 5, 7 in the ratio 3 : 2 : 1; of
    # 1/8 the third.
    drawn = 6000 * 2 / 8
    assert abs(kernels[3] / drawn - 3 / 6) < 0.05
    assert abs(kernels[5] / drawn - 2 / 6) < 0.05


def test_the_released_rule_changes_layers_by_two_at_most_and_splits_deep_blocks():
    rng = random.Random(0)
    parent = zennet_architecture("zennet-2.0M")
    seen = set()
    for _ in range(2000):
        child = SPACES["resnet-like"].mutate(parent, rng, "released", replaced=1)
        seen.add(child.depth - parent.depth)
        assert max(block.layers for block in child.blocks) < 6
        # four layers become six in two blocks
        assert len(child.blocks) == len(parent.blocks) + (
            child.depth - parent.depth == 2 and len(child.blocks) > len(parent.blocks)
        )
    assert seen == {-2, -1, 0, 1, 2}


def test_the_released_rule_leaves_the_head_of_the_mobilenet_like_space_alone():
    rng = random.Random(0)
    parent = zennet_architecture("zennet-400M-SE")
    children = [SPACES["mobilenet-like"].mutate(parent, rng, "released") for _ in range(300)]
    assert {child.out_channels for child in children} == {2048}
    assert len({child.blocks[0].out_channels for child in children}) > 3


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="mutation: needed 'paper' or 'released', got 'both'"):
        SPACES["resnet-like"].mutate(zennet_architecture("zennet-1.0M"), random.Random(0), "both")


@SPACE
def test_narrowing_keeps_everything_but_the_widths(space):
    network = space.sample(random.Random(3))
    narrow = Architecture(narrowed(network.blocks, 0.5))
    assert space.contains(narrow) and narrow.depth == network.depth and narrow.params() < network.params()
    smallest = network.blocks
    for _ in range(20):
        smallest = narrowed(smallest, 0.5)
    assert narrowed(smallest, 0.5) == smallest
