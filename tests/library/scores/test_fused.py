"""The compiled elementwise passes against the eager ones, and machines without a compiler."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from zenlib.scores.pairs import EAGER, Scaling, fused_kernels


def rows(count: int, channels: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count + channels)
    z, e = (3 * torch.randn(count, channels, generator=generator) + 2 for _ in range(2))
    return z.to(dtype), e.to(dtype)


@pytest.fixture(scope="module")
def fused():
    """The compiled passes, which takes some ten seconds."""
    kernels = fused_kernels()
    if kernels is EAGER:
        pytest.skip("torch.compile does not work on this machine")
    return kernels


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("count", "channels"), [(7, 3), (400, 24), (9000, 17)])
def test_the_compiled_passes_agree_with_the_eager_ones(fused, count, channels, dtype):
    z, e = rows(count, channels, dtype)
    with torch.no_grad():
        error = 1e-5 if dtype == torch.float32 else 1e-3  # long sums of bfloat16 blocks are added one by one
        given, wanted = fused.block_moments(z, e), EAGER.block_moments(z, e)
        for index, (ours, theirs) in enumerate(zip(given, wanted, strict=True)):
            torch.testing.assert_close(ours, theirs, rtol=error, atol=error * (1 if index < 2 else 9 * count))
        scaling = Scaling(*(torch.rand(channels) for _ in range(5)))
        eager, compiled = (z.clone(), e.clone()), (z.clone(), e.clone())
        EAGER.normalise_rectify(*eager, scaling, 0.01)
        fused.normalise_rectify(*compiled, scaling, 0.01)
        for ours, theirs in zip(compiled, eager, strict=True):
            torch.testing.assert_close(
                ours, theirs, rtol=1e-2 if dtype == torch.bfloat16 else 1e-4, atol=1e-3
            )


def test_a_mean_far_from_zero_costs_no_precision():
    z, e = rows(5000, 8, torch.float32)
    moved = EAGER.block_moments(z + 1000, e - 1000)
    for given, wanted in zip(
        moved[2:],
        EAGER.block_moments(z.double(), e.double())[2:],
        strict=True,
    ):
        torch.testing.assert_close(given.double(), wanted, rtol=1e-3, atol=10)


def test_where_compiling_fails_the_eager_passes_are_taken_with_a_warning(monkeypatch):
    def failing(function, **_):
        def call(*_):
            raise RuntimeError("no compiler here\nand more")

        return call

    monkeypatch.setattr(torch, "compile", failing)
    with pytest.warns(UserWarning, match="torch.compile does not work here.*: no compiler here$"):
        assert fused_kernels.__wrapped__() is EAGER


WITHOUT_A_COMPILER = """
import warnings
from zenlib import Architecture, zen_score
tiny = Architecture.from_string("SuperConvK3BNRELU(3,8,1,1)")
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    compiled = zen_score(tiny, 8, repeats=2, compiled=True).mean
assert compiled == zen_score(tiny, 8, repeats=2).mean
told = [str(warning.message) for warning in seen]
assert any("torch.compile does not work here" in text for text in told), told
"""


@pytest.mark.slow
def test_a_machine_without_a_compiler_gets_a_warning_and_the_same_score(tmp_path):
    environment = {
        **os.environ,
        "CXX": str(tmp_path / "missing"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache"),
    }
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_COMPILER], env=environment, capture_output=True, text=True
    )
    assert finished.returncode == 0, finished.stderr
