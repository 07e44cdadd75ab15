from __future__ import annotations

import torch
from hypothesis import given, settings
from torch import nn

from tests.strategies import architectures
from zenlib import build_network, to_vcnn
from zenlib.networks.zennets import zennet_architecture
from zenlib.scores.forward import forward


def multiply_adds(network: nn.Module, images: torch.Tensor) -> int:
    """Counted from what the convolutions and linear layers of the module really receive."""
    counted = []

    def count(module, inputs, output):
        per_value = module.in_features if isinstance(module, nn.Linear) else module.weight[0].numel()
        counted.append(output[0].numel() * per_value)

    handles = [
        m.register_forward_hook(count) for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))
    ]
    network.eval()(images)
    for handle in handles:
        handle.remove()
    return sum(counted)


@given(architectures())
@settings(max_examples=60, deadline=None)
def test_parameters_and_flops_by_arithmetic_equal_those_of_the_built_module(architecture):
    network = build_network(architecture, num_classes=7)
    resolution = max(19, architecture.minimum_resolution)
    assert architecture.params(7) == sum(parameter.numel() for parameter in network.parameters())
    assert architecture.flops(resolution, 7) == multiply_adds(
        network, torch.zeros(1, 3, resolution, resolution)
    )


def test_a_built_network_trains():
    torch.manual_seed(0)
    network = build_network(zennet_architecture("zennet-0.5M"), num_classes=10)
    images, labels = torch.randn(8, 3, 16, 16), torch.arange(8)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(20):
        loss = nn.functional.cross_entropy(network(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_gates_change_the_network_only_when_asked_for():
    gated = zennet_architecture("zennet-400M-SE")
    with torch.device("meta"):
        count = [
            sum(p.numel() for p in build_network(gated, use_se=use).parameters())
            for use in (None, True, False)
        ]
    assert count[0] == count[1] == gated.params() > count[2]


def test_a_network_without_shortcuts_is_its_vanilla_network():
    """With plain blocks, the network and the VCNN are one function once the BatchNorms are the identity."""
    from zenlib import Architecture

    architecture = Architecture.from_string(
        "SuperConvK3BNRELU(3,6,2,1)SuperConvK5BNRELU(6,8,1,2)SuperConvK1BNRELU(8,4,2,1)"
    )
    network = build_network(architecture).double().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0
    images = torch.randn(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = [m.weight for m in network.modules() if isinstance(m, nn.Conv2d)]
    torch.testing.assert_close(forward(to_vcnn(architecture, 16), weights, images), network.features(images))


@given(architectures())
@settings(max_examples=60, deadline=None)
def test_the_vanilla_network_holds_every_convolution_of_the_main_path(architecture):
    resolution = max(24, architecture.minimum_resolution)
    vcnn = to_vcnn(architecture, resolution)
    assert vcnn.is_chain
    assert len(vcnn.convs) == sum(len(unit.convs) for unit in architecture.units)
    generator = torch.Generator().manual_seed(0)
    features = forward(
        vcnn,
        [torch.randn(conv.weight_shape, generator=generator) for conv in vcnn.convs],
        torch.randn(2, 3, resolution, resolution, generator=generator),
        batch_norm=True,
    )
    assert features.shape == (2, architecture.out_channels, *vcnn.convs[-1].out_resolution)
