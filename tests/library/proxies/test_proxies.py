"""Contracts that every proxy keeps: one signature, one seed, network left as found, any device, bad input."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from experiments.benchmarks.nasbench201_space import Cell, build
from zenlib import PROXIES, SPACES, Architecture, ScoreUndefined, build_network, search
from zenlib.proxies.az_nas import blocks, kept_size
from zenlib.proxies.query import Query, prepare
from zenlib.search import Budget

NET = Architecture.from_string(
    "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,2,12,1)SuperResIDWE2K3(16,16,1,8,1)SuperConvK1BNRELU(16,24,1,1)"
)
WIDER = Architecture.from_string(
    "SuperConvK3BNRELU(3,16,1,1)SuperResK3K3(16,32,2,24,3)SuperResIDWE2K3(32,32,1,16,1)SuperConvK1BNRELU(32,48,1,1)"
)
SETTINGS = {"resolution": 12, "batch_size": 6, "device": "cpu"}
SEEDLESS = {name for name, proxy in PROXIES.items() if proxy.needs == "counting"} - {"random"}
DRAW_THEIR_IMAGES = {"phi", "zen", "zen-frobenius", "zen-running"}
ORDERED = {
    "linear-regions": "goes from the first image to the second",
    "te-nas": "has it as a part",
    "zico": "halves the batch",
    "az-trainability": "its random signs meet other images",
    "meco": "reads the first image",
    "near": "takes consecutive positions",
}
every_proxy = pytest.mark.parametrize("name", PROXIES)


def images_of(name):
    return 16 if name == "swap" else SETTINGS["batch_size"]  # six images have 64 patterns, soon all met


def score(name, network=NET, **more):
    return PROXIES[name](network, **(SETTINGS | {"batch_size": images_of(name)} | more))


@every_proxy
def test_a_score_depends_on_the_seed_alone(name):
    first = score(name, seed=3)
    torch.randn(5)
    score(name, WIDER)
    assert score(name, seed=3) == first
    assert (score(name, seed=4) == first) == (name in SEEDLESS)


@every_proxy
def test_an_architecture_and_its_module_have_one_score(name):
    if name == "random":
        pytest.skip("it knows only the text of a network")
    # The closed form of a module is that of the captured chain, whose layers come in the same order.
    assert score(name, build_network(NET, 10)) == pytest.approx(score(name), rel=1e-6)


@every_proxy
def test_the_module_and_the_random_state_are_left_as_found(name):
    module = build_network(NET, 10)
    module.features[1].eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    modes = [layer.training for layer in module.modules()]
    children = list(module.modules())
    state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    score(name, module)
    assert torch.equal(torch.random.get_rng_state(), state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert [layer.training for layer in module.modules()] == modes
    assert list(module.modules()) == children
    assert all(parameter.grad is None and parameter.requires_grad for parameter in module.parameters())
    assert all(not layer._forward_hooks and not layer._backward_hooks for layer in module.modules())
    assert before.keys() == module.state_dict().keys()
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@every_proxy
def test_the_weights_a_module_had_do_not_matter(name):
    module = build_network(NET, 10)
    first = score(name, module)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(3).add_(0.1)
    assert score(name, module) == first


@every_proxy
def test_no_gradient_mode_of_the_caller_matters(name):
    with torch.no_grad():
        assert score(name) == score(name)


@pytest.mark.parametrize("name", [name for name in PROXIES if name not in ORDERED])
def test_the_order_of_the_images_does_not_matter(name):
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.randn(6, 3, 12, 12, generator=generator), torch.arange(6)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    first, second = (
        PROXIES[name](NET, device="cpu", batch=(images[rows], labels[rows]))
        for rows in (torch.arange(6), order)
    )
    assert second == pytest.approx(first, rel=2e-4)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in PROXIES
        if PROXIES[name].needs != "counting" and name not in DRAW_THEIR_IMAGES | {"synflow"}
    ],
)
def test_real_images_and_labels_are_used(name):
    drawn = Query(NET, 12, images_of(name), 7, torch.device("cpu"))
    batch = drawn.images, drawn.labels(10)
    assert PROXIES[name](NET, seed=7, device="cpu", batch=batch) == score(name, seed=7)
    other = batch[0].flip(3) ** 2, (batch[1] + 1) % 10
    assert PROXIES[name](NET, seed=7, device="cpu", batch=other) != score(name, seed=7)


def small_networks(space, count):
    """Random networks of a space that are quick to score."""
    rng = random.Random(5)
    drawn = (SPACES[space].sample(rng) for _ in itertools.count())
    return list(itertools.islice((network for network in drawn if network.params(10) < 400_000), count))


@pytest.mark.parametrize("space", SPACES)
@every_proxy
def test_every_score_is_finite_on_both_search_spaces(space, name):
    for network in small_networks(space, 2):
        if (name, space) == ("epsinas", "mobilenet-like"):  # products of 1e-7 leave float64 on the way
            with pytest.raises(ScoreUndefined, match="the outputs of all images are equal, or left float64"):
                PROXIES[name](network, 16, batch_size=4, device="cpu")
            continue
        value = PROXIES[name](network, 16, batch_size=4, device="cpu")
        assert type(value) is float and math.isfinite(value)


@pytest.mark.parametrize(
    "name", [name for name in PROXIES if PROXIES[name].needs != "counting" and name not in DRAW_THEIR_IMAGES]
)
def test_no_forward_part_leaves_the_device_of_its_tensors(name, monkeypatch):
    # Without a GPU the backward engine cannot run on fake CUDA tensors, so gradients are stood in for by
    # tensors that depend on the graph.
    monkeypatch.setattr(
        torch.autograd,
        "grad",
        lambda outputs, inputs, *rest, **more: tuple(x * outputs.sum() for x in listed(inputs)),
    )
    with FakeTensorMode():
        with torch.device("cuda"):
            module = build_network(NET, 10)
        query = Query(module, 12, 6, 0, torch.device("cuda"))
        query.__dict__["module"] = prepare(module, query.generator(0))  # a fake module cannot be copied
        assert query.images.device.type == query.labels(10).device.type == "cuda"
        assert PROXIES[name].compute(query).device.type == "cuda"


def listed(inputs):
    return [inputs] if isinstance(inputs, torch.Tensor) else inputs


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    "name", [name for name in PROXIES if name not in DRAW_THEIR_IMAGES]
)  # these draw on the device
def test_a_gpu_gives_the_same_score(name):
    assert score(name, device="cuda") == pytest.approx(score(name), rel=1e-2, abs=1e-2)


@every_proxy
def test_names_say_what_they_are(name):
    proxy = PROXIES[name]
    assert proxy.name == name
    assert proxy.needs in ("counting", "forward", "gradients")
    assert proxy.origin["what"] and (proxy.origin["source"] or proxy.label == "own")
    assert proxy.origin["differs"] or proxy.label in ("as published", "own", "stabilised")
    documented = " ".join(getattr(proxy.compute, "func", proxy.compute).__doc__.split())
    assert any(sign in documented for sign in ("is better", "is taken for better", "knows nothing", "alone"))


@pytest.mark.parametrize(
    "name",
    ["params", "flops", "layers", "grad-norm", "synflow", "naswot", "zico", "zen", "phi", "az-expressivity"],
)
def test_a_deeper_and_wider_network_scores_higher(name):
    assert score(name, WIDER) > score(name)


def test_counting_a_module_is_counting_its_architecture():
    module = build_network(NET, 10)
    assert (
        PROXIES["params"](module)
        == NET.params(10)
        == sum(parameter.numel() for parameter in module.parameters())
    )
    assert PROXIES["flops"](module, 20) == NET.flops(20, 10) == PROXIES["az-complexity"](NET, 20)
    assert PROXIES["layers"](NET) == sum(
        isinstance(layer, (nn.Conv2d, nn.Linear)) for layer in module.modules()
    )


def test_random_scores_differ_between_networks_and_are_uniform():
    rng = random.Random(0)
    values = [PROXIES["random"](SPACES["resnet-like"].sample(rng)) for _ in range(200)]
    assert len(set(values)) > 190
    assert abs(np.mean(values) - 0.5) < 4 * math.sqrt(1 / 12 / 200)


def test_images_that_the_network_cannot_tell_apart_leave_naswot_undefined():
    images = torch.ones(4, 3, 12, 12)
    batch = images, torch.arange(4)
    with pytest.raises(
        ScoreUndefined,
        match="naswot of Architecture: the value is -inf; two images have one activation pattern",
    ):
        PROXIES["naswot"](NET, device="cpu", batch=batch)


NO_PATH = build(Cell(("none",) * 6), widths=(4, 8, 16), cells_per_stage=1)
NO_PATH_REASONS = {
    "synflow": "synflow of CellNetwork: the value is -inf; no path leads",
    "naswot": "two images have one activation pattern",
    "ntk": "the kernel is singular",
    "jacob-cov": "the output does not depend on the images",
    "zen": "zen: CellNetwork: needed an output tensor computed from the image",
}


@every_proxy
def test_a_network_without_a_path_has_a_finite_score_or_a_reason(name):
    if name in NO_PATH_REASONS:
        with pytest.raises(ScoreUndefined, match=NO_PATH_REASONS[name]):
            PROXIES[name](NO_PATH, 8, batch_size=4, device="cpu")
        return
    try:
        assert math.isfinite(PROXIES[name](NO_PATH, 8, batch_size=4, device="cpu"))
    except ScoreUndefined as undefined:
        assert len(str(undefined)) > 20


@every_proxy
def test_cells_have_scores(name):
    cell = build(
        Cell(("nor_conv_3x3", "skip_connect", "avg_pool_3x3", "none", "nor_conv_1x1", "skip_connect")),
        widths=(4, 8, 16),
        cells_per_stage=1,
    )
    assert math.isfinite(PROXIES[name](cell, 8, batch_size=4, device="cpu"))


class Plain(nn.Module):
    def __init__(self, padding: int = 1, outputs: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=padding), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=padding), nn.ReLU()
        )
        self.classifier = nn.Linear(8, 10)
        self.outputs = outputs

    def forward(self, images):
        logits = self.classifier(self.features(images).mean((2, 3)))
        return logits if self.outputs == 1 else (logits,) * self.outputs


def in_place(module):
    module.compile()
    return module


def part_compiled(module):
    module.features = torch.compile(module.features)
    return module


@every_proxy
def test_frozen_half_and_compiled_networks_have_the_score_of_the_plain_one(name):
    if name == "random":
        pytest.skip("it knows only the text of a network")
    expected = score(name, Plain())
    for changed in (
        Plain().requires_grad_(False),
        Plain().half(),
        Plain().double(),
        torch.compile(Plain()),
        in_place(Plain()),
        part_compiled(Plain()),
    ):
        assert score(name, changed) == pytest.approx(expected, rel=1e-6)


@every_proxy
@pytest.mark.parametrize(
    "network",
    [
        Plain(outputs=2),
        Plain(padding=0),
        Plain().to("meta"),
        torch.jit.trace(Plain(), torch.zeros(1, 3, 12, 12)),
    ],
    ids=["tuple", "no padding", "meta", "traced"],
)
def test_a_network_that_a_proxy_cannot_take_is_refused_in_one_sentence(name, network):
    try:
        assert math.isfinite(score(name, network)) and (
            score(name, network) != 0 or name == "az-progressivity"
        )
    except ValueError as error:  # `ScoreUndefined` is one too
        assert len(str(error)) > 20 and chr(10) not in str(error)


def test_partly_frozen_weights_are_counted_and_refused():
    module = Plain()
    module.features[0].requires_grad_(False)
    with pytest.raises(ScoreUndefined, match="got 3, of which 1 are frozen"):
        score("snip", module)


def test_grasp_says_which_second_derivative_is_missing():
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Hardsigmoid(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    )
    with pytest.raises(
        ScoreUndefined, match=r"grasp: needs second derivatives, and derivative for .*hardsigmoid"
    ):
        PROXIES["grasp"](module, 8, device="cpu")


def test_blocks_are_found_inside_containers():
    def names(module):
        return [type(block).__name__ for block in blocks(module)]

    assert names(build_network(NET, 10)) == [
        "Sequential",
        "ResidualUnit",
        "ResidualUnit",
        "ResidualUnit",
        "Sequential",
    ]
    assert names(
        nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)), nn.Linear(4, 2))
    ) == ["Conv2d", "Conv2d"]
    convs = build(Cell(("nor_conv_3x3",) * 6), widths=(4, 8), cells_per_stage=1)
    assert names(convs) == ["Sequential", "CellModule", "Reduction", "CellModule"]


def test_one_block_has_no_gradient_to_follow():
    single = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10)
    )
    for name in ("az-expressivity", "az-progressivity", "az-trainability"):
        with pytest.raises(ScoreUndefined, match="needed at least two blocks with a feature map, got 1"):
            PROXIES[name](single, 8, device="cpu")


@pytest.mark.parametrize(
    ("network", "given", "message"),
    [
        (NET.to_string(), {}, "network: needed an Architecture or a torch.nn.Module, got str"),
        (NET, {"batch_size": 1}, "batch_size: needed a whole number of at least 2, got 1"),
        (NET, {"resolution": 0}, "resolution: needed a whole number of at least 1, got 0"),
        (NET, {"seed": -1}, "seed: needed a whole number of at least 0, got -1"),
        (
            NET,
            {"batch": (torch.zeros(4, 3, 8, 9), torch.zeros(4))},
            r"batch: needed images \(N, C, side, side\) and labels \(N,\), got \(4, 3, 8, 9\)",
        ),
        (
            NET,
            {"batch": (torch.zeros(4, 3, 12, 12), torch.tensor([0, 3, 10, 1]))},
            "batch: needed labels from 0 to 9, as the network gives 10 scores, got 0 to 10",
        ),
        (
            NET,
            {"batch": (torch.zeros(4, 3, 8, 8), torch.zeros(4))},
            "resolution: needed 8, the side of the images in batch, or None; got 12",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3)),
            {},
            r"network: needed a module that gives one row of class scores per image \(6, classes\), got "
            r"\(6, 4, 10, 10\)",
        ),
    ],
)
def test_bad_input_is_one_clear_error(network, given, message):
    with pytest.raises(ValueError, match=message):
        score("grad-norm", network, **given)


@pytest.mark.parametrize("name", ["naswot", "params", "zico"])
def test_a_search_takes_any_proxy_by_name(name):
    found = search(
        "resnet-like", name, Budget(params=50_000), evaluations=4, population=4, resolution=16, progress=False
    )
    assert found.best_score == PROXIES[name](found.best, 16, batch_size=16, seed=0)
    assert found.settings["score"] == name


def test_a_search_names_the_proxies_it_knows():
    with pytest.raises(
        ValueError,
        match=r"score: needed one of closed-form, zen, params, .*synflow.*, or a callable.*; got 'beauty'",
    ):
        search("resnet-like", "beauty", Budget(params=50_000), evaluations=4)


def test_a_block_that_halves_an_odd_side_is_read_like_one_that_halves_an_even_side():
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (64, 8, 4, 4), generator=generator).float() * 2 - 1

    def of_every_second_pixel(side):
        back = torch.zeros(64, 8, side, side)
        back[..., ::2, ::2] = signs
        return kept_size(back, signs)

    assert of_every_second_pixel(7) == of_every_second_pixel(8)
    assert -0.1 < of_every_second_pixel(7) <= 0
    for place in (2, 4, 5):  # small ones, which halve a side of 7
        found = PROXIES["az-trainability"](
            SPACES["resnet-like"].sample(random.Random(place)), 28, batch_size=4, device="cpu"
        )
        assert math.isfinite(found)
