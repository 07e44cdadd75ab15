from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import architectures
from zenlib import Architecture
from zenlib.errors import ArchitectureError
from zenlib.networks.architecture import Block, ConvSpec, round_to_8
from zenlib.networks.zennets import ZENNETS, zennet_architecture, zennet_resolution

STEM = "SuperConvK3BNRELU(3,8,1,1)"

# Lin et al. 2021, Table 7 (latency and FLOPs nets; the -SE rows are counted there without their gates) and
# Table 4: parameters in millions, multiply-adds in millions, digits as printed.
PAPER = {
    "zennet-1.0M": (1.0, 162),
    "zennet-2.0M": (2.0, 487),
    "zennet-0.1ms": (30.1, 1700),
    "zennet-0.2ms": (49.7, 3400),
    "zennet-0.3ms": (85.4, 4900),
    "zennet-0.5ms": (118, 8300),
    "zennet-0.8ms": (183, 13900),
    "zennet-1.2ms": (180, 22000),
    "zennet-400M-SE": (5.7, 410),
    "zennet-600M-SE": (7.1, 611),
    "zennet-900M-SE": (13.3, 926),
}


@given(architectures())
def test_a_structure_string_reads_back_as_the_same_architecture(architecture):
    assert Architecture.from_string(architecture.to_string(), use_se=architecture.use_se) == architecture


def test_white_space_between_blocks_is_ignored():
    assert Architecture.from_string(f" {STEM}\n  SuperResK3K3(8,16,2,8,1)\n").depth == 2


@pytest.mark.parametrize("name", PAPER)
def test_parameters_and_flops_of_the_published_nets_are_those_of_the_paper(name):
    architecture = zennet_architecture(name)
    plain = Architecture(architecture.blocks)
    params, flops = PAPER[name]
    classes = 100 if zennet_resolution(name) == 32 else 1000
    assert plain.params(classes) / 1e6 == pytest.approx(params, abs=0.05 if params < 100 else 0.6)
    # The printed FLOPs also count BatchNorm and activations: up to 3.5 % more than multiply-adds.
    assert plain.flops(zennet_resolution(name), classes) / 1e6 == pytest.approx(flops, rel=0.035)


def test_the_readme_counts_the_largest_gated_net_with_its_gates():
    assert zennet_architecture("zennet-900M-SE").params() / 1e6 == pytest.approx(19.4, abs=0.1)


def test_depth_counts_layers_of_all_blocks():
    assert [zennet_architecture(name).depth for name in ("zennet-1.0M", "zennet-2.0M", "zennet-1.2ms")] == [
        18,
        20,
        30,
    ]


def test_every_published_string_is_written_as_it_was_read():
    for name in ZENNETS:
        architecture = zennet_architecture(name)
        assert Architecture.from_string(architecture.to_string(), use_se=architecture.use_se) == architecture


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", 0, "at least one block"),
        ("   ", 3, None),
        (STEM + "SuperResIDWE1K;(8,8,1,8,1)", len(STEM) + 14, "found ';'"),
        (STEM + "nonsense", len(STEM), "found 'n'"),
        (STEM[:-1], len(STEM) - 1, "the end of the text"),
        ("SuperConvK3BNRELU(3,x,1,1)", 20, "a whole number for out_channels"),
        ("SuperConvK3BNRELU(3,8,1,1,9)", 25, "')' after layers"),
        ("SuperConvK3BNRELU(3,8,1)", 23, "',' before layers"),
        (STEM + "SuperResK3K3(9,16,2,8,1)", len(STEM) + 13, "needed 8 input channels"),
        ("SuperConvK4BNRELU(3,8,1,1)", 10, "odd"),
        ("SuperConvK3BNRELU(3,0,1,1)", 20, "out_channels"),
        (STEM + "SuperResK3K3(8,16,2,0,1)", len(STEM) + 20, "bottleneck"),
        (STEM + "SuperResIDWE0K3(8,16,2,8,1)", len(STEM) + 12, "expansion"),
        (STEM + "SuperResK3K5(8,16,2,8,1)", len(STEM) + 11, "of the first convolution, 3"),
        ("SuperConvK3BNRELU(3,-8,1,1)", 20, "whole number"),
    ],
)
def test_a_wrong_string_is_refused_at_the_character_that_is_wrong(text, position, message):
    with pytest.raises(
        ArchitectureError, match=message and message.replace("(", r"\(").replace(")", r"\)")
    ) as caught:
        Architecture.from_string(text)
    if message is not None:
        assert caught.value.position == position


@given(st.text(alphabet="SuperConvResIDWEBNRELUK(),0123456789 ", max_size=60))
@settings(max_examples=300)
def test_any_text_parses_or_is_refused_with_a_position(text):
    try:
        Architecture.from_string(text)
    except ArchitectureError as error:
        assert error.position is not None and 0 <= error.position <= len(text)


def test_text_that_is_not_text_is_refused():
    with pytest.raises(ArchitectureError, match="needed text, got int"):
        Architecture.from_string(3)


def test_blocks_that_do_not_fit_together_are_refused():
    with pytest.raises(ArchitectureError, match="needed 8 input channels"):
        Architecture((Block("conv", 3, 3, 8), Block("conv", 3, 16, 8)))


@pytest.mark.parametrize(
    "block",
    [
        {"kind": "dense"},
        {"kernel": 2},
        {"out_channels": -8},
        {"stride": 0},
        {"layers": 0},
        {"kind": "residual"},
        {"bottleneck": 8},
        {"kind": "inverted", "bottleneck": 8},
        {"kind": "residual", "bottleneck": 8, "expansion": 2},
    ],
)
def test_an_impossible_block_is_refused(block):
    with pytest.raises(ArchitectureError, match="need"):
        Block(**{"kind": "conv", "kernel": 3, "in_channels": 3, "out_channels": 8} | block)


def test_a_resolution_too_small_for_the_strides_is_refused_with_the_least_that_works():
    architecture = zennet_architecture("zennet-0.1ms")
    with pytest.raises(ArchitectureError, match=f"at least {architecture.minimum_resolution} pixels.*got 8"):
        architecture.flops(8)
    assert architecture.flops(architecture.minimum_resolution) > 0


@pytest.mark.parametrize("value", [0, -1, 2.5, "many", True])
def test_counts_refuse_classes_and_resolutions_that_are_not_positive_whole_numbers(value):
    architecture = zennet_architecture("zennet-1.0M")
    with pytest.raises(ArchitectureError, match="num_classes"):
        architecture.params(value)
    with pytest.raises(ArchitectureError, match="resolution"):
        architecture.flops(value)


def test_widths_are_rounded_to_the_nearest_multiple_of_eight():
    assert [round_to_8(width) for width in (1, 11, 12, 13, 20, 44)] == [8, 8, 16, 16, 16, 48]


def test_an_inverted_block_shortens_to_its_bottleneck_and_back():
    first, second = Block("inverted", 5, 16, 40, stride=2, bottleneck=24, expansion=2).units()
    assert first.convs == (ConvSpec(16, 48, 1), ConvSpec(48, 48, 5, 2, 48), ConvSpec(48, 24, 1))
    assert second.convs == (ConvSpec(24, 80, 1), ConvSpec(80, 80, 5, 1, 80), ConvSpec(80, 40, 1))
    assert first.projection == ConvSpec(16, 24, 1, 2) and second.projection == ConvSpec(24, 40, 1)


def test_only_the_first_unit_of_a_block_projects_when_nothing_changes():
    units = Block("bottleneck", 3, 16, 16, bottleneck=8, layers=2).units()
    assert [unit.projection is not None for unit in units] == [True, False, False, False]
