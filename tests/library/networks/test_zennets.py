"""The published networks: their sizes against the paper's digits, by arithmetic and by a counter."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.benchmarks.published_networks import PUBLISHED
from experiments.chapters.zennets.published_counts import agreement, operations, without_gates
from zenlib import build_network
from zenlib.networks.zennets import ZENNETS, zennet, zennet_architecture, zennet_resolution

WITH_NUMBERS = [name for name in ZENNETS if PUBLISHED[name].params]


def classes(name):
    return 100 if zennet_resolution(name) == 32 else 1000


def test_every_network_has_published_numbers_and_a_source():
    assert list(PUBLISHED) == list(ZENNETS)
    assert all(published.source for published in PUBLISHED.values())


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_the_papers_parameters_are_those_without_gates(name):
    assert agreement(PUBLISHED[name].params, without_gates(zennet_architecture(name)).params(classes(name)))


@pytest.mark.parametrize("name", WITH_NUMBERS)
def test_the_papers_multiply_adds_follow_from_one_rule(name):
    assert agreement(
        PUBLISHED[name].flops,
        operations(without_gates(zennet_architecture(name)), zennet_resolution(name), classes(name)),
    )


def test_the_readme_counted_the_largest_gated_network_with_its_gates():
    gated = zennet_architecture("zennet-900M-SE")
    readme = PUBLISHED["zennet-900M-SE"].readme
    assert (
        agreement(readme["params"], gated.params())
        == agreement(readme["flops"], operations(gated, 224))
        == "rounded"
    )
    assert agreement(readme["params"], without_gates(gated).params()) is None


def test_the_readme_cut_off_what_the_paper_rounded():
    count = operations(zennet_architecture("zennet-0.3ms"), 224)
    assert agreement(PUBLISHED["zennet-0.3ms"].flops, count) == "rounded"
    assert agreement(PUBLISHED["zennet-0.3ms"].readme["flops"], count) == "cut off"


@pytest.mark.parametrize("name", ZENNETS)
def test_torchs_own_counter_finds_the_same_multiply_adds_and_parameters(name):
    """The counter sees matrix products and convolutions of the built module.

    A multiply-add is two of its operations.
    """
    architecture, side = zennet_architecture(name), zennet_resolution(name)
    with torch.device("meta"):
        network = build_network(architecture, classes(name)).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, 3, side, side))
    assert counter.get_total_flops() == 2 * architecture.flops(side, classes(name))
    assert sum(parameter.numel() for parameter in network.parameters()) == architecture.params(classes(name))


def test_the_added_operations_are_those_of_norms_biases_and_gates():
    """Counted from what flows out of the built module's layers."""
    architecture = zennet_architecture("zennet-400M-SE")
    extra = []

    def values(times):
        return lambda module, inputs, output: extra.append(times * output.numel())

    with torch.device("meta"):
        network = build_network(architecture).eval()
        for name, module in network.named_modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.register_forward_hook(values(2))
            elif isinstance(module, torch.nn.Conv2d) and module.bias is not None:
                module.register_forward_hook(values(1))
            elif isinstance(module, torch.nn.AdaptiveAvgPool2d) and name != "pool":
                module.register_forward_hook(lambda module, inputs, output: extra.append(inputs[0].numel()))
        network(torch.empty(1, 3, 224, 224))
    assert sum(extra) == operations(architecture, 224) - architecture.flops(224)


@pytest.mark.parametrize(
    ("printed", "count", "how"),
    [("1.7G", 1.76e9, "cut off"), ("1.7G", 1.74e9, "rounded"), ("1.7G", 1.81e9, None)],
)
def test_agreement_tells_rounding_from_cutting_off(printed, count, how):
    assert agreement(printed, count) == how


@pytest.mark.parametrize("printed", ["", "12", "1.7K"])
def test_a_size_without_a_unit_is_refused(printed):
    with pytest.raises(ValueError, match="M or G"):
        agreement(printed, 1.0)


@pytest.mark.parametrize(
    ("name", "num_classes", "width"),
    [("zennet-0.5M", None, 100), ("zennet-0.5M", 10, 10), ("zennet-400M-SE", None, 1000)],
)
def test_an_untrained_network_has_the_classifier_of_its_data_set(name, num_classes, width):
    with torch.device("meta"):
        assert zennet(name, num_classes).classifier.out_features == width
