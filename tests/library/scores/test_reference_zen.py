"""The fast score is the one on the page `reference_zen`, draw for draw."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.models import resnet18, vgg11

from tests.reference_zen import zen_scores
from zenlib import Architecture, to_vcnn
from zenlib.scores.zen import zen_terms

NETWORKS = {
    "a plain chain": Architecture.from_string("SuperConvK3BNRELU(3,16,1,1)SuperConvK3BNRELU(16,24,2,3)"),
    "bottlenecks": Architecture.from_string(
        "SuperConvK3BNRELU(3,16,1,1)SuperResK1K5K1(16,32,2,8,2)SuperConvK1BNRELU(32,64,1,1)"
    ),
    "depthwise convolutions": Architecture.from_string(
        "SuperConvK3BNRELU(3,16,2,1)SuperResIDWE4K5(16,24,2,16,2)"
    ),
    "max pooling": resnet18(),
    "pooling after every stage": vgg11(),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_each_definition_of_the_fast_score_is_that_of_plain_modules_and_two_forward_passes(name):
    vcnn = to_vcnn(NETWORKS[name], 32)
    generator = torch.Generator()
    generator.manual_seed(int(np.random.SeedSequence([5, 0]).generate_state(1, np.uint64)[0]))

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    expected = zen_scores(vcnn, draw, batch_size=4)
    found = zen_terms(vcnn, batch_size=4, repeats=1, seed=5, dtype=torch.float64, device="cpu")
    for definition, score in expected.items():
        assert found.score(*definition.split(", "))[0] == pytest.approx(score, abs=1e-6), definition
