"""Proxies on networks so small that their value is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zenlib import PROXIES
from zenlib.errors import ScoreUndefined
from zenlib.proxies.az_nas import entropy, trainability
from zenlib.proxies.features import effective_rank, log_participation
from zenlib.proxies.query import Query, prepare

CPU = torch.device("cpu")


def chain(widths, kernel=1, activation=nn.Identity):
    """Convolutions, global pooling, a linear layer of two classes."""
    layers = [
        layer
        for pair in itertools.pairwise(widths)
        for layer in (nn.Conv2d(*pair, kernel, padding=kernel // 2, bias=False), activation())
    ]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], 2))


def fresh(module, seed=0):
    """The copy that a proxy measures."""
    return Query(module, 4, 4, seed, CPU).module


def test_synflow_of_a_linear_chain_is_the_product_of_absolute_weights():
    module = chain([3, 5, 4])
    weights = [
        layer.weight.detach().abs().double().flatten(1) for layer in fresh(module) if hasattr(layer, "weight")
    ]
    through = torch.ones(3, dtype=torch.float64)
    for weight in weights:
        through = weight @ through
    # By Euler's theorem every one of the three layers contributes R once.
    assert PROXIES["synflow"](module, 4, device="cpu") == pytest.approx(
        math.log(3 * through.sum()), rel=1e-12
    )


def test_synflow_does_not_overflow_where_float32_would():
    assert (
        math.log(torch.finfo(torch.float32).max)
        < PROXIES["synflow"](chain([3] + [64] * 60, kernel=3), 4, device="cpu")
        < 709
    )


def test_weights_are_drawn_with_variance_two_over_fan_in():
    layer = fresh(chain([3, 400], kernel=3))[0]
    assert layer.weight.std().item() == pytest.approx(math.sqrt(2 / 27), rel=0.03)


class Bits(nn.Module):
    """Its rectifier sees the flattened image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1)

    def forward(self, images):
        return F.relu(images.flatten(1))


def test_naswot_is_the_log_determinant_of_shared_states():
    images = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, 1, 1, 1]]).view(3, 1, 2, 2)
    shared = np.array([[4, 2, 2], [2, 4, 2], [2, 2, 4]])
    value = PROXIES["naswot"](Bits(), device="cpu", batch=(images, torch.zeros(3)))
    assert value == pytest.approx(math.log(np.linalg.det(shared)))


def test_linear_regions_count_every_crossing_of_a_quarter_turn():
    # cos(t) x + sin(t) y changes sign once on the quarter turn exactly where x and y have opposite signs.
    images = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1]]).view(2, 1, 2, 2).repeat(40, 1, 1, 1)
    assert PROXIES["linear-regions"](Bits(), device="cpu", batch=(images, torch.zeros(80))) == 1 + 2


def test_jacobian_covariance_is_minus_n_for_uncorrelated_jacobians():
    class Square(nn.Module):
        """The gradient of an image is the image itself."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1)

        def forward(self, images):
            return images.flatten(1).square() / 2

    images = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]).view(3, 1, 2, 2)
    assert PROXIES["jacob-cov"](Square(), device="cpu", batch=(images, torch.zeros(3))) == pytest.approx(
        -3, abs=1e-4
    )
    equal = images[[0, 0, 1]]
    assert PROXIES["jacob-cov"](Square(), device="cpu", batch=(equal, torch.zeros(3))) < -1e4


def test_the_kernel_of_a_linear_classifier_is_the_inner_product_of_features():
    module = nn.Sequential(
        nn.Conv2d(1, 1, 1, bias=False), nn.Flatten(), nn.Linear(4, 2, bias=False)
    ).requires_grad_(True)
    module[0].weight.requires_grad_(False)
    images = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    kernel = torch.linalg.eigvalsh(2 * images.flatten(1).double() @ images.flatten(1).double().T)
    value = PROXIES["ntk"](module, device="cpu", batch=(images, torch.zeros(3)))
    assert value == pytest.approx(-float(kernel[-1] / kernel[0]), rel=1e-3)


def one_layer():
    return nn.Sequential(nn.Conv2d(1, 2, 2, bias=False), nn.Flatten())


def batch_of_one_layer():
    generator = torch.Generator().manual_seed(2)
    return torch.randn(4, 1, 2, 2, generator=generator), torch.tensor([0, 1, 1, 0])


def by_hand():
    """Weight, gradient and Hessian of the cross entropy of a softmax regression on 4 pixels and 2 classes."""
    images, labels = batch_of_one_layer()
    weight, pixels = fresh(one_layer())[0].weight.detach().flatten(1).double(), images.flatten(1).double()
    p = (pixels @ weight.T).softmax(1)
    gradient = (p - F.one_hot(labels)).T @ pixels / 4
    curvature = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    hessian = torch.einsum("nab,ni,nj->aibj", curvature, pixels, pixels) / 4
    return weight, gradient, hessian


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("grad-norm", lambda w, g, h: g.norm()),
        ("snip", lambda w, g, h: (w * g).abs().sum()),
        ("grasp", lambda w, g, h: -(w * torch.einsum("aibj,bj->ai", h, g)).sum()),
    ],
)
def test_gradient_proxies_of_a_softmax_regression(name, expected):
    assert PROXIES[name](one_layer(), device="cpu", batch=batch_of_one_layer()) == pytest.approx(
        float(expected(*by_hand())), rel=1e-5
    )


def test_fisher_of_a_softmax_regression():
    images, labels = batch_of_one_layer()
    activations = images.flatten(1) @ fresh(one_layer())[0].weight.detach().flatten(1).T
    gradients = (activations.softmax(1) - F.one_hot(labels)) / 4
    expected = ((activations * gradients) ** 2).mean(0).sum() / 2
    of_channels, of_weights = (
        PROXIES[name](one_layer(), device="cpu", batch=(images, labels))
        for name in ("fisher-channels", "fisher")
    )
    assert of_channels == pytest.approx(float(expected), rel=1e-5)
    assert of_weights == pytest.approx(4 * of_channels)  # a channel has four weights


def test_zico_of_a_softmax_regression():
    images, labels = batch_of_one_layer()
    weight = fresh(one_layer())[0].weight.detach().flatten(1)
    first, second = (
        (pixels @ weight.T).softmax(1).sub(F.one_hot(classes, 2)).T @ pixels / 2
        for pixels, classes in ((images[:2].flatten(1), labels[:2]), (images[2:].flatten(1), labels[2:]))
    )
    halves = torch.stack([first, second])
    expected = (halves.abs().mean(0) / halves.std(0, correction=0)).sum().log()
    assert PROXIES["zico"](one_layer(), device="cpu", batch=(images, labels)) == pytest.approx(
        float(expected), rel=1e-4
    )


def test_entropy_of_features_is_the_log_of_their_effective_number():
    white = torch.randn(64, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    assert float(entropy(white)) == pytest.approx(math.log(8), abs=1e-3)
    assert float(entropy(white[:, :1].expand(-1, 8, -1, -1))) == pytest.approx(0, abs=1e-6)
    assert float(entropy(torch.zeros(2, 3, 4, 4))) == 0


def test_a_block_that_keeps_gradients_is_perfectly_trainable():
    module = nn.Sequential(
        *(nn.Conv2d(4, 4, 1, bias=False) for _ in range(3)), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    query = Query(module, 32, 16, 0, CPU)
    prepared = prepare(module, query.generator(0))
    query.__dict__["module"] = prepared
    query.__dict__["in_channels"] = 4
    with torch.no_grad():
        for conv in prepared[:3]:
            conv.weight.copy_(nn.init.orthogonal_(torch.empty(4, 4)).view(4, 4, 1, 1))
    assert float(trainability(query)) == pytest.approx(0, abs=1e-3)
    with torch.no_grad():
        for conv in prepared[:3]:
            conv.weight.mul_(2)
    assert float(trainability(query)) == pytest.approx(2 - 2 - 1 / 2, abs=0.02)


def test_swap_counts_different_patterns_once():
    images = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1], [1, 1, -1, -1]]).view(3, 1, 2, 2)
    value = PROXIES["swap"](Bits(), device="cpu", batch=(images, torch.zeros(3)))
    assert value == 4  # 111, 101, 010, 000
    value = PROXIES["swap"](Bits(), device="cpu", batch=(images[[0, 0, 0]], torch.zeros(3)))
    assert value == 2


def test_meco_of_two_channels_is_one_minus_their_correlation():
    first, second = torch.tensor([1.0, -1, 1, -1]), torch.tensor([3.0, -1, 1, -3])
    images = torch.stack([first, second]).view(1, 2, 2, 2).repeat(2, 1, 1, 1)
    module = nn.Sequential(nn.Identity(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    correlation = np.corrcoef(first, second)[0, 1]
    value = PROXIES["meco"](module, device="cpu", batch=(images, torch.zeros(2)))
    assert value == pytest.approx(1 - correlation)


def test_effective_rank_and_participation_count_equal_directions():
    assert float(effective_rank(torch.eye(3))) == pytest.approx(3)
    assert float(effective_rank(torch.ones(3, 3).double())) == pytest.approx(1)
    entropy_of_shares = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert float(effective_rank(torch.diag(torch.tensor([3.0, 1])))) == pytest.approx(
        math.exp(entropy_of_shares)
    )
    features = torch.tensor([[1.0, 1, -1, -1], [1, -1, 1, -1]]).view(1, 2, 2, 2)
    assert float(log_participation(features)) == pytest.approx(math.log(2))
    assert float(log_participation(features[:, [0, 0]])) == pytest.approx(0, abs=1e-8)


def test_near_adds_the_rank_behind_the_activation():
    module = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.rand(2, 1, 2, 2, generator=torch.Generator().manual_seed(0)) + 1
    value = PROXIES["near"](module, device="cpu", batch=(images, torch.zeros(2)))
    assert value == 2  # one channel fills one direction, before and behind


def test_intrain_of_one_layer_by_hand():
    images, labels = batch_of_one_layer()
    _, gradient, _ = by_hand()
    module = one_layer()
    weight = fresh(module)[0].weight.detach()
    ranks = log_participation(F.conv2d(images, weight))
    even = gradient.std() / gradient.abs().max()
    expected = ranks * (1 + even) / math.log(2)
    value = PROXIES["intrain"](module, device="cpu", batch=(images, labels))
    assert value == pytest.approx(float(expected), rel=1e-3)


def test_vkdnw_of_one_weight_is_the_entropy_of_equal_deciles():
    value = PROXIES["vkdnw"](one_layer(), device="cpu", batch=batch_of_one_layer())
    assert value == pytest.approx(1 + math.log(9) / 3)


def test_epsinas_is_zero_where_one_constant_only_scales_the_outputs():
    generator = torch.Generator().manual_seed(3)
    batch = torch.randn(8, 3, 6, 6, generator=generator), torch.zeros(8)
    assert PROXIES["epsinas"](chain([3, 4, 4]), device="cpu", batch=batch) == pytest.approx(0, abs=1e-9)
    squashed = chain([3, 4, 4], activation=nn.Tanh)  # is linear only where weights are small
    assert PROXIES["epsinas"](squashed, device="cpu", batch=batch) > 0.01


def test_wrcor_adds_correlations_of_inputs_and_of_gradients():
    module = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    generator = torch.Generator().manual_seed(4)
    images, labels = torch.randn(3, 1, 4, 4, generator=generator), torch.tensor([0, 1, 2])
    conv, _, _, linear = fresh(module)
    inputs = conv(images).detach().requires_grad_()
    F.cross_entropy(linear(inputs.relu().flatten(1)), labels).backward()
    both = [np.abs(np.corrcoef(rows.detach().flatten(1).double())) for rows in (inputs, inputs.grad)]
    expected = np.linalg.slogdet(2 * sum(both)).logabsdet  # behind the first block, the convolution
    value = PROXIES["wrcor"](module, device="cpu", batch=(images, labels))
    assert value == pytest.approx(expected, rel=1e-5)


def test_meco_of_one_image_that_leaves_one_value_of_a_channel_says_so():
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten())
    with pytest.raises(ScoreUndefined, match="meco: one image of 8 pixels is too small"):
        PROXIES["meco"](module, 8, device="cpu")
