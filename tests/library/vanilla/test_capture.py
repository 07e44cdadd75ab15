"""The conversion of PyTorch modules: torchvision's zoo, modules as users write them, and what is refused."""

from __future__ import annotations

import copy
import random
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from zenlib.errors import ConversionError
from zenlib.networks.architecture import Architecture, Block
from zenlib.networks.module import build_network
from zenlib.networks.zennets import ZENNETS, zennet_architecture, zennet_resolution
from zenlib.scores.forward import forward
from zenlib.vanilla.capture import capture
from zenlib.vanilla.capture.layout import arranged, reshaped, shuffle_groups, whole
from zenlib.vanilla.convert import to_vcnn
from zenlib.vanilla.vcnn import VCNN, Add, ChannelShuffle, ChannelSlice, Concat, Conv, Pad, Pool

torchvision = pytest.importorskip("torchvision")

# Convolutions of the vanilla network of every single-branch classifier of torchvision.
CHAINS = {
    **dict(
        alexnet=5, vgg11=8, vgg13=10, vgg16=13, vgg19=16, vgg11_bn=8, vgg13_bn=10, vgg16_bn=13, vgg19_bn=16
    ),
    **dict(resnet18=17, resnet34=33, resnet50=49, resnet101=100, resnet152=151),
    **dict(
        resnext50_32x4d=49,
        resnext101_32x8d=100,
        resnext101_64x4d=100,
        wide_resnet50_2=49,
        wide_resnet101_2=100,
    ),
    **dict(
        mobilenet_v2=52,
        mobilenet_v3_small=34,
        mobilenet_v3_large=46,
        mnasnet0_5=52,
        mnasnet0_75=52,
        mnasnet1_0=52,
        mnasnet1_3=52,
    ),
    **dict(
        efficientnet_b0=49,
        efficientnet_b1=69,
        efficientnet_b2=69,
        efficientnet_b3=78,
        efficientnet_b4=96,
        efficientnet_b5=116,
    ),
    **dict(
        efficientnet_b6=134,
        efficientnet_b7=163,
        efficientnet_v2_s=110,
        efficientnet_v2_m=157,
        efficientnet_v2_l=217,
    ),
    **dict(
        regnet_x_400mf=67,
        regnet_x_800mf=49,
        regnet_x_1_6gf=55,
        regnet_x_3_2gf=76,
        regnet_x_8gf=70,
        regnet_x_16gf=67,
        regnet_x_32gf=70,
    ),
    **dict(
        regnet_y_400mf=49,
        regnet_y_800mf=43,
        regnet_y_1_6gf=82,
        regnet_y_3_2gf=64,
        regnet_y_8gf=52,
        regnet_y_16gf=55,
        regnet_y_32gf=61,
    ),
    **dict(regnet_y_128gf=82, convnext_tiny=58, convnext_small=112, convnext_base=112, convnext_large=112),
}
GRAPHS = {
    **dict(densenet121=120, densenet161=160, densenet169=168, densenet201=200, googlenet=57, inception_v3=94),
    **dict(
        shufflenet_v2_x0_5=56,
        shufflenet_v2_x1_0=56,
        shufflenet_v2_x1_5=56,
        shufflenet_v2_x2_0=56,
        squeezenet1_0=26,
        squeezenet1_1=26,
    ),
}
TRANSFORMERS = {
    **dict(vit_b_16=12, vit_b_32=12, vit_l_16=24, vit_l_32=24, vit_h_14=32),
    **dict(swin_t=12, swin_s=24, swin_b=24, swin_v2_t=12, swin_v2_s=24, swin_v2_b=24, maxvit_t=22),
}


class WeightsOnMeta(TorchFunctionMode):
    """Weights of a module built under it have shapes but no memory; everything else is computed as usual."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **({**(kwargs or {}), "device": "meta"} if func is torch.empty else kwargs or {}))


def published(name, **options):
    """A network of torchvision without memory for its weights."""
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False
    with WeightsOnMeta():
        return torchvision.models.get_model(name, weights=None, **options)


def shapes(vcnn):
    """The steps without their names."""
    return [replace(step, name="") for step in vcnn.steps]


def removed(vcnn):
    return {kind: vcnn.removed.count(kind) for kind in vcnn.removed}


def conv3(in_channels, out_channels, stride=1, **options):
    return nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False, **options)


class Written(nn.Module):
    """A module whose forward pass is a function of it and the image."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, images):
        return self.function(self, images)


def refused(function, resolution=32, **parts):
    """The message that refuses a module."""
    parts = parts or {"a": conv3(3, 8), "b": conv3(8, 8)}
    with pytest.raises(ConversionError) as caught:
        capture(Written(function, **parts), resolution)
    return str(caught.value)


# torchvision's classifiers.


def test_every_classifier_of_torchvision_is_listed_here_once():
    listed = sorted([*CHAINS, *GRAPHS, *TRANSFORMERS])
    assert set(listed) >= {
        "resnet50",
        "mobilenet_v2",
        "efficientnet_b0",
        "regnet_y_400mf",
        "mobilenet_v3_large",
        "convnext_tiny",
    }
    assert len(CHAINS) == 56
    assert listed == sorted(torchvision.models.list_models(module=torchvision.models))


@pytest.mark.parametrize("name", CHAINS)
def test_single_branch_classifiers_become_chains(name):
    vcnn = to_vcnn(published(name))
    assert vcnn.is_chain
    assert all(isinstance(layer, (Conv, Pool)) for layer in vcnn.layers)
    assert len(vcnn.convs) == CHAINS[name]
    assert "classifier" in vcnn.removed


@pytest.mark.parametrize("name", GRAPHS)
def test_classifiers_with_branches_become_graphs_and_say_so(name):
    vcnn = to_vcnn(published(name))
    assert not vcnn.is_chain
    assert len(vcnn.convs) == GRAPHS[name]
    assert "graph (" in str(vcnn).splitlines()[0] and "Concat" in str(vcnn).splitlines()[0]
    with pytest.raises(ConversionError, match="needed a chain"):
        assert vcnn.layers


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_are_refused_with_what_cannot_be_vanilla_and_why(name):
    with pytest.raises(
        ConversionError,
        match=(
            f"{TRANSFORMERS[name]} attention operations against .* no region of the input has one fixed "
            "linear map"
        ),
    ):
        to_vcnn(published(name))


def test_resnet50_keeps_what_the_paper_keeps():
    vcnn = to_vcnn(published("resnet50"))
    assert removed(vcnn) == {"batch norm": 49, "shortcut": 16, "projection": 4, "classifier": 1}
    assert [step.name for step in vcnn.steps[:5]] == [
        "conv1",
        "maxpool",
        "layer1.0.conv1",
        "layer1.0.conv2",
        "layer1.0.conv3",
    ]
    assert vcnn.steps[-1].out_channels == 2048 and vcnn.steps[-1].out_resolution == (7, 7)
    # Every kernel of the network but the four projections, by its own count.
    kernels = {
        name: weight.numel()
        for name, weight in published("resnet50").named_parameters()
        if weight.dim() == 4 and "downsample" not in name
    }
    assert {f"{conv.name}.weight": conv.weights for conv in vcnn.convs} == kernels


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "efficientnet_b0",
            {"gate": 16, "shortcut": 9, "stochastic depth": 9, "batch norm": 49, "classifier": 1},
        ),
        ("mobilenet_v3_large", {"gate": 8, "shortcut": 10, "batch norm": 46, "classifier": 1}),
        (
            "convnext_tiny",
            {
                "layer scale": 18,
                "shortcut": 18,
                "stochastic depth": 18,
                "layer norm": 22,
                "bias": 58,
                "classifier": 1,
            },
        ),
        ("regnet_y_400mf", {"gate": 16, "shortcut": 16, "projection": 4, "batch norm": 49, "classifier": 1}),
        ("squeezenet1_0", {"bias": 26, "dropout": 1, "classifier": 1}),
    ],
)
def test_gates_layer_scale_and_stochastic_depth_are_removed_and_counted(name, expected):
    vcnn = to_vcnn(published(name))
    assert removed(vcnn) == expected
    assert str(vcnn).splitlines()[-1] == "removed: " + ", ".join(
        f"{count} {kind}" for kind, count in sorted(expected.items())
    )


def test_the_linear_layers_of_convnext_are_1x1_convolutions():
    block = to_vcnn(published("convnext_tiny")).convs[1:4]
    assert [conv.weight_shape for conv in block] == [(96, 1, 7, 7), (384, 96, 1, 1), (96, 384, 1, 1)]


def test_auxiliary_heads_and_input_normalisation_leave_no_trace():
    for name in ("googlenet", "inception_v3"):
        plain = to_vcnn(published(name, aux_logits=True))
        assert plain == to_vcnn(published(name, aux_logits=True, transform_input=True))
        assert not any("aux" in step.name.lower() for step in plain.steps)


# The forward pass of the vanilla network is the module's own, where nothing had to be removed.


def as_vanilla(module):
    """The module in evaluation mode with neutral BatchNorm and no biases.

    Then it computes what its vanilla network does.
    """
    module = module.eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 0.0
        if isinstance(part, nn.Conv2d) and part.bias is not None:
            nn.init.zeros_(part.bias)
    return module


@pytest.mark.parametrize(
    ("name", "last", "resolution"),
    [
        ("vgg11_bn", "features", 64),
        ("squeezenet1_1", "classifier.2", 64),
        ("googlenet", "inception5b", 64),
        ("inception_v3", "Mixed_7c", 80),
    ],
)
def test_the_vanilla_network_of_published_nets_computes_their_own_feature_map(name, last, resolution):
    torch.manual_seed(0)
    options = {} if name.startswith("squeezenet") else {"init_weights": False}
    module = as_vanilla(torchvision.models.get_model(name, weights=None, **options))
    vcnn = to_vcnn(module, resolution)
    images = torch.randn(2, 3, resolution, resolution)
    seen = []
    handle = module.get_submodule(last).register_forward_hook(
        lambda part, inputs, output: seen.append(output)
    )
    with torch.no_grad():
        module(images)
        ours = forward(vcnn, [module.get_submodule(conv.name).weight for conv in vcnn.convs], images)
    handle.remove()
    assert torch.equal(ours, seen[0])


class Shuffled(nn.Module):
    """Channel split, shuffle (by hand and by function) and concatenation, as in ShuffleNet."""

    def __init__(self):
        super().__init__()
        self.stem, self.left, self.right, self.last = (
            conv3(3, 12),
            conv3(6, 6),
            conv3(6, 9, groups=3),
            conv3(15, 4),
        )

    def forward(self, images):
        features = torch.relu(self.stem(images))
        n, c, h, w = features.shape
        features = features.view(n, 3, c // 3, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        left, right = features.chunk(2, dim=1)
        features = torch.cat([F.relu(self.left(left)), F.relu(self.right(right))], 1)
        return F.relu(self.last(F.channel_shuffle(features, 5)))


class EveryOther(nn.Module):
    """Even and odd channels, split by reshaping as in the released ShuffleNetV2."""

    def __init__(self):
        super().__init__()
        self.stem, self.branch = conv3(3, 8), conv3(4, 4)

    def forward(self, images):
        features = self.stem(images).relu()
        n, c, h, w = features.shape
        even, odd = (
            features.reshape(n * c // 2, 2, h * w).permute(1, 0, 2).reshape(2, n, c // 2, h, w).unbind(0)
        )
        return torch.cat((even, self.branch(odd).relu()), 1)


class Dense(nn.Module):
    """Dense connections and an asymmetric pooling, as in DenseNet and Inception."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (
            conv3(3, 4),
            conv3(7, 5),
            nn.Conv2d(12, 6, (1, 5), (1, 2), (0, 2), bias=False),
        )

    def forward(self, images):
        a = torch.cat([images, self.a(images).relu()], 1)
        b = torch.cat([a, self.b(a).relu()], 1)
        b = F.max_pool2d(F.pad(b, (0, 1, 0, 1), value=-float("inf")), 2, stride=(1, 2))
        return F.avg_pool2d(self.c(b).relu(), 3, 2, ceil_mode=True, count_include_pad=False)


class Parallel(nn.Module):
    """Branches of equal standing, summed."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = conv3(3, 4), conv3(3, 4, dilation=1), conv3(4, 4, 2)

    def forward(self, images):
        return self.c(self.a(images).relu() + self.b(images).relu()).relu()


@pytest.mark.parametrize(
    ("module", "kinds"),
    [
        (Shuffled(), {Concat, ChannelSlice, ChannelShuffle}),
        (EveryOther(), {Concat, ChannelSlice, ChannelShuffle}),
        (Dense(), {Concat, Pad, Pool}),
        (Parallel(), {Add}),
    ],
)
def test_the_vanilla_graph_of_small_nets_computes_their_own_output(module, kinds):
    vcnn = capture(module, 16)
    images = torch.randn(
        3, 3, 16, 16
    ).abs()  # what zeros pad, a pooling may otherwise prefer to a negative image
    ours = forward(vcnn, [module.get_submodule(conv.name).weight for conv in vcnn.convs], images)
    assert {type(step) for step in vcnn.steps} - {Conv} == kinds
    torch.testing.assert_close(ours, module(images), rtol=0, atol=0)


def test_padding_of_every_kind_is_the_convolutions_own():
    class SamePadded(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Conv2d(3, 4, 3, 2, bias=False)
            self.b = nn.Conv2d(4, 4, 5, 2, padding=1, bias=False)
            self.c = nn.Conv2d(4, 4, 3, padding="same", dilation=2, bias=False)
            self.d = nn.Conv2d(4, 4, 2, padding="valid", bias=False)
            self.e = nn.Sequential(nn.ZeroPad2d((0, 1, 2, 0)), nn.Conv2d(4, 4, 3, bias=False))

        def forward(self, images):
            features = self.a(F.pad(images, (0, 1, 0, 1))).relu()
            features = self.b(F.relu6(F.pad(features, [0, 1, 0, 1])).clamp(min=0)).relu()
            return self.e(self.d(self.c(features).relu()).relu()).relu()

    module = SamePadded()
    vcnn = capture(module, 31)
    assert vcnn.is_chain
    assert [conv.padding for conv in vcnn.convs] == [
        (0, 1, 0, 1),
        (1, 2, 1, 2),
        (2, 2, 2, 2),
        (0, 0, 0, 0),
        (2, 0, 0, 1),
    ]
    images = torch.rand(2, 3, 31, 31) / 100  # small, so that no ReLU6 saturates
    ours = forward(vcnn, [module.get_submodule(conv.name).weight for conv in vcnn.convs], images)
    torch.testing.assert_close(ours, module(images), rtol=0, atol=0)


def test_reflected_borders_become_zeros_and_are_noted():
    vcnn = capture(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect", bias=False)), 8)
    assert vcnn.convs[0].padding == (1, 1, 1, 1) and vcnn.removed == ("reflect padding",)


# The networks of the search spaces.


def random_architecture(rng):
    blocks, width = [Block("conv", 3, 3, rng.choice([8, 16, 24]), stride=rng.choice([1, 2]))], 0
    for _ in range(rng.randint(1, 4)):
        width, out = blocks[-1].out_channels, rng.choice([8, 16, 40])
        kind, inner = rng.choice(["residual", "bottleneck", "inverted"]), rng.choice([8, 16, 24])
        expansion = rng.choice([1, 2, 4]) if kind == "inverted" else 0
        blocks.append(
            Block(
                kind,
                rng.choice([3, 5, 7]),
                width,
                out,
                rng.choice([1, 2]),
                rng.randint(1, 3),
                inner,
                expansion,
            )
        )
    return Architecture((*blocks, Block("conv", 1, blocks[-1].out_channels, 32)), use_se=rng.random() < 0.5)


def check_capture_equals_arithmetic(architecture, resolution):
    with WeightsOnMeta():
        network = build_network(architecture)
    by_arithmetic, captured = to_vcnn(architecture, resolution), capture(network, resolution)
    assert shapes(captured) == shapes(by_arithmetic)
    for kind in ("shortcut", "projection", "gate", "classifier"):
        assert captured.removed.count(kind) == by_arithmetic.removed.count(kind), kind


@pytest.mark.parametrize("name", ZENNETS)
def test_capture_of_a_built_zennet_equals_its_conversion_by_arithmetic(name):
    check_capture_equals_arithmetic(replace(zennet_architecture(name), use_se=True), zennet_resolution(name))


def test_capture_of_random_architectures_equals_their_conversion_by_arithmetic():
    rng = random.Random(0)
    for _ in range(12):
        architecture = random_architecture(rng)
        check_capture_equals_arithmetic(architecture, architecture.minimum_resolution + rng.randint(0, 40))


# Modules as users write them.


class SelfAttention(nn.Module):
    """Multi-head self-attention over positions with relative positions, as in BoTNet."""

    def __init__(self, channels, positions, heads=4):
        super().__init__()
        self.heads, self.project = heads, nn.Conv2d(channels, channels, 1)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.relative = nn.Parameter(torch.zeros(heads, positions, channels // heads))

    def forward(self, features):
        n, c, h, w = features.shape
        q, k, v = self.qkv(features).reshape(n, 3, self.heads, c // self.heads, h * w).unbind(1)
        logits = q.transpose(-2, -1) @ k / (c // self.heads) ** 0.5 + q.transpose(
            -2, -1
        ) @ self.relative.transpose(-2, -1)
        return self.project((v @ logits.softmax(-1).transpose(-2, -1)).reshape(n, c, h, w))


class FusedAttention(nn.Module):
    """The same with PyTorch's own function, on tokens."""

    def __init__(self, channels, positions, heads=4):
        super().__init__()
        self.heads, self.qkv, self.project = (
            heads,
            nn.Linear(channels, 3 * channels),
            nn.Linear(channels, channels),
        )

    def forward(self, features):
        n, c, h, w = features.shape
        tokens = self.qkv(features.flatten(2).transpose(1, 2)).view(n, h * w, 3, self.heads, c // self.heads)
        q, k, v = tokens.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, h * w, c)
        return self.project(mixed).transpose(1, 2).view(n, c, h, w)


class LibraryAttention(nn.Module):
    """The same as a module of PyTorch."""

    def __init__(self, channels, positions, heads=4):
        super().__init__()
        self.attention = nn.MultiheadAttention(channels, heads)

    def forward(self, features):
        tokens = features.flatten(2).permute(2, 0, 1)
        return self.attention(tokens, tokens, tokens)[0].permute(1, 2, 0).reshape(features.shape)


class BottleneckTransformer(nn.Module):
    """A bottleneck block whose spatial convolution is an attention, behind a stem."""

    def __init__(self, attention):
        super().__init__()
        self.stem, self.conv1, self.conv3 = conv3(3, 64, 2), nn.Conv2d(64, 32, 1), nn.Conv2d(32, 64, 1)
        self.attention, self.bn, self.head = attention(32, 64), nn.BatchNorm2d(32), nn.Linear(64, 5)

    def forward(self, images):
        features = F.relu(self.stem(images))
        branch = F.relu(self.bn(self.attention(F.relu(self.conv1(features)))))
        return self.head(F.relu(features + self.conv3(branch)).mean((2, 3)))


@pytest.mark.parametrize("attention", [SelfAttention, FusedAttention, LibraryAttention])
def test_attention_in_line_is_replaced_by_its_input(attention):
    vcnn = capture(BottleneckTransformer(attention), 16)
    assert vcnn.is_chain and [conv.name for conv in vcnn.convs] == ["stem", "conv1", "conv3"]
    assert vcnn.removed.count("attention") == 1 and vcnn.removed.count("shortcut") == 1


@pytest.mark.parametrize("attention", [SelfAttention, FusedAttention, LibraryAttention])
def test_attention_as_a_residual_branch_goes(attention):
    parts = {"a": conv3(3, 32), "attention": attention(32, 64), "b": conv3(32, 8)}
    vcnn = capture(Written(lambda self, x: self.b(F.relu((y := self.a(x)) + self.attention(y))), **parts), 8)
    assert [conv.name for conv in vcnn.convs] == ["a", "b"] and vcnn.removed == ("attention",)


def test_a_non_local_block_is_removed():
    class NonLocal(nn.Module):
        def __init__(self):
            super().__init__()
            self.theta, self.phi, self.g = (nn.Conv2d(16, 8, 1) for _ in range(3))
            self.out = nn.Sequential(nn.Conv2d(8, 16, 1), nn.BatchNorm2d(16))

        def forward(self, x):
            theta = self.theta(x).view(x.size(0), 8, -1).permute(0, 2, 1)
            phi, g = (F.max_pool2d(conv(x), 2).view(x.size(0), 8, -1) for conv in (self.phi, self.g))
            y = torch.matmul(F.softmax(torch.matmul(theta, phi), dim=-1), g.permute(0, 2, 1))
            return self.out(y.permute(0, 2, 1).contiguous().view(x.size(0), 8, *x.shape[2:])) + x

    vcnn = capture(nn.Sequential(conv3(3, 16), nn.ReLU(), NonLocal(), conv3(16, 4)), 8)
    assert [conv.name for conv in vcnn.convs] == ["0", "3"] and vcnn.removed.count("attention") == 1


def test_channel_and_spatial_gates_are_removed_whatever_they_compute():
    class Gates(nn.Module):
        def __init__(self):
            super().__init__()
            self.mlp = nn.Sequential(nn.Conv2d(8, 2, 1), nn.SiLU(), nn.Conv2d(2, 8, 1))
            self.spatial, self.coarse = nn.Conv2d(2, 1, 7, padding=3), conv3(8, 8, 2)

        def forward(self, x):
            x = x * torch.sigmoid(
                self.mlp(F.adaptive_avg_pool2d(x, 1)) + self.mlp(F.adaptive_max_pool2d(x, 1))
            )
            x = x * self.spatial(torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)).sigmoid()
            x = x * F.hardsigmoid(F.interpolate(self.coarse(x), scale_factor=2))
            x = x * (1 + torch.tanh(F.avg_pool2d(x, x.shape[2:])))
            return x * x.amax((2, 3), keepdim=True).expand_as(x)

    vcnn = capture(nn.Sequential(conv3(3, 8), Gates(), conv3(8, 4)), 16)
    assert [conv.name for conv in vcnn.convs] == ["0", "2"] and vcnn.removed == ("gate",) * 5


def test_gated_linear_units_keep_the_ungated_half():
    parts = {"a": conv3(3, 8), "b": conv3(4, 16), "c": conv3(8, 4)}

    def function(self, x):
        value, gate = self.a(x).chunk(2, 1)
        return self.c(F.glu(self.b(torch.tanh(value) * torch.sigmoid(gate)), dim=1))

    vcnn = capture(Written(function, **parts), 8)
    assert [(step.start, step.out_channels) for step in vcnn.steps if isinstance(step, ChannelSlice)] == [
        (0, 4),
        (0, 8),
    ]
    assert vcnn.removed == ("gate", "gate")


ACTIVATIONS = {
    "swish by hand": lambda x: x * torch.sigmoid(1.702 * x),
    "hard swish by hand": lambda x: x * F.relu6(x + 3) / 6,
    "mish by hand": lambda x: x * torch.tanh(F.softplus(x)),
    "gelu by its formula": lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
    "gelu by its approximation": lambda x: 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.044715 * torch.pow(x, 3)))),
    "in place": lambda x: x.relu_().mul_(2).clamp_(max=6),
    "sine": torch.sin,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "parametric": nn.PReLU(4),
    "random": nn.RReLU(),
    "celu": nn.CELU(inplace=True),
    "none": lambda x: x,
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_becomes_the_relu_after_each_convolution(activation):
    act = ACTIVATIONS[activation]
    vcnn = capture(Written(lambda self, x: self.b(act(self.a(x))), a=conv3(3, 4), b=conv3(4, 4)), 8)
    assert vcnn.is_chain and [conv.name for conv in vcnn.convs] == ["a", "b"] and vcnn.removed == ()


def test_a_convnext_block_with_everything_written_by_hand():
    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.ones(8)), nn.Parameter(torch.zeros(8))

        def forward(self, x):
            mean = x.mean(1, keepdim=True)
            x = (x - mean) / torch.sqrt((x - mean).pow(2).mean(1, keepdim=True) + 1e-6)
            return self.weight[:, None, None] * x + self.bias[:, None, None]

    class BlockByHand(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.norm, self.depthwise = (
                nn.Conv2d(3, 8, 4, 4),
                Norm(),
                nn.Conv2d(8, 8, 7, padding=3, groups=8),
            )
            self.up, self.down, self.scale = (
                nn.Linear(8, 32),
                nn.Parameter(torch.ones(32, 8)),
                nn.Parameter(torch.ones(8)),
            )

        def forward(self, x):
            x = self.norm(self.stem(x))
            y = F.gelu(self.up(F.layer_norm(self.depthwise(x).permute(0, 2, 3, 1), (8,))))
            spread = torch.norm(y, p=2, dim=(1, 2), keepdim=True)
            y = y * (spread / (spread.mean(-1, keepdim=True) + 1e-6)) + y  # global response normalisation
            y = torch.addcmul(self.up.bias, self.up.bias, y)
            return x + (self.scale * (y @ self.down)).permute(0, 3, 1, 2)

    vcnn = capture(BlockByHand(), 32)
    assert vcnn.is_chain
    assert [conv.weight_shape for conv in vcnn.convs] == [
        (8, 3, 4, 4),
        (8, 1, 7, 7),
        (32, 8, 1, 1),
        (8, 32, 1, 1),
    ]
    counts = removed(vcnn)
    assert (counts["layer scale"], counts["layer norm"], counts["shortcut"], counts["gate"]) == (4, 1, 1, 1)


def test_a_1x1_projection_loses_against_a_spatial_branch_of_equal_length():
    parts = {"stem": conv3(3, 4), "projection": nn.Conv2d(4, 4, 1, bias=False), "spatial": conv3(4, 4)}
    vcnn = capture(
        Written(lambda self, x: self.projection(y := self.stem(x)) + self.spatial(y) + y, **parts), 8
    )
    assert [conv.name for conv in vcnn.convs] == ["stem", "spatial"]
    assert removed(vcnn) == {"shortcut": 1, "parallel convolution": 1}


def test_a_shortcut_without_parameters_goes_however_it_is_made():
    def function(self, x):
        x = F.relu(self.a(x))
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))  # channels padded, as in ResNets for CIFAR
        x = F.relu(self.b(x) + shortcut)
        y = self.c(x)
        return y + torch.cat([F.avg_pool2d(x, 2), torch.zeros_like(x[:, :, ::2, ::2])], 1)  # as in PyramidNet

    vcnn = capture(Written(function, a=conv3(3, 4), b=conv3(4, 8, 2), c=conv3(8, 16, 2)), 16)
    assert vcnn.is_chain and len(vcnn.convs) == 3 and removed(vcnn) == {"shortcut": 2}


def test_control_flow_that_reads_shapes_weights_or_settings_is_followed():
    def function(self, x):
        if x.shape[0] > 1 and self.flag.item() > 0:
            x = self.a(x)
        for conv in (self.b, self.b):
            if self.training:
                raise RuntimeError("in training mode")
            x = conv(x)
        return x

    module = Written(function, a=conv3(1, 8), b=conv3(8, 8), flag=nn.Parameter(torch.ones(())))
    vcnn = capture(module, 8)
    assert vcnn.in_channels == 1 and [conv.name for conv in vcnn.convs] == ["a", "b", "b"]


def test_kernels_strides_and_dilations_that_are_not_square_are_kept():
    module = nn.Sequential(
        nn.Conv2d(3, 4, (1, 7), (1, 2), (0, 3)),
        nn.Conv2d(4, 6, (5, 1), dilation=(2, 1), groups=2),
        nn.MaxPool2d((2, 1)),
    )
    a, b, pool = capture(module, 20).layers
    assert (a.kernel, a.stride, a.padding, a.out_resolution) == ((1, 7), (1, 2), (0, 0, 3, 3), (20, 10))
    assert (b.kernel, b.dilation, b.groups, b.out_resolution) == ((5, 1), (2, 1), 2, (12, 10))
    assert (pool.kernel, pool.stride, pool.out_resolution) == ((2, 1), (2, 1), (6, 10))


HEADS = {
    "adaptive pooling": lambda x: F.adaptive_avg_pool2d(x, 1),
    "maximum and mean": lambda x: F.adaptive_max_pool2d(x, 1) + F.adaptive_avg_pool2d(x, 1),
    "mean over both axes": lambda x: x.mean([-2, -1]),
    "one axis after the other": lambda x: x.mean(3).amax(axis=2),
    "sum over positions": lambda x: x.flatten(2).sum(-1),
    "a window as wide as the map": lambda x: F.avg_pool2d(x, 8).view(x.size(0), -1),
    "flattening": lambda x: x.flatten(1) @ torch.ones(512, 3),
    "pooling to a fixed size": lambda x: F.linear(F.adaptive_avg_pool2d(x, 4).flatten(1), torch.ones(3, 128)),
    "pooling to a fixed size that does not divide it": lambda x: F.linear(
        F.adaptive_avg_pool2d(x, (3, 5)).flatten(1), torch.ones(3, 120)
    ),
    "a class token by attention": lambda x: F.scaled_dot_product_attention(
        torch.ones(x.size(0), 1, 8), *[x.flatten(2).mT] * 2
    )[:, 0],
    "convolutions behind pooling": lambda x: F.conv2d(
        F.relu(F.conv2d(x.mean((2, 3), keepdim=True), torch.ones(4, 8, 1, 1))), torch.ones(2, 4, 1, 1)
    ),
    "a dictionary": lambda x: {"logits": x.mean((2, 3)) @ torch.ones(8, 2), "features": x},
}


@pytest.mark.parametrize("head", HEADS)
def test_the_network_ends_before_global_pooling_and_flattening(head):
    module = Written(lambda self, x: HEADS[head](self.b(self.a(x))), a=conv3(3, 8, 2), b=conv3(8, 8))
    vcnn = capture(module, 16)
    assert [step.name for step in vcnn.steps] == ["a", "b"] and vcnn.removed.count("classifier") == 1


def test_a_feature_extractor_keeps_all_it_has():
    vcnn = capture(nn.Sequential(conv3(3, 8), nn.AvgPool2d(8)), 8)
    assert [type(step) for step in vcnn.steps] == [Conv, Pool] and vcnn.removed == ()


def test_pooling_to_a_fraction_in_the_middle_is_ordinary_pooling():
    module = nn.Sequential(conv3(3, 4), nn.AdaptiveAvgPool2d((4, 8)), conv3(4, 4))
    _, pool, _ = capture(module, 16).steps
    assert (pool.kind, pool.kernel, pool.stride, pool.out_resolution) == ("avg", (4, 2), (4, 2), (4, 8))


def test_windowed_attention_on_tokens_leaves_the_network_around_it():
    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.qkv, self.project = nn.LayerNorm(8), nn.Linear(8, 24), nn.Linear(8, 8)

        def forward(self, x):
            n, h, w, c = x.shape
            tokens = (
                self.norm(x).view(n, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
            )
            q, k, v = self.qkv(tokens).chunk(3, -1)
            tokens = self.project((q @ k.mT).softmax(-1) @ v)
            return x + tokens.view(n, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)

    parts = {"a": conv3(3, 8), "windows": Windows(), "mlp": nn.Linear(8, 6), "b": conv3(6, 4)}
    vcnn = capture(
        Written(
            lambda self, x: self.b(self.mlp(self.windows(self.a(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)),
            **parts,
        ),
        8,
    )
    assert [conv.name for conv in vcnn.convs] == ["a", "mlp", "b"] and vcnn.removed.count("attention") == 1


def test_compiled_modules_and_modules_with_computed_kernels_are_read():
    from torch.nn.utils.parametrizations import weight_norm

    module = nn.Sequential(weight_norm(conv3(3, 4)), nn.ReLU())
    assert shapes(capture(torch.compile(module), 8)) == shapes(capture(nn.Sequential(conv3(3, 4)), 8))


# What is left behind.


class Restless(nn.Module):
    """Changes whatever it can while it runs."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn, self.drop = conv3(3, 4), nn.BatchNorm2d(4), nn.Dropout(0.5)
        self.register_buffer("runs", torch.zeros(()))
        self.register_buffer("total", torch.zeros(4))
        self.cache = None

    def forward(self, images):
        self.runs += 1
        self.conv.weight.data.clamp_(-0.1, 0.1)
        features = self.drop(self.bn(self.conv(images)))
        self.total = self.total + features.mean((0, 2, 3))
        self.cache = features
        self.noise = torch.rand(3)
        return features


def test_the_module_and_the_random_state_are_left_as_found():
    module = Restless()
    module.train()
    module.bn.eval()
    module.conv.weight.requires_grad_(False)
    module.conv.register_forward_hook(lambda part, inputs, output: output * 2)
    before, tensors = (
        copy.deepcopy(module.state_dict()),
        {name: id(value) for name, value in module.state_dict(keep_vars=True).items()},
    )
    attributes, random_state = dict(module.__dict__), torch.get_rng_state()
    hooks = len(nn.modules.module._global_forward_hooks), len(nn.modules.module._global_forward_pre_hooks)
    assert len(capture(module, 8).convs) == 1
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert {name: id(value) for name, value in module.state_dict(keep_vars=True).items()} == tensors
    assert module.__dict__ == attributes and module.cache is None and not hasattr(module, "noise")
    assert [part.training for part in module.modules()] == [True, True, False, True]
    assert torch.equal(torch.get_rng_state(), random_state)
    assert (
        not module.conv.weight.requires_grad
        and module.bn.weight.requires_grad
        and module.bn.weight.grad is None
    )
    assert len(module.conv._forward_hooks) == 1
    assert (
        len(nn.modules.module._global_forward_hooks),
        len(nn.modules.module._global_forward_pre_hooks),
    ) == hooks


def test_a_module_that_fails_is_left_as_found_too():
    module = Written(lambda self, x: self.conv(x)[7], conv=conv3(3, 4)).train()
    hooks = len(nn.modules.module._global_forward_hooks)
    with pytest.raises(ConversionError, match="could not be captured"):
        capture(module, 8)
    assert module.training and module.conv.training and len(nn.modules.module._global_forward_hooks) == hooks


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64, torch.bfloat16])
def test_weights_of_any_type_and_place_give_the_same_network(dtype):
    module = nn.Sequential(conv3(3, 4), nn.BatchNorm2d(4), nn.ReLU(), conv3(4, 8, 2))
    expected = capture(module, 8)
    assert capture(copy.deepcopy(module).to(dtype), 8) == expected
    assert capture(copy.deepcopy(module).to("meta"), 8) == expected


# What is refused.


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda self, x: F.interpolate(self.a(x), scale_factor=2), ["interpolate", "larger or smaller"]),
        (lambda self, x: F.pixel_shuffle(self.a(x), 2), ["pixel_shuffle", "channels into pixels"]),
        (lambda self, x: self.a(x) * self.c(x), ["mul", "two feature maps", "gate"]),
        (lambda self, x: F.conv1d(self.a(x).flatten(2), torch.ones(4, 8, 3)), ["conv1d", "1-d convolution"]),
        (lambda self, x: self.a(x)[:1], ["getitem", "a part of the batch"]),
        (lambda self, x: torch.stack([self.a(x), self.c(x)]).amax(0), ["amax", "mixes"]),
        (lambda self, x: torch.cummax(self.b(self.a(x)), 1)[0], ["cummax", "has no place"]),
        (lambda self, x: F.linear(self.a(x).flatten(2), torch.ones(9, 1024)), ["linear", "across positions"]),
        (
            lambda self, x: F.conv2d(x, self.a(x).mean((2, 3)).view(8, 2, 1, 1)[:, :1].expand(8, 3, 1, 1)),
            ["conv2d", "kernel that is computed from the image"],
        ),
        (lambda self, x: self.b(F.adaptive_avg_pool2d(self.a(x), (3, 3))), ["'b'", "adaptive pooling"]),
        (
            lambda self, x: self.b(torch.vmap(torch.cos)(self.a(x))),
            ["scripted or compiled", "plain PyTorch functions"],
        ),
        (lambda self, x: self.b(self.a(x).view(2, 8, 16, 2, 32)[:, :, :, 0]), ["getitem", "crops"]),
        (lambda self, x: self.b(self.a(x).transpose(1, 2).reshape(2, 8, 32, 32)), ["'b'", "rearranged"]),
        (lambda self, x: self.a(x.reshape(2, 4, 768).view(2, 3, 32, 32)), ["reshape", "unevenly"]),
        (lambda self, x: self.b(self.a(x).transpose(2, 3)), ["'b'", "rearranged"]),
        (lambda self, x: self.a(x) + self.a(x).transpose(2, 3), ["add", "different places"]),
        (lambda self, x: self.a(x) - self.c(x), ["sub", "equal standing"]),
        (lambda self, x: self.a(x) / self.c(x), ["div", "divides"]),
        (lambda self, x: torch.cat([self.a(x), self.c(x)], 2), ["cat", "other dimensions"]),
        (
            lambda self, x: torch.cat([self.a(x), torch.ones(2, 1, 32, 32)], 1),
            ["cat", "something that is none"],
        ),
        (lambda self, x: (self.a(x), self.c(x)), ["2 feature maps", "one last feature map"]),
        (lambda self, x: (self.a(x) + self.a(x)[:, :1].flip(1)).cumsum(1), ["cumsum"]),
        (lambda self, x: torch.zeros(3), ["computed from the image"]),
        (lambda self, x: x.mean((2, 3)), ["at least one convolution"]),
        (lambda self, x: self.a(x) if x.sum() > 0 else self.c(x), ["reads the values of the image"]),
        (lambda self, x: self.a(x)[x[:, 0] > 0], ["could not be captured"]),
        (lambda self, x: self.a(x[:, :2]), ["'a'", "could not be captured"]),
        (lambda self, x: self.nowhere(x), ["could not be captured", "AttributeError"]),
    ],
)
def test_what_has_no_vanilla_form_is_refused_with_the_operation_and_its_place(function, words):
    message = refused(function, a=conv3(3, 8), b=conv3(8, 8), c=conv3(3, 8))
    assert "Written" in message and "needed" in message
    assert [word for word in words if word not in message] == []


def test_a_refusal_names_the_submodule():
    message = refused(
        lambda self, x: self.up(self.a(x)), a=conv3(3, 8), up=nn.Sequential(nn.ConvTranspose2d(8, 8, 2, 2))
    )
    assert "conv_transpose2d in 'up.0'" in message and "transposed convolution" in message


def test_an_attention_that_changes_the_shape_cannot_be_bypassed():
    class Widening(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Conv2d(8, 16, 1)

        def forward(self, x):
            weights = (x.flatten(2).mT @ x.flatten(2)).softmax(-1)
            return (self.value(x).flatten(2) @ weights).view(x.size(0), 16, *x.shape[2:])

    message = refused(
        lambda self, x: self.b(self.widen(self.a(x))), a=conv3(3, 8), widen=Widening(), b=conv3(16, 8)
    )
    assert "'b'" in message and "attention that changes the shape" in message


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), "no convolution"),
        (nn.Sequential(nn.ConvTranspose3d(3, 4, 3), nn.ConvTranspose2d(3, 4, 3)), "ConvTranspose2d, ConvTr"),
        (nn.LazyConv2d(4, 3), "lazy"),
    ],
)
def test_a_module_without_a_convolution_is_refused(module, found):
    with pytest.raises(ConversionError, match=f"needed .*{found}"):
        capture(module, 8)


def test_what_is_no_module_and_no_resolution_is_refused():
    with pytest.raises(ConversionError, match=r"network: needed .*got str"):
        to_vcnn("resnet50")
    for resolution in (0, -4, 2.5, "224", True):
        with pytest.raises(ConversionError, match="resolution: needed a whole number"):
            capture(conv3(3, 4), resolution)


@pytest.mark.parametrize(
    ("name", "resolution", "place"),
    [
        ("resnet18", 16, "layer4.0.conv1"),
        ("alexnet", 32, "features.12"),
        ("vgg11", 16, "features.20"),
        ("convnext_tiny", 16, "features.6.1"),
    ],
)
def test_a_resolution_too_small_for_kernels_or_strides_is_refused_with_the_layer(name, resolution, place):
    with pytest.raises(
        ConversionError,
        match=(
            f"resolution: needed a larger image than {resolution} x {resolution}.*'{place}'.*use a larger "
            "resolution"
        ),
    ):
        to_vcnn(published(name), resolution)


def test_the_smallest_resolution_is_the_one_that_architectures_know():
    architecture = zennet_architecture("zennet-0.1ms")
    with WeightsOnMeta():
        network = build_network(architecture)
    smallest = architecture.minimum_resolution
    assert capture(network, smallest).steps[-1].out_resolution == (1, 1)
    with pytest.raises(ConversionError, match="smaller than its stride"):
        capture(network, smallest - 1)


# Layouts.


def test_layouts_follow_reshapes_exactly():
    generator = random.Random(0)
    for _ in range(200):
        sizes = {
            "N": 2,
            "C": generator.choice([4, 6, 12]),
            "H": generator.choice([1, 4, 6]),
            "W": generator.choice([2, 8]),
        }
        start = torch.arange(sizes["N"] * sizes["C"] * sizes["H"] * sizes["W"]).view(*sizes.values())
        layout, tensor = arranged("NCHW", **sizes), start
        for _ in range(4):
            order = generator.sample(range(tensor.dim()), tensor.dim())
            layout, tensor = tuple(layout[d] for d in order), tensor.permute(order)
            shape = generator.choice(
                [(-1, 2), (2, -1), (tensor.shape[0], -1), (-1, tensor.shape[-1]), (-1,), tuple(tensor.shape)]
            )
            if tensor.numel() % max(-torch.tensor(shape).prod().item(), 1) and -1 in shape:
                continue
            reshaped_tensor = tensor.reshape(shape)
            followed = reshaped(layout, reshaped_tensor.shape)
            if followed is None:
                break
            layout, tensor = followed, reshaped_tensor
        places = {"N": 1, "C": sizes["H"] * sizes["W"], "H": sizes["W"], "W": 1} | {
            "N": sizes["C"] * sizes["H"] * sizes["W"]
        }
        expected = torch.zeros(tensor.shape, dtype=torch.long)
        for dim, dimension in enumerate(layout):
            index, size = torch.arange(tensor.shape[dim]), tensor.shape[dim]
            for digit in dimension:
                size //= digit.size
                part = index // size % digit.size * digit.stride * places[digit.axis]
                expected += part.view([-1 if d == dim else 1 for d in range(tensor.dim())])
        assert torch.equal(tensor, expected)


def test_a_layout_says_where_a_reshape_cuts_unevenly_and_where_it_shuffles():
    layout = arranged("NCHW", N=2, C=6, H=4, W=4)
    assert reshaped(layout, (2, 4, 24)) is None
    split = reshaped(layout, (2, 3, 2, 16))
    shuffled = reshaped((split[0], split[2], split[1], split[3]), (2, 6, 4, 4))
    assert shuffle_groups(shuffled[1], 6) == 3 and shuffle_groups(whole("C", 6), 6) is None


def test_conversion_of_a_vcnn_is_itself_and_of_nothing_an_error():
    vcnn = capture(conv3(3, 4), 8)
    assert isinstance(vcnn, VCNN) and to_vcnn(vcnn) is vcnn and to_vcnn(vcnn, 8) is vcnn
    with pytest.raises(ConversionError, match="converted at 8, got 9"):
        to_vcnn(vcnn, 9)
