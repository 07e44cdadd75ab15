"""The Zen-Score: the pair against two plain passes, precision, randomness, memory, devices, bad input."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.strategies import architectures
from zenlib import Architecture, ScoreUndefined, to_vcnn, zen_score
from zenlib.scores import zen as zen_module
from zenlib.scores.forward import draw_images, draw_weights, forward
from zenlib.scores.pairs import propagate
from zenlib.scores.zen import log_terms, zen_terms
from zenlib.vanilla.vcnn import IMAGE, VCNN, Add, ChannelShuffle, ChannelSlice, Concat, Conv, Pool, Step

PLAIN = Architecture.from_string("SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,2,12,2)")
BOTTLENECK = Architecture.from_string(
    "SuperConvK3BNRELU(3,8,2,1)SuperResK1K5K1(8,24,2,8,1)SuperConvK1BNRELU(24,32,1,1)"
)
DEPTHWISE = Architecture.from_string("SuperConvK3BNRELU(3,8,1,1)SuperResIDWE4K3(8,16,2,8,1)")
FIVE_CONVS = Architecture.from_string("SuperConvK3BNRELU(3,16,1,1)SuperResK3K3(16,32,2,16,2)")
TINY = Architecture.from_string("SuperConvK3BNRELU(3,8,1,1)SuperConvK1BNRELU(8,4,2,1)")


def conv(
    inputs: tuple[int, ...], channels: tuple[int, int], sides: tuple[int, int], kernel: int = 3, **more
) -> Conv:
    margin = (kernel - 1) // 2
    given = {"kernel": (kernel, kernel), "padding": (margin,) * 4, **more}
    return Conv(name="conv", inputs=inputs, **step_sizes(channels, sides), **given)


def step_sizes(channels: tuple[int, int], sides: tuple[int, int]) -> dict:
    return {
        "in_channels": channels[0],
        "out_channels": channels[1],
        "in_resolution": (sides[0],) * 2,
        "out_resolution": (sides[1],) * 2,
    }


def chain_with_pools() -> VCNN:
    steps: tuple[Step, ...] = (
        conv((IMAGE,), (3, 8), (16, 8), stride=(2, 2), padding=(0, 1, 0, 1)),
        Pool(
            name="max",
            inputs=(0,),
            kind="max",
            kernel=(3, 3),
            stride=(2, 2),
            padding=(1, 1),
            **step_sizes((8, 8), (8, 4)),
        ),
        conv((1,), (8, 8), (4, 4), groups=2),
        Pool(name="avg", inputs=(2,), kind="avg", kernel=(2, 2), stride=(2, 2), **step_sizes((8, 8), (4, 2))),
        conv((3,), (8, 12), (2, 2), kernel=1),
    )
    return VCNN(steps, resolution=16, name="chain with pools")


def graph() -> VCNN:
    """Branches that are sliced, shuffled, joined, summed and read twice."""
    steps: tuple[Step, ...] = (
        conv((IMAGE,), (3, 8), (8, 8)),
        ChannelSlice(name="slice", inputs=(0,), start=4, **step_sizes((8, 4), (8, 8))),
        conv((1,), (4, 4), (8, 8)),
        Concat(name="concat", inputs=(0, 2), **step_sizes((12, 12), (8, 8))),
        ChannelShuffle(name="shuffle", inputs=(3,), groups=3, **step_sizes((12, 12), (8, 8))),
        conv((4,), (12, 12), (8, 8), groups=12),
        Add(name="add", inputs=(5, 4), **step_sizes((12, 12), (8, 8))),
        Pool(
            name="max", inputs=(6,), kind="max", kernel=(2, 2), stride=(2, 2), **step_sizes((12, 12), (8, 4))
        ),
    )
    return VCNN(steps, resolution=8, name="graph")


NETWORKS = {
    "plain": to_vcnn(PLAIN, 8),
    "bottleneck": to_vcnn(BOTTLENECK, 12),
    "depthwise": to_vcnn(DEPTHWISE, 8),
    "five convs": to_vcnn(FIVE_CONVS, 16),
    "pools": chain_with_pools(),
    "graph": graph(),
}


def drawn(vcnn: VCNN, batch: int = 6, seed: int = 0, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(seed)
    weights = draw_weights(vcnn, generator, torch.float64)
    images, noise = (draw_images(vcnn, batch, generator, torch.float64) for _ in range(2))
    return [weight.to(dtype) for weight in weights], images.to(dtype), noise.to(dtype)


def two_forwards(vcnn, weights, images, noise, alpha):
    """Both feature maps and both lists of variances, from two plain passes."""
    seen: list[list[torch.Tensor]] = []
    maps = []
    for batch in (images, images + alpha * noise):
        seen.append([])
        maps.append(
            forward(
                vcnn,
                weights,
                batch,
                batch_norm=True,
                on_conv=lambda _, x: seen[-1].append(x.var((0, 2, 3), correction=0).mean()),
            )
        )
    return *maps, *map(torch.stack, seen)


def carried(vcnn, weights, images, noise, alpha):
    kernels = iter(weights)
    return propagate(vcnn, lambda _: next(kernels), images, noise, alpha)


def joined(blocks, half: str) -> torch.Tensor:
    return torch.cat([getattr(block, half) for block in blocks])


@pytest.mark.parametrize("alpha", [1e-1, 1e-2, 1e-3])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_carried_pair_is_two_plain_passes(name, alpha):
    vcnn = NETWORKS[name]
    weights, images, noise = drawn(vcnn)
    first, second, first_variance, second_variance = two_forwards(vcnn, weights, images, noise, alpha)
    blocks, variances = carried(vcnn, weights, images, noise, alpha)
    torch.testing.assert_close(joined(blocks, "value"), first, rtol=1e-9, atol=1e-9)
    difference = second - first
    assert (alpha * joined(blocks, "change") - difference).norm() <= 1e-6 * difference.norm()
    torch.testing.assert_close(torch.stack([v.first for v in variances]), first_variance, rtol=1e-9, atol=0)
    torch.testing.assert_close(torch.stack([v.second for v in variances]), second_variance, rtol=1e-9, atol=0)


@given(architecture=architectures())
@settings(max_examples=15, deadline=None)
def test_the_carried_pair_is_two_plain_passes_for_random_architectures(architecture):
    vcnn = to_vcnn(architecture, architecture.minimum_resolution + 3)
    weights, images, noise = drawn(vcnn, batch=3)
    first, second, *_ = two_forwards(vcnn, weights, images, noise, 0.01)
    blocks, _ = carried(vcnn, weights, images, noise, 0.01)
    error = (0.01 * joined(blocks, "change") - (second - first)).norm()
    assert (
        error <= 1e-6 * (second - first).norm() + 1e-12 * first.norm()
    )  # narrow networks can lose the perturbation altogether


@pytest.mark.parametrize("name", NETWORKS)
def test_perturbation_zero_is_the_exact_directional_derivative(name):
    vcnn = NETWORKS[name]
    weights, images, noise = drawn(vcnn)
    _, derivative = torch.func.jvp(lambda x: forward(vcnn, weights, x, batch_norm=True), (images,), (noise,))
    blocks, _ = carried(vcnn, weights, images, noise, 0.0)
    assert (joined(blocks, "change") - derivative).norm() <= 1e-9 * derivative.norm()


@pytest.mark.parametrize("images_per_block", [1, 2, 4])
@pytest.mark.parametrize("name", ["five convs", "pools", "graph"])
def test_results_do_not_depend_on_how_images_are_grouped(name, images_per_block, monkeypatch):
    vcnn = NETWORKS[name]
    weights, images, noise = drawn(vcnn, batch=7)
    whole, _ = carried(vcnn, weights, images, noise, 0.01)
    monkeypatch.setattr("zenlib.scores.pairs.BLOCK_BYTES", images_per_block * 8 * 8 * 8 * 8)
    blocks, _ = carried(vcnn, weights, images, noise, 0.01)
    assert len(blocks) > 1 or name == "pools"
    torch.testing.assert_close(joined(blocks, "change"), joined(whole, "change"), rtol=1e-9, atol=1e-9)


def test_a_step_may_read_the_same_map_twice():
    steps: tuple[Step, ...] = (
        conv((IMAGE,), (3, 4), (8, 8)),
        Concat(name="concat", inputs=(0, 0), **step_sizes((8, 8), (8, 8))),
        conv((1,), (8, 8), (8, 8)),
        Add(name="add", inputs=(2, 2), **step_sizes((8, 8), (8, 8))),
    )
    vcnn = VCNN(steps, resolution=8)
    weights, images, noise = drawn(vcnn)
    first, second, *_ = two_forwards(vcnn, weights, images, noise, 0.01)
    blocks, _ = carried(vcnn, weights, images, noise, 0.01)
    torch.testing.assert_close(0.01 * joined(blocks, "change"), second - first, rtol=1e-6, atol=1e-9)


def log_delta(change: torch.Tensor) -> float:
    return change.double().abs().sum((1, 2, 3)).mean().log().item()


def test_a_float32_pair_is_exact_where_two_float32_passes_are_not():
    vcnn = NETWORKS["five convs"]
    weights, images, noise = drawn(vcnn, batch=8)
    first, second, *_ = two_forwards(vcnn, weights, images, noise, 1e-3)
    exact = (second - first) / 1e-3
    single = [weight.float() for weight in weights], images.float(), noise.float()
    first, second, *_ = two_forwards(vcnn, *single, 1e-3)
    two_passes = ((second - first) / 1e-3 - exact).norm() / exact.norm()
    pair = (joined(carried(vcnn, *single, 1e-3)[0], "change") - exact).norm() / exact.norm()
    assert pair < 1e-4
    assert two_passes > 20 * pair


def test_a_bfloat16_pair_is_within_the_noise_where_two_bfloat16_passes_are_not():
    vcnn = NETWORKS["five convs"]
    weights, images, noise = drawn(vcnn, batch=8)
    first, second, *_ = two_forwards(vcnn, weights, images, noise, 1e-3)
    exact = log_delta(second - first)
    half = [weight.bfloat16() for weight in weights], images.bfloat16(), noise.bfloat16()
    pair = log_delta(1e-3 * joined(carried(vcnn, *half, 1e-3)[0], "change").float())
    first, second, *_ = two_forwards(vcnn, *half, 1e-3)
    spread = zen_terms(vcnn, batch_size=8, repeats=8, perturbation=1e-3).log_delta_l1.std()
    assert abs(pair - exact) < spread / 4
    assert abs(log_delta(second - first) - exact) > spread


def test_the_score_is_its_definition():
    vcnn = to_vcnn(TINY, 8)
    weights, images, noise = drawn(vcnn)
    first, second, variance, second_variance = two_forwards(vcnn, weights, images, noise, 0.01)
    l1, frobenius, minibatch, running = log_terms(*carried(vcnn, weights, images, noise, 0.01), 0.01)
    difference = second - first
    torch.testing.assert_close(l1, difference.abs().sum((1, 2, 3)).mean().log(), rtol=1e-7, atol=0)
    torch.testing.assert_close(frobenius, difference.flatten(1).norm(dim=1).mean().log(), rtol=1e-7, atol=0)
    torch.testing.assert_close(minibatch, variance.log() / 2, rtol=1e-9, atol=0)
    assert running.shape == variance.shape == second_variance.shape


def test_the_running_variance_is_that_of_torch_batch_norm_after_two_passes():
    vcnn = to_vcnn(TINY, 8)
    weights, images, noise = drawn(vcnn)
    norms = [torch.nn.BatchNorm2d(step.out_channels, dtype=torch.float64) for step in vcnn.convs]
    for batch in (images, images + 0.1 * noise):
        forward(vcnn, weights, batch, batch_norm=True, on_conv=lambda index, x: norms[index](x))
    expected = torch.stack([norm.running_var.mean().log() / 2 for norm in norms])
    running = log_terms(*carried(vcnn, weights, images, noise, 0.1), 0.1)[3]
    torch.testing.assert_close(running, expected, rtol=1e-9, atol=0)


def test_small_perturbations_approach_the_exact_derivative_less_its_logarithm():
    exact = zen_terms(TINY, 8, repeats=2, perturbation=0, dtype=torch.float64).score()
    small = zen_terms(TINY, 8, repeats=2, perturbation=1e-7, dtype=torch.float64).score()
    np.testing.assert_allclose(small - math.log(1e-7), exact, rtol=1e-4)


def test_every_definition_comes_from_the_same_passes():
    terms = zen_terms(TINY, 8, repeats=3)
    assert terms.log_sigma_minibatch.shape == terms.log_sigma_running.shape == (3, 2)
    for norm in ("l1", "frobenius"):
        for variance in ("minibatch", "running"):
            estimate = zen_score(TINY, 8, repeats=3, norm=norm, bn_variance=variance)
            assert estimate.mean == pytest.approx(terms.score(norm, variance).mean())
            assert float(estimate) == estimate.mean


def test_the_error_is_that_of_the_repeats():
    scores = zen_terms(TINY, 8, repeats=5).score()
    estimate = zen_score(TINY, 8, repeats=5)
    assert estimate.n == 5
    assert estimate.std == pytest.approx(scores.std(ddof=1))
    assert estimate.stderr == pytest.approx(scores.std(ddof=1) / math.sqrt(5))
    assert math.isnan(zen_score(TINY, 8, repeats=1).stderr)


def test_a_repeat_depends_on_its_seed_and_number_alone():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    many = zen_terms(TINY, 8, repeats=4, seed=3).score()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.randn(7)
    np.testing.assert_array_equal(zen_terms(TINY, 8, repeats=2, seed=3).score(), many[:2])
    assert len(set(many)) == 4
    assert not set(many) & set(zen_terms(TINY, 8, repeats=4, seed=4).score())


def test_a_module_is_left_as_found():
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Dropout(), torch.nn.ReLU()
    )
    module[2].eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    modes = [layer.training for layer in module.modules()]
    state = torch.random.get_rng_state()
    assert math.isfinite(zen_score(module, 8, repeats=1).mean)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [layer.training for layer in module.modules()] == modes
    assert all(parameter.grad is None for parameter in module.parameters())
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_tolerance_adds_repeats_until_the_error_is_below_it():
    loose = zen_score(TINY, 8, batch_size=4, repeats=2, tolerance=10.0)
    tight = zen_score(TINY, 8, batch_size=4, repeats=2, tolerance=0.05)
    assert loose.n == 2 < tight.n
    assert tight.stderr <= 0.05
    assert tight.mean == pytest.approx(zen_score(TINY, 8, batch_size=4, repeats=tight.n).mean)


def test_a_tolerance_out_of_reach_ends_with_a_warning_and_the_error_that_was_reached(monkeypatch):
    monkeypatch.setattr(zen_module, "MAX_REPEATS", 5)
    with pytest.warns(UserWarning, match="tolerance: needed a standard error of 1e-06"):
        estimate = zen_score(TINY, 8, batch_size=4, repeats=2, tolerance=1e-6)
    assert estimate.n == 5
    assert estimate.stderr > 1e-6


class LiveBytes(TorchDispatchMode):
    """The largest number of bytes that tensors made inside held at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.alive[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.alive = {
            key: (reference, size) for key, (reference, size) in self.alive.items() if not reference.expired()
        }
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        return result


def peak_bytes(text: str, batch_size: int = 16) -> int:
    with LiveBytes() as live:
        zen_terms(Architecture.from_string(text), 32, batch_size=batch_size, repeats=1)
    return live.peak


def test_memory_does_not_grow_with_depth():
    shallow = peak_bytes("SuperConvK3BNRELU(3,48,1,1)SuperConvK3BNRELU(48,48,1,2)")
    deep = peak_bytes("SuperConvK3BNRELU(3,48,1,1)SuperConvK3BNRELU(48,48,1,20)")
    assert deep < 1.02 * shallow


def test_memory_is_one_pair_of_feature_maps_and_a_few_blocks(monkeypatch):
    monkeypatch.setattr("zenlib.scores.pairs.BLOCK_BYTES", 2**20)
    pair = 2 * 64 * 48 * 32 * 32 * 4
    deep = peak_bytes("SuperConvK3BNRELU(3,48,1,1)SuperConvK3BNRELU(48,48,1,6)", batch_size=64)
    assert deep < pair + 8 * 2**20


@pytest.mark.parametrize("alpha", [0.0, 0.01])
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_forward_part_leaves_the_device_of_its_tensors(name, alpha, dtype):
    vcnn = NETWORKS[name]
    with FakeTensorMode():
        images, noise = (
            torch.empty(4, 3, vcnn.resolution, vcnn.resolution, device="cuda", dtype=dtype) for _ in range(2)
        )
        weights = [torch.empty(step.weight_shape, device="cuda", dtype=dtype) for step in vcnn.convs]
        blocks, variances = carried(vcnn, weights, images, noise, alpha)
        for term in log_terms(blocks, variances, alpha):
            assert term.device.type == "cuda"
            assert term.dtype == torch.float32
        assert forward(vcnn, weights, images, batch_norm=True).device.type == "cuda"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_distribution():
    gpu, cpu = (zen_score(FIVE_CONVS, 32, repeats=8, device=device) for device in ("cuda", "cpu"))
    assert abs(gpu.mean - cpu.mean) < 5 * math.hypot(gpu.stderr, cpu.stderr)


def test_a_score_that_is_not_finite_is_undefined_and_names_the_layer():
    with pytest.raises(
        ScoreUndefined,
        match=r"log sigma is .* and inf \(mini-batch and running\) after unit 0 conv 0 \(conv 3x3\)",
    ):
        zen_score(TINY, 8, repeats=1, perturbation=1e30)


def test_the_smallest_perturbation_is_the_exact_derivative():
    exact = zen_terms(TINY, 8, repeats=1, perturbation=0).score()
    smallest = zen_terms(TINY, 8, repeats=1, perturbation=1e-30).score()
    np.testing.assert_allclose(smallest - math.log(1e-30), exact, rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batch_size": -1}, "batch_size: needed a whole number of at least 1, got -1"),
        ({"batch_size": 2.5}, "batch_size: needed a whole number"),
        ({"repeats": 0}, "repeats: needed a whole number of at least 1, got 0"),
        (
            {"perturbation": -0.1},
            "perturbation: needed a finite number of at least 1e-30, or 0 for the exact derivative; got -0.1",
        ),
        ({"perturbation": math.nan}, "perturbation: needed"),
        ({"norm": "l2"}, "norm: needed one of 'l1', 'frobenius', got 'l2'"),
        ({"bn_variance": "population"}, "bn_variance: needed one of 'minibatch', 'running'"),
        ({"seed": -1}, "seed: needed a whole number of at least 0"),
        ({"dtype": torch.int32}, "dtype: needed a floating type"),
        ({"tolerance": 0}, "tolerance: needed a positive number"),
    ],
)
def test_bad_input_is_one_clear_error(given, message):
    with pytest.raises(ValueError, match=message):
        zen_score(TINY, 8, **given)


def test_one_position_per_channel_has_no_variance():
    with pytest.raises(
        ValueError, match="batch_size: needed at least 2, since unit 1 conv 0 gives a 1x1 map"
    ):
        zen_score(TINY, 2, batch_size=1)
    assert math.isfinite(zen_score(TINY, 2, batch_size=2, repeats=1).mean)


def test_a_conflicting_resolution_is_refused():
    with pytest.raises(ValueError, match="converted at 8, got 16"):
        zen_score(to_vcnn(TINY, 8), 16)


def test_numbers_of_numpy_are_welcome():
    assert zen_score(TINY, 8, repeats=np.int64(1), batch_size=np.int64(4), seed=np.int64(2)).n == 1


def test_scores_are_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zen_score(TINY, 8, repeats=1)
