"""Latency from a table of measured convolutions: exact where it can be, close between, refused outside."""

from __future__ import annotations

import itertools
import math
import re

import pandas as pd
import pytest

from tests.library.search.scores import log_widths
from zenlib.networks.architecture import Architecture
from zenlib.search import Budget, search
from zenlib.search.latency_table import Convolution, LatencyTable, OutsideTable

SMALL = "SuperConvK3BNRELU(3,16,2,1)SuperResK3K3(16,32,2,16,2)SuperConvK1BNRELU(32,64,1,1)"
WIDTHS, SIDES = (3, 8, 16, 32, 64, 128, 256), (2, 4, 8, 16, 32, 64)


def cost(width_in, width_out, side, kernel, stride, fused_add):
    """Milliseconds of a batch of 64 that are a product of powers, which the prediction has to give back."""
    return 1e-5 * width_in**0.75 * width_out**0.5 * side**1.5 * kernel / stride * (1 + 0.25 * fused_add)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    rows = []
    for kernel, stride, side in itertools.product((1, 3, 5, 7), (1, 2), SIDES):
        for wide, narrow, add in itertools.product(WIDTHS, WIDTHS, (0, 1)):
            took = cost(wide, narrow, side, kernel, stride, add)
            rows.append(("Regular", 64, wide, side, side, narrow, kernel, stride, add, took, 2 * took))
        for width in WIDTHS:
            took = 1e-6 * width * side * kernel
            rows.append(("Depthwise", 64, width, side, side, width, kernel, stride, 0, took, 2 * took))
    names = "kind batch in_channels in_height in_width out_channels kernel stride fused_add fp16_ms fp32_ms"
    file = tmp_path_factory.mktemp("table") / "device.csv.gz"
    pd.DataFrame(rows, columns=names.split()).to_csv(file, index=False)
    return file


@pytest.fixture(scope="module")
def table(path):
    return LatencyTable(path)


@pytest.mark.parametrize("sizes", [(64, 64, 16), (24, 48, 14), (100, 200, 7), (3, 24, 50)])
def test_a_law_of_powers_is_given_back_at_the_rows_and_between_them(table, sizes):
    for kernel, stride, add in ((3, 1, False), (1, 2, True)):
        found = 64 * table.milliseconds(Convolution(*sizes, kernel, stride, fused_add=add))
        assert found == pytest.approx(cost(*sizes, kernel, stride, add), rel=0.05)


def test_a_network_takes_as_long_as_its_convolutions_with_the_sum_behind_the_last(table):
    network = Architecture.from_string(SMALL)
    pieces = [
        Convolution(3, 16, 32, 3, 2),
        *(Convolution(16, 16, 16, 3, 2), Convolution(16, 32, 8, 3, fused_add=True)),
        Convolution(16, 32, 16, 1, 2),
        *(Convolution(32, 16, 8, 3), Convolution(16, 32, 8, 3, fused_add=True)),
        Convolution(32, 64, 8, 1),
    ]
    assert table.predict(network, 32) == pytest.approx(sum(map(table.milliseconds, pieces)))
    assert LatencyTable(table.path, "fp32").predict(network, 32) == pytest.approx(
        2 * table.predict(network, 32)
    )


def test_depthwise_convolutions_have_rows_of_their_own(table):
    found = 64 * table.milliseconds(Convolution(64, 64, 16, 5, groups=64))
    assert found == pytest.approx(1e-6 * 64 * 16 * 5, rel=0.02)


@pytest.mark.parametrize(
    ("conv", "told"),
    [
        (Convolution(512, 64, 16, 1), "in_channels 3 to 256"),
        (Convolution(64, 320, 16, 1), "out_channels 3 to 256"),
        (Convolution(64, 64, 16, 9), "none"),
        (Convolution(64, 64, 16, 3, 3), "none"),
        (Convolution(64, 64, 16, 3, groups=4), "one group, or one for each channel"),
    ],
)
def test_what_is_outside_the_table_is_refused_by_name(table, conv, told):
    with pytest.raises(OutsideTable, match=re.escape(told)):
        table.milliseconds(conv)


def test_a_gap_in_the_middle_is_outside_too(path, tmp_path):
    rows = pd.read_csv(path).query("not (8 < in_channels < 256 and 8 < out_channels < 256)")
    rows.to_csv(tmp_path / "gap.csv", index=False)
    with pytest.raises(OutsideTable, match="not in all combinations"):
        LatencyTable(tmp_path / "gap.csv").milliseconds(Convolution(50, 50, 16, 1))


def test_maps_of_other_sides_and_gates_are_refused(table):
    with pytest.raises(ValueError, match=r"in_height 2 to 64.*another resolution"):
        table.predict(Architecture.from_string(SMALL), 224)
    with pytest.raises(ValueError, match="without squeeze-and-excitation"):
        table.predict(Architecture.from_string(SMALL, use_se=True), 32)


def test_another_precision_batch_or_file_is_refused_by_name(path, tmp_path):
    network = Architecture.from_string(SMALL)
    with pytest.raises(ValueError, match="precision: needed one of fp16, fp32, got 'int8'"):
        LatencyTable(path, "int8").predict(network, 32)
    with pytest.raises(ValueError, match="batch_size: needed a batch of the table, 64, got 1"):
        LatencyTable(path, batch_size=1).predict(network, 32)
    pd.read_csv(path).drop(columns="kernel").to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(ValueError, match=r"needed the columns .* got none of \['kernel'\]"):
        LatencyTable(tmp_path / "other.csv").predict(network, 32)
    pd.read_csv(path).assign(fp16_ms=-1.0).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(ValueError, match="needed positive sizes and times of fp16"):
        LatencyTable(tmp_path / "other.csv").predict(network, 32)
    (tmp_path / "other.csv").write_bytes(b"\x80\x81\x00,\n1")
    for name in ("other.csv", "none.csv"):
        with pytest.raises(ValueError, match=f"latency table: needed a CSV file .*{name}"):
            LatencyTable(tmp_path / name).describe()
    pd.read_csv(path).assign(in_width=1).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(ValueError, match="needed square maps"):
        LatencyTable(tmp_path / "other.csv").predict(network, 32)


def test_rows_left_out_are_predicted_from_the_others(path, tmp_path):
    rows = pd.read_csv(path)
    left_out = rows[rows["kind"] == "Regular"].sample(40, random_state=0)
    rows.drop(index=left_out.index).to_csv(tmp_path / "others.csv", index=False)
    others = LatencyTable(tmp_path / "others.csv")
    errors = []
    for row in left_out.to_dict("records"):
        conv = Convolution(
            *(row["in_channels"], row["out_channels"], row["in_height"]),
            *(row["kernel"], row["stride"], 1, bool(row["fused_add"])),
        )
        errors.append(abs(math.log(64 * others.milliseconds(conv) / row["fp16_ms"])))
    assert max(errors) < 0.2 and len({row["kernel"] for row in left_out.to_dict("records")}) == 4


def test_a_search_keeps_a_budget_of_the_table_and_never_leaves_it(table, tmp_path):
    network = Architecture.from_string(SMALL)
    limit = 4 * table.predict(network, 64)
    options = {"evaluations": 30, "population": 10, "resolution": 64, "progress": False}
    found = search("resnet-like", log_widths, Budget(latency_ms=limit, latency=table), **options)
    assert found.history["latency_ms"].between(0, limit, inclusive="right").all()
    assert found.settings["budget"]["latency"] == {
        "table": "device.csv.gz",
        "sha256": table.describe()["sha256"],
        "precision": "fp16",
        "batch_size": 64,
    }
    wide = Architecture.from_string(SMALL.replace("64,1,1)", "640,1,1)"))
    assert table.exceeds(1e9, wide, 64)
    with pytest.raises(ValueError, match="another resolution"):
        search(
            "resnet-like", log_widths, Budget(latency_ms=limit, latency=table), **options | {"resolution": 8}
        )
