"""What networks do besides convolving: each converts to the right network, or is refused with its reason."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.library.vanilla.test_capture import Written, computes_the_same
from zenlib import closed_form_zen_score, to_vcnn, zen_score
from zenlib.errors import ConversionError
from zenlib.networks.architecture import Architecture
from zenlib.scores.forward import forward
from zenlib.vanilla.vcnn import Add, ChannelSlice, Concat, Conv, Pool


def conv(in_channels, out_channels, kernel=3, stride=1, padding=None, **options):
    padding = kernel // 2 if padding is None else padding
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False, **options)


def names(function, resolution=16, **parts):
    """The convolutions of the vanilla network, by name."""
    return [step.name for step in to_vcnn(Written(function, **parts), resolution).convs]


def refusal(network, resolution=16, **options):
    with pytest.raises(ConversionError) as caught:
        to_vcnn(network, resolution, **options)
    return str(caught.value)


# Tables of indices, windows of pixels, and products.


@pytest.mark.parametrize(
    "choose",
    [
        lambda x: x.index_select(1, torch.tensor([3, 1, 2, 0, 7, 6, 4, 5])),
        lambda x: x[:, [3, 1, 2, 0, -1, 6, 4, 5]],
        lambda x: x[:, torch.tensor([True, False] * 4)].repeat(1, 2, 1, 1),
        lambda x: x.index_select(-2, torch.arange(3, 9)),
        lambda x: x[..., torch.arange(5)],
        lambda x: x[:, [1, 1, 3, 2, 0, 7, 7, 7]],
        lambda x: x[:, :4].repeat_interleave(2, 1),
        lambda x: x.flip(1),
        lambda x: x.roll(3, -3),
    ],
)
def test_a_table_of_indices_chooses_channels_in_any_order_and_rows_that_follow_each_other(choose):
    module = nn.Sequential(
        conv(3, 8), nn.ReLU(), Written(lambda self, x: choose(x)), conv(8, 6, groups=2), nn.ReLU()
    )
    computes_the_same(module)


def test_rows_in_another_order_and_tables_never_learned_are_refused():
    never_learned = torch.zeros(8, dtype=torch.long)
    for choose, words in (
        (lambda x: x[:, :, [1, 0]], "chooses parts of a feature map by a table of indices"),
        (lambda x: x.flip(2), "chooses parts of a feature map by a table of indices"),
        (lambda x: x.flip(1, 2), "flip"),
        (lambda x: x.roll((1, 1), (1, 2)), "roll"),
        (lambda x: x.roll(1).view(x.shape), "roll"),
        (lambda x: x.repeat_interleave(2, 3), "repeat_interleave"),
        (lambda x: x.index_select(1, never_learned), "not yet learned"),
    ):
        net = Written(lambda self, x, choose=choose: self.b(choose(self.a(x))), a=conv(3, 8), b=conv(8, 4))
        assert words in refusal(net)


@pytest.mark.parametrize("by_pixels", [True, False])
def test_windows_of_pixels_beside_the_channels_are_samples_for_what_does_not_mix_them(by_pixels):
    def moved(self, x):
        if not by_pixels:
            return F.pixel_unshuffle(x, 2)
        windows = x.unflatten(2, (8, 2)).unflatten(4, (8, 2))
        return windows.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)

    head = conv(3, 4), nn.ReLU(), Written(moved)
    for after in (
        (conv(16, 16, groups=16),),
        (nn.MaxPool2d(2), conv(16, 6)),
        (conv(16, 8, groups=4, stride=2),),
    ):
        computes_the_same(nn.Sequential(*head, *after, nn.ReLU()))


def test_zeros_around_windows_of_pixels_are_wider_zeros_around_the_map():
    module = Written(
        lambda self, x: F.relu(self.b(F.pad(F.pixel_unshuffle(F.relu(self.a(x)), 2), (1, 0, 2, 1)))),
        a=conv(3, 4),
        b=conv(16, 6, padding=0),
    )
    vcnn, images = to_vcnn(module, 16), torch.randn(2, 3, 16, 16)
    wide = module.b.weight.unflatten(1, (4, 2, 2)).permute(0, 1, 4, 2, 5, 3).reshape(6, 4, 6, 6)
    assert vcnn.convs[1].padding == (4, 2, 2, 0)
    with torch.no_grad():
        torch.testing.assert_close(forward(vcnn, [module.a.weight, wide], images), module(images))


def test_zeros_around_a_map_with_the_channels_last_are_zeros_around_the_map():
    def padded(self, x):
        return F.pad(x.permute(0, 2, 3, 1), (0, 0, 2, 1, 0, 3)).permute(0, 3, 1, 2)

    computes_the_same(nn.Sequential(conv(3, 8), nn.ReLU(), Written(padded), conv(8, 6, padding=0), nn.ReLU()))
    assert "pads channels" in refusal(
        nn.Sequential(conv(3, 8), Written(lambda self, x: F.pad(x, (0, 0, 0, 0, 1, 0))), conv(9, 4))
    )


@pytest.mark.parametrize(
    "multiply", [torch.mul, lambda a, b: torch.einsum("n c h w, n c h w -> n c h w", a, b)]
)
def test_a_product_of_two_branches_is_refused_and_names_both(multiply):
    def gated(self, x):
        x = self.stem(x)
        return self.last(multiply(self.left(x), self.right(x)))

    parts = {"stem": conv(3, 4), "left": conv(4, 4), "right": conv(4, 4, 1), "last": conv(4, 4)}
    message = refusal(Written(gated, **parts))
    assert "multiplies two feature maps (of 'left' and 'right')" in message
    assert "not piecewise linear" in message and "convert the part up to" in message
    for squash in (torch.sigmoid, F.hardsigmoid, torch.tanh):
        kept = names(
            lambda self, x, squash=squash: self.last(
                multiply(self.left(y := self.stem(x)), squash(self.right(y)))
            ),
            **parts,
        )
        assert kept == ["stem", "left", "last"]


HARD_SIGMOIDS = {
    "relu6": lambda x: F.relu6(x + 3) / 6,
    "relu6 in place": lambda x: F.relu6(3.0 + x, inplace=True) * (1 / 6),
    "module": lambda x: nn.ReLU6()(x.add(3)).div(6),
    "hardtanh": lambda x: F.hardtanh(x - (-3), 0, 6) / 6,
    "all in place": lambda x: x.add_(3).clamp_(0, 6).div_(6),
    "clamp": lambda x: torch.clamp(x / 6 + 0.5, 0, 1),
    "clip": lambda x: (0.2 * x + 0.5).clip(min=0, max=1),
    "two clamps": lambda x: (x / 6 + 0.5).clamp_min(0).clamp_max(1),
    "minimum": lambda x: torch.minimum(torch.relu(x + 3), torch.tensor(6.0)) / 6,
    "exponential": lambda x: 1 / (1 + torch.exp(-x)),
    "reciprocal": lambda x: (1 + (-x).exp()).reciprocal(),
    "tanh": lambda x: 0.5 * (torch.tanh(0.5 * x) + 1),
    "softsign": lambda x: (F.softsign(x) + 1) / 2,
    "logarithm": lambda x: F.logsigmoid(x).exp(),
    "not yet divided": lambda x: F.relu6(x + 3),
}


@pytest.mark.parametrize("sigmoid", HARD_SIGMOIDS)
def test_a_sigmoid_by_hand_is_a_gate_or_an_activation(sigmoid):
    by_hand = HARD_SIGMOIDS[sigmoid]
    parts = {"a": conv(3, 8), "b": conv(8, 8), "gate": conv(8, 8), "fc": conv(8, 8, 1)}
    coarse = Written(
        lambda self, x: F.interpolate(self.c(F.avg_pool2d(x, 4)), size=x.shape[2:]), c=conv(8, 8)
    )
    for function in (
        lambda s, x: s.b((y := s.a(x)) * by_hand(s.gate(y))),
        lambda s, x: s.b((y := s.a(x)) * by_hand(s.coarse(y))),
        lambda s, x: s.b((y := s.a(x)) * by_hand(s.fc(y.mean((2, 3), keepdim=True)))),
        lambda s, x: s.b((y := s.a(x)) * by_hand(y.clone())),
        lambda s, x: s.b(by_hand(s.a(x))),
    ):
        assert names(function, coarse=coarse, **parts) == ["a", "b"]


@pytest.mark.parametrize(
    "act",
    [
        F.relu6,
        F.gelu,
        F.softplus,
        lambda x: x.clamp(0, 1),
        lambda x: F.relu6(x - 3),
        lambda x: F.relu6(x + torch.full((8, 1, 1), 3.0)),
        lambda x: torch.exp(-x * x),
        torch.sin,
        lambda x: x / 6 + 0.5,
    ],
)
def test_a_product_of_a_map_with_another_activation_stays_refused(act):
    net = Written(
        lambda s, x: s.c(act(s.a(y := s.stem(x))) * s.b(y)),
        **{name: conv(3 if name == "stem" else 8, 8) for name in ("stem", "a", "b", "c")},
    )
    assert "multiplies two feature maps" in refusal(net)


def test_global_pooling_of_a_map_with_other_axes_in_its_last_two_dimensions_is_refused():
    message = refusal(
        Written(
            lambda self, x: F.adaptive_avg_pool2d(self.a(x).permute(0, 2, 3, 1), 1).flatten(1), a=conv(3, 4)
        )
    )
    assert "rearranged" in message


# Crops.

CROPS = {
    "both axes": lambda x: x[:, :, 1:-1, 2:-1],
    "one row less": lambda x: x[:, :, 1:],
    "ellipsis": lambda x: x[..., :-3],
    "narrow": lambda x: x.narrow(3, 2, 9),
    "a part of a split": lambda x: x.split([4, 12], 2)[1],
    "every other pixel": lambda x: x[:, :, ::2, 1::2],
    "every third pixel of a part": lambda x: x[:, :, 1:11:3],
    "every other channel": lambda x: x[:, 1::2].repeat(1, 2, 1, 1),
    "windows averaged by reshaping": lambda x: x.view(2, 4, 8, 2, 4, 4).mean((3, 5)),
    "windows' maxima by reshaping": lambda x: x.view(2, 4, 8, 2, 16).amax(3),
}


@pytest.mark.parametrize("crop", CROPS)
def test_a_crop_or_sample_of_pixels_is_a_step_and_not_the_end(crop):
    module = Written(lambda self, x: self.b(CROPS[crop](self.a(x).relu())).relu(), a=conv(3, 4), b=conv(4, 5))
    assert len(computes_the_same(module).convs) == 2


def test_the_deep_branch_of_a_cropped_sum_stays():
    deep = nn.Sequential(*[part for i in range(9) for part in (conv(16 if i else 3, 16), nn.ReLU())])
    net = Written(
        lambda self, x: self.deep(x)[:, :, 1:-1, 1:-1] + self.short(x),
        deep=deep,
        short=conv(3, 16, padding=0),
    )
    assert len(to_vcnn(net, 16).convs) == 9


# Writes in place.


def add_to_half(self, x):
    y = self.stem(x).relu()
    a, b = y.chunk(2, 1)
    a.add_(self.part(b).relu())
    return self.last(y).relu()


def assign_half(self, x):
    y = self.stem(x).relu().clone()
    y[:, :4] = self.part(y[:, :4]).relu()
    return self.last(y).relu()


def copy_into_half(self, x):
    y = self.stem(x).relu()
    y[:, 2:6].copy_(self.part(y[:, 4:]).relu())
    return self.last(y).relu()


def write_all_after_a_view(self, x):
    y = self.stem(x).relu()
    half = y[:, 4:]
    y.copy_(self.mix(y).relu())
    return self.last(torch.cat([self.part(half).relu(), half], 1)).relu()


def write_out(self, x):
    y = self.stem(x).relu()
    out = torch.empty_like(y)
    torch.add(self.mix(y).relu(), self.last(y).relu(), out=out)
    return out


WRITES = {add_to_half: 3, assign_half: 3, copy_into_half: 3, write_all_after_a_view: 4, write_out: 3}


@pytest.mark.parametrize("write", WRITES)
def test_a_write_through_a_view_changes_the_map(write):
    module = Written(write, stem=conv(3, 8), part=conv(4, 4), mix=conv(8, 8), last=conv(8, 8))
    if write is add_to_half:  # `a` has a shortcut here, which conversion removes
        assert names(write, **dict(module.named_children())) == ["stem", "part", "last"]
    else:
        assert len(computes_the_same(module).convs) == WRITES[write]


def test_a_view_that_was_activated_counts_as_activated():
    def function(self, x):
        y = self.stem(x)
        y.view(2, 8, -1).relu_()
        return self.last(self.mix(y) + self.part(self.stem(x)))

    found = names(function, stem=conv(3, 8), mix=conv(8, 8), part=conv(8, 8), last=conv(8, 8))
    assert "mix" in found and "part" in found


@pytest.mark.parametrize(
    "write",
    [
        lambda y, z: y[:, :, 1:-1, 1:-1].add_(z[:, :, 1:-1, 1:-1]),
        lambda y, z: y.view(2, 2, 4, 16, 16)[:, 0].add_(z[:, :4]),
        lambda y, z: y.index_copy_(1, torch.arange(2), z[:, :2]),
        lambda y, z: y.__setitem__((slice(None), [0, 1]), z[:, :2]),
    ],
)
def test_a_write_that_cannot_be_followed_is_refused(write):
    def function(self, x):
        y = self.stem(x)
        write(y, self.mix(y))
        return self.last(y)

    parts = {"stem": conv(3, 8), "mix": conv(8, 8), "last": conv(8, 8)}
    try:
        assert names(function, **parts) == ["stem", "mix", "last"]
    except ConversionError as error:
        assert "needed" in str(error)


RESHAPES_IN_PLACE = {
    "there and back": lambda s, y: s.mix(y.unsqueeze_(2).squeeze_(2)),
    "tokens": lambda s, y: s.fc(y.flatten(2).transpose_(1, 2)).mT.unflatten(2, (16, 16)),
    "freed by resizing": lambda s, y: (s.mix(y), y.resize_(0))[0],
    "freed by setting": lambda s, y: (s.mix(y), y.set_())[0],
    "freed by its data": lambda s, y: (s.mix(y), setattr(y, "data", y.new_empty(0)))[0],
    "data replaced": lambda s, y: setattr(y, "data", s.mix(y)) or y,
    "a buffer filled at random": lambda s, y: s.mix(y * torch.empty_like(y).bernoulli_(0.5)),
    "a mask assigned": lambda s, y: (y.__setitem__(y < 0, 0.0), s.mix(y))[1],
}


@pytest.mark.parametrize("change", RESHAPES_IN_PLACE)
def test_a_shape_or_content_changed_in_place_changes_no_earlier_call(change):
    found = names(
        lambda s, x: s.last(RESHAPES_IN_PLACE[change](s, s.stem(x))),
        stem=conv(3, 8),
        mix=conv(8, 8),
        fc=nn.Linear(8, 8),
        last=conv(8, 8),
    )
    assert found == ["stem", "fc" if change == "tokens" else "mix", "last"]


def test_a_tensor_made_another_one_unseen_is_refused():
    def function(self, x):
        y = self.stem(x)
        y.set_(self.down(x))
        return self.last(y)

    parts = {"stem": conv(3, 8), "down": conv(3, 8, 3, 2), "last": conv(8, 8)}
    assert "hides what it does" in refusal(Written(function, **parts))


def test_reversible_blocks_that_free_their_inputs_are_a_graph():
    class Reversible(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, f, g):
            x1, x2 = (half.contiguous() for half in x.chunk(2, 1))
            y1 = x1 + f(x2)
            y = torch.cat((y1, x2 + g(y1)), 1)
            x1.set_()
            y1.set_()
            return y

    def function(self, x):
        y = self.stem(x)
        z = Reversible.apply(y, self.f, self.g)
        y.data.set_()
        return self.last(z)

    parts = {"f": conv(4, 4), "g": conv(4, 4), "last": conv(8, 8)}
    assert names(function, stem=conv(3, 8), **parts) == ["stem", "f", "g", "last"]


def test_a_constant_that_is_filled_through_a_view_is_refused():
    def function(self, x):
        buffer = torch.zeros(2, 8, 16, 16)
        half = buffer[:, :4]
        half.copy_(self.part(x))
        return self.last(buffer) + self.short(x)

    message = refusal(Written(function, part=conv(3, 4), last=conv(8, 8), short=conv(3, 8)))
    assert "filled in place" in message


# Linear branches of one input.

PARALLEL = {
    "reparameterised block": (
        lambda s, x: s.wide(x) + s.narrow(x) + s.again(x),
        {"wide": conv(8, 8), "narrow": conv(8, 8, 1), "again": conv(8, 8)},
        "wide",
    ),
    "with BatchNorm": (
        lambda s, x: s.norm(s.narrow(x)) + s.other(s.wide(x)) + s.third(x),
        {
            "wide": conv(8, 8, 5),
            "narrow": conv(8, 8),
            "norm": nn.BatchNorm2d(8),
            "other": nn.BatchNorm2d(8),
            "third": nn.BatchNorm2d(8),
        },
        "wide",
    ),
    "low-rank update": (
        lambda s, x: s.base(x) + 0.5 * s.up(s.down(x)),
        {"base": conv(8, 8), "down": conv(8, 2), "up": conv(2, 8, 1)},
        "base",
    ),
    "diverse branches": (
        lambda s, x: s.one(x) + s.three(x) + s.b(s.a(x)) + F.avg_pool2d(s.c(x), 3, 1, 1),
        {"one": conv(8, 8, 1), "three": conv(8, 8), "a": conv(8, 8, 1), "b": conv(8, 8), "c": conv(8, 8, 1)},
        "three",
    ),
    "central differences": (
        lambda s, x: s.three(x) - 0.7 * s.one(x),
        {"three": conv(8, 8), "one": conv(8, 8, 1)},
        "three",
    ),
    "one kernel for rows, one for columns": (
        lambda s, x: s.square(x) + s.rows(x) + s.columns(x),
        {
            "square": conv(8, 8),
            "rows": conv(8, 8, (3, 1), 1, (1, 0)),
            "columns": conv(8, 8, (1, 3), 1, (0, 1)),
        },
        "square",
    ),
    "a list summed": (
        lambda s, x: sum(branch(x) for branch in (s.a, s.b, s.c)) / 3,
        {"a": conv(8, 8, 1), "b": conv(8, 8), "c": conv(8, 8, 5)},
        "c",
    ),
    "stacked and summed": (
        lambda s, x: torch.stack([s.a(x), s.b(x)], -1).sum(-1),
        {"a": conv(8, 8), "b": conv(8, 8, 7)},
        "b",
    ),
    "dilated": (
        lambda s, x: s.small(x) + s.spread(x) + s.large(x),
        {
            "small": conv(8, 8),
            "spread": conv(8, 8, 3, padding=2, dilation=2),
            "large": conv(8, 8, 7, groups=8),
        },
        "large",
    ),
    "both behind the same activation": (
        lambda s, x: s.a(y := F.silu(x)) + s.b(y),
        {"a": conv(8, 8), "b": conv(8, 8)},
        "a",
    ),
}


@pytest.mark.parametrize("case", PARALLEL)
def test_linear_branches_of_one_input_are_one_convolution(case):
    function, parts, kept = PARALLEL[case]
    net = Written(
        lambda s, x: s.last(torch.relu(function(s, torch.relu(s.stem(x))))),
        stem=conv(3, 8),
        last=conv(8, 8),
        **parts,
    )
    vcnn = to_vcnn(net, 16)
    assert vcnn.is_chain and [step.name for step in vcnn.convs] == ["stem", kept, "last"]
    assert "parallel convolution" in vcnn.removed


@pytest.mark.parametrize(
    "function",
    [
        lambda s, x: torch.relu(s.a(x)) + torch.relu(s.b(x)),
        lambda s, x: F.silu(s.a(x)) + s.b(x),
        lambda s, x: s.b(torch.relu(x)) + s.a(x),
        lambda s, x: s.b(torch.relu(x)) + s.a(F.silu(x)),
        lambda s, x: s.a(x * x.mean((2, 3), keepdim=True).sigmoid()) + s.b(x),
        lambda s, x: s.a(torch.relu(x)) + s.b(torch.relu(x + F.avg_pool2d(x, 3, 1, 1))),
        lambda s, x: s.a(F.max_pool2d(x, 3, 1, 1)) + s.b(x),
        lambda s, x: torch.stack([s.a(x).relu(), s.b(x).relu()]).mean(0),
        lambda s, x: torch.stack([s.a(x), s.b(x)], 1).relu().sum(1),
    ],
)
def test_branches_with_an_activation_between_stay_apart(function):
    net = Written(
        lambda s, x: s.last(function(s, s.stem(x))),
        stem=conv(3, 8),
        a=conv(8, 8),
        b=conv(8, 8),
        last=conv(8, 8),
    )
    vcnn = to_vcnn(net, 16)
    assert {step.name for step in vcnn.convs} == {"stem", "a", "b", "last"}
    assert any(isinstance(step, Add) for step in vcnn.steps)


def test_low_rank_updates_leave_the_network_as_it_was():
    def adapted():
        return Written(
            lambda s, x: s.base(x) + s.b(s.a(x)), base=conv(16, 16), a=conv(16, 4), b=conv(4, 16, 1)
        )

    plain = nn.Sequential(conv(3, 16), *[conv(16, 16) for _ in range(8)])
    adapted = nn.Sequential(conv(3, 16), *[adapted() for _ in range(8)])
    scores = [zen_score(net, 16, repeats=1, batch_size=4).mean for net in (plain, adapted)]
    assert scores[0] == scores[1]


def test_the_training_form_of_a_published_block_scores_as_its_other_form():
    timm = pytest.importorskip("timm")
    from timm.utils import reparameterize_model

    for name in ("mobileone_s0", "repvgg_a0"):
        net = timm.create_model(name).eval()
        forms = [to_vcnn(form, 64) for form in (net, reparameterize_model(net))]
        assert len({len(vcnn.convs) for vcnn in forms}) == 1
        scores = [closed_form_zen_score(vcnn) for vcnn in forms]
        assert scores[0] == pytest.approx(scores[1])
        if name == "mobileone_s0":
            assert zen_score(forms[0], repeats=2, batch_size=4).mean == pytest.approx(61.8, abs=0.2)


def test_kernels_that_a_gate_mixes_for_each_image_are_one_convolution():
    def function(self, x):
        x = self.a(x)
        n, c, h, w = x.shape
        kernels = self.route(x.mean((2, 3))).sigmoid() @ self.bank
        y = F.conv2d(x.reshape(1, n * c, h, w), kernels.view(n * 6, c, 3, 3), padding=1, groups=n)
        return self.b(y.permute(1, 0, 2, 3).view(n, 6, h, w))

    bank = nn.Parameter(torch.ones(4, 6 * 8 * 9))
    net = Written(function, a=conv(3, 8), route=nn.Linear(8, 4), bank=bank, b=conv(6, 4))
    vcnn = to_vcnn(net, 16)
    assert vcnn.is_chain and [step.weight_shape for step in vcnn.convs[1:]] == [(6, 8, 3, 3), (4, 6, 3, 3)]


# Sums over channels, and means over rows or columns.


def test_a_sum_over_groups_of_channels_is_a_sum_of_slices():
    def split(self, x):
        u = self.a(x).relu().view(x.shape[0], 2, 4, *x.shape[2:])
        return self.b(u.sum(1)).relu()

    vcnn = computes_the_same(Written(split, a=conv(3, 8), b=conv(4, 4)))
    assert [type(step) for step in vcnn.steps] == [Conv, ChannelSlice, ChannelSlice, Add, Conv]

    def interleaved(self, x):
        return self.b(self.a(x).relu().view(x.shape[0], 4, 2, *x.shape[2:]).sum(2)).relu()

    assert computes_the_same(Written(interleaved, a=conv(3, 8), b=conv(4, 4))).convs[-1].in_channels == 4


def test_split_attention_keeps_the_sum_and_drops_its_weights():
    def function(self, x):
        u = self.a(x).relu().view(x.shape[0], 2, 8, *x.shape[2:])
        weights = self.gate(u.sum(1).mean((2, 3))).view(-1, 2, 8, 1, 1).softmax(1)
        return self.b((u * weights).sum(dim=1))

    assert names(function, a=conv(3, 16), gate=nn.Linear(8, 16), b=conv(8, 8)) == ["a", "b"]


def test_a_mean_over_one_axis_is_pooling_and_what_follows_counts():
    def audio(self, x):
        frames = self.a(x).mean(3).transpose(1, 2)  # over the frequencies
        return self.out(self.fc(frames).relu()).mean(1)

    net = Written(audio, a=conv(1, 8), fc=nn.Linear(8, 16), out=nn.Linear(16, 4))
    vcnn = to_vcnn(net, 16)
    assert [type(step) for step in vcnn.steps] == [Conv, Pool, Conv, Conv]
    assert (vcnn.steps[1].kind, vcnn.steps[1].kernel, vcnn.convs[-1].out_resolution) == (
        "avg",
        (1, 16),
        (16, 1),
    )
    both = to_vcnn(Written(lambda s, x: s.l(s.a(x).mean(3).amax(2)), a=conv(1, 8), l=nn.Linear(8, 4)), 16)
    assert [type(step) for step in both.steps] == [Conv]
    assert "statistic" in refusal(
        Written(lambda s, x: s.b(s.a(x).std(2, keepdim=True)), a=conv(1, 8), b=conv(8, 8))
    )


def test_an_average_pool_that_covers_a_wide_map_is_global_pooling():
    head = nn.Sequential(conv(8, 16, 1), nn.Hardswish(), conv(16, 10, 1))
    vcnn = to_vcnn(nn.Sequential(conv(3, 8, 3, 2), nn.AvgPool2d(8), head, nn.Flatten()), 16)
    assert len(vcnn.convs) == 1 and "classifier" in vcnn.removed
    inside = to_vcnn(nn.Sequential(conv(3, 8, 3, 8), nn.AvgPool2d(2), conv(8, 8)), 16)
    assert len(inside.convs) == 2  # a narrow pooling that happens to cover a small map


SECOND_ORDER = {
    "bilinear": lambda y: y @ y.mT,
    "centred": lambda y: y.bmm((torch.eye(256) - 1 / 256).repeat(2, 1, 1)).bmm(y.transpose(1, 2)),
    "its square": lambda y: (c := y @ y.mT / 256) @ c,
}


@pytest.mark.parametrize("pool", SECOND_ORDER)
def test_pooling_of_second_order_is_global_pooling(pool):
    def function(self, x):
        return self.fc(SECOND_ORDER[pool](self.b(self.a(x)).flatten(2)).flatten(1))

    net = Written(function, a=conv(3, 8), b=conv(8, 8), fc=nn.Linear(64, 10))
    assert [step.name for step in to_vcnn(net, 16).convs] == ["a", "b"]


def test_a_pyramid_of_pools_is_read_by_the_classifier():
    def function(self, x):
        y = self.b(self.a(x))
        return self.fc(torch.cat([F.adaptive_max_pool2d(y, side).flatten(1) for side in (1, 2, 4)], 1))

    assert names(function, a=conv(3, 8), b=conv(8, 8), fc=nn.Linear(168, 10)) == ["a", "b"]


def test_linear_layers_on_tokens_written_as_others_are_1x1_convolutions():
    module = Written(
        lambda s, x: F.relu(s.c(F.relu(s.w @ s.b(F.relu(s.a(x)).flatten(2)).relu()).unflatten(2, (16, 16)))),
        a=conv(3, 8),
        b=nn.Conv1d(8, 8, 1, bias=False),
        w=nn.Parameter(torch.randn(8, 8)),
        c=conv(8, 8),
    )
    vcnn, images = to_vcnn(module, 16), torch.randn(2, 3, 16, 16)
    weights = [module.a.weight, module.b.weight[..., None], module.w[..., None, None], module.c.weight]
    with torch.no_grad():
        torch.testing.assert_close(forward(vcnn, weights, images), module(images))


def test_a_pooling_by_the_minimum_is_refused():
    net = Written(lambda s, x: s.b(-F.max_pool2d(-s.a(x), 2)), a=conv(3, 8), b=conv(8, 8))
    assert "pooling by the minimum" in refusal(net)


# Activations and normalisation by hand.


def evonorm(x):
    deviation = (x.reshape(x.shape[0], 4, -1).var(2, keepdim=True) + 1e-5).sqrt()
    return x * torch.sigmoid(x) / deviation.expand(-1, -1, x[0].numel() // 4).reshape(x.shape)


BY_HAND = {
    "EvoNorm": evonorm,
    "filter response norm": lambda x: torch.max(
        x * torch.rsqrt(x.pow(2).mean((2, 3), keepdim=True) + 1e-6), torch.zeros(1, 8, 1, 1)
    ),
    "maximum": lambda x: torch.maximum(x, torch.tensor(0.0)),
    "minimum": lambda x: torch.minimum(x, x * 0.5),
    "leaky by max": lambda x: torch.max(x, 0.1 * x),
    "leaky by where": lambda x: torch.where(x > 0, x, 0.1 * x),
    "where of a constant": lambda x: x.where(x > 0, torch.zeros(())),
    "mask": lambda x: x * (x > 0),
    "mask as float": lambda x: x * (x > 0).float() + 0.1 * x * (x <= 0).type_as(x),
    "two masks": lambda x: x * ((x > 0) & (x < 6)),
    "masked fill": lambda x: x.masked_fill(x < 0, 0.0),
    "binary by comparison": lambda x: (x > 0).float() * 2 - 1,
    "straight through": lambda x: torch.sign(x).detach() - torch.tanh(x).detach() + torch.tanh(x),
    "sign": torch.sign,
    "round": torch.round,
    "fake quantisation": lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -128, 127),
    "floor": lambda x: torch.floor(x * 8) / 8,
    "as_tensor": torch.as_tensor,
    "nan_to_num": torch.nan_to_num,
    "plus": lambda x: +x,
    "logs": lambda x: torch.log1p(x.abs()) * x.sign(),
    "expit": torch.special.expit,
    "divided by its norm": lambda x: x / (1 + x.abs()),
    "standardised": lambda x: (x - x.mean()) / x.std(),
}


@pytest.mark.parametrize("act", BY_HAND)
def test_activations_and_norms_by_hand_leave_a_chain(act):
    net = Written(lambda s, x: s.b(BY_HAND[act](s.a(x))), a=conv(3, 8), b=conv(8, 8))
    vcnn = to_vcnn(net, 16)
    assert vcnn.is_chain and [step.name for step in vcnn.convs] == ["a", "b"]


@pytest.mark.parametrize("join", [torch.maximum, torch.hypot, lambda a, b: torch.where(a > 0, a, b)])
def test_a_choice_between_two_maps_is_refused(join):
    net = Written(lambda s, x: s.c(join(s.a(x), s.b(x))), a=conv(3, 8), b=conv(3, 8), c=conv(8, 8))
    assert "two feature maps" in refusal(net)


@pytest.mark.parametrize("join", [torch.add, torch.mul, torch.div, torch.maximum])
def test_what_mixes_positions_without_convolving_does_not_vanish(join):
    def function(self, x):
        x = self.a(x)
        mixed = self.tokens(x.flatten(2)).view(x.shape)
        return self.b(join(x, mixed))

    assert "needed" in refusal(Written(function, a=conv(3, 8), tokens=nn.Linear(256, 256), b=conv(8, 8)))


# The image: its channels, its size, its values.


def focus(self, x):
    return self.c(torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1))


def merged(self, x):
    y = self.a(x).permute(0, 2, 3, 1)
    parts = [y[:, 0::2, 0::2], y[:, 1::2, 0::2], y[:, 0::2, 1::2], y[:, 1::2, 1::2]]
    return self.l(torch.cat(parts, -1)).permute(0, 3, 1, 2)


def by_reshaping(self, x):
    n, c, h, w = x.shape
    return self.c(x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, -1, h // 2, w // 2))


@pytest.mark.parametrize(
    ("net", "kernel", "stride", "padding"),
    [
        (Written(focus, c=conv(12, 8)), 6, 2, 2),
        (Written(lambda s, x: s.c(F.pixel_unshuffle(x, 2)), c=conv(12, 8, 1)), 2, 2, 0),
        (Written(by_reshaping, c=conv(12, 8)), 6, 2, 2),
        (
            Written(
                lambda s, x: F.unfold(x, 4, stride=4).mT @ s.w,
                w=nn.Parameter(torch.ones(48, 8)),
                c=conv(3, 3),
            ),
            4,
            4,
            0,
        ),
        (Written(merged, a=conv(3, 8), l=nn.Linear(32, 16, bias=False)), 2, 2, 0),
    ],
)
def test_pixels_put_beside_channels_make_a_strided_convolution(net, kernel, stride, padding):
    last = to_vcnn(net, 16).convs[-1]
    assert (last.kernel, last.stride, last.padding) == ((kernel,) * 2, (stride,) * 2, (padding,) * 4)
    assert to_vcnn(net, 16).in_channels == 3 and to_vcnn(net, 16).is_chain


def test_the_channels_of_the_image_are_found_or_given():
    head_first = Written(lambda s, x: s.head(s.body(x)).mean((2, 3)), head=conv(64, 10, 1), body=conv(3, 64))
    streams = Written(
        lambda s, x: s.b(torch.cat([s.a(x[:, i : i + 1]) for i in range(3)], 1)), a=conv(1, 8), b=conv(24, 16)
    )
    grey = Written(lambda s, x: s.a(x.repeat(1, 3, 1, 1)), a=conv(3, 8))
    assert (to_vcnn(head_first, 16).in_channels, len(to_vcnn(head_first, 16).convs)) == (3, 2)
    assert (to_vcnn(streams, 16).in_channels, len(to_vcnn(streams, 16).convs)) == (3, 4)
    assert to_vcnn(grey, 16).in_channels == 1 and isinstance(to_vcnn(grey, 16).steps[0], Concat)
    widened = Written(lambda s, x: s.a(x.expand(-1, 3, -1, -1)), a=conv(3, 8))
    assert [to_vcnn(widened, 16, in_channels=n).in_channels for n in (1, 3)] == [1, 3]
    assert "in_channels" in refusal(
        Written(lambda s, x: s.a(x[:, :7]), a=conv(7, 8), b=conv(5, 5)), 16, in_channels=5
    )
    assert "in_channels: needed" in refusal(conv(3, 8), 16, in_channels=0)
    assert "takes images of 3" in refusal(
        Architecture.from_string("SuperConvK3BNRELU(3,8,1,1)"), 16, in_channels=1
    )


def test_a_size_that_fails_is_named_with_one_that_works():
    net = nn.Sequential(conv(3, 16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * 16 * 16, 10))
    message = refusal(net, None)
    assert "failed at 224 x 224" in message and "give resolution=32" in message
    assert len(to_vcnn(net, 32).convs) == 1


def test_a_resolution_is_any_whole_number_and_images_are_square():
    net = conv(3, 8)
    assert to_vcnn(net, np.int64(8)) == to_vcnn(net, 8) and type(to_vcnn(net, np.int64(8)).resolution) is int
    assert "images are square" in refusal(net, (64, 48))


LOOKS = {
    "assert": lambda x: check(not torch.isnan(x).any()),
    "range": lambda x: check(x.min() >= 0 and x.max() <= 1),
    "print": lambda x: print(f"{x.mean().item():.2f}"),
    "log": lambda x: float(x.std()),
    "list": lambda x: x.flatten().tolist(),
    "numpy": lambda x: x.numpy().max(),
}


def check(holds):
    if not holds:
        raise AssertionError("not as expected")


@pytest.mark.parametrize("look", LOOKS)
def test_values_that_are_only_looked_at_change_nothing_and_are_noted(look):
    net = Written(lambda s, x: (LOOKS[look](x), s.b(s.a(x)))[1], a=conv(3, 8), b=conv(8, 8))
    vcnn = to_vcnn(net, 16)
    assert len(vcnn.convs) == 2 and any("two random batches" in kind for kind in vcnn.removed)


def test_a_network_that_depends_on_values_is_refused_with_what_may_be_the_cause():
    net = Written(lambda s, x: s.a(x) if x.sum() > 0 else s.b(s.a(x)), a=conv(3, 8), b=conv(8, 8))
    message = refusal(net)
    assert "reads the values of the image" in message and "assert" in message and "hook" in message


def test_observers_of_quantisation_are_looks():
    from torch.ao.quantization import QConfigMapping, get_default_qconfig
    from torch.ao.quantization.quantize_fx import prepare_fx

    net = nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 8)).eval()
    observed = prepare_fx(
        net, QConfigMapping().set_global(get_default_qconfig("x86")), (torch.randn(1, 3, 16, 16),)
    )
    before = {name: value.clone() for name, value in observed.state_dict().items()}
    assert len(to_vcnn(observed, 16).convs) == 2
    assert all(torch.equal(value, before[name]) for name, value in observed.state_dict().items())


# Modules in other forms.


def test_modules_compiled_in_place_or_in_part_are_read_as_written():
    whole, part = (nn.Sequential(conv(3, 8), conv(8, 8)) for _ in range(2))
    whole.compile()
    part[1] = torch.compile(part[1])
    assert len(to_vcnn(whole, 16).convs) == len(to_vcnn(part, 16).convs) == 2


def test_a_scripted_part_is_named():
    net = nn.Sequential(conv(3, 8), torch.jit.script(nn.Sequential(conv(8, 8))))
    assert "scripted or compiled function in '1'" in refusal(net)


class Rememberer(nn.Module):
    """Keeps what it sees in lists and dictionaries."""

    def __init__(self):
        super().__init__()
        self.a, self.seen, self.nested, self.cache = conv(3, 8), [], {"deep": [[1]]}, {}

    def forward(self, x):
        y = self.a(x)
        self.seen.append(y)
        self.nested["deep"][0].append(y.shape)
        self.cache["last"] = y
        return y


def test_lists_and_dictionaries_are_left_as_found():
    net = Rememberer()
    deep = net.nested["deep"][0]
    to_vcnn(net, 16)
    assert (net.seen, net.nested, net.cache) == ([], {"deep": [[1]]}, {}) and net.nested["deep"][0] is deep


def test_threads_may_convert_one_module_at_once():
    net, found = nn.Sequential(*[conv(3 if i == 0 else 8, 8) for i in range(20)], nn.Dropout()), []
    threads = [threading.Thread(target=lambda: found.append(len(to_vcnn(net, 16).convs))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [20] * 4 and all(part.training for part in net.modules())


# What is said instead of a network.


def test_a_feature_pyramid_is_refused_with_the_trunk_that_converts():
    def pyramid(self, x):
        first = self.body[0](x)
        return first + F.interpolate(self.lateral(self.body[1](first)), scale_factor=2.0)

    body = nn.Sequential(conv(3, 8, 3, 2), conv(8, 8, 3, 2))
    message = refusal(Written(pyramid, body=body, lateral=conv(8, 8, 1)))
    assert "interpolate" in message and "larger or smaller" in message and "up to 'lateral'" in message
    two = Written(lambda s, x: (s.up(y := s.body(x)), y), body=body, up=nn.ConvTranspose2d(8, 8, 2, 2))
    assert "transposed" in refusal(two) and "the submodule 'body'" in refusal(two)


def test_a_context_from_global_pooling_is_named_where_it_is_joined():
    def function(self, x):
        x = self.a(x)
        context = F.interpolate(self.g(x.mean((2, 3), keepdim=True)), size=x.shape[2:])
        return self.o(torch.cat([x, context], 1))

    message = refusal(Written(function, a=conv(3, 8), g=conv(8, 8, 1), o=conv(16, 8, 1)))
    assert "context from global pooling" in message and "up to 'a'" in message


def test_attention_is_weighed_against_the_spatial_convolutions_that_are_left():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (conv(16, 16, groups=16) for _ in range(3))

        def forward(self, x):
            q, k, v = (part(x).flatten(2) for part in (self.q, self.k, self.v))
            return x + (v @ (q.mT @ k).softmax(-1)).view(x.shape)

    net = nn.Sequential(conv(3, 16, 4, 4, 0), *[Attention() for _ in range(4)])
    assert "4 attention operations against 1 spatial convolutions" in refusal(net)


def test_fully_connected_layers_written_as_convolutions_are_noted():
    head = (nn.Conv2d(8, 32, 4), nn.ReLU(), nn.Conv2d(32, 32, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    vcnn = to_vcnn(nn.Sequential(conv(3, 8, 3, 4), *head, nn.Linear(32, 10)), 16)
    assert len(vcnn.convs) == 3 and any("fully connected" in kind for kind in vcnn.removed)


# Scores of what came out.


@pytest.mark.parametrize(
    "pools",
    [
        (nn.AvgPool2d(3, 1, 1),),
        (nn.AvgPool2d(3, 2, 1),),
        (nn.AvgPool2d(3, 2),),
        (nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2)),
        (nn.AvgPool2d(2), nn.MaxPool2d(2)),
    ],
)
def test_the_closed_form_refuses_poolings_of_correlated_values(pools):
    vcnn = to_vcnn(nn.Sequential(conv(3, 16, 7, 2), *pools, conv(16, 16, 1)), 64)
    with pytest.raises(ConversionError, match=r"correlated.*zen_score"):
        closed_form_zen_score(vcnn)


@pytest.mark.parametrize(
    "pool", [nn.AvgPool2d(2), nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(3, 1, 1)]
)
def test_the_closed_form_agrees_behind_other_poolings(pool):
    vcnn = to_vcnn(nn.Sequential(conv(3, 64, 7, 4), pool, conv(64, 64, 1)), 64)
    estimate = zen_score(vcnn, repeats=8, batch_size=16)
    assert closed_form_zen_score(vcnn) == pytest.approx(estimate.mean, abs=0.05 + 4 * estimate.stderr)


def test_few_values_for_a_batch_norm_are_warned_of():
    net = to_vcnn(nn.Sequential(*[conv(3 if i == 0 else 8, 8, 3, 2) for i in range(5)]), 32)
    with pytest.warns(UserWarning, match="mostly noise"):
        zen_score(net, batch_size=2, repeats=1)


@pytest.mark.filterwarnings("error")
def test_enough_values_for_a_batch_norm_are_no_matter():
    net = to_vcnn(nn.Sequential(*[conv(3 if i == 0 else 8, 8, 3, 2) for i in range(5)]), 32)
    zen_score(net, batch_size=8, repeats=1)
