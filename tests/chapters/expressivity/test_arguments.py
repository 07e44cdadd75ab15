from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from experiments.chapters.expressivity.theory.arguments import (
    RESIDUALS,
    fold_batch_norm,
    self_attention,
    share_outside_span,
)
from zenlib import build_network
from zenlib.networks.zennets import zennet_architecture


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fold_everything(network: nn.Module) -> int:
    """Folds each BatchNorm into the convolution that stands before it in its container; returns how many."""
    folded = 0
    for container in network.modules():
        children = list(container.named_children())
        for (before, conv), (after, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(container, before, fold_batch_norm(conv, norm))
                setattr(container, after, nn.Identity())
                folded += 1
    return folded


def test_batch_norm_folds_into_a_whole_network_exactly():
    torch.manual_seed(0)
    network = build_network(zennet_architecture("zennet-1.0M"), num_classes=10).double()
    network.train()(
        torch.randn(4, 3, 16, 16, dtype=torch.float64) + 0.3
    )  # running statistics that are not those of a fresh module
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        expected = network.eval()(images)
        assert fold_everything(network) > 20
        assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
        torch.testing.assert_close(network(images), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("affine", [True, False])
def test_a_strided_grouped_convolution_with_bias_folds_exactly(affine):
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 4, 3, stride=2, padding=1, dilation=2, groups=2).double()
    norm = nn.BatchNorm2d(4, affine=affine).double()
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.1, 3)
    images = torch.randn(3, 6, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(
        fold_batch_norm(conv, norm)(images), norm.eval()(conv(images)), rtol=1e-10, atol=1e-10
    )


def test_folding_needs_a_bias_and_does_not_hold_in_training_mode():
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
    norm.running_mean.normal_()
    folded = fold_batch_norm(conv, norm)
    assert folded.bias.abs().min() > 0
    images = torch.randn(3, 3, 9, 9)
    assert not torch.allclose(folded(images), norm.train()(conv(images)), atol=0.1)


def test_a_batch_norm_without_running_statistics_cannot_be_folded():
    with pytest.raises(ValueError, match="running statistics"):
        fold_batch_norm(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False))


@pytest.mark.parametrize("heads", [1, 4])
def test_attention_is_what_torch_computes(heads):
    draws = [
        torch.randn(size, 16, generator=generator(size), dtype=torch.float64) for size in (6, 16, 16, 16)
    ]
    outputs, _ = self_attention(*draws, heads=heads)
    layer = nn.MultiheadAttention(16, heads, bias=False, dtype=torch.float64)
    layer.in_proj_weight.data = torch.cat([matrix.T for matrix in draws[1:]])
    layer.out_proj.weight.data = torch.eye(16, dtype=torch.float64)
    torch.testing.assert_close(outputs, layer(*[draws[0]] * 3)[0])


def test_the_span_of_a_set_of_tokens_holds_their_mixtures_and_nothing_else():
    tokens = torch.randn(4, 10, generator=generator(), dtype=torch.float64)
    mixtures = torch.randn(3, 4, generator=generator(1), dtype=torch.float64) @ tokens
    assert share_outside_span(mixtures, tokens) < 1e-14
    outside = torch.randn(3, 10, generator=generator(2), dtype=torch.float64)
    assert share_outside_span(outside, tokens) > 0.5


def test_statements_are_exact_and_counter_examples_are_not():
    residuals = {name: residual(generator()) for name, residual in RESIDUALS.items()}
    exact = {name for name, residual in residuals.items() if residual < 1e-10}
    assert exact == {
        "region_map",
        "batch_norm_folding",
        "attention_1_head_8_tokens",
        "attention_4_heads_32_tokens",
    }
    assert all(residual > 0.1 for name, residual in residuals.items() if name not in exact)
