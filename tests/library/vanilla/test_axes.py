"""Networks of 1-d and 3-d convolutions are scored by Monte Carlo and counted, or refused with the reason."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import zenlib
from zenlib import PROXIES, Choices, closed_form_zen_score, phi_score, score_many, search, to_vcnn, zen_score
from zenlib.errors import ConversionError
from zenlib.networks.onnx import export_onnx
from zenlib.scores.formulas import ARITHMETIC
from zenlib.scores.forward import forward
from zenlib.scores.graph_form import graph_of
from zenlib.scores.pairs import propagate
from zenlib.scores.phi import pushforward
from zenlib.search.latency import measure_latency
from zenlib.train.evaluation import evaluate

CONV, NORM = (nn.Conv1d, nn.Conv2d, nn.Conv3d), (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
MAX, AVERAGE = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
GLOBAL = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


def chain(axes, of=1, along=0):
    """Convolutions and pools over `of` axes; over the `along` others windows of 1."""
    place, rest = axes - 1, (1,) * along

    def conv(in_channels, out_channels, stride=1, **options):
        kernel, strides = (*rest, *(3,) * of), (*rest, *(stride,) * of)
        return CONV[place](
            in_channels, out_channels, kernel, strides, (*(0,) * along, *(1,) * of), bias=False, **options
        )

    return nn.Sequential(
        conv(3, 6, 2),
        NORM[place](6),
        nn.ReLU(),
        MAX[place]((*rest, *(2,) * of)),
        conv(6, 8, groups=2),
        nn.ReLU(),
        AVERAGE[place]((*rest, *(2,) * of)),
        conv(8, 5),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """A ResNet over any number of axes, with a gate."""

    def __init__(self, axes, in_channels=1, width=8):
        super().__init__()
        place = axes - 1
        self.stem = CONV[place](in_channels, width, 7, 2, 3)
        self.first = nn.Sequential(CONV[place](width, width, 3, 1, 1), NORM[place](width), nn.ReLU())
        self.second = CONV[place](width, width, 3, 1, 1)
        self.pool = GLOBAL[place](1)
        self.gate = CONV[place](width, width, 1)
        self.down = CONV[place](width, 2 * width, 3, 2, 1)
        self.side = CONV[place](width, 2 * width, 1, 2)
        self.head = nn.Linear(2 * width, 4)

    def forward(self, images):
        features = F.relu(self.stem(images))
        branch = self.second(self.first(features))
        features = F.relu(features + branch * torch.sigmoid(self.gate(self.pool(branch))))
        features = F.relu(self.side(features) + self.down(features))
        return self.head(self.pool(features).flatten(1))


class Encoder(nn.Module):
    """A U-Net of one level."""

    def __init__(self, axes):
        super().__init__()
        place = axes - 1
        self.down = CONV[place](1, 4, 3, 2, 1)
        self.up = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[place](4, 4, 2, 2)
        self.last = CONV[place](5, 2, 3, 1, 1)

    def forward(self, images):
        return self.last(torch.cat([images, self.up(F.relu(self.down(images)))], 1))


def audio():
    """Convolutions on a raw signal, as in M5 (Dai et al. 2016)."""
    layers, widths = [], (1, 16, 16, 32, 64)
    for place, (before, after) in enumerate(pairwise(widths)):
        layers += [
            nn.Conv1d(before, after, 3 if place else 80, 1 if place else 4),
            nn.BatchNorm1d(after),
            nn.ReLU(),
            nn.MaxPool1d(4),
        ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 35))


def both(axes, of, along, resolution=16):
    """The vanilla network over few axes and the same over more, with the same weights and images of both."""
    few = to_vcnn(chain(of, of), resolution)
    many = to_vcnn(chain(axes, of, along), resolution)
    generator = torch.Generator().manual_seed(0)
    kernels = [torch.randn(conv.weight_shape, generator=generator).double() for conv in few.convs]
    wide = [kernel.reshape(conv.weight_shape) for kernel, conv in zip(kernels, many.convs, strict=True)]
    images = torch.randn(2, 2, 3, *(resolution,) * axes, generator=generator).double()
    return few, many, kernels, wide, images


def rows_apart(images, along):
    """Each row (slice) of the first axes behind the channels as an image of its own."""
    for _ in range(along):
        images = images.movedim(2, 1).flatten(0, 1)
    return images


@pytest.mark.parametrize(("axes", "of"), [(2, 1), (3, 2), (3, 1)])
def test_a_network_that_mixes_along_fewer_axes_is_that_network_on_each_row_or_slice(axes, of):
    along = axes - of
    few, many, kernels, wide, (images, noise) = both(axes, of, along)
    apart = [rows_apart(each, along) for each in (images, noise)]
    features = forward(many, wide, images, batch_norm=True)
    torch.testing.assert_close(rows_apart(features, along), forward(few, kernels, apart[0], batch_norm=True))
    one, other = iter(kernels), iter(wide)
    blocks, variances = propagate(few, lambda _: next(one), *apart, 0.01)
    wider, as_wide = propagate(many, lambda _: next(other), images, noise, 0.01)
    torch.testing.assert_close(
        rows_apart(torch.cat([block.change for block in wider]), along),
        torch.cat([block.change for block in blocks]),
    )
    torch.testing.assert_close(
        [variance.first for variance in as_wide], [variance.first for variance in variances]
    )
    moved = pushforward(many, wide, images, noise[None])[1][0]
    torch.testing.assert_close(
        rows_apart(moved, along), pushforward(few, kernels, apart[0], apart[1][None])[1][0]
    )


def test_the_zen_score_of_rows_is_that_of_the_image_less_the_logarithm_of_their_number():
    side = 16
    few = zen_score(chain(1), side, batch_size=4 * side, repeats=64, norm="l1")
    many = zen_score(chain(2, 1, 1), side, batch_size=4, repeats=64, norm="l1")
    assert abs(float(many) - float(few) - math.log(side)) < 5 * math.hypot(few.stderr, many.stderr)
    assert few.stderr < 0.1 and many.stderr < 0.1


@pytest.mark.parametrize("axes", [1, 3])
def test_the_vanilla_network_of_a_chain_computes_what_the_module_does(axes):
    place = axes - 1
    module = nn.Sequential(
        CONV[place](3, 6, 5, 2, "valid", 2, bias=False),
        nn.ReLU(),
        MAX[place](3, 2, 1),
        CONV[place](6, 6, 3, 1, "same", groups=6, bias=False),
        nn.ReLU(),
        AVERAGE[place](2, 2, 1, count_include_pad=False),
        (nn.ConstantPad1d, nn.ConstantPad2d, nn.ConstantPad3d)[place](tuple(range(2 * axes)), 0.0),
        CONV[place](6, 4, 2, bias=False),
        nn.ReLU(),
    )
    vcnn, images = to_vcnn(module, 24), torch.randn(2, 3, *(24,) * axes)
    kernels = [module.get_submodule(step.name).weight for step in vcnn.convs]
    with torch.no_grad():
        torch.testing.assert_close(forward(vcnn, kernels, images), module(images))
    assert vcnn.image_shape == images.shape[1:]


@pytest.mark.parametrize("axes", [1, 3])
def test_a_resnet_keeps_its_longest_path_and_its_gate_goes(axes):
    vcnn = to_vcnn(Residual(axes), 32)
    assert [step.name for step in vcnn.convs] == ["stem", "first.0", "second", "down"]
    assert {"gate", "shortcut", "parallel convolution", "classifier"} <= set(vcnn.removed)
    assert math.isfinite(float(zen_score(vcnn, batch_size=2, repeats=1)))
    assert math.isfinite(float(phi_score(vcnn, batch_size=1, repeats=1)))


@pytest.mark.parametrize("axes", [1, 3])
def test_counts_are_those_of_the_layers(axes):
    network = Residual(axes)
    vcnn = to_vcnn(network, 32)
    sides = {"stem": 16, "first.0": 16, "second": 16, "down": 8}
    layers = [network.get_submodule(name) for name in sides]
    assert vcnn.weights == sum(layer.weight.numel() for layer in layers)
    assert vcnn.flops == sum(
        layer.weight.numel() * side**axes for layer, side in zip(layers, sides.values(), strict=True)
    )
    ran = dict.fromkeys(["stem", "first.0", "second"], 16) | {"gate": 1, "down": 8, "side": 8}
    expected = sum(network.get_submodule(name).weight.numel() * side**axes for name, side in ran.items())
    assert PROXIES["flops"](network, 32) == expected + network.head.weight.numel()
    assert PROXIES["params"](network, 32) == sum(each.numel() for each in network.parameters())
    assert PROXIES["layers"](network, 32) == 7
    assert vcnn.peak_memory() == max(32**axes + 8 * 16**axes, 2 * 8 * 16**axes)


def test_an_audio_network_is_told_the_length_at_which_it_runs():
    assert len(to_vcnn(audio(), 16000).convs) == 4
    with pytest.raises(ConversionError, match=r"needed a larger image than 224: .*resolution=2048"):
        to_vcnn(audio())


def test_video_networks_of_torchvision_convert_on_cubes():
    video = pytest.importorskip("torchvision.models.video")
    with torch.device("meta"):
        networks = [make() for make in (video.r3d_18, video.mc3_18, video.r2plus1d_18)]
    vcnns = [to_vcnn(network) for network in networks]
    assert [len(vcnn.convs) for vcnn in vcnns] == [17, 17, 34]
    assert all(vcnn.image_shape == (3, 64, 64, 64) for vcnn in vcnns)
    names = {name for name, layer in networks[0].named_modules() if isinstance(layer, nn.Conv3d)}
    assert {step.name for step in vcnns[0].convs} == {name for name in names if "downsample" not in name}


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_u_net_is_refused_for_its_transposed_convolution(axes):
    with pytest.raises(
        ConversionError, match="in 'up' is a transposed convolution, which makes a map larger"
    ):
        to_vcnn(Encoder(axes), 16)


def test_a_convolution_over_other_axes_than_those_of_the_image_is_refused():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.image, self.signal = nn.Conv2d(3, 4, 3), nn.Conv1d(4, 4, 3)

        def forward(self, images):
            return self.signal(F.relu(self.image(images)).flatten(2))

    with pytest.raises(ConversionError, match="'signal' is a 1-d convolution, and the image has 2 axes"):
        to_vcnn(Mixed(), 16)


def test_pooling_over_an_axis_that_holds_something_else_is_refused():
    class Slices(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv3d(1, 4, 3, padding=1)

        def forward(self, images):
            return F.adaptive_avg_pool2d(F.relu(self.conv(images)).flatten(1, 2), 1).flatten(1)

    with pytest.raises(ConversionError, match=r"adaptive_avg_pool2d .* rearranged"):
        to_vcnn(Slices(), 8)


COUNTED = {"params", "flops", "layers", "random"} | {
    name for name in PROXIES if name.startswith(("zen", "phi"))
}


@pytest.mark.parametrize("axes", [1, 3])
@pytest.mark.parametrize("name", PROXIES)
def test_every_proxy_scores_it_or_says_that_it_is_not_defined(name, axes):
    network = Residual(axes)
    try:
        assert math.isfinite(PROXIES[name](network, 32, batch_size=2))
        assert name in COUNTED or PROXIES[name].needs == "counting"
    except ValueError as error:
        assert name not in COUNTED
        assert "2-d conv" in str(error) or "no rule for conv" in str(error)


@pytest.mark.parametrize("axes", [1, 3])
def test_what_is_not_carried_over_is_refused(axes, tmp_path):
    network = chain(axes, axes)
    vcnn = to_vcnn(network, 16)
    with pytest.raises(ConversionError, match="needed 2-d convolutions"):
        closed_form_zen_score(vcnn)
    for name in ARITHMETIC:
        with pytest.raises(ConversionError, match="needed"):
            zenlib.arithmetic(name, network, 16)
    for graph in (vcnn, network):
        with pytest.raises(ConversionError, match="needed"):
            graph_of(graph, 16)
    with pytest.raises(ValueError, match="needed 2-d convolutions"):
        measure_latency(network, 16)
    with pytest.raises(ValueError, match="needed 2-d convolutions"):
        evaluate(network, "digits")


def test_a_signal_network_is_exported_with_its_own_input(tmp_path):
    pytest.importorskip("onnxruntime")
    assert export_onnx(Residual(1), tmp_path / "signal.onnx", 64) < 1e-3


def test_many_are_scored_and_searched_like_others():
    signal, cube = score_many([Residual(1), Residual(3)], 32, batch_size=2, repeats=1, progress=False)
    assert signal["by"] == cube["by"] == "zen" and cube["flops"] > signal["flops"]
    found = search(
        Choices({"width": [4, 6, 8]}, build=lambda choices: Residual(1, width=choices["width"])),
        "zen",
        zenlib.Budget(params=10**9),
        evaluations=2,
        resolution=64,
        progress=False,
    )
    assert math.isfinite(found.best_score)


def test_channels_of_a_signal_are_found_and_checked():
    assert to_vcnn(Residual(1, in_channels=12), 64).image_shape == (12, 64)
    with pytest.raises(ConversionError, match="in_channels"):
        to_vcnn(Residual(1, in_channels=12), 64, in_channels=3)
    with pytest.raises(ValueError, match="needed 2-d convolutions"):
        PROXIES["snip"](Residual(1), 32)
