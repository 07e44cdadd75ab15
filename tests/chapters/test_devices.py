"""The study of devices: sums over convolutions, scores at equal latency, fronts, the kit at its smallest."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from experiments.benchmarks import device_tables
from experiments.chapters.devices import cells, gpus, kit, study, v100
from experiments.chapters.devices import figures as draw
from experiments.record.results import checkout
from experiments.speed import gpu as script
from zenlib.errors import ResultsError
from zenlib.search.latency_table import Convolution

needs_table = pytest.mark.skipif(
    not device_tables.is_there(device_tables.CONVOLUTIONS), reason="needs the V100's table in $ZENLIB_DATA"
)
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="the kit at its smallest is for CPUs")


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_RESULTS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("network", "convolutions", "sums", "giga"),
    [
        ("ResNet-18", 20, 8, 1.81),
        ("ResNet-50", 53, 16, 4.09),
        ("MobileNetV2-1.0", 52, 10, 0.30),
        ("MnasNet-1.0", 52, 10, 0.31),
        ("EfficientNet-B0", 49, 9, 0.38),
        ("zennet-0.1ms", 44, 13, 1.75),
    ],
)
def test_convolutions_are_those_of_the_network_with_its_sums(network, convolutions, sums, giga):
    found = v100.convolutions_of(network)
    assert (len(found), sum(conv.fused_add for conv in found)) == (convolutions, sums)
    assert sum(map(v100._work, found)) / 1e9 == pytest.approx(giga, abs=0.006)


def test_a_convolution_wider_than_the_table_is_told_in_equal_parts():
    whole = Convolution(456, 6704, 7, 1)
    parts = list(v100._parts(whole))
    assert [part.out_channels for part in parts] == [2235, 2235, 2234] and {
        part.in_channels for part in parts
    } == {456}
    depthwise = list(v100._parts(Convolution(3072, 3072, 15, 3, groups=3072)))
    assert depthwise == 2 * [Convolution(1536, 1536, 15, 3, groups=1536)]
    narrow = Convolution(64, 2560, 7, 1)
    assert list(v100._parts(narrow)) == [narrow]


@needs_table
def test_the_table_orders_resnets_and_refuses_grouped_convolutions(results):
    rows = v100.PREDICTIONS.fill(
        [
            {"network": name, "precision": "fp16", "batch_size": 64}
            for name in ("ResNet-18", "ResNet-34", "ResNet-50", "RegNetY-400MF")
        ]
    )
    assert rows["milliseconds"][:3].is_monotonic_increasing and np.isnan(rows["milliseconds"][3])
    assert "one group, or one for each channel" in rows["reason"][3]


@needs_table
def test_rows_of_the_table_that_are_left_out_are_predicted_within_the_stated_errors(monkeypatch):
    monkeypatch.setattr(v100, "_SAMPLE", 150)
    for left_out in ("a tenth", "one side"):
        row = v100.interpolation_row(precision="fp16", batch_size=64, left_out=left_out, kind="Regular")
        assert row["n"] >= 140 and row["median_error"] < 0.12 and abs(row["bias"]) < 0.1


def test_a_score_that_is_latency_tells_nothing_at_equal_latency_and_accuracy_tells_all():
    rng = np.random.default_rng(0)
    latency = rng.uniform(1, 2, size=5000)
    accuracy = latency + rng.normal(size=5000)
    assert abs(np.mean(cells._at_equal_latency(latency, latency, accuracy))) < 0.05
    assert np.mean(cells._at_equal_latency(accuracy, latency, accuracy)) == 1
    assert cells._at_equal_latency(np.ones(5000), latency, accuracy) == [0.0] * cells.BINS


def test_the_best_choice_loses_nothing_and_ties_lose_their_mean():
    latency, accuracy = np.arange(1.0, 41), np.arange(40.0)
    losses, fastest = cells._losses(accuracy, latency, accuracy)
    assert losses == [0.0] * cells.BUDGETS and fastest == pytest.approx(np.quantile(latency, 0.05))
    alike, _ = cells._losses(np.ones(40), latency, accuracy)
    assert alike[-1] == pytest.approx(39 - accuracy.mean())


def test_cells_that_a_device_could_not_run_have_no_latency(tmp_path, monkeypatch):
    monkeypatch.setenv("ZENLIB_DATA", str(tmp_path))
    columns = {f"cifar10_{device}_latency": [2.0, -1.0] for device in device_tables.CELL_DEVICES}
    pd.DataFrame({"index": [1, 0]} | columns).to_csv(tmp_path / device_tables.CELLS, index=False)
    found = device_tables.cells("cifar10")
    assert np.isnan(found["edgetpu"][0]) and found["edgetpu"][1] == 2


def test_the_front_holds_what_nobody_beats_in_both():
    names = pd.MultiIndex.from_product([["a", "b", "c", "d"], [224]], names=["model", "img_size"])
    rows = pd.DataFrame({"gpu": [1.0, 2.0, 3.0, 3.0], "top1": [70.0, 69.0, 75.0, 74.0]}, index=names)
    assert [name for name, _ in gpus._front(rows, "gpu").index] == ["a", "c"]


@pytest.mark.parametrize(
    ("name", "convolutional"),
    [
        *(("resnet50", True), ("gernet_l", True), ("tf_efficientnet_b0", True), ("cs3sedarknet_l", True)),
        *(("fasternet_t0", True), ("eca_nfnet_l0", True), ("eca_botnext26ts_256", False)),
        *(
            ("mobilenetv4_conv_small", True),
            ("mobilenetv4_hybrid_large", False),
            ("vit_base_patch16_224", False),
        ),
        *(("swin_tiny_patch4_window7_224", False), ("halonet26t", False), ("mobilevit_s", False)),
    ],
)
def test_convolutional_networks_are_told_by_their_names(name, convolutional):
    assert bool(gpus.CONVOLUTIONAL.match(name)) == convolutional


def test_without_the_published_files_the_page_shows_what_is_stored(monkeypatch):
    for flag in ("_V100", "_CELLS", "_SPEED"):
        monkeypatch.setattr(study, flag, False)
    rows = study.run()
    told = study.facts(rows)
    assert [name for name, text in told.items() if text in ("?", "nan")] == []
    cifar10 = rows.cells[rows.cells["dataset"] == "cifar10"]
    assert isinstance(draw.overview(rows.predictions, cifar10, study.DEVICES, study.SHOWN), Figure)
    assert len(study.v100_table(rows)) and len(study.cell_table(rows)) and len(study.memory_table(rows)) == 12
    assert set(study.figure_data(rows)["panel"]) == {"V100", "cells"}


def test_nothing_stored_leaves_the_facts_unknown(results, monkeypatch):
    for flag in ("_V100", "_CELLS", "_SPEED"):
        monkeypatch.setattr(study, flag, False)
    rows = study.run()
    told = study.facts(rows)
    assert told["tau_fp16"] == told["cost_zen"] == told["gpus_alike"] == told["score_01"] == "?"
    assert told["kit_rows"] == study.NOT_MEASURED and told["zen_memory_01ms"] != "?"


def test_what_is_stored_cannot_give_the_published_tables_back():
    folder = checkout() / "experiments" / "chapters" / "devices" / "results"
    assert max(len(pd.read_csv(path)) for path in folder.glob("*.csv")) <= 200


@without_gpu
def test_the_kit_measures_on_a_cpu_at_its_smallest():
    scores = kit.zen(True)
    eager, released = (scores[f"tiny at 16, {name}", "score"] for name in ("float32, eager", "released"))
    assert abs(eager - released) < 1
    found = kit.agreement(True)
    assert {value for (_, name), value in found.items() if name == "relative difference"} == {0.0}
    assert kit.latency(True)["zennet-0.5M", "milliseconds"] > 0
    assert kit.search(True)["Monte Carlo at 16", "candidates a second"] > 0


@without_gpu
def test_a_step_writes_its_file_and_one_that_takes_too_long_is_stopped(tmp_path, monkeypatch, capsys):
    script.write("latency", True, tmp_path)
    told = json.loads((tmp_path / "latency.json").read_text())
    assert told["device"].startswith("cpu") and told["rows"][0][:2] == ["zennet-0.5M", "milliseconds"]
    monkeypatch.setitem(kit.LIMITS, "latency", 0.01)
    assert not script.run("latency", True, tmp_path)
    assert "STOPPED at its limit" in capsys.readouterr().out and not (tmp_path / "latency.json").exists()
    assert script.main(["--only", "latency"]) == 1


def test_the_limits_of_the_kit_are_eight_minutes():
    assert set(kit.LIMITS) == set(kit.STEPS) and sum(kit.LIMITS.values()) <= 8 * 60


def test_rows_of_a_gpu_are_taken_in_and_shown_and_those_of_a_cpu_are_not(results, tmp_path, capsys):
    told = {"device": "Fake GPU", "step": "latency", "rows": [["zennet-0.1ms", "milliseconds", 0.05]]}
    told["rows"].append(["zennet-0.1ms", "share of peak", None])
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "latency.json").write_text(json.dumps(told))
    assert (
        script.main(["--take", str(tmp_path / "kit")]) == 0 and "latency: 1 rows" in capsys.readouterr().out
    )
    rows = kit.GPU.stored()
    assert rows[["device", "case", "value"]].values.tolist() == [["Fake GPU", "zennet-0.1ms", 0.05]]
    shown = study.gpu_table(study.DeviceRows(*[pd.DataFrame()] * 8, rows))
    assert shown.loc["ZenNet-0.1ms", "GPU, kit (ms)"] == "0.050 (Fake GPU)"
    assert shown.loc["ZenNet-0.2ms", "GPU, kit (ms)"] == study.NOT_MEASURED
    with pytest.raises(ResultsError, match="needed what was measured on a GPU"):
        kit.take(told | {"device": "cpu: some"})
    if not torch.cuda.is_available():
        with pytest.raises(ResultsError, match="needed a CUDA device"):
            kit.measured("zen")
