"""The study of devices: sums over convolutions, scores at equal latency, fronts, the kit at its smallest."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from matplotlib.figure import Figure
from torch._subclasses.fake_tensor import FakeTensorMode

from experiments.benchmarks import device_tables
from experiments.chapters.devices import cells, gpus, kit, study, v100
from experiments.chapters.devices import figures as draw
from experiments.figures.agreement import triangle
from experiments.record.results import checkout
from experiments.speed import gpu as script
from experiments.speed import graphs
from zenlib.errors import ResultsError
from zenlib.networks.architecture import Architecture
from zenlib.networks.zennets import ZENNETS
from zenlib.proxies import PROXIES
from zenlib.scores.zen import zen_score
from zenlib.search.latency_table import Convolution
from zenlib.vanilla.convert import to_vcnn

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
    budgets = np.array([2.0, 20, 40])
    assert cells._lost(accuracy, latency, accuracy, budgets) == [0.0] * 3
    assert cells._lost(-accuracy, latency, accuracy, budgets) == [1.0, 19.0, 39.0]
    assert cells._lost(np.ones(40), latency, accuracy, budgets)[-1] == pytest.approx(39 - accuracy.mean())


def test_a_front_that_a_score_finds_has_an_interval_at_every_budget(monkeypatch):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"latency": rng.uniform(1, 2, 500), "accuracy": rng.normal(size=500)})
    rows = rows.assign(noise=rng.normal(size=500), best=rows["accuracy"])
    monkeypatch.setattr(cells, "members", lambda dataset, device: rows)
    found = cells.front_row(dataset="any", device="any", score="noise")
    assert list(found) == list(cells.CELL_FRONTS.values)
    for share in cells.SHARES:
        assert 0 <= found[f"lost_{share}_low"] <= found[f"lost_{share}_high"]
        assert found[f"lost_{share}"] >= 0
    assert found["lost_100"] > 0.5
    assert set(cells.front_row(dataset="any", device="any", score="best").values()) == {0.0}


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
    lines = study.front_lines(rows)
    assert len(lines) == 6 * len(study.FRONTS_SHOWN) * len(cells.SHARES)
    assert isinstance(draw.fronts(lines, study.DEVICES, study.FRONTS_SHOWN), Figure)
    alike = study.agreement(rows).pivot(index="score", columns="other", values="kendall")
    assert alike.notna().all(axis=None) and (alike == alike.T).all(axis=None)


def test_nothing_stored_leaves_the_facts_unknown(results, monkeypatch):
    for flag in ("_V100", "_CELLS", "_SPEED"):
        monkeypatch.setattr(study, flag, False)
    rows = study.run()
    told = study.facts(rows)
    assert told["tau_fp16"] == told["cost_zen"] == told["gpus_alike"] == told["score_01"] == "?"
    assert told["kit_rows"] == study.NOT_MEASURED and told["zen_memory_01ms"] != "?"
    assert isinstance(draw.fronts(study.front_lines(rows), study.DEVICES, study.FRONTS_SHOWN), Figure)
    assert isinstance(triangle(study.agreement(rows), study.MEASURED), Figure)


def test_what_is_stored_cannot_give_the_published_tables_back():
    folder = checkout() / "experiments" / "chapters" / "devices" / "results"
    assert max(len(pd.read_csv(path)) for path in folder.glob("*.csv")) <= 200


def values(step, *cases):
    """What a step measures at its smallest, by case."""
    return {name: run() for name, run in kit.STEPS[step](True) if not cases or name in cases}


@without_gpu
def test_the_kit_measures_on_a_cpu_at_its_smallest():
    scores = values("zen")
    eager, released = (scores[f"tiny at 16, {name}"]["score"] for name in ("float32, eager", "released"))
    assert abs(eager - released) < 1
    found = values("agreement")
    assert {told["relative difference"] for told in found.values() if told} == {0.0}
    assert values("latency")["zennet-0.5M"]["milliseconds"] > 0
    assert values("tests")["tests marked gpu"]["skipped"] > 0


@without_gpu
def test_whoever_scores_the_rounds_of_a_search_it_finds_the_same():
    found = values("search")
    assert len(found) == len(kit.EXECUTORS) and all(
        told["candidates a second"] > 0 for told in found.values()
    )
    assert len({told["best score"] for told in found.values()}) == 1


def test_every_worker_sees_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with kit._one_each() as pool:
        assert set(pool.map(os.getenv, 20 * ["CUDA_VISIBLE_DEVICES"])) <= {"3", "5"}
        assert kit.workers() == 2


SMALL = to_vcnn(Architecture.from_string(kit.TINY), 16)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def cuda_calls(monkeypatch):
    """The order of what is asked of CUDA; the arithmetic in between is done here, on the CPU."""
    calls = []

    class Stream:
        def wait_stream(self, other):
            calls.append("stream waits for the current one")

        def synchronize(self):
            calls.append("wait for stream")

    class Graph:
        def register_generator_state(self, generator):
            calls.append("register generator")

        def replay(self):
            calls.append("replay")

    @contextmanager
    def stream(given):
        calls.append("on stream")
        yield
        calls.append("off stream")

    @contextmanager
    def capture(graph, stream):
        calls.append("capture")
        yield
        calls.append("captured")

    fakes = {"Stream": Stream, "CUDAGraph": Graph, "stream": stream, "graph": capture}
    fakes["synchronize"] = lambda: calls.append("wait for device")
    for name, fake in (fakes | {"current_stream": Stream}).items():
        monkeypatch.setattr(torch.cuda, name, fake)
    once = graphs.repeat

    def repeat(*settings):
        calls.append("repeat")
        return once(*settings)

    monkeypatch.setattr(graphs, "repeat", repeat)
    return calls


def test_a_graph_warms_up_on_its_stream_and_registers_its_draws_before_the_capture(cuda_calls):
    graph = graphs.ZenGraph(SMALL, 2, torch.float32, seeded())
    assert cuda_calls == [
        "stream waits for the current one",
        *("on stream", *["repeat"] * graphs.WARM_UPS, "off stream", "wait for device"),
        *("register generator", "capture", "repeat", "captured"),
    ]
    cuda_calls.clear()
    draws = seeded()
    third = [float(graphs.repeat(SMALL, 2, torch.float32, draws)) for _ in range(3)][-1]
    assert graph.value() == third  # the captured repeat is the arithmetic itself, after two others


def test_graphs_replayed_together_all_start_before_the_first_is_waited_for(cuda_calls):
    two = [graphs.ZenGraph(SMALL, 2, torch.float32, seeded(seed)) for seed in range(2)]
    launch, wait = ["on stream", "replay", "off stream"], ["wait for stream"]
    cuda_calls.clear()
    alone = graphs.one_by_one(two)
    assert cuda_calls == 2 * (launch + wait)
    cuda_calls.clear()
    assert graphs.together(two) == alone and len(set(alone)) == 2
    assert cuda_calls == 2 * launch + 2 * wait


def test_the_kit_measures_graphs_alone_and_together(cuda_calls):
    told = kit._zen_values(lambda: SMALL, 2, torch.bfloat16, "CUDA graph", 2)
    assert told["seconds"] > 0 and math.isfinite(told["score"]) and cuda_calls.count("replay") == 3
    found = kit._graph_values(16, 2, 1)
    assert len(found) == 3 and min(found.values()) > 0 and cuda_calls.count("capture") == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_repeat_on_the_device_is_one_of_the_zen_score(dtype):
    state = np.random.SeedSequence([7, 0]).generate_state(1, np.uint64)[0]
    found = float(graphs.repeat(SMALL, 4, dtype, seeded(int(state))))
    settings = {"batch_size": 4, "repeats": 1, "bn_variance": "running", "seed": 7, "dtype": dtype}
    assert found == pytest.approx(zen_score(SMALL, device="cpu", **settings).mean, rel=1e-6)


def test_a_repeat_never_waits_for_the_device_nor_leaves_it(monkeypatch):
    normal = torch.randn
    monkeypatch.setattr(torch, "randn", lambda shape, generator, **where: normal(shape, **where))
    vcnn = to_vcnn(torchvision.models.resnet18(), 32)  # with a max pooling
    with FakeTensorMode():  # of which no value can be asked
        found = graphs.repeat(vcnn, 2, torch.float32, SimpleNamespace(device="cuda"))
    assert found.device.type == "cuda" and found.shape == ()


@without_gpu
def test_a_step_writes_its_file_and_one_that_takes_too_long_is_stopped(tmp_path, monkeypatch, capsys):
    assert script.write("latency", True, tmp_path) == []
    told = json.loads((tmp_path / "latency.json").read_text())
    assert told["device"].startswith("cpu") and told["rows"][0][:2] == ["zennet-0.5M", "milliseconds"]
    monkeypatch.setitem(kit.LIMITS, "latency", 0.01)
    assert not script.run("latency", True, tmp_path)
    assert "STOPPED at its limit" in capsys.readouterr().out and not (tmp_path / "latency.json").exists()
    assert script.main(["--only", "latency"]) == 1


def test_a_case_that_fails_is_named_and_loses_no_other(tmp_path, monkeypatch, capsys):
    cases = [("bad", lambda: {}["gone"]), ("good", lambda: {"seconds": 1.0, "peak MiB": math.nan})]
    monkeypatch.setitem(kit.STEPS, "zen", lambda small: cases)
    assert script.main(["--step", "zen", "--small", "--out", str(tmp_path)]) == 1
    told = json.loads((tmp_path / "zen.json").read_text())
    assert told["rows"] == [["good", "seconds", 1.0], ["good", "peak MiB", None]]
    assert "failed: bad" in capsys.readouterr().out


@without_gpu
@pytest.mark.slow
def test_the_kit_needs_nothing_but_what_it_says(tmp_path):
    project = tomllib.loads((checkout() / "pyproject.toml").read_text())
    listed = itertools.chain(
        project["project"]["dependencies"], *project["project"]["optional-dependencies"].values()
    )
    names = {re.split(r"[><=!~\[; ]", one)[0].lower().replace("-", "_") for one in listed}
    names = (names | {"sklearn"}) - {"torch", "torchvision", "numpy", "pandas", "tqdm", "pillow"}
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Missing:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {sorted(names)}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Missing())\n"
    )
    path = os.pathsep.join([str(tmp_path), str(checkout())])
    steps = ["zen", "search", "agreement", "latency"]
    told = subprocess.run(
        [sys.executable, script.__file__, "--small", "--out", str(tmp_path / "out"), "--only", *steps],
        env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stdout + told.stderr
    assert sorted(path.stem for path in (tmp_path / "out").glob("*.json")) == sorted(steps)


def test_the_limits_of_the_kit_are_eight_minutes():
    assert set(kit.LIMITS) == set(kit.STEPS) and sum(kit.LIMITS.values()) <= 8 * 60


FAKE = {"device": "Fake GPU"}


def test_rows_of_a_gpu_are_taken_in_and_shown_and_those_of_a_cpu_are_not(results, tmp_path, capsys):
    told = FAKE | {"step": "latency", "rows": [["zennet-0.1ms", "milliseconds", 0.05]]}
    told["rows"].append(["zennet-0.1ms", "share of peak", None])
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "latency.json").write_text(json.dumps(told))
    assert (
        script.main(["--take", str(tmp_path / "kit")]) == 0 and "latency: 1 rows" in capsys.readouterr().out
    )
    rows = kit.GPU.stored()
    assert rows[["device", "case", "value"]].values.tolist() == [["Fake GPU", "zennet-0.1ms", 0.05]]
    stored = study.DeviceRows(*[pd.DataFrame()] * 9, rows)
    shown = study.latency_table(stored)
    assert shown.loc["ZenNet-0.1ms", "GPU, kit (ms)"] == "0.05 (Fake GPU)"
    assert shown.loc["ZenNet-0.2ms", "GPU, kit (ms)"] == study.NOT_MEASURED
    assert shown.loc["ResNet-50", "V100, paper (ms)"] == "0.4" and len(shown) == 12 + len(kit.OTHERS)
    kit.take(FAKE | {"step": "agreement", "rows": [["zen", "relative difference", 0.002]]})
    kit.take(FAKE | {"step": "search", "rows": [["search at 32, one process", "candidates a second", 40.5]]})
    page = study.kit_table(study.DeviceRows(*[pd.DataFrame()] * 9, kit.GPU.stored()))["measured"]
    assert "0.002 of its size, zen (Fake GPU)" in page.iloc[-1]
    assert page["search at 32, one process"] == "candidates a second 40.5 (Fake GPU)"
    assert (page == study.NOT_MEASURED).sum() == len(page) - 2
    with pytest.raises(ResultsError, match="needed what was measured on a GPU"):
        kit.take(told | {"device": "cpu: some"})


def test_every_item_that_the_kit_owes_has_its_case():
    cases = kit.planned()
    modes = [f"{dtype}, {mode}" for dtype in ("float32", "bfloat16") for mode in kit.MODES]
    for network in ("ResNet-50 at 224", "ZenNet-1.0M at 32"):
        assert {("zen", f"{network}, {mode}") for mode in (*modes, "released")} <= set(cases)
    assert {case for step, case in cases if step == "latency"} == {*ZENNETS, *kit.OTHERS}
    assert {case for step, case in cases if step == "agreement"} == set(PROXIES)
    assert sum(case.startswith("search at") for _, case in cases) == 2 * len(kit.EXECUTORS)
    assert {("tests", "tests marked gpu"), ("training", "fashion-mnist")} <= set(cases)
    assert len(set(cases)) == len(cases)
