from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from tests.library.search.scores import log_widths
from zenlib.networks.architecture import Architecture
from zenlib.networks.module import build_network
from zenlib.search import Budget, latency, search
from zenlib.search.latency import LatencyPredictor, Piece, _grid, measure_latencies, measure_latency
from zenlib.spaces import SPACES
from zenlib.spaces.space import narrowed

SMALL = "SuperConvK3BNRELU(3,8,1,1)SuperResK3K3(8,16,2,16,2)SuperConvK1BNRELU(16,32,1,1)"


@pytest.fixture(scope="module", autouse=True)
def few_repeats():
    """What is tested here holds for rough measurements too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "PIECE_REPEATS", 5)
        patch.setattr(latency, "CALIBRATION", 1)
        yield


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return LatencyPredictor(device="cpu", table=tmp_path_factory.mktemp("latency") / "table.journal")


def small_networks(space, count, seed=0):
    rng = random.Random(seed)
    for _ in range(count):
        blocks = SPACES[space].sample(rng).blocks
        for _ in range(rng.randint(3, 7)):
            blocks = narrowed(blocks, 0.75)
        yield Architecture(blocks)


def test_a_larger_network_takes_longer():
    small, large = (Architecture.from_string(SMALL.replace("16,2)", f"16,{layers})")) for layers in (1, 20))
    quick, slow = measure_latencies([small, large], 32, device="cpu")
    assert slow.undisturbed > 3 * quick.undisturbed
    assert quick.undisturbed <= quick.milliseconds and quick.spread >= 0


def test_a_measurement_is_per_image_and_takes_modules_too():
    network = Architecture.from_string(SMALL)
    one = measure_latency(network, 32, batch_size=1, repeats=5, device="cpu")
    many = measure_latency(build_network(network), 32, batch_size=32, repeats=5, device="cpu")
    assert many.milliseconds < one.milliseconds
    assert (one.repeats, one.batch_size, many.batch_size) == (5, 1, 32)


@pytest.mark.parametrize("space", SPACES)
def test_predictions_rank_networks_as_measurements_do(space, predictor):
    networks = list(small_networks(space, 8))
    predicted = np.array([predictor.predict(network, 32) for network in networks])
    measured = np.array(
        [found.undisturbed for found in measure_latencies(networks, 32, device="cpu", repeats=8)]
    )
    assert np.corrcoef(predicted.argsort().argsort(), measured.argsort().argsort())[0, 1] > 0.8
    # The machine may be busier in one of the two minutes than in the other, so the scale is only roughly
    # right here.
    assert 0.5 < np.median(predicted / measured) < 2


def test_a_table_is_measured_once_and_read_after_that(tmp_path):
    network = Architecture.from_string(SMALL)
    first = LatencyPredictor(device="cpu", table=tmp_path / "table.journal")
    predicted = first.predict(network, 16)
    content = (tmp_path / "table.journal").read_bytes()
    second = LatencyPredictor(device="cpu", table=tmp_path / "table.journal")
    assert second.predict(network, 16) == predicted
    assert (tmp_path / "table.journal").read_bytes() == content
    assert second.measured == first.measured


def test_a_table_that_was_cut_short_loses_its_last_line_only(tmp_path):
    path = tmp_path / "table.journal"
    network = Architecture.from_string(SMALL)
    LatencyPredictor(device="cpu", table=path).predict(network, 16)
    whole = LatencyPredictor(device="cpu", table=path).measured
    path.write_bytes(path.read_bytes()[:-3])
    cut = LatencyPredictor(device="cpu", table=path)
    assert cut.measured.items() <= whole.items() and len(cut.measured) == len(whole) - 1
    cut.predict(network, 16)
    assert LatencyPredictor(device="cpu", table=path).measured.keys() == whole.keys()


def test_a_flipped_bit_in_a_table_is_refused(tmp_path, tried):
    tried("bit flipped in a table of latencies", 60)
    path, rng = tmp_path / "table.journal", random.Random(0)
    LatencyPredictor(device="cpu", table=path).predict(Architecture.from_string(SMALL), 16)
    content = path.read_bytes()
    for _ in range(60):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"table.journal: line \d+: needed a table of measured pieces"):
            LatencyPredictor(device="cpu", table=path).predict(Architecture.from_string(SMALL), 16)


def test_another_file_is_no_table(tmp_path):
    (tmp_path / "table.journal").write_text("hello\nworld\n")
    with pytest.raises(ValueError, match="needed a table of measured pieces"):
        LatencyPredictor(device="cpu", table=tmp_path / "table.journal").predict(
            Architecture.from_string(SMALL), 16
        )


def test_interpolation_is_exact_for_times_that_are_bilinear_in_the_widths(tmp_path):
    predictor = LatencyPredictor(device="cpu", table=tmp_path / "table.journal")

    def seconds(width_in, width_out):
        return 3 + 0.5 * width_in + 0.25 * width_out + 0.125 * width_in * width_out

    for width_in in (64, 128):
        for width_out in (256, 512):
            predictor.measured[Piece("conv", 3, width_in, width_out, 1, 1, 8)] = seconds(width_in, width_out)
    for width_in, width_out in ((64, 256), (72, 504), (120, 264), (96, 384)):
        assert predictor._interpolated(Piece("conv", 3, width_in, width_out, 1, 1, 8)) == pytest.approx(
            seconds(width_in, width_out)
        )


def test_a_network_far_above_a_limit_is_told_without_measuring_it(predictor):
    small = Architecture.from_string(SMALL)
    predicted = predictor.predict(small, 32)
    assert not predictor.exceeds(1.001 * predicted, small, 32)
    assert predictor.exceeds(0.999 * predicted, small, 32)
    known = predictor.measured.keys()
    huge = Architecture.from_string(
        "SuperConvK3BNRELU(3,4096,1,1)SuperResK7K7(4096,4096,1,4096,4)SuperConvK1BNRELU(4096,8,1,1)"
    )
    assert predictor.exceeds(predicted, huge, 32)
    assert predictor.measured.keys() == known


@pytest.mark.parametrize("width", [3, 8, 16, 24, 40, 1000])
def test_grid_shares_add_up_to_the_width(width):
    assert sum(at * share for at, share in _grid(width)) == pytest.approx(width)
    assert sum(share for _, share in _grid(width)) == pytest.approx(1)


def test_every_device_batch_and_dtype_has_its_own_table(monkeypatch, tmp_path):
    monkeypatch.setenv("ZENLIB_CACHE", str(tmp_path))
    paths = {
        LatencyPredictor(device="cpu", batch_size=batch, dtype=dtype).path
        for batch in (1, 8)
        for dtype in ("float32", "bfloat16")
    }
    assert len(paths) == 4 and all(path.parent == tmp_path / "latency" for path in paths)


def test_a_search_keeps_a_latency_budget(predictor, tmp_path):
    network = next(small_networks("resnet-like", 1))
    limit = predictor.predict(network, 32, 100)
    options = {"evaluations": 20, "population": 10, "round_size": 8, "progress": False}
    found = search(
        "resnet-like",
        log_widths,
        Budget(latency_ms=limit, latency=predictor),
        checkpoint=tmp_path / "s.parquet",
        **options,
    )
    assert found.history["latency_ms"].max() <= limit
    assert found.history["latency_ms"][5] == predictor.predict(
        Architecture.from_string(found.history["architecture"][5]), 32, 100
    )
    again = search("resnet-like", log_widths, Budget(latency_ms=limit, latency=predictor), **options)
    assert again.history["architecture"].tolist() == found.history["architecture"].tolist()
    assert found.settings["budget"]["latency"]["torch"] == torch.__version__
