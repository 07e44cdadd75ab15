"""Peak memory, counted by hand on tiny networks; one value is one byte."""

from __future__ import annotations

import random

import pytest

from zenlib.errors import ArchitectureError
from zenlib.networks.architecture import Architecture
from zenlib.spaces import SPACES
from zenlib.vanilla.convert import to_vcnn
from zenlib.vanilla.vcnn import IMAGE, VCNN, Add, Concat, Conv

STEM = "SuperConvK3BNRELU(3,8,1,1)"


def peak(text, resolution=4, **options):
    return Architecture.from_string(text).peak_memory(resolution, 10, **options)


def test_a_chain_holds_what_one_convolution_reads_and_writes():
    assert peak(STEM) == 3 * 16 + 8 * 16
    assert peak(STEM + "SuperConvK1BNRELU(8,32,1,1)") == (8 + 32) * 16
    assert peak(STEM, bytes_per_value=4) == 4 * 11 * 16


def test_a_projected_shortcut_comes_after_the_main_path():
    # 8 channels in, 4 inside, 8 out, all on 16 positions: the block's input, the path's end and the
    # projection.
    assert peak(STEM + "SuperResK3K3(8,8,1,4,1)") == (8 + 8 + 8) * 16
    # With stride 2 both ends lie on 4 positions: now the second convolution of the path is the peak
    # (8 * 16 kept, 40 * 4 read, 8 * 4 written).
    assert peak(STEM + "SuperResK3K3(8,8,2,40,1)") == 8 * 16 + 40 * 4 + 8 * 4


def test_an_identity_shortcut_is_kept_until_the_path_ends():
    # Two units of 8 channels, 40 inside. In each the second convolution reads 40, writes 8, and 8 are kept.
    assert peak(STEM + "SuperResK3K3(8,8,1,40,2)") == (8 + 40 + 8) * 16
    # A bottleneck of 40: while its middle convolution runs, 8 are kept, 40 read, 40 written.
    assert peak(STEM + "SuperResK1K3K1(8,8,1,40,1)") == (8 + 40 + 40) * 16
    # Depthwise convolutions hold as much as others.
    assert peak(STEM + "SuperResIDWE4K3(8,8,1,8,1)") == (8 + 32 + 32) * 16


def test_gates_and_the_classifier_count_where_maps_are_tiny():
    gated = Architecture.from_string(STEM + "SuperResK3K3(8,8,1,40,1)", use_se=True)
    assert gated.peak_memory(1, 10) == 8 + 40 + 40 + 10  # kept, the map, its means, a quarter of them
    assert Architecture.from_string(STEM).peak_memory(1, 1000) == 8 + 1000
    assert Architecture.from_string(STEM).peak_memory(1, 1) == 8 + 8


def test_a_vanilla_network_without_shortcuts_needs_no_more_than_the_network():
    for name, space in SPACES.items():
        network = space.sample(random.Random(name), 32)
        assert to_vcnn(network, 32).peak_memory() <= network.peak_memory(32, 10)
    chain = Architecture.from_string(STEM + "SuperConvK3BNRELU(8,16,2,1)")
    assert to_vcnn(chain, 4).peak_memory(2) == chain.peak_memory(4, 1, 2)


def test_a_graph_keeps_a_map_as_long_as_a_later_step_reads_it():
    sizes = {"in_resolution": (4, 4), "out_resolution": (4, 4)}

    def conv(reads, width_in, width_out):
        return Conv(
            name="", inputs=(reads,), in_channels=width_in, out_channels=width_out, kernel=(1, 1), **sizes
        )

    def join(kind, reads, width_in, width_out):
        return kind(name="", inputs=reads, in_channels=width_in, out_channels=width_out, **sizes)

    first, second, third = conv(IMAGE, 3, 8), conv(0, 8, 4), conv(0, 8, 4)
    concat = VCNN((first, second, third, join(Concat, (1, 2), 4, 8)), 4)
    assert concat.peak_memory() == (8 + 4 + 4) * 16  # the first map until the third convolution is done
    wide = VCNN((first, conv(0, 8, 20), conv(0, 8, 20), join(Add, (1, 2), 20, 20)), 4)
    assert wide.peak_memory() == (8 + 20 + 20) * 16  # the sum overwrites
    joined = VCNN((first, conv(0, 8, 20), conv(0, 8, 20), join(Concat, (1, 2), 20, 40)), 4)
    assert joined.peak_memory() == (20 + 20 + 40) * 16  # a concatenation does not
    read_again = VCNN((first, conv(0, 8, 8), join(Add, (0, 1), 8, 8), join(Concat, (0, 1, 2), 8, 24)), 4)
    assert read_again.peak_memory() == (8 + 8 + 8 + 24) * 16


def test_an_image_too_small_for_the_strides_is_refused():
    with pytest.raises(ArchitectureError, match="resolution: needed at least 3 pixels"):
        Architecture.from_string("SuperConvK3BNRELU(3,8,2,1)SuperConvK3BNRELU(8,8,2,1)").peak_memory(1)
